//! Make an API key of an operator. The only answer that shows it.

use std::collections::BTreeSet;

use bulkhead_auth::{OperatorKey, operator_secrets::WITHHELD};
use bulkhead_db::platform::operator_keys::{self, NewOperatorKey};
use bulkhead_domain::{OperatorKeyId, Text, operator_permission::WRITE_OPERATOR_KEYS};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{OperatorKeyResponse, TOO_MANY};
use crate::{
    http::{
        answer::Answer,
        call::{OperatorCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody, read_time},
        validation::Fields,
    },
    routes::operator::grants,
};

/// How long a key works at most.
const LONGEST: TimeDelta = TimeDelta::days(366);
/// How many scopes a key has at most.
const SCOPES: usize = 100;

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOperatorKeyRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 100, example = "sign-up page")]
    name: String,
    /// What it may use of what you hold: permissions that you hold, and wildcards like `read:*`. No key makes operators, roles or
    /// keys, and none acts as somebody else.
    #[schema(min_items = 1, max_items = 100, example = json!(["write:tenants", "read:operations"]))]
    scopes: Vec<String>,
    /// When it stops working by itself, to the microsecond: within 366 days.
    #[serde(deserialize_with = "read_time")]
    expires_at: DateTime<Utc>,
}

impl RequestBody for CreateOperatorKeyRequest {}

/// A new key, with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedOperatorKeyResponse {
    /// The key itself. It is shown this once and cannot be had again.
    #[schema(example = "bh_ok_o01jd3e2x6m7k9v4q8t5b2n0c1c_…")]
    key: String,
    #[serde(flatten)]
    api_key: OperatorKeyResponse,
}

/// Make an API key of an operator
///
/// For a program of the platform's own, so that it need not hold a person's password. It is yours: what its scopes name counts as
/// long as you hold it yourself, and the key is gone when you are. The answer shows it once.
#[utoipa::path(
    post, path = "/v1/admin/api-keys", tag = "operators: api-keys", params(IdempotencyKeyHeader),
    request_body = CreateOperatorKeyRequest,
    responses((status = 201, description = "Made.", body = CreatedOperatorKeyResponse)),
)]
pub(crate) async fn create_operator_key(
    call: OperatorCall,
    Json(body): Json<CreateOperatorKeyRequest>,
) -> Result<Answer, ApiError> {
    check(&call, &body)?;
    let (id, operator) = (OperatorKeyId::mint(call.at()), call.person()?.0);
    let key = OperatorKey::issue(&call.state().keyring, id).map_err(ApiError::internal)?;
    let mac = key.mac(&call.state().keyring);
    let new = NewOperatorKey {
        id,
        operator,
        name: &body.name,
        hint: key.hint(),
        mac: &mac,
        scopes: &body.scopes,
        at: call.at(),
        expires_at: body.expires_at,
    };
    call.write(async |tx| {
        let grants = grants(tx, &call, WRITE_OPERATOR_KEYS).await?;
        if let Some(beyond) = grants.first_beyond(&body.scopes) {
            let index = body.scopes.iter().position(|scope| scope == beyond).unwrap_or_default();
            return Err(ApiError::field(&format!("/scopes/{index}"), "is a permission that you do not hold"));
        }
        let row = operator_keys::insert(tx, &new).await?.ok_or(TOO_MANY)?;
        let changes = json!({ "name": row.name, "scopes": row.scopes, "expires_at": row.expires_at });
        let view = CreatedOperatorKeyResponse { key: key.reveal().to_owned(), api_key: row.into() };
        let answer = Answer::created(format!("/v1/admin/api-keys/{id}"), &view)?.showing_secret();
        Ok(Written::changed(id, changes, answer))
    })
    .await
}

fn check(call: &OperatorCall, body: &CreateOperatorKeyRequest) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    fields.check::<Text<100>>("/name", &body.name);
    if fields.items("/scopes", body.scopes.len(), 1, SCOPES) {
        let mut seen = BTreeSet::new();
        for (index, scope) in body.scopes.iter().enumerate() {
            let pointer = format!("/scopes/{index}");
            if !seen.insert(scope) {
                fields.refuse(&pointer, "is in the list already");
            } else if WITHHELD.contains(&scope.as_str()) {
                fields.refuse(&pointer, "is a permission that no key may use");
            } else {
                fields.take(&pointer, call.state().access().read_operator_entry(scope));
            }
        }
    }
    if body.expires_at <= call.at() || body.expires_at > call.at() + LONGEST {
        fields.refuse("/expires_at", "must be in the future, within 366 days");
    }
    fields.finish()
}
