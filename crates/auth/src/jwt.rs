//! Access tokens: RFC 9068 JWTs, signed with RS256.
//!
//! Owns their writing and their reading, which accepts exactly what the writing produces: one algorithm, one header
//! shape, one issuer and audience, every required claim with its exact type, each key of the JSON once. The key is
//! looked up by name among those the node trusts and never fetched; a header that brings its own is refused.
//!
//! Time comes from the caller. `jti` is a `UUIDv7`, so a token tells when it was issued to the millisecond, while `iat`
//! stays the whole number of seconds that other people's libraries expect.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_domain::{AccessRegistry, Evidence, OperatorId, Proven, RoleName, SessionId, TenantId, id};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    principal::{KeyTerms, Principal, Verified},
    revocation::Since,
    signing_keys::{KeySet, SigningKeyError},
};

/// The longest token that is looked at, in bytes. Ours have about 900.
pub const MAX_LENGTH: usize = 8 * 1024;
/// How far a node's clock and the database's, by which tokens are issued, may be apart.
pub const LEEWAY: TimeDelta = TimeDelta::seconds(5);
/// The longest life a token may have, whichever node issued it: revocations are kept for this long and no longer.
pub const MAX_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// The life of a token unless configured otherwise.
pub const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(10);

const TYPE: &str = "at+jwt";

/// Why a token is refused. For the log: the caller learns only that it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_LENGTH`].
    #[error("longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Not three base64url segments with the right JSON in them.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// Another algorithm than RS256.
    #[error("not signed with RS256")]
    Algorithm,
    /// Not an access token.
    #[error("its typ is not {TYPE}")]
    Type,
    /// Signed with a key that is not trusted, or is no longer.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the signature does not match")]
    Signature,
    /// Signed with a key that is published and does not sign yet, as far as is known.
    #[error("signed with a key that is not active yet")]
    NotActive,
    /// Issued by another issuer.
    #[error("another issuer")]
    Issuer,
    /// Meant for another audience.
    #[error("another audience")]
    Audience,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYetValid,
    /// The claims contradict each other.
    #[error("contradictory {0}")]
    Contradiction(&'static str),
}

impl TokenError {
    /// Whether one of our keys has signed the token: then it is no guess, whatever is wrong with it.
    pub const fn is_genuine(self) -> bool {
        match self {
            Self::NotActive
            | Self::Issuer
            | Self::Audience
            | Self::Expired
            | Self::NotYetValid
            | Self::Contradiction(_) => true,
            Self::TooLong
            | Self::Malformed(_)
            | Self::Algorithm
            | Self::Type
            | Self::UnknownKey
            | Self::Signature => false,
        }
    }
}

/// Why no token can be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The configured lifetime is not between a second and [`MAX_LIFETIME`].
    #[error("a token's lifetime must be between a second and an hour")]
    Lifetime,
    /// The principal is an API key: programs show the key itself.
    #[error("no token speaks for an API key")]
    ApiKey,
    /// The credential that the token would stand for has ended.
    #[error("the credential has expired")]
    CredentialExpired,
    /// The claims could not be written.
    #[error("the token could not be written")]
    Unwritable,
    /// The key could not sign.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
}

/// What a token is issued for.
#[derive(Clone, Copy, Debug)]
pub struct Issue {
    /// Whom it speaks for.
    pub principal: Principal,
    /// When the database proved the credential behind it, by the database's clock and under the lock that a revocation has
    /// to take: not the moment of signing. Only so is a later revocation sure to hit the token.
    pub proven_at: DateTime<Utc>,
    /// When that credential ends; the token ends no later.
    pub credential_expires_at: Option<DateTime<Utc>>,
}

/// A new access token. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The token.
    pub text: String,
    /// How long it is good, in seconds.
    pub expires_in: i64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(.., expires in {} s)", self.expires_in)
    }
}

/// Issues and verifies the tokens of one issuer for one audience.
#[derive(Clone, Debug)]
pub struct AccessTokens {
    issuer: String,
    audience: String,
    lifetime: TimeDelta,
}

/// A JOSE header. Whatever else could be in one (`crit`, `b64`, `jwk`, `jku`, `x5c`, `x5u`, `zip`, …) is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// The claims. Unknown ones are ignored, as RFC 7519 section 4 asks, so that a newer node's tokens work during a
/// rolling update; a known one may be there once.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    client_id: String,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: Uuid,
    role: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    act: Option<Act>,
}

/// Who acts as the subject (RFC 8693 section 4.1): an operator, and the login of theirs that the token belongs to. It stands in
/// the place of `sid`, so that a program of before there was such a claim refuses the token instead of taking the operator for
/// the person. Whatever else could be in one, another `act` above all, is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    sub: OperatorId,
    sid: SessionId,
}

impl AccessTokens {
    /// Tokens of `issuer` (a URL) for `audience`, good for `lifetime`.
    pub fn new(issuer: String, audience: String, lifetime: TimeDelta) -> Result<Self, IssueError> {
        if lifetime < TimeDelta::seconds(1) || lifetime > MAX_LIFETIME {
            return Err(IssueError::Lifetime);
        }
        Ok(Self { issuer, audience, lifetime })
    }

    /// The issuer of the tokens: their `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Issues a token.
    pub fn issue(&self, keys: &KeySet, issue: &Issue) -> Result<AccessToken, IssueError> {
        let Issue { principal, proven_at, credential_expires_at } = issue;
        if principal.api_key().is_some() {
            return Err(IssueError::ApiKey);
        }
        let iat = proven_at.timestamp();
        let lifetime = self.lifetime.num_seconds();
        let exp = credential_expires_at.map_or(iat + lifetime, |end| end.timestamp().min(iat + lifetime));
        if exp <= iat {
            return Err(IssueError::CredentialExpired);
        }
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: principal.subject().to_string(),
            client_id: principal.subject().to_string(),
            exp,
            nbf: iat,
            iat,
            jti: id::mint(*proven_at),
            role: principal.role().name().to_string(),
            tenant: principal.tenant().map(|tenant| tenant.get()),
            sid: principal.session(),
            act: act(principal),
        };
        let key = keys.active()?;
        let header =
            Header { typ: TYPE.to_owned(), alg: "RS256".to_owned(), kid: key.public().kid().to_owned() };
        let message = format!("{}.{}", encode(&header)?, encode(&claims)?);
        let signature = key.sign(message.as_bytes())?;
        Ok(AccessToken { text: format!("{message}.{signature}"), expires_in: exp - iat })
    }

    /// Verifies a token, at `now`; its role is taken from `access`, and holds nothing if it is none of those. Says nothing about
    /// revocations: those are [`crate::revocation::Revocations`]'s.
    pub fn verify(
        &self,
        keys: &KeySet,
        access: &AccessRegistry,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<Verified, TokenError> {
        if text.len() > MAX_LENGTH {
            return Err(TokenError::TooLong);
        }
        let mut segments = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(TokenError::Malformed("token"));
        };
        let message = text.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        let header: Header = decode(header).ok_or(TokenError::Malformed("header"))?;
        if header.alg != "RS256" {
            return Err(TokenError::Algorithm);
        }
        let typ = header.typ.to_ascii_lowercase();
        if typ.strip_prefix("application/").unwrap_or(&typ) != TYPE {
            return Err(TokenError::Type);
        }
        let trusted = keys.find(&header.kid);
        let key = trusted.or_else(|| keys.announced(&header.kid)).ok_or(TokenError::UnknownKey)?;
        if !key.verifies(message.as_bytes(), signature) {
            return Err(TokenError::Signature);
        }
        if trusted.is_none() {
            return Err(TokenError::NotActive);
        }
        let claims: Claims = decode(claims).ok_or(TokenError::Malformed("claims"))?;
        self.check(&claims, access, now)
    }

    fn check(
        &self,
        claims: &Claims,
        access: &AccessRegistry,
        now: DateTime<Utc>,
    ) -> Result<Verified, TokenError> {
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if claims.aud != self.audience {
            return Err(TokenError::Audience);
        }
        let moment = |seconds| DateTime::from_timestamp_secs(seconds).ok_or(TokenError::Malformed("time"));
        let (exp, nbf, iat) = (moment(claims.exp)?, moment(claims.nbf)?, moment(claims.iat)?);
        // The leeway goes to `now`, never to a claim: the last moment that can be written has no later one.
        if now - LEEWAY >= exp {
            return Err(TokenError::Expired);
        }
        if now + LEEWAY < nbf || now + LEEWAY < iat {
            return Err(TokenError::NotYetValid);
        }
        if exp <= iat || exp - iat > MAX_LIFETIME {
            return Err(TokenError::Contradiction("lifetime"));
        }
        let issued_at = issued_at(claims.jti).filter(|moment| moment.timestamp() == claims.iat);
        let issued_at = issued_at.ok_or(TokenError::Contradiction("jti"))?;
        if claims.client_id != claims.sub {
            return Err(TokenError::Contradiction("client_id"));
        }
        let principal = principal(claims, access).ok_or(TokenError::Contradiction("subject"))?;
        Ok(Verified { principal, since: Since::Proven(issued_at), expires_at: exp, key: KeyTerms::default() })
    }
}

/// The name of the key that a token says it is signed with.
pub(crate) fn kid(text: &str) -> Option<String> {
    let header: Header = decode(text.split('.').next()?)?;
    Some(header.kid)
}

fn act(principal: &Principal) -> Option<Act> {
    match principal {
        Principal::User { session, acting: Some(operator), .. } => {
            Some(Act { sub: *operator, sid: *session })
        }
        _ => None,
    }
}

/// The principal that the claims name; `None` unless exactly the claims of its kind are there.
fn principal(claims: &Claims, access: &AccessRegistry) -> Option<Principal> {
    let proven = |tenant| Proven::on(Evidence::AccessToken, tenant);
    let (role, sub) = (claims.role.parse::<RoleName>().ok()?, claims.sub.as_str());
    match (sub.get(..4)?, claims.tenant, claims.sid, &claims.act) {
        ("usr_", Some(tenant), Some(session), None) => {
            let (id, role) = (sub.parse().ok()?, access.tenants().role(role));
            Some(Principal::User { tenant: proven(tenant), id, role, session, acting: None })
        }
        ("usr_", Some(tenant), None, Some(Act { sub: operator, sid: session })) => {
            let (id, role) = (sub.parse().ok()?, access.tenants().role(role));
            let (session, acting) = (*session, Some(*operator));
            Some(Principal::User { tenant: proven(tenant), id, role, session, acting })
        }
        // No token speaks for an API key: it would be bound by neither the key's scopes nor its addresses.
        ("opr_", None, Some(session), None) => {
            let (id, role) = (sub.parse().ok()?, access.operators().role(role));
            Some(Principal::Operator { id: Proven::on(Evidence::AccessToken, id), role, session })
        }
        _ => None,
    }
}

/// The moment in a `UUIDv7`, to the millisecond; `None` for ids without one.
fn issued_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

fn encode(part: &impl Serialize) -> Result<String, IssueError> {
    let json = serde_json::to_vec(part).map_err(|_json| IssueError::Unwritable)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

fn decode<T: DeserializeOwned>(segment: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).ok()?).ok()
}
