//! The caller, its permissions and its tenant.

use bulkhead_db::gate::profile;
use bulkhead_domain::{OperatorId, PlanName, RoleName, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{answer::Answer, call::AnyCall, error::ApiError};

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeResponse {
    /// Your user's or your operator's id, or that of your key.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    subject: String,
    /// Your role.
    #[schema(value_type = String, example = "owner")]
    role: RoleName,
    /// What your role allows now: the permissions that exist of what it holds.
    #[schema(example = json!(["read:resources", "write:resources"]))]
    permissions: Vec<&'static str>,
    /// The operator who acts as the subject; left out when nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false, example = "opr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    act: Option<OperatorId>,
    /// Your tenant; `null` for an operator, who belongs to none.
    tenant: Option<TenantProfileResponse>,
}

/// A tenant, as it sees itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantProfileResponse {
    /// Its id.
    #[schema(value_type = String, example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: TenantId,
    /// Its slug.
    #[schema(example = "acme")]
    slug: String,
    /// Its name.
    #[schema(example = "Acme Corporation")]
    name: String,
    /// Its plan.
    #[schema(value_type = String, example = "pro")]
    plan: PlanName,
    /// How many requests a minute it may make.
    #[schema(example = 1000)]
    requests_per_minute: i32,
    /// How many requests it may make at once after a pause.
    #[schema(example = 1000)]
    burst: i32,
}

/// Who am I
///
/// The caller, its permissions and its tenant.
#[utoipa::path(
    get, path = "/v1/me", tag = "me",
    responses((status = 200, description = "The caller.", body = MeResponse)),
)]
pub(crate) async fn get_me(call: AnyCall) -> Result<Answer, ApiError> {
    let call = match call {
        AnyCall::Tenant(call) => call,
        AnyCall::Operator(operator) => {
            let operators = operator.state().access().operators();
            return Answer::ok(&MeResponse {
                subject: operator.subject().to_owned(),
                role: operator.role().name(),
                permissions: operators.names(operator.role().permissions()).collect(),
                act: None,
                tenant: None,
            });
        }
    };
    let profile = call.read(async |tx| profile::find(tx).await).await?;
    let profile = profile.ok_or(ApiError::NotFound)?;
    let tenants = call.state().access().tenants();
    Answer::ok(&MeResponse {
        subject: call.subject().to_owned(),
        role: call.role().name(),
        permissions: tenants.names(call.role().permissions()).collect(),
        act: call.principal().act(),
        tenant: Some(TenantProfileResponse {
            id: profile.id,
            slug: profile.slug,
            name: profile.name,
            plan: profile.plan,
            requests_per_minute: profile.requests_per_minute,
            burst: profile.burst,
        }),
    })
}
