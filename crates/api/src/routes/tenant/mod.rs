//! What a tenant's people and programs do.

pub(crate) mod api_keys;
pub(crate) mod jobs;
pub(crate) mod operations;
pub(crate) mod scaling;
pub(crate) mod usage;
pub(crate) mod users;

use bulkhead_auth::{Password, PasswordRules};
use bulkhead_db::{TenantTx, gate::profile};
use bulkhead_domain::RoleName;

use crate::http::{call::TenantCall, error::ApiError};

/// Refuses a caller who may not give this role to a person or a key, nor take it away.
fn check_grant(call: &TenantCall, role: RoleName) -> Result<(), ApiError> {
    if call.state().access().may_grant(*call.role(), role) {
        Ok(())
    } else {
        Err(ApiError::RoleNotGrantable { role })
    }
}

/// Refuses the tenant's slug as the password in the field at `pointer`. Which slug that is, is looked up only when the password
/// could be one.
async fn refuse_own_slug(tx: &mut TenantTx, pointer: &str, password: &Password) -> Result<(), ApiError> {
    let Some(spelt) = password.as_slug() else { return Ok(()) };
    let tenant = profile::find(tx).await?;
    if tenant.is_some_and(|tenant| tenant.slug == spelt.as_str()) {
        return Err(ApiError::field(pointer, PasswordRules::IS_SLUG));
    }
    Ok(())
}
