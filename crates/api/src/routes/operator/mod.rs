//! What operators do.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod identity_providers;
pub(crate) mod operators;
pub(crate) mod roles;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
pub(crate) mod usage;

use bulkhead_auth::{OperatorGrantError, OperatorGrants};
use bulkhead_db::PlatformTx;
use bulkhead_domain::{OperatorPermission, RoleName};

use crate::http::{call::OperatorCall, error::ApiError};

/// All operators, locked, and what their roles hold, for a caller who needs this permission.
async fn grants<'a>(
    tx: &mut PlatformTx,
    call: &'a OperatorCall,
    needs: OperatorPermission,
) -> Result<OperatorGrants<'a>, ApiError> {
    OperatorGrants::lock(tx, call.state().access(), call.id(), needs).await.map_err(refused)
}

/// The error of a caller who may not hand a role on, as the document shows it.
fn not_grantable() -> ApiError {
    ApiError::RoleNotGrantable { role: RoleName::ADMIN, lacking: "write:tenants".to_owned() }
}

/// What a caller is told who may not do with a role what they want.
fn refused(error: OperatorGrantError) -> ApiError {
    match error {
        OperatorGrantError::Gone => ApiError::InvalidCredentials,
        OperatorGrantError::Forbidden(permission) => ApiError::Forbidden { needs: permission.as_str() },
        OperatorGrantError::Beyond { role, lacking } => {
            ApiError::RoleNotGrantable { role, lacking: lacking.to_string() }
        }
        OperatorGrantError::Unknown(unknown) => ApiError::field("/role", unknown),
        OperatorGrantError::Database(error) => error.into(),
    }
}
