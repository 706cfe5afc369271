//! Give an API key another secret.

use bulkhead_auth::grants::{Hold, lock_caller_and};
use bulkhead_db::{
    gate::revocations::{Revoked, announce_change, revoke},
    tenant::api_keys::{self, Rotation},
};
use bulkhead_domain::{ApiKeyId, permission::WRITE_API_KEYS};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ENDED, create::CreatedApiKeyResponse};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{Id, IdempotencyKeyHeader, Json, RequestBody, present},
        validation::Fields,
    },
    routes::tenant::{grants, refused},
};

/// How long both secrets work unless the caller says otherwise, in seconds: a day.
const OVERLAP: i64 = 24 * 60 * 60;
/// How long they may: thirty days.
const LONGEST: i64 = 30 * OVERLAP;

pub(super) const OVERLAPS: ApiError = ApiError::WrongState(
    "The key was rotated before, and both of its secrets still work. Wait until overlap_until, or end the other one now with \
     overlap_seconds 0.",
);

/// How to rotate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateApiKeyRequest {
    /// How long the secret before works, too, in seconds, up to thirty days. 0 ends it now, also one before it that still works.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, minimum = 0, maximum = 2_592_000, default = 86400, example = 86400)]
    overlap_seconds: Option<i64>,
}

impl RequestBody for RotateApiKeyRequest {}

/// Rotate an API key
///
/// Gives the key another secret; its id, and all else about it, stays. The answer shows the new key once. The one before works
/// beside it until `overlap_until`, a day unless you say otherwise, so that programs can be given the new one without a gap.
/// You can rotate a key that you could make.
#[utoipa::path(
    post, path = "/v1/api-keys/{id}/rotate", tag = "api-keys", request_body = RotateApiKeyRequest,
    params(("id" = String, Path, description = "The key's id.", example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 201, description = "Rotated.", body = CreatedApiKeyResponse)),
)]
pub(crate) async fn rotate_api_key(
    call: TenantCall,
    Id(id): Id<ApiKeyId>,
    Json(body): Json<RotateApiKeyRequest>,
) -> Result<Answer, ApiError> {
    let seconds = body.overlap_seconds.unwrap_or(OVERLAP);
    let mut fields = Fields::default();
    fields.range("/overlap_seconds", seconds, Some(0), Some(LONGEST));
    fields.finish()?;
    let at = call.at();
    let previous_until = at + TimeDelta::seconds(seconds);
    let (secret, mac) = call.state().issue_api_key(call.tenant(), id)?;
    call.write(async |tx| {
        let (own, locked) = lock_caller_and(tx, call.principal(), &[id]).await?;
        let key = locked.into_iter().next().ok_or(ApiError::NotFound)?;
        let grants = grants(tx, &call, own, WRITE_API_KEYS, &[key.role], Hold::Give).await?;
        grants.may_take_key(key.role, key.scopes.as_deref()).map_err(refused)?;
        if !key.is_living(at) {
            return Err(ENDED);
        }
        // Of two rotations at once one would take the other's secret out of force before it was ever used.
        if seconds > 0 && key.previous_until.is_some_and(|until| until > at) {
            return Err(OVERLAPS);
        }
        let row = api_keys::rotate(tx, id, Rotation { mac: &mac, previous_until, at }).await?;
        let row = row.ok_or(ApiError::NotFound)?;
        revoke(tx, Revoked::ApiKey(id)).await?;
        announce_change(tx).await?;
        let changes = json!({ "name": row.name, "overlap_until": row.previous_until });
        let view = CreatedApiKeyResponse { key: secret.reveal().to_owned(), api_key: row.into() };
        let answer = Answer::created(format!("/v1/api-keys/{id}"), &view)?.showing_secret();
        Ok(Written::changed(id, changes, answer))
    })
    .await
}
