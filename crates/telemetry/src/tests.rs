//! What a reader of the log sees.

use std::{
    io,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use serde_json::Value;
use tracing::{error, info, info_span, subscriber::with_default};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged(format: LogFormat, filter: &str, work: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    with_default(subscriber(format, filter, move || writer.clone()).unwrap(), work);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn in_a_request(work: impl FnOnce()) {
    let request = info_span!("http", request_id = "r1", tenant.id = tracing::field::Empty, depth = 1);
    let _request = request.enter();
    request.record("tenant.id", "ten_1");
    info_span!("db", table = "resources", depth = 2).in_scope(work);
}

#[test]
fn a_json_line_carries_the_fields_of_every_span_around_it() {
    let text = logged(LogFormat::Json, "info", || {
        in_a_request(|| info!(duration_ms = 3_u64, ok = true, "stored {}", 7));
    });
    let mut line: Value = serde_json::from_str(&text).unwrap();
    let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
    assert!(timestamp.as_str().unwrap().ends_with('Z'), "{timestamp}");
    assert_eq!(
        line,
        serde_json::json!({
            "level": "INFO", "target": "bulkhead_telemetry::tests", "message": "stored 7",
            "duration_ms": 3, "ok": true,
            "span": {"request_id": "r1", "tenant.id": "ten_1", "table": "resources", "depth": 2},
        })
    );
}

#[test]
fn a_field_cannot_replace_what_the_line_says_about_itself() {
    let text = logged(LogFormat::Json, "info", || info!(level = "ERROR", timestamp = 0, "x"));
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "INFO");
    assert!(line["timestamp"].is_string());
}

#[test]
fn numbers_keep_their_type_and_what_is_no_number_is_null() {
    let text = logged(LogFormat::Json, "info", || {
        info!(small = -1_i64, large = u64::MAX, ratio = 0.1, whole = 2.0, lost = f64::NAN, "x");
        info!(message = 7);
    });
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["small"], -1);
    assert_eq!(lines[0]["large"], u64::MAX);
    assert_eq!((&lines[0]["ratio"], &lines[0]["whole"]), (&Value::from(0.1), &Value::from(2.0)));
    assert_eq!(lines[0]["lost"], Value::Null);
    assert_eq!(lines[1]["message"], "7");
}

#[test]
fn a_field_that_is_recorded_twice_is_written_once() {
    let text = logged(LogFormat::Json, "info", || {
        let span = info_span!("http", state = "first");
        span.record("state", "second");
        span.in_scope(|| info!("x"));
    });
    assert_eq!(text.matches("state").count(), 1, "{text}");
    assert!(text.contains("\"state\":\"second\""), "{text}");
}

#[test]
fn a_text_line_is_for_people() {
    let text = logged(LogFormat::Text, "info", || in_a_request(|| info!(slug = "a b", n = 1, "stored")));
    let (_, rest) = text.split_once(' ').unwrap();
    assert_eq!(
        rest,
        " INFO bulkhead_telemetry::tests: stored slug=\"a b\" n=1 | request_id=r1 depth=2 tenant.id=ten_1 table=resources\n"
    );
}

#[test]
fn an_error_is_logged_with_its_causes() {
    let inner = io::Error::other("disk full");
    let outer = InitError::Filter { filter: "f".to_owned(), reason: "r".to_owned() };
    let chained = io::Error::other(Chain(inner));
    let text = logged(LogFormat::Json, "info", || {
        error!(error = &chained as &(dyn std::error::Error + 'static), "failed");
        error!(error = &outer as &(dyn std::error::Error + 'static), "failed");
    });
    assert!(text.contains("\"error\":\"cannot store: disk full\""), "{text}");
    assert!(text.contains("\"error\":\"not a log filter: 'f' (r)\""), "{text}");
}

#[derive(Debug, thiserror::Error)]
#[error("cannot store")]
struct Chain(#[source] io::Error);

#[test]
fn a_filter_lets_through_what_it_names_and_nothing_else() {
    let text = logged(LogFormat::Text, "warn,bulkhead_telemetry=debug", || {
        tracing::debug!("mine");
        tracing::info!(target: "other", "not mine");
        tracing::warn!(target: "other", "loud");
    });
    assert!(text.contains("mine\n") && text.contains("loud\n") && !text.contains("not mine"), "{text}");
}

#[test]
fn a_bad_filter_is_refused() {
    for bad in ["inof", "", "info,", "a=b=c", "info,bulkhead_db=loud", "bulkhead_db"] {
        let refused = parse_filter(bad).unwrap_err().to_string();
        assert!(refused.starts_with("not a log filter: '"), "{refused}");
    }
    for good in ["info", "WARN", "off", "info,bulkhead_db=debug", "info,[http{request_id=r1}]=trace"] {
        assert!(parse_filter(good).is_ok(), "{good} was refused");
    }
}

proptest! {
    #[test]
    fn no_value_can_forge_a_line_or_reach_the_terminal(text in "(\\PC|[\n\r\t\0\u{1b}\u{7f}\u{85}\u{9b}\u{2028}])*") {
        for format in [LogFormat::Json, LogFormat::Text] {
            let written = logged(format, "info", || {
                let _span = info_span!("http", user_agent = %text, quoted = ?text).entered();
                info!(value = %text, quoted = ?text, "{text}");
            });
            prop_assert!(written.ends_with('\n'));
            prop_assert_eq!(written.matches('\n').count(), 1, "{}", written);
            let controls = written.trim_end_matches('\n').chars().any(|c| c.is_ascii_control() && c != '\u{7f}');
            prop_assert!(!controls, "{:?}", written);
            if format == LogFormat::Json {
                let line: Value = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(&line["message"], &Value::from(text.as_str()));
                prop_assert_eq!(&line["value"], &Value::from(text.as_str()));
                prop_assert_eq!(&line["span"]["user_agent"], &Value::from(text.as_str()));
            } else {
                prop_assert!(!written.trim_end_matches('\n').chars().any(char::is_control), "{:?}", written);
            }
        }
    }
}
