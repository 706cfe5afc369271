//! Logging in at an issuer.
//!
//! A browser is sent to the issuer with a state, and comes back with it and a code. The state is sealed and says everything that
//! is needed then: nothing is written for a log-in that is only begun, of which a stranger can begin any number. One that comes
//! back is noted, so that it counts once.
//!
//! The state belongs to the browser that has begun: it holds the digest of a handle that only this browser was given, in a
//! cookie. Without it, somebody could send another person the end of a log-in of their own, and have them work in a foreign
//! account. It belongs to the provider, whose callback has an address of its own: a code of one issuer is never sent to another.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::{
    constant_time,
    digest::{SHA256, digest},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_db::{
    Authority, Db, DbError, DbResult, TenantTx,
    identity_providers::IdentityProvider,
    platform::{identity_providers as providers, tenants::DirectoryEntry},
    sessions::{Device, Opened},
    tenant::{
        audit,
        federated_identities::{self as identities, Linked},
        sessions, users,
    },
};
use bulkhead_domain::{
    Evidence, FederatedIdentityId, IdentityProviderId, Proven, RoleName, SessionId, TenantId, UserId, id,
};
use bulkhead_oidc::{
    Claims, Expected, Presented,
    login::{self, AuthorizationRequest, ClientCredentials, ExchangeError, IssuedTokens},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Federation, TENANT_CLAIM,
    admission::{Newcomer, NotAdmitted},
    kind,
    roles::Bounds,
    secret_context, source,
};
use crate::{
    authenticator::{AuthError, Authenticator},
    failed_login,
    login::Tokens,
    opening::{IDENTITY_PROVIDER, NewSession},
    principal::Principal,
    random,
    request::Request,
    second_factor::{Challenge, ChallengeText, FactorTx as _, SecondFactorRule},
    session::{RefreshToken, SessionOwner},
    session_tx::SessionTx as _,
};

/// How long a person may take at the issuer.
pub const LOGIN_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// The longest state and code that are looked at, in bytes.
const LONGEST: usize = 2_048;
/// What a state is sealed for.
const CONTEXT: &str = "federated_login_state";

/// A log-in that was begun.
pub struct LoginStart {
    /// Where to send the browser.
    pub location: String,
    /// What only this browser may know until it comes back.
    pub handle: String,
}

/// What a browser came back with.
pub struct LoginReturn<'a> {
    /// The provider whose callback it was sent to.
    pub provider: IdentityProviderId,
    /// The code.
    pub code: &'a str,
    /// The state.
    pub state: &'a str,
    /// The issuer that says that it has sent the browser (RFC 9207), if it says so.
    pub issuer: Option<&'a str>,
    /// What the browser was given when it was sent there.
    pub handle: Option<&'a str>,
    /// The callback's address.
    pub redirect_uri: &'a str,
    /// The browser.
    pub visitor: Visitor<'a>,
}

/// Who logs in, as far as can be seen.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The address.
    pub from: IpAddr,
    /// The `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// What the audit log says of the request.
    pub request: Request<'a>,
}

/// Codes, states and handles stay out of logs.
impl std::fmt::Debug for LoginReturn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LoginReturn({})", self.provider)
    }
}

impl std::fmt::Debug for LoginStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginStart")
    }
}

/// What a state says.
#[derive(Deserialize, Serialize)]
struct State {
    id: Uuid,
    provider: IdentityProviderId,
    nonce: String,
    verifier: String,
    /// The digest of the browser's handle.
    handle: String,
    expires_at: i64,
}

fn word() -> Result<String, AuthError> {
    Ok(URL_SAFE_NO_PAD.encode(random::bytes::<32>()?))
}

fn digest_of(handle: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, handle.as_bytes()))
}

impl Authenticator {
    /// Begins a log-in at a provider. `handle` is what the browser was given before, if it was: it keeps it, so that two log-ins
    /// that are begun side by side both come to an end.
    ///
    /// [`AuthError::Invalid`] when there is no such provider, or nobody logs in there.
    pub async fn begin_federated_login(
        &self,
        db: &Db,
        provider: IdentityProviderId,
        redirect_uri: &str,
        handle: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<LoginStart, AuthError> {
        let federation = self.federation.as_ref().ok_or(AuthError::Invalid)?;
        let provider = in_service(db, provider).await?.ok_or(AuthError::Invalid)?;
        let client_id = provider.client_id.as_deref().ok_or(AuthError::Invalid)?;
        let metadata = federation.issuers.metadata(&source(&provider)).await;
        let metadata = metadata.map_err(|_unavailable| AuthError::IssuerAway)?;
        let is_handle = |text: &&str| text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok();
        let handle = handle.filter(is_handle).map_or_else(word, |known| Ok(known.to_owned()))?;
        let state = State {
            id: id::mint(now),
            provider: provider.id,
            nonce: word()?,
            verifier: word()?,
            handle: digest_of(&handle),
            expires_at: (now + LOGIN_LIFETIME).timestamp(),
        };
        let request = AuthorizationRequest {
            client_id,
            redirect_uri,
            scopes: &provider.settings.scopes,
            state: &self.sealed(&state)?,
            nonce: &state.nonce,
            verifier: &state.verifier,
        };
        let location = login::authorization_url(&metadata, &request).ok_or(AuthError::Invalid)?;
        Ok(LoginStart { location, handle })
    }

    fn sealed(&self, state: &State) -> Result<String, AuthError> {
        let json = serde_json::to_vec(state).map_err(|error| AuthError::Internal(error.to_string()))?;
        let sealed =
            self.keyring.seal(&json, CONTEXT).map_err(|error| AuthError::Internal(error.to_string()))?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The state of a browser that has come back, if it is one of ours, belongs to this browser and provider, and is not over.
    fn opened(&self, back: &LoginReturn<'_>, now: DateTime<Utc>) -> Result<State, AuthError> {
        if back.state.len() > LONGEST || back.code.is_empty() || back.code.len() > LONGEST {
            return Err(AuthError::Invalid);
        }
        let sealed = URL_SAFE_NO_PAD.decode(back.state).map_err(|_base64| AuthError::Invalid)?;
        let json = self.keyring.open(&sealed, CONTEXT).map_err(|_foreign| AuthError::Invalid)?;
        let state: State = serde_json::from_slice(&json).map_err(|_json| AuthError::Invalid)?;
        let handle = digest_of(back.handle.unwrap_or_default());
        let is_same_browser =
            constant_time::verify_slices_are_equal(handle.as_bytes(), state.handle.as_bytes());
        if is_same_browser.is_err() || state.provider != back.provider {
            return Err(AuthError::Invalid);
        }
        if state.expires_at <= now.timestamp() { Err(AuthError::Lapsed) } else { Ok(state) }
    }

    /// Ends a log-in at a provider, and opens a session of ours.
    ///
    /// `ask` and `admit` are as for [`Self::login`]. [`AuthError::NotAdmitted`] when the issuer vouches for the person, who is
    /// nobody of the tenant's. [`AuthError::SecondFactor`] when the person has to show a code of ours, too.
    pub async fn finish_federated_login(
        &self,
        db: &Db,
        back: &LoginReturn<'_>,
        ask: impl FnOnce() -> Result<(), Duration>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let federation = self.federation.as_ref().ok_or(AuthError::Invalid)?;
        let state = self.opened(back, now)?;
        ask().map_err(|retry_after| AuthError::Limited { retry_after })?;
        let provider = in_service(db, back.provider).await?.ok_or(AuthError::Lapsed)?;
        if back.issuer.is_some_and(|issuer| issuer != provider.issuer) {
            return Err(AuthError::Invalid);
        }
        // Ahead of the exchange: a state that comes back again reaches no issuer.
        let expires_at = DateTime::from_timestamp_secs(state.expires_at).unwrap_or(now);
        let spend = async |tx: &mut _| providers::spend_state(tx, state.id, expires_at).await;
        if !db.platform_write::<_, DbError>(Authority::logins(), spend).await? {
            return Err(AuthError::Lapsed);
        }
        let tokens = self.exchanged(federation, &provider, back, &state).await?;
        let nonce = Some(state.nonce.as_str());
        let claims = verified_id_token(federation, &provider, &tokens, nonce, now).await?;
        self.open_federated_session(db, &provider, &claims, &back.visitor, admit, now).await
    }

    async fn exchanged(
        &self,
        federation: &Federation,
        provider: &IdentityProvider,
        back: &LoginReturn<'_>,
        state: &State,
    ) -> Result<IssuedTokens, AuthError> {
        let id = provider.client_id.as_deref().ok_or(AuthError::Lapsed)?;
        let secret = self.client_secret(provider)?;
        let metadata = federation.issuers.metadata(&source(provider)).await;
        let metadata = metadata.map_err(|_unavailable| AuthError::IssuerAway)?;
        let credentials = ClientCredentials { id, secret: secret.as_deref() };
        let code = (back.code, back.redirect_uri, state.verifier.as_str());
        let tokens = login::exchange(federation.issuers.client(), &metadata, credentials, code).await;
        tokens.map_err(|error| {
            tracing::info!(issuer = %provider.issuer, %error, "a log-in has come to nothing");
            match error {
                ExchangeError::Refused => AuthError::Invalid,
                ExchangeError::Fetch(_) => AuthError::IssuerAway,
            }
        })
    }

    /// What proves to the issuer that it is us.
    pub(super) fn client_secret(&self, provider: &IdentityProvider) -> Result<Option<String>, AuthError> {
        let Some(sealed) = &provider.sealed_client_secret else { return Ok(None) };
        let unusable =
            || AuthError::Internal(format!("the client secret of {} cannot be opened", provider.id));
        let secret = self.keyring.open(sealed, &secret_context(provider.id)).map_err(|_sealed| unusable())?;
        String::from_utf8(secret).map(Some).map_err(|_utf8| unusable())
    }

    /// Opens a session for whom a provider vouches for.
    pub(super) async fn open_federated_session(
        &self,
        db: &Db,
        provider: &IdentityProvider,
        claims: &Claims,
        visitor: &Visitor<'_>,
        admit: impl AsyncFnOnce(&DirectoryEntry) -> Result<(), Duration>,
        now: DateTime<Utc>,
    ) -> Result<Tokens, AuthError> {
        let (tenant, bounds) = tenant_of(db, provider, claims).await?;
        let entry = self.in_service(db, tenant, self.view.revocations.is_fresh(now), now).await?;
        admit(&entry).await.map_err(|retry_after| AuthError::Limited { retry_after })?;
        let tenant = Proven::on(Evidence::Federation, entry.id);
        let (provider_id, subject) = (provider.id, claims.sub.as_str());
        let look = async |tx: &mut _| identities::look_up(tx, provider_id, subject).await;
        let found: Option<Linked> = db.login_credentials(entry.id, look).await?;
        let admitted = match found {
            Some(Linked::To(user, role)) => Ok((user, role)),
            Some(Linked::Removed) => Err(NotAdmitted::Removed),
            None => {
                let Request { id: request_id, address } = visitor.request;
                let newcomer = Newcomer {
                    access: &self.access,
                    provider,
                    bounds,
                    claims,
                    request_id,
                    address: Some(address),
                    now,
                };
                Box::pin(newcomer.admit(db, tenant)).await?
            }
        };
        let user = match admitted {
            Ok((user, _)) => user,
            Err(why) => {
                note_not_admitted(db, tenant, (provider_id, subject), why, (&visitor.request, now)).await?;
                return Err(AuthError::NotAdmitted);
            }
        };
        let session = SessionId::mint(now);
        let refresh = RefreshToken::issue(&self.keyring, SessionOwner::Tenant(entry.id), session)?;
        let mac = refresh.mac(&self.keyring);
        let address = visitor.from.to_string();
        let device = Device { user_agent: visitor.user_agent, address: &address };
        let seconds = self.session_life.num_seconds();
        let (device, request) = (&device, &visitor.request);
        let new = NewSession { id: session, mac, seconds, device, request, at: now };
        let entering = Entering { rule: &self.second_factor, provider, subject, user, session: new };
        let enter = async |tx: &mut TenantTx| entering.run(tx).await;
        let (role, opened) = match db.write::<_, DbError>(tenant, enter).await? {
            Entered::Opened(role, opened) => (role, opened),
            Entered::NeedsCode { identity, stored, enrols } => {
                let place = (SessionOwner::Tenant(entry.id), user.uuid());
                let challenge = Challenge::new(&self.keyring, place, &stored, now).vouched_by(identity);
                let challenge = ChallengeText::new(challenge.reveal(&self.keyring));
                return Err(AuthError::SecondFactor { challenge, enrols });
            }
            Entered::Gone => return Err(AuthError::Lapsed),
        };
        let role = self.access.tenants().role(role);
        let principal = Principal::User { tenant, id: user, role, session, acting: None };
        self.tokens_for(principal, refresh, opened.expires_at, opened.at)
    }
}

/// Writes into the tenant's audit log, and into the process's, why a subject of a provider is nobody here: an administrator may link
/// them, and the caller is not told.
async fn note_not_admitted(
    db: &Db,
    tenant: Proven<TenantId>,
    (provider, subject): (IdentityProviderId, &str),
    why: NotAdmitted,
    (request, at): (&Request<'_>, DateTime<Utc>),
) -> Result<(), DbError> {
    tracing::info!(%why, %provider, "somebody of an identity provider was not admitted");
    let (target, changes) = (provider.to_string(), json!({ "because": why.to_string(), "subject": subject }));
    let entry = request.entry(at, failed_login::NOBODY, failed_login::ACTION, &target, changes);
    db.write(tenant, async |tx: &mut TenantTx| audit::record(tx, &entry).await).await
}

/// The session of a person whom an issuer vouches for.
struct Entering<'a> {
    rule: &'a SecondFactorRule,
    provider: &'a IdentityProvider,
    subject: &'a str,
    user: UserId,
    session: NewSession<'a>,
}

/// What became of it.
enum Entered {
    /// It is open.
    Opened(RoleName, Opened),
    /// A code is needed first, of the person with this identity and stored hash; `enrols` if they must have a second factor and
    /// have none yet.
    NeedsCode { identity: FederatedIdentityId, stored: String, enrols: bool },
    /// The person is gone, or the issuer does not vouch for them any more.
    Gone,
}

impl Entering<'_> {
    async fn run(&self, tx: &mut TenantTx) -> DbResult<Entered> {
        let (user, settings) = (self.user, &self.provider.settings);
        let Some(role) = users::lock_for_proof(tx, user, None).await? else { return Ok(Entered::Gone) };
        // Under the lock that an unlinking has to take, too.
        let identity = identities::of_subject(tx, self.provider.id, self.subject, user).await?;
        let Some(identity) = identity else { return Ok(Entered::Gone) };
        if !settings.asks_second_factor {
            let has_factor = tx.has_factor(user).await?;
            if has_factor || TenantTx::requires(self.rule, role) {
                let Some((_, stored)) = tx.own_credential(user).await? else { return Ok(Entered::Gone) };
                return Ok(Entered::NeedsCode { identity, stored, enrols: !has_factor });
            }
        }
        let opened = self.session.open(tx, user, Some(IDENTITY_PROVIDER)).await?;
        if settings.asks_second_factor {
            sessions::note_factor_at_issuer(tx, self.session.id).await?;
        }
        Ok(Entered::Opened(role, opened))
    }
}

/// The provider, if it counts.
pub(super) async fn in_service(
    db: &Db,
    id: IdentityProviderId,
) -> Result<Option<IdentityProvider>, AuthError> {
    let look = async |tx: &mut _| providers::find(tx, id).await;
    let found: Option<IdentityProvider> = db.platform_read::<_, DbError>(Authority::logins(), look).await?;
    Ok(found.filter(|provider| provider.enabled))
}

/// What an id token says, if the provider's issuer has signed it for us and for this log-in.
pub(super) async fn verified_id_token(
    federation: &Federation,
    provider: &IdentityProvider,
    tokens: &IssuedTokens,
    nonce: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Claims, AuthError> {
    let refused = |error: bulkhead_oidc::TokenError| {
        tracing::info!(issuer = %provider.issuer, %error, "an id token was refused");
        AuthError::Invalid
    };
    let client_id = provider.client_id.as_deref().ok_or(AuthError::Lapsed)?;
    let presented = Presented::read(&tokens.id_token).map_err(refused)?;
    let source = source(provider);
    let expected = Expected::Id { client_id, nonce, access_token: tokens.access_token.as_deref() };
    let verified = federation.issuers.verify(&source, presented, kind(provider), expected, now).await;
    verified.map_err(|_unavailable| AuthError::IssuerAway)?.map_err(refused)
}

/// The tenant that a provider speaks for with these claims, and what its people may become there.
async fn tenant_of(
    db: &Db,
    provider: &IdentityProvider,
    claims: &Claims,
) -> Result<(TenantId, Bounds), AuthError> {
    if let Some(tenant) = provider.tenant {
        return Ok((tenant, Bounds::of(provider, None)));
    }
    let named = claims.texts(TENANT_CLAIM).first().and_then(|text| text.parse::<TenantId>().ok());
    let tenant = named.ok_or(AuthError::NotAdmitted)?;
    let look = async |tx: &mut _| providers::membership(tx, provider.id, tenant).await;
    let membership = db.platform_read::<_, DbError>(Authority::logins(), look).await?;
    let membership = membership.ok_or(AuthError::NotAdmitted)?;
    Ok((tenant, Bounds::of(provider, Some(membership))))
}
