//! Tenants, as operators see them.

mod activate;
mod create;
mod delete;
mod get;
mod impersonate;
mod list;
mod receipt;
mod restore;
mod retry;
mod suspend;
mod update;

use bulkhead_db::{
    PlatformTx,
    platform::{
        revocations::announce_tenant_change,
        tenants::{self, Purge, Tenant, TenantChange},
    },
};
use bulkhead_domain::{PlanName, TenantId, TenantStatus, operator_permission};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use self::receipt::PurgeReceipt;
use crate::http::{
    answer::Answer,
    call::Written,
    error::ApiError,
    extract::IfMatch,
    operation::{Access, operations},
};

operations! {
    list::list_tenants => Access::Operator(operator_permission::READ_TENANTS), [], List;
    create::create_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [
        ApiError::Taken { what: "slug" },
    ];
    get::get_tenant => Access::Operator(operator_permission::READ_TENANTS), [];
    update::update_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [
        deleted(false),
    ];
    suspend::suspend_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [not_in_service()];
    activate::activate_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [not_in_service()];
    delete::delete_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [];
    restore::restore_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [restore::too_late()];
    impersonate::impersonate => Access::Operator(operator_permission::IMPERSONATE_TENANT), [
        ApiError::PersonRequired,
        impersonate::NOT_IN_SERVICE,
    ];
    retry::retry_tenant => Access::Operator(operator_permission::WRITE_TENANTS), [retry::nothing_to_do()];
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantResponse {
    /// Its id.
    #[schema(value_type = String, example = "ten_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: TenantId,
    /// The name it logs in with. A purged tenant shows the one it had; another tenant may have it now.
    #[schema(example = "acme")]
    slug: String,
    /// The name people read.
    #[schema(example = "Acme Corporation")]
    name: String,
    /// `provisioning`, `active`, `suspended` or `deleted`.
    #[schema(value_type = String, example = "active")]
    status: TenantStatus,
    /// What it has bought: `free`, `pro`, `enterprise` or a plan that the platform has added.
    #[schema(value_type = String, example = "pro")]
    plan: PlanName,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 2)]
    version: i64,
    /// When it signed up.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// When it was deleted; `null` when it is not.
    #[schema(example = json!(null))]
    deleted_at: Option<DateTime<Utc>>,
    /// Until when a deleted tenant is kept and can be restored.
    #[schema(example = json!(null))]
    purge_after: Option<DateTime<Utc>>,
    /// When the last of it was removed.
    #[schema(example = json!(null))]
    purged_at: Option<DateTime<Utc>>,
    /// What was removed; only where one tenant is read, and only of one whose purge has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    receipt: Option<PurgeReceipt>,
}

impl From<Tenant> for TenantResponse {
    fn from(row: Tenant) -> Self {
        let Tenant { id, slug, name, status, plan, version, created_at, updated_at, deleted_at, purge_after } =
            row;
        Self {
            id,
            slug,
            name,
            status,
            plan,
            version,
            created_at,
            updated_at,
            deleted_at,
            purge_after,
            purged_at: None,
            receipt: None,
        }
    }
}

impl TenantResponse {
    /// A tenant whose purge may have begun.
    fn with_purge(row: Tenant, purge: Option<&Purge>) -> Self {
        let tenant = Self::from(row);
        match purge {
            Some(purge) => Self { slug: purge.slug.clone(), purged_at: purge.finished_at, ..tenant },
            None => tenant,
        }
    }
}

/// The answer that shows a tenant as it is.
fn shown(tenant: Tenant) -> Result<Answer, ApiError> {
    let version = tenant.version;
    Ok(Answer::ok(&TenantResponse::from(tenant))?.version(version))
}

/// Changes a tenant, and makes every node forget what it knew of it; unless nothing changes.
async fn change(
    tx: &mut PlatformTx,
    id: TenantId,
    if_match: IfMatch,
    change: TenantChange<'_>,
    changes: Value,
    at: DateTime<Utc>,
) -> Result<Written, ApiError> {
    let current = tenants::lock(tx, id).await?.ok_or(ApiError::NotFound)?;
    if_match.check(current.version)?;
    if current.status == TenantStatus::Deleted && change.status.is_none() {
        let (_, purge) = tenants::find_with_purge(tx, id).await?.ok_or(ApiError::NotFound)?;
        return Err(deleted(purge.is_some()));
    }
    check_transition(current.status, change.status)?;
    if change.keeps(&current) {
        return Ok(Written::unchanged(shown(current)?));
    }
    let tenant = tenants::update(tx, id, change, at).await?;
    announce_tenant_change(tx, id).await?;
    Ok(Written::changed(id, changes, shown(tenant)?))
}

/// Only a tenant in service can be closed, and only a closed one opened again: one that is being built is in the hands of a
/// job, and one that is deleted has to be restored first, while it can be.
fn check_transition(from: TenantStatus, to: Option<TenantStatus>) -> Result<(), ApiError> {
    match (from, to) {
        (_, None)
        | (
            TenantStatus::Active | TenantStatus::Suspended,
            Some(TenantStatus::Active | TenantStatus::Suspended),
        ) => Ok(()),
        _ => Err(not_in_service()),
    }
}

fn not_in_service() -> ApiError {
    ApiError::WrongState("Only an active or a suspended tenant can be suspended or activated.")
}

/// What a deleted tenant is answered that is to be changed. From the beginning of its purge on it cannot be restored.
fn deleted(is_purge_begun: bool) -> ApiError {
    ApiError::WrongState(if is_purge_begun {
        "The tenant is deleted for good: its removal has begun, and it cannot be restored or changed."
    } else {
        "The tenant is deleted. Restore it first."
    })
}
