//! Make an API key. The only answer that shows it, beside a rotation's.

use std::collections::BTreeSet;

use bulkhead_auth::{Grants, grants::Hold};
use bulkhead_db::{
    TenantTx,
    tenant::{
        api_keys::{self, ApiKeyRow, Grantor, NewApiKey},
        caps::{self, Capped},
    },
};
use bulkhead_domain::{AddressRange, ApiKeyId, RoleName, Text, permission::WRITE_API_KEYS};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{ApiKeyResponse, TOO_DEEP, grantor};
use crate::{
    http::{
        answer::Answer,
        call::{TenantCall, Written},
        error::ApiError,
        extract::{IdempotencyKeyHeader, Json, RequestBody, optional_time},
        validation::Fields,
    },
    routes::tenant::{grants, lock_caller, refused, wrong_role},
};

/// How many scopes a key has at most.
const SCOPES: usize = 50;
/// How many networks it has at most.
const NETWORKS: usize = 20;
/// The highest limit of its own.
const REQUESTS: i32 = 1_000_000;

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
    /// What it may do of that, as permissions, with `*` for all of an action or of a resource; all of it, if left out or null.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 50, example = json!(["read:*"]))]
    scopes: Option<Vec<String>>,
    /// The networks from which it works; everywhere, if left out or null. IPv4 addresses are in IPv4 networks alone.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 20, example = json!(["203.0.113.0/24", "2001:db8::/32"]))]
    allowed_addresses: Option<Vec<String>>,
    /// How many requests a minute it may make, beside the tenant's own limit; as many as the tenant may, if left out or null.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000, example = 60)]
    requests_per_minute: Option<i32>,
    /// When it stops working by itself, to the microsecond; never, if left out or null.
    #[serde(default, deserialize_with = "optional_time")]
    expires_at: Option<DateTime<Utc>>,
}

impl RequestBody for CreateApiKeyRequest {}

/// A key with its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedApiKeyResponse {
    /// The key itself. It is shown this once and cannot be had again.
    #[schema(example = "bh_live_0dK7xIv2VZ3bqkPbq0ZlfVxH0h1cUrXh8sQnq3FJ5Wm_…")]
    pub(super) key: String,
    #[serde(flatten)]
    pub(super) api_key: ApiKeyResponse,
}

/// Make an API key
///
/// The answer shows the key once; store it. A repeated request with the same `Idempotency-Key` does not show it again. A
/// plan allows so many keys that work, disabled ones included; entries of revoked and expired ones are kept for 30 days, the
/// latest thousand at most.
///
/// The key belongs to the tenant, and you answer for it: it holds what its role and its scopes have in common, and of that what
/// you hold yourself, now and at any later time. A key that is made by a key answers to that one: it works from the same networks
/// at most, with the same limit at most, and ends with it at the latest.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "api-keys", params(IdempotencyKeyHeader), request_body = CreateApiKeyRequest,
    responses((status = 201, description = "Made.", body = CreatedApiKeyResponse)),
)]
pub(crate) async fn create_api_key(
    call: TenantCall,
    Json(body): Json<CreateApiKeyRequest>,
) -> Result<Answer, ApiError> {
    let at = call.at();
    let (role, mut terms) = parse(&call, &body, at).await?;
    let id = ApiKeyId::mint(at);
    let (key, mac) = call.state().issue_api_key(call.tenant(), id)?;
    let create = async |tx: &mut _| {
        let own = lock_caller(tx, &call).await?;
        let grants = grants(tx, &call, own, WRITE_API_KEYS, &[role], Hold::Give).await?;
        let scopes = body.scopes.as_deref();
        grants.may_give_key(role, scopes).map_err(refused)?;
        refuse_idle_scopes(&call, &grants, role, scopes)?;
        if let Some(maker) = call.principal().api_key() {
            within(&mut terms, &maker_of(tx, maker).await?)?;
        }
        let cap = caps::claim(tx, Capped::ApiKeys).await?;
        if cap.is_reached() {
            return Err(ApiError::PlanLimitReached { what: "API keys that work", most: cap.most });
        }
        let networks =
            terms.allowed.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let new = NewApiKey {
            id,
            name: &body.name,
            hint: key.hint(),
            mac: &mac,
            role,
            scopes,
            allowed_addresses: networks.as_deref(),
            requests_per_minute: terms.per_minute,
            created_by: call.subject(),
            grantor: grantor(&call),
            at,
            expires_at: terms.expires_at,
        };
        let row = api_keys::insert(tx, &new).await?;
        let changes = json!({
            "name": row.name, "role": row.role, "scopes": row.scopes, "allowed_addresses": row.allowed_addresses,
            "requests_per_minute": row.requests_per_minute, "expires_at": row.expires_at,
        });
        let view = CreatedApiKeyResponse { key: key.reveal().to_owned(), api_key: row.into() };
        let answer = Answer::created(format!("/v1/api-keys/{id}"), &view)?.showing_secret();
        Ok(Written::changed(id, changes, answer))
    };
    call.write(create).await
}

/// What bounds a key beside what it holds.
struct Terms {
    allowed: Option<Vec<AddressRange>>,
    per_minute: Option<i32>,
    expires_at: Option<DateTime<Utc>>,
}

async fn parse(
    call: &TenantCall,
    request: &CreateApiKeyRequest,
    now: DateTime<Utc>,
) -> Result<(RoleName, Terms), ApiError> {
    let mut fields = Fields::default();
    fields.check::<Text<100>>("/name", &request.name);
    let role = fields.take("/role", call.state().access().read_role(&request.role));
    if let Some(role) = role
        && let Some(wrong) = wrong_role(call, role).await?
    {
        fields.refuse(&wrong.pointer, wrong.detail);
    }
    if let Some(scopes) = &request.scopes {
        check_scopes(&mut fields, call, scopes);
    }
    let allowed = request.allowed_addresses.as_ref().map(|ranges| read_ranges(&mut fields, ranges));
    if let Some(most) = request.requests_per_minute {
        fields.range("/requests_per_minute", most, Some(1), Some(REQUESTS));
    }
    // RFC 3339 writes years of four digits.
    if request.expires_at.is_some_and(|at| at <= now || at.year() > 9999) {
        fields.refuse("/expires_at", "must be in the future, before the year 10000");
    }
    fields.finish()?;
    let role = role.ok_or_else(|| ApiError::internal("a role that was not refused"))?;
    let (per_minute, expires_at) = (request.requests_per_minute, request.expires_at);
    Ok((role, Terms { allowed, per_minute, expires_at }))
}

fn check_scopes(fields: &mut Fields, call: &TenantCall, scopes: &[String]) {
    if !fields.items("/scopes", scopes.len(), 1, SCOPES) {
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, scope) in scopes.iter().enumerate() {
        let pointer = format!("/scopes/{index}");
        if seen.insert(scope) {
            fields.take(&pointer, call.state().access().read_entry(scope));
        } else {
            fields.refuse(&pointer, "is in the list already");
        }
    }
}

fn read_ranges(fields: &mut Fields, texts: &[String]) -> Vec<AddressRange> {
    let mut ranges = Vec::new();
    if !fields.items("/allowed_addresses", texts.len(), 1, NETWORKS) {
        return ranges;
    }
    for (index, text) in texts.iter().enumerate() {
        let pointer = format!("/allowed_addresses/{index}");
        match fields.take(&pointer, text.parse()) {
            Some(range) if ranges.contains(&range) => fields.refuse(&pointer, "is in the list already"),
            range => ranges.extend(range),
        }
    }
    ranges
}

/// Scopes only narrow: one that stands for nothing that the role holds is a mistake.
fn refuse_idle_scopes(
    call: &TenantCall,
    grants: &Grants<'_>,
    role: RoleName,
    scopes: Option<&[String]>,
) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    let held = grants.held(role);
    for (index, scope) in scopes.unwrap_or_default().iter().enumerate() {
        if call.state().access().scope(&[scope]).and(held).is_empty() {
            fields.refuse(
                &format!("/scopes/{index}"),
                "stands for nothing that the role holds: scopes only narrow it",
            );
        }
    }
    fields.finish()
}

/// The key that makes this one, which the transaction has locked.
async fn maker_of(tx: &mut TenantTx, maker: ApiKeyId) -> Result<ApiKeyRow, ApiError> {
    if api_keys::chain(tx, maker).await?.keys.len() >= Grantor::DEPTH {
        return Err(TOO_DEEP);
    }
    api_keys::find(tx, maker).await?.ok_or(ApiError::InvalidCredentials)
}

/// Bounds a key by the one that makes it: what is left out is as that one has it.
fn within(terms: &mut Terms, maker: &ApiKeyRow) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    if let Some(texts) = &maker.allowed_addresses {
        let bounds: Vec<AddressRange> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let outside = |range: &AddressRange| !bounds.iter().any(|bound| bound.covers(range));
        match &terms.allowed {
            None => terms.allowed = Some(bounds),
            Some(allowed) => {
                allowed.iter().enumerate().filter(|(_, range)| outside(range)).for_each(|(index, _)| {
                    let pointer = format!("/allowed_addresses/{index}");
                    fields.refuse(&pointer, "must be inside of the networks of the key that makes this one");
                });
            }
        }
    }
    terms.per_minute = terms.per_minute.or(maker.requests_per_minute);
    if maker.requests_per_minute.is_some_and(|most| terms.per_minute.is_some_and(|own| own > most)) {
        fields.refuse("/requests_per_minute", "must not be above the limit of the key that makes this one");
    }
    terms.expires_at = terms.expires_at.or(maker.expires_at);
    if maker.expires_at.is_some_and(|end| terms.expires_at.is_some_and(|own| own > end)) {
        fields.refuse("/expires_at", "must not be after the end of the key that makes this one");
    }
    fields.finish()
}
