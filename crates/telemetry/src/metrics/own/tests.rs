//! An application's metrics as a scraper sees them.

use std::panic::catch_unwind;

use proptest::prelude::*;

use super::{family::known, names::CORE, *};
use crate::Metrics;

fn line(metrics: &Metrics, series: &str) -> Option<String> {
    let text = metrics.render();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

fn own(owner: &'static str, metrics: &[&'static dyn Collects]) -> Own {
    Own::new(owner, metrics)
}

#[test]
fn metrics_count_once_registered_and_are_exposed_with_their_help() {
    static SENT: Counter<1> = Counter::new("shop_sent_total", "Parcels sent", ["channel"]);
    static OPEN: Gauge = Gauge::new("shop_open", "Whether it is open", []);
    static WAIT: Histogram = Histogram::new("shop_wait_seconds", "Time in the queue", [], &[0.5, 1.0]);
    SENT.add(["mail"], 7);
    let metrics = Metrics::with(&[own("shop", &[&SENT, &OPEN, &WAIT])]).unwrap();
    // What has no labels is there from the start; what has some, from its first use.
    assert_eq!(line(&metrics, "shop_open").as_deref(), Some("0"));
    assert_eq!(line(&metrics, "shop_wait_seconds_count").as_deref(), Some("0"));
    assert_eq!(line(&metrics, "shop_sent_total{channel=\"mail\"}"), None);
    SENT.expect(["post"]);
    SENT.add(["mail"], 2);
    OPEN.set([], 5);
    OPEN.add([], -2);
    WAIT.observe([], 0.7);
    assert_eq!(line(&metrics, "shop_sent_total{channel=\"post\"}").as_deref(), Some("0"));
    assert_eq!(line(&metrics, "shop_sent_total{channel=\"mail\"}").as_deref(), Some("2"));
    assert_eq!(line(&metrics, "shop_open").as_deref(), Some("3"));
    assert_eq!(line(&metrics, "shop_wait_seconds_bucket{le=\"1\"}").as_deref(), Some("1"));
    assert_eq!(line(&metrics, "# HELP shop_sent_total").as_deref(), Some("Parcels sent"));
    // The core's are beside them, and a second registry of the process exposes the same series.
    assert_eq!(line(&metrics, "bulkhead_usage_rejected_total").as_deref(), Some("0"));
    let again = Metrics::with(&[own("shop", &[&SENT])]).unwrap();
    assert_eq!(line(&again, "shop_sent_total{channel=\"mail\"}").as_deref(), Some("2"));
}

#[test]
fn series_beyond_the_bound_count_as_one() {
    static SEEN: Counter<2> = Counter::new("many_seen_total", "Seen", ["one", "two"]);
    let metrics = Metrics::with(&[own("many", &[&SEEN])]).unwrap();
    for n in 0..MAX_SERIES + 50 {
        SEEN.add([&n.to_string(), "x"], 1);
    }
    // One that was there before the bound was reached still counts for itself.
    SEEN.add(["3", "x"], 1);
    // What is beyond the bound is found without a place of its own being made.
    assert!(known(&SEEN.0.family.get().unwrap().series.read(), &["new", "x"]).is_some());
    let exposed = metrics.render().lines().filter(|line| line.starts_with("many_seen_total{")).count();
    assert_eq!(exposed, MAX_SERIES + 1);
    assert_eq!(line(&metrics, "many_seen_total{one=\"_other\",two=\"_other\"}").as_deref(), Some("50"));
    assert_eq!(line(&metrics, "many_seen_total{one=\"3\",two=\"x\"}").as_deref(), Some("2"));
}

#[test]
fn a_label_value_that_is_too_long_or_not_printable_counts_as_other() {
    static READ: Counter<2> = Counter::new("odd_read_total", "Read", ["one", "two"]);
    let metrics = Metrics::with(&[own("odd", &[&READ])]).unwrap();
    let longest = "x".repeat(MAX_LABEL_BYTES);
    READ.add([&longest, "y"], 1);
    READ.add([&format!("{longest}x"), "y"], 2);
    READ.add(["line\nbreak", "y"], 4);
    // The separator of keys is no value, so two values cannot be read as two others.
    READ.add(["a\u{1f}b", "y"], 8);
    let counted = |one: &str| line(&metrics, &format!("odd_read_total{{one=\"{one}\",two=\"y\"}}"));
    assert_eq!((counted(&longest).as_deref(), counted(OTHER).as_deref()), (Some("1"), Some("14")));
    assert_eq!(metrics.render().lines().filter(|line| line.starts_with("odd_read_total{")).count(), 2);
}

#[test]
fn a_name_that_two_extensions_take_is_refused_with_both() {
    static ONE: Counter = Counter::new("bill_ing_sent_total", "Sent", []);
    static OTHER: Counter = Counter::new("bill_ing_sent_total", "Sent", []);
    static TIME: Histogram = Histogram::new("bill_run", "Time", [], &[1.0]);
    static SUM: Gauge = Gauge::new("bill_run_sum", "Sum", []);
    let refused = |own: &[Own]| Metrics::with(own).unwrap_err().to_string();
    assert_eq!(
        refused(&[own("bill", &[&ONE]), own("bill_ing", &[&OTHER])]),
        "the metric bill_ing_sent_total is declared by bill and by bill_ing"
    );
    // A histogram takes the names of its parts too.
    assert_eq!(
        refused(&[own("bill", &[&TIME, &SUM])]),
        "the metric bill_run_sum is declared by bill and by bill"
    );
    assert_eq!(
        refused(&[own("shop", &[&ONE])]),
        "the metric bill_ing_sent_total of shop must begin with shop_"
    );
}

#[test]
fn every_family_of_the_core_begins_with_a_word_that_no_extension_may_have() {
    static X: Counter = Counter::new("http_x_total", "X", []);
    assert_eq!(
        Metrics::with(&[own("http", &[&X])]).unwrap_err().to_string(),
        "http cannot have metrics: the core's begin with http_"
    );
    let text = Metrics::new().unwrap().render();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(CORE.iter().any(|word| name.starts_with(&format!("{word}_"))), "{name}");
    }
}

#[test]
fn a_definition_that_prometheus_or_memory_would_not_bear_is_refused() {
    assert!(catch_unwind(|| Counter::new("sent_total", "Sent", [])).is_ok());
    for name in ["sent", "Sent_total", "_total", "9_total", "se-nt_total", "a\u{e9}_total"] {
        assert!(catch_unwind(|| Counter::new(name, "Sent", [])).is_err(), "{name}");
    }
    for label in ["le", "tenant", "tenant_id", "Channel", "__name", "a b", ""] {
        assert!(catch_unwind(|| Gauge::new("open", "Open", [label])).is_err(), "{label}");
    }
    for buckets in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[1.0, f64::NAN], &[0.0; 41]] {
        assert!(catch_unwind(|| Histogram::new("wait", "Wait", [], buckets)).is_err(), "{buckets:?}");
    }
    assert!(catch_unwind(|| Gauge::new("open", "", [])).is_err());
    assert!(catch_unwind(|| Gauge::new("open", "Open", ["aa", "bb", "cc", "dd", "ee"])).is_err());
}

proptest! {
    #[test]
    fn no_label_value_grows_memory_or_breaks_the_exposition(values in proptest::collection::vec(("\\PC{0,80}|.{0,9}", ".{0,9}"), 1..20)) {
        static ANY: Counter<2> = Counter::new("any_total", "Any", ["one", "two"]);
        let metrics = Metrics::with(&[own("any", &[&ANY])]).unwrap();
        for (one, two) in &values {
            ANY.add([one, two], 1);
        }
        let text = metrics.render();
        for line in text.lines().filter(|line| line.starts_with("any_total")) {
            prop_assert!(line.starts_with("any_total{one=\"") && line.len() < 400, "{}", line);
            prop_assert!(line.rsplit_once("\"} ").is_some_and(|(_, count)| count.parse::<u64>().is_ok()), "{}", line);
        }
    }
}
