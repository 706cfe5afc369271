//! Issuers of others.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry, Result};

use super::family::{counters, gauges};

/// What became of a person's account at an identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountOutcome {
    /// It was made, and linked.
    Made,
    /// It was there, and linked.
    Found,
    /// The provider refuses it for good: the person was removed again.
    Refused,
    /// It was removed with its person.
    Removed,
    /// The provider could not be asked, or not with success: it is asked again.
    Unsettled,
}

impl AccountOutcome {
    const ALL: [Self; 5] = [Self::Made, Self::Found, Self::Refused, Self::Removed, Self::Unsettled];

    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Found => "found",
            Self::Refused => "refused",
            Self::Removed => "removed",
            Self::Unsettled => "unsettled",
        }
    }
}

/// What this process has to do with issuers of others.
#[derive(Clone, Debug)]
pub struct Identity {
    answered: IntCounter,
    failed: IntCounter,
    accounts: IntCounterVec,
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
        let accounts = counters(
            registry,
            "bulkhead_identity_provider_accounts_total",
            "Accounts of our people at identity providers, by what became of them: made, found, refused, removed, or not settled yet",
            &["outcome"],
        )?;
        for outcome in AccountOutcome::ALL {
            accounts.with_label_values(&[outcome.as_str()]);
        }
        Ok(Self {
            accounts,
            answered: asked.with_label_values(&["answered"]),
            failed: asked.with_label_values(&["failed"]),
            open_circuits: open.with_label_values(&["open"]),
        })
    }

    /// Something has become of an account.
    pub fn account(&self, outcome: AccountOutcome) {
        self.accounts.with_label_values(&[outcome.as_str()]).inc();
    }

    /// An issuer was asked.
    pub fn asked(&self, is_answered: bool) {
        if is_answered { self.answered.inc() } else { self.failed.inc() }
    }
}
