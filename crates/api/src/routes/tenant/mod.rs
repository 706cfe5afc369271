//! What a tenant's people and programs do.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod federated_identities;
pub(crate) mod identity_providers;
pub(crate) mod invitations;
pub(crate) mod jobs;
pub(crate) mod operations;
pub(crate) mod platform_identity_providers;
pub(crate) mod roles;
pub(crate) mod scaling;
pub(crate) mod settings;
pub(crate) mod usage;
pub(crate) mod users;

use bulkhead_auth::{
    GrantError, Grants, Password, PasswordRules,
    grants::{self, Caller, Hold},
};
use bulkhead_db::{DbResult, TenantTx, gate::profile, tenant::caps::Cap};
use bulkhead_domain::{Permission, RoleName};

use crate::http::{
    call::TenantCall,
    error::{ApiError, FieldError},
};

/// What the caller is now, their row locked until the transaction ends.
async fn lock_caller(tx: &mut TenantTx, call: &TenantCall) -> DbResult<Option<Caller>> {
    grants::lock_caller(tx, call.principal()).await
}

/// The roles that a request is about, for a caller who is `own` now.
async fn grants<'a>(
    tx: &mut TenantTx,
    call: &'a TenantCall,
    own: Option<Caller>,
    needs: Permission,
    named: &[RoleName],
    hold: Hold,
) -> Result<Grants<'a>, ApiError> {
    Grants::read(tx, call.state().access(), own, needs, named, hold).await.map_err(refused)
}

/// What is wrong with the field `role` of a body that is refused anyway: there is no role of this name.
async fn wrong_role(call: &TenantCall, role: RoleName) -> Result<Option<FieldError>, ApiError> {
    let access = call.state().access();
    if access.is_built_in(role) {
        return Ok(None);
    }
    let found = call.read(async |tx| bulkhead_db::tenant::roles::permissions(tx, role).await).await?;
    Ok(found.is_none().then(|| FieldError::new("/role", access.unknown_role())))
}

/// The error of a caller who may not hand a role on, as the document shows it.
fn not_grantable() -> ApiError {
    ApiError::RoleNotGrantable { role: RoleName::OWNER, lacking: "write:owners".to_owned() }
}

/// Whether the plan allows one more person.
pub(super) const fn has_room(users: &Cap) -> Result<(), ApiError> {
    if users.is_reached() {
        Err(ApiError::PlanLimitReached { what: "users", most: users.most })
    } else {
        Ok(())
    }
}

/// What a caller is told who may not do with a role what they want. A conversion would be one that every extension sees.
fn refused(error: GrantError) -> ApiError {
    match error {
        GrantError::Gone => ApiError::InvalidCredentials,
        GrantError::Forbidden(permission) => ApiError::Forbidden { needs: permission.as_str() },
        GrantError::Beyond { role, lacking } => {
            ApiError::RoleNotGrantable { role, lacking: lacking.to_string() }
        }
        GrantError::Unknown(unknown) => ApiError::field("/role", unknown),
        GrantError::Database(error) => error.into(),
    }
}

/// Refuses the tenant's slug as the password in the field at `pointer`. Which slug that is, is looked up only when the password
/// could be one.
pub(super) async fn refuse_own_slug(
    tx: &mut TenantTx,
    pointer: &str,
    password: &Password,
) -> Result<(), ApiError> {
    let Some(spelt) = password.as_slug() else { return Ok(()) };
    let tenant = profile::find(tx).await?;
    if tenant.is_some_and(|tenant| tenant.slug == spelt.as_str()) {
        return Err(ApiError::field(pointer, PasswordRules::IS_SLUG));
    }
    Ok(())
}
