//! The families behind the metrics of an application: what is checked when one is compiled, and the series that it has.
//!
//! Owns the bound: a full family counts what is beyond it in one series, and a caller that only reads takes no writer's lock.
//! Refuses to know what a metric is for.

use std::{borrow::Cow, collections::HashMap, fmt, sync::OnceLock};

use parking_lot::RwLock;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
    core::Collector,
};

/// The series that one metric may have; a histogram's buckets are not counted.
pub const MAX_SERIES: usize = 1_000;
/// The value of every label for what is beyond [`MAX_SERIES`], and of a label whose value is too long or not printable.
pub const OTHER: &str = "_other";
/// The longest value of a label, in bytes.
pub const MAX_LABEL_BYTES: usize = 64;
/// Between the values in a series' key. No value has it, since it is not printable.
const SEPARATOR: &str = "\u{1f}";
/// A family as it is declared, and its series once it is registered.
pub(super) struct Definition<V: Vector, const N: usize> {
    pub(super) name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    pub(super) buckets: &'static [f64],
    pub(super) family: OnceLock<Family<V>>,
}

impl<V: Vector, const N: usize> fmt::Debug for Definition<V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<V: Vector, const N: usize> Definition<V, N> {
    pub(super) const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        assert!(is_word(name), "a metric's name is 3 to 80 of a-z, 0-9 and _, and begins with a letter");
        assert!(!help.is_empty(), "a metric has a help");
        assert!(N <= 4, "a metric has at most four labels");
        let mut rest: &[&str] = &labels;
        while let Some((label, after)) = rest.split_first() {
            assert!(is_word(label), "a label's name is 2 to 80 of a-z, 0-9 and _, and begins with a letter");
            assert!(!is(label, "le"), "a label is not named le, which is a histogram's own");
            assert!(
                !is(label, "tenant") && !is(label, "tenant_id"),
                "a tenant is no label: there are thousands"
            );
            rest = after;
        }
        Self { name, help, labels, buckets: &[], family: OnceLock::new() }
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        let vector = match self.family.get() {
            Some(family) => family.vector.clone(),
            None => {
                let made = V::make(self.name, self.help, &self.labels, self.buckets)?;
                let made = Family { vector: made, series: RwLock::default() };
                self.family.get_or_init(|| made).vector.clone()
            }
        };
        if N == 0 {
            // Without labels there is one series, and it is there from the start.
            self.with([""; N], |_series| ());
        }
        registry.register(Box::new(vector))
    }

    pub(super) fn with(&self, values: [&str; N], act: impl FnOnce(&V::Series)) {
        let Some(family) = self.family.get() else { return };
        family.with(self.name, &values.map(bounded), act);
    }
}

pub(super) struct Family<V: Vector> {
    vector: V,
    pub(super) series: RwLock<HashMap<String, V::Series>>,
}

impl<V: Vector> Family<V> {
    fn with(&self, name: &str, values: &[&str], act: impl FnOnce(&V::Series)) {
        if let Some(series) = known(&self.series.read(), values) {
            return act(series);
        }
        let mut all = self.series.write();
        let others = vec![OTHER; values.len()];
        let is_full = all.len() >= MAX_SERIES && !all.contains_key(&*key(values));
        let values = if is_full { others.as_slice() } else { values };
        if !all.contains_key(&*key(values)) {
            let made = match self.vector.series(values) {
                Ok(made) => made,
                Err(error) => {
                    return tracing::error!(metric = name, %error, "a metric does not take its label values");
                }
            };
            if is_full {
                tracing::warn!(
                    metric = name,
                    series = MAX_SERIES,
                    "a metric has too many series; more count as one"
                );
            }
            all.insert(key(values).into_owned(), made);
        }
        if let Some(series) = all.get(&*key(values)) {
            act(series);
        }
    }
}

/// The series that counts these values, if it is there. A full family takes no more series, so what is not among them is
/// counted in the one for all others; a caller that makes values from input then waits for no writer.
pub(super) fn known<'a, S>(all: &'a HashMap<String, S>, values: &[&str]) -> Option<&'a S> {
    let others = || all.get(&*key(&vec![OTHER; values.len()]));
    all.get(&*key(values)).or_else(|| if all.len() >= MAX_SERIES { others() } else { None })
}

fn key<'a>(values: &[&'a str]) -> Cow<'a, str> {
    match values {
        [] => Cow::Borrowed(""),
        [one] => Cow::Borrowed(one),
        more => Cow::Owned(more.join(SEPARATOR)),
    }
}

/// The value, if it may be that of a label.
fn bounded(value: &str) -> &str {
    let sound = value.len() <= MAX_LABEL_BYTES && !value.chars().any(char::is_control);
    if sound { value } else { OTHER }
}

/// A family of the library.
pub(super) trait Vector: Collector + Clone + Sized + 'static {
    type Series;

    fn make(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self>;
    fn series(&self, values: &[&str]) -> Result<Self::Series>;
}

impl Vector for IntCounterVec {
    type Series = IntCounter;

    fn make(name: &str, help: &str, labels: &[&str], _buckets: &[f64]) -> Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }

    fn series(&self, values: &[&str]) -> Result<IntCounter> {
        self.get_metric_with_label_values(values)
    }
}

impl Vector for IntGaugeVec {
    type Series = IntGauge;

    fn make(name: &str, help: &str, labels: &[&str], _buckets: &[f64]) -> Result<Self> {
        Self::new(Opts::new(name, help), labels)
    }

    fn series(&self, values: &[&str]) -> Result<IntGauge> {
        self.get_metric_with_label_values(values)
    }
}

impl Vector for HistogramVec {
    type Series = prometheus::Histogram;

    fn make(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self> {
        Self::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
    }

    fn series(&self, values: &[&str]) -> Result<prometheus::Histogram> {
        self.get_metric_with_label_values(values)
    }
}

const fn is_word(text: &str) -> bool {
    let mut rest = text.as_bytes();
    if text.len() < 2 || text.len() > 80 || !matches!(rest, [b'a'..=b'z', ..]) {
        return false;
    }
    while let Some((byte, after)) = rest.split_first() {
        if !matches!(*byte, b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        rest = after;
    }
    true
}

pub(super) const fn ends_with(text: &str, end: &str) -> bool {
    match text.as_bytes().split_at_checked(text.len().saturating_sub(end.len())) {
        Some((_, last)) => same(last, end.as_bytes()),
        None => false,
    }
}

const fn is(text: &str, other: &str) -> bool {
    same(text.as_bytes(), other.as_bytes())
}

const fn same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let (Some((a, one_after)), Some((b, other_after))) = (one.split_first(), other.split_first()) {
        if *a != *b {
            return false;
        }
        one = one_after;
        other = other_after;
    }
    one.is_empty() && other.is_empty()
}
