//! Admission.

use prometheus::{IntGauge, Registry, Result};

use super::family::{Counters, counters, gauge, label};

label! {
    /// What is limited.
    LimitKind {
        /// A tenant's requests per minute.
        Tenant = "tenant",
        /// An address's requests per minute.
        Ip = "ip",
        /// A tenant's requests in flight.
        Concurrency = "concurrency",
        /// Bytes of requests and answers in memory.
        Bytes = "bytes",
    }
}

label! {
    /// Where the decision was made.
    LimitSource {
        /// All processes together, by way of Redis.
        Redis = "redis",
        /// This process, with what Redis had said before.
        Lease = "lease",
        /// This process alone.
        Local = "local",
    }
}

type Decision = (LimitKind, LimitSource, bool);

/// Decisions of admission.
pub struct Limiter {
    decisions: Counters<Decision>,
    /// Bytes that requests and answers hold in memory, as they are counted.
    pub bytes_in_flight: IntGauge,
}

impl Limiter {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let family = counters(
            registry,
            "bulkhead_limiter_decisions_total",
            "Requests admitted and refused",
            &["kind", "source", "outcome"],
        )?;
        let known = [
            (LimitKind::Tenant, LimitSource::Redis),
            (LimitKind::Tenant, LimitSource::Lease),
            (LimitKind::Tenant, LimitSource::Local),
            (LimitKind::Ip, LimitSource::Local),
            (LimitKind::Concurrency, LimitSource::Local),
            (LimitKind::Bytes, LimitSource::Local),
        ];
        let decisions = known.into_iter().flat_map(|(kind, source)| {
            [(true, "admitted"), (false, "refused")].map(|(admitted, outcome)| {
                let labels = [kind.as_str(), source.as_str(), outcome];
                ((kind, source, admitted), family.with_label_values(&labels))
            })
        });
        let bytes_in_flight = gauge(
            registry,
            "bulkhead_bytes_in_flight",
            "Bytes that requests and answers hold in memory, as they are counted",
        )?;
        Ok(Self { decisions: Counters::new(decisions), bytes_in_flight })
    }

    /// A request was admitted or refused. Addresses, concurrency and bytes are always decided locally.
    pub fn decided(&self, kind: LimitKind, source: LimitSource, admitted: bool) {
        self.decisions.inc(&(kind, source, admitted));
    }
}
