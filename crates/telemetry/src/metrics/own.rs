//! Metrics that an application declares beside the core's.
//!
//! A metric is a `static`: its name, its help and its labels are checked when it is compiled, and it counts into every
//! [`Metrics`](super::Metrics) that it was registered with. Before that, counting does nothing.
//!
//! Refuses memory without bound: a family has at most [`MAX_SERIES`] series, and what comes after them is counted under the
//! label value [`OTHER`], so a caller that makes label values from input loses detail and not the process. Refuses tenants as
//! labels by name. Rejected: metrics made at run time by a registry that is handed about. A name that is wrong would then
//! be found by the first request that counts.

mod family;
mod names;

use std::fmt;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, Result};

use self::family::Definition;
pub(super) use self::names::judge;
pub use self::{
    family::{MAX_LABEL_BYTES, MAX_SERIES, OTHER},
    names::OwnError,
};
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
        assert!(family::ends_with(name, "_total"), "a counter's name ends with _total");
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

#[cfg(test)]
mod tests;
