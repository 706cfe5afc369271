//! Admission.

use prometheus::{Registry, Result};

use super::family::{Counters, counters, label};

label! {
    /// What is limited.
    LimitKind {
        /// A tenant's requests per minute.
        Tenant = "tenant",
        /// An address's requests per minute.
        Ip = "ip",
        /// A tenant's requests in flight.
        Concurrency = "concurrency",
    }
}

label! {
    /// Who decided.
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
        ];
        let decisions = known.into_iter().flat_map(|(kind, source)| {
            [(true, "admitted"), (false, "refused")].map(|(admitted, outcome)| {
                let labels = [kind.as_str(), source.as_str(), outcome];
                ((kind, source, admitted), family.with_label_values(&labels))
            })
        });
        Ok(Self { decisions: Counters::new(decisions) })
    }

    /// A request was admitted or refused. Addresses and concurrency are always decided locally.
    pub fn decided(&self, kind: LimitKind, source: LimitSource, admitted: bool) {
        self.decisions.inc(&(kind, source, admitted));
    }
}
