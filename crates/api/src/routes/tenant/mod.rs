//! What a tenant's people and programs do.

pub(crate) mod api_keys;
pub(crate) mod jobs;
pub(crate) mod operations;
pub(crate) mod scaling;
pub(crate) mod usage;
pub(crate) mod users;

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
