//! Replace the key that signs access tokens, or withdraw one.

use bulkhead_auth::rotation::PUBLISHED_AHEAD;
use bulkhead_db::{
    PlatformTx,
    platform::signing_keys::{self, ACTIVE, NewSigningKey, Rotation, STANDBY, Withdrawal},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::SigningKeysResponse;
use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::ApiError,
    extract::{IdempotencyKeyHeader, Json, RequestBody},
};

/// How long a key's name is: a SHA-256 in base64url.
const KID_LENGTH: usize = 43;

/// Which key, and what is to become of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateSigningKeysRequest {
    /// The key that is to be replaced: the active one, as `GET /v1/admin/keys` shows it. Of two requests that name the same
    /// key, one replaces it.
    #[schema(pattern = "^[A-Za-z0-9_-]{43}$", example = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")]
    kid: String,
    /// For a key whose private part may be known to others: it is deleted now, in whatever state it is, and its tokens are
    /// refused on every node within 2 seconds.
    #[serde(default)]
    withdraw: bool,
}

impl RequestBody for RotateSigningKeysRequest {}

/// Replace a signing key
///
/// The standby key signs from now on. The key that is replaced signs no more; its tokens stay good, and it is published until the
/// last of them has expired. A new standby key is published within a minute, and can take over after `usable_from`.
///
/// With `withdraw` the key is gone at once, and the tokens that it has signed with it: people and programs get new ones with
/// their refresh tokens and API keys, which stay good. In place of an active key the standby key signs, however short it was
/// published, so who verifies tokens by a copy of `/.well-known/jwks.json` has to read it again.
#[utoipa::path(
    post, path = "/v1/admin/keys/rotate", tag = "operators: signing keys", params(IdempotencyKeyHeader),
    request_body = RotateSigningKeysRequest,
    responses((status = 200, description = "The keys as they are now.", body = SigningKeysResponse)),
)]
pub(crate) async fn rotate_signing_keys(
    call: OperatorCall,
    Json(body): Json<RotateSigningKeysRequest>,
) -> Result<Answer, ApiError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if body.kid.len() != KID_LENGTH || !body.kid.bytes().all(is_name) {
        return Err(ApiError::field("/kid", "must be the name of a key: 43 letters, digits, - and _"));
    }
    // Made ahead, because it takes a while and the keys are locked meanwhile.
    let spare = if body.withdraw { spare(&call, &body.kid).await? } else { None };
    call.write(async |tx| {
        let changes = if body.withdraw {
            withdraw(tx, &body.kid, spare.as_ref()).await?
        } else {
            replace(tx, &body.kid).await?
        };
        Ok(Written::changed(&body.kid, changes, super::shown(signing_keys::list(tx).await?)?))
    })
    .await
}

/// A key to sign with in place of an active one that is withdrawn, when none was published ahead.
async fn spare(call: &OperatorCall, kid: &str) -> Result<Option<NewSigningKey>, ApiError> {
    let keys = call.read(async |tx| signing_keys::list(tx).await).await?;
    let is_active = keys.iter().any(|key| key.kid == kid && key.state == ACTIVE);
    if !is_active || keys.iter().any(|key| key.state == STANDBY) {
        return Ok(None);
    }
    let made = call.state().authenticator.signing_key_maker().make().await;
    Ok(Some(made.map_err(ApiError::internal)?))
}

async fn replace(tx: &mut PlatformTx, kid: &str) -> Result<serde_json::Value, ApiError> {
    match signing_keys::rotate(tx, kid, PUBLISHED_AHEAD).await? {
        Rotation::Done { active } => Ok(json!({ "state": "retired", "active": active })),
        Rotation::NotActive => Err(not_active()),
        Rotation::NoStandby => Err(no_standby()),
        Rotation::TooEarly { .. } => Err(too_early()),
    }
}

async fn withdraw(
    tx: &mut PlatformTx,
    kid: &str,
    spare: Option<&NewSigningKey>,
) -> Result<serde_json::Value, ApiError> {
    match signing_keys::withdraw(tx, kid, spare).await? {
        Withdrawal::Done { was, active } => Ok(json!({ "withdrawn": true, "was": was, "active": active })),
        Withdrawal::Unknown => Err(unknown()),
        Withdrawal::NoSuccessor => Err(no_standby()),
    }
}

/// What is answered when another key signs.
pub(super) fn not_active() -> ApiError {
    ApiError::WrongState(
        "This key is not the one that signs; it may have been replaced already. List the keys.",
    )
}

/// What is answered when there is no key to take over.
pub(super) fn no_standby() -> ApiError {
    ApiError::WrongState("No key is published ahead. The worker makes one within a minute: try again.")
}

/// What is answered when the key that would take over is too young.
pub(super) fn too_early() -> ApiError {
    ApiError::WrongState(
        "The standby key is not known to all who verify tokens yet: it can take over after its usable_from. List the keys.",
    )
}

/// What is answered when there is no such key.
pub(super) fn unknown() -> ApiError {
    ApiError::WrongState(
        "There is no such key: it was withdrawn already, its time was over, or it never was. List the keys.",
    )
}
