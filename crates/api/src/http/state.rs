//! What handlers work with: one [`AppState`] per thread, sharing what may be shared.

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::HttpRequest;
use bulkhead_auth::{
    AuthError, Authenticated, Authenticator, Caller, FactorError, Keyring, Lane, Password, PasswordError,
    PasswordHasher, PasswordRules, Turn,
};
use bulkhead_config::Extensions;
use bulkhead_db::{Db, platform::tenants::DirectoryEntry};
use bulkhead_domain::{
    AccessRegistry, ApiKeyId, Clock, Network, TenantId, api_key::ApiKey, metering::MeterRegistry,
};
use bulkhead_limits::{
    AddressLimiter, Crowded, Entered, FailureBudget, InFlight, LargeRequests, Limiter, NotDone, Party,
};
use bulkhead_telemetry::{
    Health, Metrics,
    metrics::{AuthOutcome, Credential},
};
use bulkhead_usage::{Flusher, Recorder};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::http::{
    about::About, address::ClientAddress, context, error::ApiError, extract::body, policies::Policies,
    wire::Body,
};

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// What the application says of itself.
    pub about: About,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// The largest content of a resource, in bytes of JSON.
    pub data_limit: usize,
    /// How long a request may take, its body's arrival included.
    pub request_timeout: Duration,
    /// How many proxies in front of us add to `X-Forwarded-For`; 0 takes the peer's address.
    pub trusted_proxy_hops: u8,
    /// The `iss` of our tokens.
    pub issuer: String,
    /// Where clients reach the API, without a slash at the end.
    pub public_url: String,
    /// The path in it, which the proxy in front takes off: empty, or a slash and more, without one at the end.
    pub public_path: String,
    /// The origins whose pages may call the API from a browser.
    pub cors_origins: Vec<String>,
    /// The word in our API keys.
    pub environment: &'static str,
    /// What may be set as a password.
    pub password_rules: PasswordRules,
    /// How long a deleted tenant is kept.
    pub tenant_grace: TimeDelta,
    /// How many mails a tenant may have sent in an hour; `None` where no mail leaves.
    pub mails_per_hour: Option<u32>,
    /// How tenants sign themselves up; `None` where they do not.
    pub sign_up: Option<SignUpOptions>,
}

/// How tenants sign themselves up.
#[derive(Clone, Debug)]
pub struct SignUpOptions {
    /// The plan that they begin with.
    pub plan: String,
    /// How many may in an hour, all nodes together.
    pub per_hour: u32,
}

/// What all threads share.
#[derive(Clone)]
pub struct Shared {
    /// How the API behaves.
    pub options: Arc<ApiOptions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Verifies credentials and issues tokens.
    pub authenticator: Arc<Authenticator>,
    /// Keys for HMACs.
    pub keyring: Arc<Keyring>,
    /// Hashes passwords.
    pub passwords: PasswordHasher,
    /// Counts.
    pub metrics: Metrics,
    /// What every party has in flight.
    pub in_flight: InFlight,
    /// The tenants' large requests.
    pub large: LargeRequests,
    /// Every address's bucket for requests that show no credential.
    pub addresses: Arc<AddressLimiter>,
    /// Every address's budget for credentials that turn out to be no good.
    pub failures: Arc<FailureBudget>,
    /// Whether the node should be sent requests.
    pub health: Arc<Health>,
    /// The tenants' buckets; threads make their own from it.
    pub limiter: Limiter,
    /// Stores what the threads record of usage, on a thread of its own.
    pub usage: Arc<Flusher>,
    /// The meters that this program counts.
    pub meters: MeterRegistry,
    /// What the application's extensions are set to.
    pub extensions: Extensions,
}

/// What one thread works with.
pub struct AppState {
    shared: Shared,
    /// This thread's connections to PostgreSQL.
    pub db: Db,
    /// This thread's way to the tenants' buckets.
    pub limiter: Limiter,
    /// Records usage.
    pub recorder: Recorder,
    /// The limits that this thread has told clients.
    pub(crate) policies: Policies,
}

impl std::ops::Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl AppState {
    /// The state of the thread that calls this.
    pub fn new(shared: Shared, db: Db) -> Self {
        let (limiter, recorder) = (shared.limiter.for_thread(), shared.usage.recorder());
        Self { shared, db, limiter, recorder, policies: Policies::default() }
    }

    /// The permissions that callers' sets are made of.
    pub(crate) fn access(&self) -> &AccessRegistry {
        self.authenticator.access()
    }

    /// Takes a token from the address's bucket, for a public request: one that shows no credential. No I/O, so a flood costs
    /// us next to nothing.
    pub(crate) fn admit_address(&self, request: &HttpRequest) -> Result<(), ApiError> {
        let address = self.address(request.peer_addr().map(|peer| peer.ip()), request.headers());
        let decision = self.addresses.check(address, self.clock.now());
        if decision.allowed {
            Ok(())
        } else {
            Err(ApiError::RateLimited { retry_after: decision.retry_after })
        }
    }

    /// A credential in a request's body. The caller calls [`Presented::ask`] before it looks up a credential of which
    /// nothing good is known, and [`Presented::settle`] with the result of the verification.
    pub(crate) fn presented(&self, request: &HttpRequest) -> Presented<'_> {
        let address = self.address(request.peer_addr().map(|peer| peer.ip()), request.headers());
        Presented { state: self, address }
    }

    /// Takes a token from the bucket of a tenant whose person or program has shown a good password or refresh token.
    pub(crate) async fn admit_session(&self, tenant: &DirectoryEntry) -> Result<(), Duration> {
        let decision = self.limiter.check(tenant.id, tenant.limit, 1, self.clock.now()).await;
        if decision.allowed { Ok(()) } else { Err(decision.retry_after) }
    }

    /// Finds a place among the requests in flight, and room for the bytes that the request will hold.
    pub(crate) async fn enter(&self, party: Party, bytes: usize) -> Result<Entered, ApiError> {
        Ok(self.in_flight.enter(party, bytes).await?)
    }

    /// The party in whose share a request without a credential counts: the network of its address.
    pub(crate) fn party_of_address(&self, request: &HttpRequest) -> Party {
        let address = self.address(request.peer_addr().map(|peer| peer.ip()), request.headers());
        Party::Address(Network::of(address))
    }

    /// The bytes of its body that a request is admitted with: the announced length, or a first piece where the body
    /// comes in chunks. 0 for an announced length over the limit, because such a body is refused before it is read.
    pub(crate) fn body_length(&self, request: &HttpRequest) -> usize {
        match body::announced(request.headers()) {
            Body::Chunks(_) => body::PIECE,
            Body::Left(length) => {
                usize::try_from(length).ok().filter(|length| *length <= self.options.body_limit).unwrap_or(0)
            }
        }
    }

    /// Who has sent the request, as far as the network tells.
    pub(crate) fn client(&self, request: &HttpRequest) -> ClientAddress {
        let peer = request.peer_addr().map(|peer| peer.ip());
        ClientAddress::of(peer, request.headers(), self.options.trusted_proxy_hops)
    }

    /// The address whose buckets the caller's requests are counted in.
    fn address(&self, peer: Option<IpAddr>, headers: &actix_web::http::header::HeaderMap) -> IpAddr {
        ClientAddress::of(peer, headers, self.options.trusted_proxy_hops).bucket()
    }

    /// Verifies a request's credential. A credential that is no good is charged to the address's budget, so guessing
    /// keys is no cheaper than guessing passwords. A good one of a suspended tenant takes a token of the tenant's bucket,
    /// like any request of the tenant.
    pub(crate) async fn authenticate(
        &self,
        request: &HttpRequest,
        credential: &str,
    ) -> Result<Authenticated, ApiError> {
        let client = self.client(request);
        let presented = Presented { state: self, address: client.bucket() };
        let context = context::of(request).ok_or_else(|| ApiError::internal("no context"))?;
        let caller = Caller { from: client.ip(), request_id: context.id.as_str() };
        let ask = || presented.ask();
        let result =
            self.authenticator.authenticate(&self.db, credential, caller, ask, self.clock.now()).await;
        let kind = if ApiKey::looks_like(credential) { Credential::ApiKey } else { Credential::AccessToken };
        self.count(kind, &result);
        if let Err(AuthError::Suspended(tenant)) = &result {
            self.admit_session(tenant).await.map_err(|retry_after| ApiError::RateLimited { retry_after })?;
        }
        presented.settle(result).map_err(|error| match error {
            ApiError::LoginFailed => ApiError::InvalidCredentials,
            other => other,
        })
    }

    /// Counts what became of a credential.
    pub(crate) fn count<T>(&self, credential: Credential, result: &Result<T, AuthError>) {
        let outcome = match result {
            Ok(_) | Err(AuthError::SecondFactor { .. }) => AuthOutcome::Accepted,
            Err(
                AuthError::Invalid
                | AuthError::Lapsed
                | AuthError::NotAdmitted
                | AuthError::Challenged
                | AuthError::Suspended(_),
            ) => AuthOutcome::Refused,
            Err(AuthError::Limited { .. }) => AuthOutcome::Limited,
            Err(
                AuthError::Busy | AuthError::IssuerAway | AuthError::Database(_) | AuthError::Internal(_),
            ) => AuthOutcome::Unavailable,
        };
        self.metrics.auth.presented(credential, outcome);
    }

    /// Hashes a password that is to be stored, for a principal of `group`: a tenant's id, or an operator's. No transaction
    /// may be open meanwhile, for this waits in a queue.
    pub(crate) async fn hash(&self, group: Uuid, password: Password) -> Result<String, ApiError> {
        self.metrics.auth.stored_passwords.inc();
        self.passwords.hash(turn_to_store(group), password).await.map_err(|error| match error {
            PasswordError::Busy => ApiError::Unavailable(Box::new(error)),
            PasswordError::Failed => ApiError::internal(error),
        })
    }

    /// Makes an API key and what is stored of it.
    pub(crate) fn issue_api_key(
        &self,
        tenant: TenantId,
        id: ApiKeyId,
    ) -> Result<(ApiKey, [u8; 32]), ApiError> {
        bulkhead_auth::api_key::issue(&self.keyring, self.options.environment, tenant, id)
            .map_err(ApiError::internal)
    }
}

/// The turn of a password that is to be stored. It waits in a lane apart from log-ins, and takes turns there with the
/// passwords of other tenants and operators.
const fn turn_to_store(group: Uuid) -> Turn {
    Turn { lane: Lane::Creations, group: group.as_u128(), network: None }
}

/// A credential that an address has presented and that is not verified yet. The server finishes a request even when
/// its client has hung up. So a value that is dropped without [`Self::settle`] belongs to a request that our own
/// deadline has broken off, and the address is charged nothing.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    state: &'a AppState,
    address: IpAddr,
}

impl Presented<'_> {
    /// From where.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether the address may fail once more, so that the credential may be looked up. The error is how long it has
    /// to wait until it may.
    pub(crate) fn ask(&self) -> Result<(), Duration> {
        let decision = self.state.failures.ask(self.address, self.state.clock.now());
        if decision.allowed { Ok(()) } else { Err(decision.retry_after) }
    }

    /// Charges the address for a text that is no credential.
    pub(crate) fn charge(&self) {
        self.state.failures.charge(self.address, self.state.clock.now());
    }

    /// Charges the address for what a stranger asks for, whatever becomes of it: the answer does not say what does.
    pub(crate) fn spend(self) -> Result<(), ApiError> {
        self.ask().map_err(|retry_after| ApiError::RateLimited { retry_after })?;
        self.state.failures.charge(self.address, self.state.clock.now());
        Ok(())
    }

    /// Charges the address if the credential was no good. When the address has spent its budget, the client is told
    /// to wait and not what was wrong. The budget is asked again here, because other clients of the address may have
    /// spent it meanwhile. For a text that is no credential of ours, which needed no look-up, it is asked for the
    /// first time.
    pub(crate) fn settle<T>(self, result: Result<T, AuthError>) -> Result<T, ApiError> {
        if matches!(result, Err(AuthError::Invalid)) {
            let asked = self.ask();
            self.charge();
            asked.map_err(|retry_after| ApiError::RateLimited { retry_after })?;
        }
        Ok(result?)
    }
}

/// What a failed login is told; a failed credential of any other request is [`ApiError::InvalidCredentials`].
#[doc(hidden)]
impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid | AuthError::Lapsed => Self::LoginFailed,
            AuthError::SecondFactor { challenge, enrols } => Self::SecondFactorRequired { challenge, enrols },
            AuthError::NotAdmitted => Self::NotAMember,
            AuthError::Challenged => {
                Self::WrongState("The provider asks for more than a password. Log in on its own page.")
            }
            AuthError::Suspended(_) => Self::TenantSuspended,
            AuthError::Limited { retry_after } => Self::RateLimited { retry_after },
            AuthError::Busy | AuthError::IssuerAway => Self::Unavailable(Box::new(error)),
            AuthError::Database(error) => error.into(),
            AuthError::Internal(_) => Self::internal(error),
        }
    }
}

#[doc(hidden)]
impl From<FactorError> for ApiError {
    fn from(error: FactorError) -> Self {
        match error {
            FactorError::Database(error) => error.into(),
            FactorError::Sealed(_) | FactorError::NoEntropy(_) => Self::internal(error),
        }
    }
}

/// A caller whose own share is full is told that it has too much in flight. When the bytes of the whole process are
/// used up, that is no fault of the caller's.
#[doc(hidden)]
impl From<Crowded> for ApiError {
    fn from(crowded: Crowded) -> Self {
        match crowded {
            Crowded::Requests | Crowded::Share => Self::TooManyInFlight,
            Crowded::Whole => Self::Unavailable("the bytes in flight are used up".into()),
        }
    }
}

#[doc(hidden)]
impl From<NotDone> for ApiError {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::NoThread => Self::Unavailable(not_done.to_string().into()),
            NotDone::Panicked => Self::internal(not_done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_waits_in_a_lane_of_its_own_in_turn_with_others_and_whatever_the_address() {
        let [one, other] = [1, 2].map(|group| turn_to_store(Uuid::from_u128(group)));
        assert_eq!((one.lane, other.lane), (Lane::Creations, Lane::Creations));
        assert_ne!(one.group, other.group);
        assert_eq!((one.network, other.network), (None, None));
    }
}
