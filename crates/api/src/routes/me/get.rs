//! The caller, its permissions and its tenant.

use actix_web::web::Data;
use bulkhead_db::tenant::profile;
use bulkhead_domain::{Permission, Plan, Role, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{answer::Answer, error::ApiError, extract::TenantCaller, state::AppState};

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeResponse {
    /// Your user's or your key's id.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1d")]
    subject: String,
    /// Your role.
    #[schema(value_type = String, example = "owner")]
    role: Role,
    /// What your role allows.
    #[schema(example = json!(["read:resources", "write:resources"]))]
    permissions: Vec<&'static str>,
    /// Your tenant.
    tenant: TenantProfileResponse,
}

/// A tenant, as it sees itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantProfileResponse {
    /// Its id.
    #[schema(value_type = String, example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1d")]
    id: TenantId,
    /// Its slug.
    #[schema(example = "acme")]
    slug: String,
    /// Its name.
    #[schema(example = "Acme Corporation")]
    name: String,
    /// Its plan.
    #[schema(value_type = String, example = "pro")]
    plan: Plan,
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
pub(crate) async fn get_me(state: Data<AppState>, caller: TenantCaller) -> Result<Answer, ApiError> {
    let profile = state.db.read(caller.tenant, async |tx| profile::find(tx).await).await?;
    let profile = profile.ok_or(ApiError::NotFound)?;
    Answer::ok(&MeResponse {
        subject: caller.subject,
        role: caller.role,
        permissions: Permission::ALL.iter().filter(|p| caller.role.allows(**p)).map(|p| p.as_str()).collect(),
        tenant: TenantProfileResponse {
            id: profile.id,
            slug: profile.slug,
            name: profile.name,
            plan: profile.plan,
            requests_per_minute: profile.requests_per_minute,
            burst: profile.burst,
        },
    })
}
