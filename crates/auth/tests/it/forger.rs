//! A node's keys, and the means to write any token with them.

use std::sync::{Arc, LazyLock};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bulkhead_auth::{AccessTokens, KeySet, Keyring, RootKey, SigningKey, TokenError, Verified};
use bulkhead_domain::{AccessRegistry, OperatorId, Role, RoleName, SessionId, TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";

/// Half a second past a full second, so that roundings show.
pub(crate) const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_500).unwrap();
pub(crate) const NOW_SECONDS: i64 = 1_800_000_000;

pub(crate) fn keyring() -> Keyring {
    Keyring::new(&RootKey::from([1; 32])).unwrap()
}

/// Making an RSA key takes seconds in a debug build, so the tests share one.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let active = Arc::new(SigningKey::generate().unwrap());
    let public = active.public().clone();
    KeySet::of(Some(active), [public], [standby().public().clone()])
});

/// A key of the node's that is published and does not sign yet.
static STANDBY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

pub(crate) fn standby() -> &'static SigningKey {
    &STANDBY
}

/// A key that was the node's, until it was withdrawn, or the last of its tokens had expired.
static GONE: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

pub(crate) fn gone() -> &'static SigningKey {
    &GONE
}

pub(crate) fn keys() -> &'static KeySet {
    &KEYS
}

/// The node's private key, as an attacker would love to have it.
static PRIVATE: LazyLock<EncodingKey> = LazyLock::new(|| stolen(keys().active().unwrap()));

/// The private part of a key of the node's.
pub(crate) fn stolen(key: &SigningKey) -> EncodingKey {
    let pem = keyring().open(&key.sealed(&keyring()).unwrap(), key.public().kid()).unwrap();
    EncodingKey::from_rsa_pem(&pem).unwrap()
}

pub(crate) fn private() -> &'static EncodingKey {
    &PRIVATE
}

pub(crate) fn tokens() -> AccessTokens {
    AccessTokens::new(ISSUER.to_owned(), AUDIENCE.to_owned(), TimeDelta::minutes(10)).unwrap()
}

/// Those that are good for as long as tokens may be.
pub(crate) fn lasting_tokens() -> AccessTokens {
    AccessTokens::new(ISSUER.to_owned(), AUDIENCE.to_owned(), TimeDelta::hours(1)).unwrap()
}

/// The core's permissions.
static ACCESS: LazyLock<Arc<AccessRegistry>> =
    LazyLock::new(|| Arc::new(AccessRegistry::assemble(&[]).unwrap()));

pub(crate) fn access() -> Arc<AccessRegistry> {
    Arc::clone(&ACCESS)
}

/// A role of tenants.
pub(crate) fn role(name: RoleName) -> Role {
    ACCESS.tenants().role(name)
}

/// A role of operators.
pub(crate) fn operator_role(name: RoleName) -> Role {
    ACCESS.operators().role(name)
}

/// What the node learns from a token.
pub(crate) fn verify(keys: &KeySet, text: &str, now: DateTime<Utc>) -> Result<Verified, TokenError> {
    tokens().verify(keys, &ACCESS, text, now)
}

pub(crate) fn tenant() -> TenantId {
    TenantId::from_uuid(Uuid::from_bytes([1; 16]))
}

pub(crate) fn user() -> UserId {
    UserId::from_uuid(Uuid::from_bytes([2; 16]))
}

pub(crate) fn operator() -> OperatorId {
    OperatorId::from_uuid(Uuid::from_bytes([4; 16]))
}

pub(crate) fn session() -> SessionId {
    SessionId::from_uuid(Uuid::from_bytes([5; 16]))
}

/// The header of a good token.
pub(crate) fn header() -> Value {
    json!({ "typ": "at+jwt", "alg": "RS256", "kid": keys().active().unwrap().public().kid() })
}

/// The claims of a good token of the tenant's owner.
pub(crate) fn claims() -> Value {
    let jti = Uuid::new_v7(Timestamp::from_unix(NoContext, NOW_SECONDS as u64, 500_000_000));
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": user(), "client_id": user(), "jti": jti,
        "iat": NOW_SECONDS, "nbf": NOW_SECONDS, "exp": NOW_SECONDS + 600,
        "tenant": tenant(), "role": "owner", "sid": session(),
    })
}

/// `value` with one member changed, added or (`null`) removed.
pub(crate) fn with(mut value: Value, member: &str, to: Value) -> Value {
    let members = value.as_object_mut().unwrap();
    if to.is_null() {
        members.remove(member);
    } else {
        members.insert(member.to_owned(), to);
    }
    value
}

pub(crate) fn segment(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token with exactly these texts in it, signed by the node's own key, whatever the header says.
pub(crate) fn signed(header: &str, claims: &str) -> String {
    signed_with(header, claims, private(), Algorithm::RS256)
}

pub(crate) fn signed_with(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", segment(header), segment(claims));
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A good token with other claims.
pub(crate) fn with_claims(claims: &Value) -> String {
    signed(&header().to_string(), &claims.to_string())
}

/// A good token with another header.
pub(crate) fn with_header(header: &Value) -> String {
    signed(&header.to_string(), &claims().to_string())
}
