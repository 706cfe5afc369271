//! Make an API key. The only answer that shows it.

use bulkhead_auth::grants::Hold;
use bulkhead_db::tenant::{
    api_keys::{self, NewApiKey},
    caps::{self, Capped},
};
use bulkhead_domain::{ApiKeyId, RoleName, Text, permission::WRITE_API_KEYS};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::ApiKeyResponse;
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::{ApiError, FieldError},
        extract::{IdempotencyKeyHeader, Json, RequestBody, optional_time},
    },
    routes::tenant::{grants, lock_caller, refused, wrong_role},
};

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateApiKeyRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "nightly import")]
    name: String,
    /// What it may do: `owner`, `admin`, `developer`, `read_only` or one of the tenant's own roles.
    #[schema(example = "developer")]
    role: String,
    /// When it stops working by itself, to the microsecond; never, if left out or null.
    #[serde(default, deserialize_with = "optional_time")]
    expires_at: Option<DateTime<Utc>>,
}

impl RequestBody for CreateApiKeyRequest {}

/// A new key, with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedApiKeyResponse {
    /// The key itself. It is shown this once and cannot be had again.
    #[schema(example = "bh_live_0dK7xIv2VZ3bqkPbq0ZlfVxH0h1cUrXh8sQnq3FJ5Wm_…")]
    key: String,
    #[serde(flatten)]
    api_key: ApiKeyResponse,
}

/// Make an API key
///
/// The answer shows the key once; store it. A repeated request with the same `Idempotency-Key` does not show it again. A
/// plan allows so many keys that work; entries of revoked and expired ones are kept for 30 days, the latest thousand at most.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api-keys", params(IdempotencyKeyHeader), request_body = CreateApiKeyRequest,
    responses((status = 201, description = "Made.", body = CreatedApiKeyResponse)),
)]
pub(crate) async fn create_api_key(
    call: TenantCall,
    Json(body): Json<CreateApiKeyRequest>,
) -> Result<Answer, ApiError> {
    let at = call.at();
    let role = parse(&call, &body, at).await?;
    let id = ApiKeyId::mint(at);
    let (key, mac) = call.state().issue_api_key(call.tenant(), id)?;
    let new = NewApiKey {
        id,
        name: &body.name,
        hint: key.hint(),
        mac: &mac,
        role,
        created_by: call.subject(),
        at,
        expires_at: body.expires_at,
    };
    let create = async |tx: &mut _| {
        let own = lock_caller(tx, &call).await?;
        grants(tx, &call, own, WRITE_API_KEYS, &[role], Hold::Give).await?.may_give(role).map_err(refused)?;
        let cap = caps::claim(tx, Capped::ApiKeys).await?;
        if cap.is_reached() {
            return Err(ApiError::PlanLimitReached { what: "API keys that work", most: cap.most });
        }
        let row = api_keys::insert(tx, &new).await?;
        let changes = json!({ "name": row.name, "role": row.role });
        let view = CreatedApiKeyResponse { key: key.reveal().to_owned(), api_key: row.into() };
        let answer = Answer::created(format!("/v1/api-keys/{id}"), &view)?.showing_secret();
        Ok(Written::changed(id, changes, answer))
    };
    call.write(create).await
}

async fn parse(
    call: &TenantCall,
    request: &CreateApiKeyRequest,
    now: DateTime<Utc>,
) -> Result<RoleName, ApiError> {
    let name = request.name.parse::<Text<100>>();
    let role = call.state().access().read_role(&request.role);
    // RFC 3339 writes years of four digits.
    let untimely = request.expires_at.filter(|at| *at <= now || at.year() > 9999);
    match (name, role, untimely) {
        (Ok(_), Ok(role), None) => Ok(role),
        (name, role, untimely) => {
            let wrong_role = match role {
                Ok(role) => wrong_role(call, role).await?,
                Err(error) => Some(FieldError::new("/role", error)),
            };
            let errors = [
                name.err().map(|error| FieldError::new("/name", error)),
                wrong_role,
                untimely
                    .map(|_| FieldError::new("/expires_at", "must be in the future, before the year 10000")),
            ];
            Err(ApiError::Validation(errors.into_iter().flatten().collect()))
        }
    }
}
