//! Pools of users at AWS Cognito in which this process makes and removes people, in its own name.
//!
//! Owns which pool a provider is, and whether it is asked at the moment: after three failures in a row not for half a minute, and then
//! once. Refuses hosts that the platform does not allow, and every provider but the platform's own: a tenant's could name somebody
//! else's pool, and it would be our rights that act there.

use std::{collections::HashMap, sync::Arc};

use bulkhead_aws::{
    Aws,
    cognito::{Pool, PoolError},
};
use bulkhead_db::{gate::identity_providers::SharedProvider, identity_providers::COGNITO};
use bulkhead_domain::IdentityProviderId;
use bulkhead_oidc::{
    Issuers,
    cognito::PoolId,
    issuers::{FAILURES, PAUSE},
};
use bulkhead_outbound::Endpoint;
use bulkhead_telemetry::metrics::Identity;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The way to pools, of all threads of a process.
#[derive(Clone)]
pub struct Pools {
    aws: Option<Aws>,
    issuers: Arc<Issuers>,
    metrics: Identity,
    states: Arc<Mutex<HashMap<IdentityProviderId, State>>>,
}

#[derive(Clone, Copy)]
struct State {
    failures: u32,
    asked_at: Instant,
}

/// Why a pool is not asked now. For the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAsked {
    #[error("this worker has no credentials of AWS")]
    NoCredentials,
    #[error("the host of the pool is not among those that this platform allows")]
    Host,
    #[error("the provider is no pool of Cognito")]
    NoPool,
    #[error("the pool has failed {FAILURES} times in a row, a moment ago")]
    Circuit,
}

/// A pool that may be asked.
pub(crate) struct Reached<'a> {
    pools: &'a Pools,
    aws: &'a Aws,
    provider: IdentityProviderId,
    endpoint: Endpoint,
    id: PoolId,
}

impl std::fmt::Debug for Pools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pools").field("aws", &self.aws).finish_non_exhaustive()
    }
}

impl Pools {
    /// Without `aws` none is asked: what is to be done there waits for a worker that has it.
    pub fn new(aws: Option<Aws>, issuers: Arc<Issuers>, metrics: Identity) -> Self {
        Self { aws, issuers, metrics, states: Arc::default() }
    }

    /// The pool of a provider, if it may be asked now.
    pub(crate) fn reach(&self, provider: &SharedProvider) -> Result<Reached<'_>, NotAsked> {
        let aws = self.aws.as_ref().ok_or(NotAsked::NoCredentials)?;
        let id = PoolId::of_issuer(&provider.issuer).map_err(|_none| NotAsked::NoPool)?;
        if provider.kind != COGNITO {
            return Err(NotAsked::NoPool);
        }
        let named = match &provider.settings.api_url {
            Some(url) => url.clone(),
            None => id.endpoint().map_err(|_form| NotAsked::NoPool)?.to_string(),
        };
        let endpoint = self.issuers.read_named(&named).map_err(|_host| NotAsked::Host)?;
        let state = self.states.lock().get(&provider.id).copied();
        if state.is_some_and(|state| state.failures >= FAILURES && state.asked_at.elapsed() < PAUSE) {
            return Err(NotAsked::Circuit);
        }
        Ok(Reached { pools: self, aws, provider: provider.id, endpoint, id })
    }

    fn asked(&self, provider: IdentityProviderId, is_answered: bool) {
        let (was, is) = {
            let mut states = self.states.lock();
            let state = states.entry(provider).or_insert(State { failures: 0, asked_at: Instant::now() });
            let was = state.failures;
            state.failures = if is_answered { 0 } else { was.saturating_add(1) };
            state.asked_at = Instant::now();
            (was >= FAILURES, state.failures >= FAILURES)
        };
        self.metrics.asked(is_answered);
        self.metrics.open_circuits.add(i64::from(is) - i64::from(was));
    }
}

impl Reached<'_> {
    /// Asks the pool, and remembers whether it has answered.
    pub(crate) async fn ask<T>(
        &self,
        what: impl AsyncFnOnce(Pool<'_>) -> Result<T, PoolError>,
    ) -> Result<T, PoolError> {
        let Self { pools, aws, provider, endpoint, id } = self;
        let client = pools.issuers.client();
        let asked = what(Pool { aws, client, endpoint, region: &id.region, id: &id.id }).await;
        pools.asked(*provider, asked.as_ref().err().is_none_or(PoolError::is_answered));
        asked
    }
}
