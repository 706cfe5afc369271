//! Issuers of others.

use prometheus::{IntCounter, IntGauge, Registry, Result};

use super::family::{counters, gauges};

/// What this process has to do with issuers of others.
#[derive(Clone, Debug)]
pub struct Identity {
    answered: IntCounter,
    failed: IntCounter,
    /// Issuers that are not asked at the moment, because they have failed repeatedly.
    pub open_circuits: IntGauge,
}

impl Identity {
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let asked = counters(
            registry,
            "bulkhead_identity_provider_fetches_total",
            "Times that an identity provider was asked for its document and keys",
            &["outcome"],
        )?;
        let open = gauges(
            registry,
            "bulkhead_identity_provider_circuits",
            "Identity providers by the state of their circuit, where it is not closed",
            &["state"],
        )?;
        Ok(Self {
            answered: asked.with_label_values(&["answered"]),
            failed: asked.with_label_values(&["failed"]),
            open_circuits: open.with_label_values(&["open"]),
        })
    }

    /// An issuer was asked.
    pub fn asked(&self, is_answered: bool) {
        if is_answered { self.answered.inc() } else { self.failed.inc() }
    }
}
