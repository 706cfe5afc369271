//! Act as a person of a tenant.

use bulkhead_auth::{Request, SessionTx as _, impersonation::Impersonator, operator_grants};
use bulkhead_db::{PlatformTx, platform::tenants};
use bulkhead_domain::{
    OperatorId, SessionId, TenantId, TenantStatus, UserId, operator_permission::IMPERSONATE_TENANT,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::http::{
    answer::Answer,
    call::{OperatorCall, Written},
    error::ApiError,
    extract::{Id, IdempotencyKeyHeader, Json, RequestBody},
    validation::Fields,
};

/// How many characters a reason has at most.
const REASON: usize = 500;

/// As whom, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImpersonateRequest {
    /// The person's id.
    #[schema(example = "usr_…")]
    user: String,
    /// Why. The tenant reads it in its audit log.
    #[schema(min_length = 1, max_length = 500, example = "Ticket 4711: the import stops half-way")]
    reason: String,
}

impl RequestBody for ImpersonateRequest {}

/// A token with which an operator acts as a tenant's person.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImpersonationResponse {
    /// Send it as `Authorization: Bearer …`. It cannot be refreshed.
    #[schema(example = "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// How many seconds the access token is good for: a quarter of an hour at most.
    #[schema(example = 600)]
    expires_in: i64,
}

/// What is told when the tenant is not in service.
pub(super) const NOT_IN_SERVICE: ApiError =
    ApiError::WrongState("The tenant is not in service. Its people cannot be acted as.");
/// What is told when its owners do not allow it.
const NOT_ALLOWED: ApiError =
    ApiError::WrongState("The tenant's owners do not let operators act as its people. Ask them.");

/// Act as a person of a tenant
///
/// For a quarter of an hour at most, and no longer than your session: the token names you in its `act` claim, and so does each entry of
/// the tenant's audit log, which begins with your reason. With it you may do what the person may, but nothing that makes, changes or
/// removes people, roles and API keys, and nothing that is the person's own, like sessions and the password. It ends within seconds
/// when you log out, lose the permission or are removed, when the person's role changes, and when an owner of the tenant switches
/// this off (`PUT /v1/settings/impersonation`). No API key may do this.
#[utoipa::path(
    post, path = "/v1/admin/tenants/{id}/impersonate", tag = "operators: tenants", request_body = ImpersonateRequest,
    params(("id" = String, Path, description = "The tenant's id.", example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c"), IdempotencyKeyHeader),
    responses((status = 200, description = "You may.", body = ImpersonationResponse)),
)]
pub(crate) async fn impersonate(
    call: OperatorCall,
    Id(tenant): Id<TenantId>,
    Json(body): Json<ImpersonateRequest>,
) -> Result<Answer, ApiError> {
    let (operator, session) = call.person()?;
    let mut fields = Fields::default();
    let user = fields.take("/user", body.user.parse::<UserId>());
    fields.text("/reason", &body.reason, 1, REASON);
    fields.finish()?;
    let user = user.ok_or_else(|| ApiError::internal("an id that was refused"))?;
    let look = async |tx: &mut PlatformTx| {
        let answered = call.answered(tx).await?;
        if answered.is_none() {
            allowed(tx, tenant).await?;
        }
        Ok::<_, ApiError>(answered)
    };
    if let Some(answer) = call.read(look).await? {
        return Ok(answer);
    }
    let authenticator = &call.state().authenticator;
    let client = call.client();
    let by = Impersonator {
        operator,
        reason: &body.reason,
        request: Request { id: call.request_id(), address: &client },
        action: call.operation(),
        at: call.at(),
    };
    let person = authenticator.announce_impersonation(&call.state().db, tenant, user, &by).await?;
    let person = person.ok_or_else(|| ApiError::field("/user", "is no person of this tenant"))?;
    call.write(async |tx| {
        let ends = may(&call, tx, operator, session).await?;
        allowed(tx, tenant).await?;
        let token = authenticator.impersonate(&person, operator, session, ends)?;
        let changes = json!({ "tenant": tenant, "reason": body.reason, "expires_in": token.expires_in });
        let expires_in = token.expires_in;
        let view = ImpersonationResponse { access_token: token.text, token_type: "Bearer", expires_in };
        Ok(Written::changed(user, changes, Answer::ok(&view)?.showing_secret()))
    })
    .await
}

/// Until when the operator's session lives, locked like their row, if they may act as others now.
async fn may(
    call: &OperatorCall,
    tx: &mut PlatformTx,
    operator: OperatorId,
    session: SessionId,
) -> Result<DateTime<Utc>, ApiError> {
    let role = tx.lock_person(operator).await?.ok_or(ApiError::InvalidCredentials)?;
    let access = call.state().access();
    if !operator_grants::holds(tx, access, role, IMPERSONATE_TENANT).await? {
        return Err(ApiError::Forbidden { needs: IMPERSONATE_TENANT.as_str() });
    }
    let row = tx.lock(session).await?.filter(|row| row.revoked_at.is_none() && row.expires_at > row.now);
    Ok(row.ok_or(ApiError::InvalidCredentials)?.expires_at)
}

/// Refuses unless the tenant is in service and its owners allow it.
async fn allowed(tx: &mut PlatformTx, tenant: TenantId) -> Result<(), ApiError> {
    let entry = tenants::entry(tx, tenant).await?.ok_or(ApiError::NotFound)?;
    if entry.status != TenantStatus::Active {
        return Err(NOT_IN_SERVICE);
    }
    if entry.impersonation { Ok(()) } else { Err(NOT_ALLOWED) }
}
