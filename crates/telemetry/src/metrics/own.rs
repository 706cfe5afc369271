//! Metrics that an application declares beside the core's.
//!
//! A metric is a `static`: its name, its help and its labels are checked when it is compiled, and it counts into every
//! [`Metrics`](super::Metrics) that it was registered with. Before that, counting does nothing.
//!
//! Refuses memory without bound: a family has at most [`MAX_SERIES`] series, and what comes after them is counted under the
//! label value [`OTHER`], so a caller that makes label values from input loses detail and not the process. Refuses tenants as
//! labels by name. Rejected: metrics made at run time by a registry that is handed about. A name that is wrong would then
//! be found by the first request that counts.

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

/// A metric that an application declares: [`Counter`], [`Gauge`] or [`Histogram`].
pub trait Collects: Sync + sealed::Sealed {
    /// Its name, as in the exposition.
    fn name(&self) -> &'static str;

    /// The names that it takes in the exposition: of a histogram also those of its parts.
    fn claims(&self) -> Vec<String> {
        vec![self.name().to_owned()]
    }
}

mod sealed {
    /// What only the metrics of this crate do.
    pub trait Sealed {
        /// Makes the metric count into this registry too.
        fn register(&self, registry: &super::Registry) -> super::Result<()>;
    }
}

/// The metrics of one extension.
#[derive(Clone)]
pub struct Own {
    owner: &'static str,
    metrics: Vec<&'static dyn Collects>,
}

impl Own {
    /// The metrics of the extension `owner`; each name begins with it and an underscore.
    pub fn new(owner: &'static str, metrics: &[&'static dyn Collects]) -> Self {
        Self { owner, metrics: metrics.to_vec() }
    }

    pub(super) fn metrics(&self) -> &[&'static dyn Collects] {
        &self.metrics
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own({}, {} metrics)", self.owner, self.metrics.len())
    }
}

/// A counter with `N` labels: a number that only grows.
///
/// ```
/// use bulkhead_telemetry::metrics::own::Counter;
///
/// static SENT: Counter<1> = Counter::new("invoices_sent_total", "Invoices sent", ["channel"]);
/// SENT.add(["mail"], 1);
/// ```
#[derive(Debug)]
pub struct Counter<const N: usize = 0>(Definition<IntCounterVec, N>);

impl<const N: usize> Counter<N> {
    /// Declares a counter. The name is of `a-z`, `0-9` and `_`, and ends with `_total`; labels are of the same letters.
    ///
    /// # Panics
    ///
    /// When they are not, which a `static` finds when it is compiled.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        assert!(ends_with(name, "_total"), "a counter's name ends with _total");
        Self(Definition::new(name, help, labels))
    }

    /// Counts `by` more in the series with these label values.
    pub fn add(&self, values: [&str; N], by: u64) {
        self.0.with(values, |counter: &IntCounter| counter.inc_by(by));
    }

    /// Makes the series with these label values appear, at 0. A series that appeared with its first count would hide
    /// that count from an alert that watches how the counter grows.
    pub fn expect(&self, values: [&str; N]) {
        self.add(values, 0);
    }
}

/// A gauge with `N` labels: a number that goes up and down. The values of series beyond [`MAX_SERIES`] mean nothing,
/// for they share one series.
#[derive(Debug)]
pub struct Gauge<const N: usize = 0>(Definition<IntGaugeVec, N>);

impl<const N: usize> Gauge<N> {
    /// Declares a gauge. The name is of `a-z`, `0-9` and `_`; labels are of the same letters.
    ///
    /// # Panics
    ///
    /// When they are not, which a `static` finds when it is compiled.
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self(Definition::new(name, help, labels))
    }

    /// Sets the series with these label values.
    pub fn set(&self, values: [&str; N], to: i64) {
        self.0.with(values, |gauge: &IntGauge| gauge.set(to));
    }

    /// Moves the series with these label values up, or down by a number below 0.
    pub fn add(&self, values: [&str; N], by: i64) {
        self.0.with(values, |gauge: &IntGauge| gauge.add(by));
    }
}

/// A histogram with `N` labels: how many values were observed within each bound.
#[derive(Debug)]
pub struct Histogram<const N: usize = 0>(Definition<HistogramVec, N>);

impl<const N: usize> Histogram<N> {
    /// Declares a histogram. The name is of `a-z`, `0-9` and `_` and ends with the unit (`_seconds`, `_bytes`); labels are of
    /// the same letters. `buckets` are upper bounds, ascending, 1 to 40 of them.
    ///
    /// # Panics
    ///
    /// When they are not, which a `static` finds when it is compiled.
    pub const fn new(
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        buckets: &'static [f64],
    ) -> Self {
        assert!(!buckets.is_empty() && buckets.len() <= 40, "a histogram has 1 to 40 buckets");
        let (mut rest, mut before) = (buckets, f64::NEG_INFINITY);
        while let Some((bound, after)) = rest.split_first() {
            assert!(
                before < *bound && *bound < f64::INFINITY,
                "the buckets of a histogram are finite and ascend"
            );
            before = *bound;
            rest = after;
        }
        let mut definition = Definition::new(name, help, labels);
        definition.buckets = buckets;
        Self(definition)
    }

    /// Notes one value, in the unit of the name, in the series with these label values.
    pub fn observe(&self, values: [&str; N], value: f64) {
        self.0.with(values, |histogram: &prometheus::Histogram| histogram.observe(value));
    }
}

/// A family as it is declared, and its series once it is registered.
struct Definition<V: Vector, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    buckets: &'static [f64],
    family: OnceLock<Family<V>>,
}

impl<V: Vector, const N: usize> fmt::Debug for Definition<V, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<V: Vector, const N: usize> Definition<V, N> {
    const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
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

    fn register(&self, registry: &Registry) -> Result<()> {
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

    fn with(&self, values: [&str; N], act: impl FnOnce(&V::Series)) {
        let Some(family) = self.family.get() else { return };
        family.with(self.name, &values.map(bounded), act);
    }
}

struct Family<V: Vector> {
    vector: V,
    series: RwLock<HashMap<String, V::Series>>,
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
fn known<'a, S>(all: &'a HashMap<String, S>, values: &[&str]) -> Option<&'a S> {
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
trait Vector: Collector + Clone + Sized + 'static {
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

impl<const N: usize> Collects for Counter<N> {
    fn name(&self) -> &'static str {
        self.0.name
    }
}

impl<const N: usize> Collects for Gauge<N> {
    fn name(&self) -> &'static str {
        self.0.name
    }
}

impl<const N: usize> Collects for Histogram<N> {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn claims(&self) -> Vec<String> {
        ["", "_bucket", "_sum", "_count"].map(|part| format!("{}{part}", self.0.name)).into()
    }
}

impl<const N: usize> sealed::Sealed for Counter<N> {
    fn register(&self, registry: &Registry) -> Result<()> {
        self.0.register(registry)
    }
}

impl<const N: usize> sealed::Sealed for Gauge<N> {
    fn register(&self, registry: &Registry) -> Result<()> {
        self.0.register(registry)
    }
}

impl<const N: usize> sealed::Sealed for Histogram<N> {
    fn register(&self, registry: &Registry) -> Result<()> {
        self.0.register(registry)
    }
}

/// Why the metrics of an application cannot stand beside each other and the core's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnError {
    /// Two extensions take one name.
    #[error("the metric {name} is declared by {first} and by {second}")]
    Twice {
        /// The name.
        name: String,
        /// Who took it first.
        first: &'static str,
        /// Who takes it too.
        second: &'static str,
    },
    /// A name that is not its owner's.
    #[error("the metric {name} of {owner} must begin with {owner}_")]
    Foreign {
        /// The name.
        name: &'static str,
        /// The extension.
        owner: &'static str,
    },
    /// An extension that is named like metrics of the core.
    #[error("{owner} cannot have metrics: the core's begin with {owner}_")]
    Reserved {
        /// The extension.
        owner: &'static str,
    },
}

/// What the names of the core's metrics begin with.
pub(super) const CORE: [&str; 3] = ["bulkhead", "http", "process"];

/// Refuses metrics that take a name twice, or one that is not their owner's.
pub(super) fn judge(own: &[Own]) -> std::result::Result<(), OwnError> {
    let mut taken: HashMap<String, &'static str> = HashMap::new();
    for own in own {
        let (owner, metrics) = (own.owner, own.metrics());
        if !metrics.is_empty() && CORE.contains(&owner) {
            return Err(OwnError::Reserved { owner });
        }
        for metric in metrics {
            let name = metric.name();
            if !name.strip_prefix(owner).is_some_and(|rest| rest.starts_with('_')) {
                return Err(OwnError::Foreign { name, owner });
            }
            for name in metric.claims() {
                if let Some(first) = taken.insert(name.clone(), owner) {
                    return Err(OwnError::Twice { name, first, second: owner });
                }
            }
        }
    }
    Ok(())
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

const fn ends_with(text: &str, end: &str) -> bool {
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

#[cfg(test)]
mod tests;
