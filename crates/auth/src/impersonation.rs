//! Operators who act as a tenant's people.
//!
//! Owns what such a token may be and do. It is good for a quarter of an hour and cannot be refreshed; it names the person as its
//! subject and the operator in `act`; it ends with the operator's session, with a change of the operator or of the person, and
//! when the tenant's owners allow it no longer. It holds what the person holds but what makes credentials or changes who may do
//! what ([`WITHHELD`]), so that nothing an operator leaves behind outlives it. Sessions and passwords are the person's own
//! (`Access::Person`), and whoever acts as somebody has none here. Refuses to say who may start one: that is decided in the
//! platform's transaction.

use bulkhead_db::{
    Db, DbError,
    platform::tenants::DirectoryEntry,
    tenant::{
        audit::{self, Entry},
        sessions, users,
    },
};
use bulkhead_domain::{AccessRegistry, Evidence, OperatorId, Proven, Role, SessionId, TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    authenticator::{AuthError, Authenticator},
    jwt::{AccessToken, Issue},
    principal::Principal,
    request::Request,
};

/// How long a token is good at most.
pub const LIFETIME: TimeDelta = TimeDelta::minutes(15);

/// What of a person's permissions nobody has who acts as them: whatever makes, changes or removes people, roles and keys, and
/// the setting by which this is allowed.
pub const WITHHELD: [&str; 6] = [
    "write:users",
    "write:owners",
    "write:roles",
    "write:api_keys",
    "write:settings",
    "write:identity_providers",
];

/// A person as whom an operator is about to act.
#[derive(Clone, Copy, Debug)]
pub struct Impersonated {
    tenant: Proven<TenantId>,
    user: UserId,
    role: Role,
    proven_at: DateTime<Utc>,
}

/// Who acts, and what the tenant's log is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Impersonator<'a> {
    /// The operator.
    pub operator: OperatorId,
    /// Why, in their words.
    pub reason: &'a str,
    /// The request.
    pub request: Request<'a>,
    /// The operation's id.
    pub action: &'static str,
    /// Now.
    pub at: DateTime<Utc>,
}

impl Authenticator {
    /// Finds the person and tells the tenant's audit log that an operator is about to act as them; `None` when there is no such
    /// person. The caller has seen that the tenant is in service and allows it, and that the operator may, and sees so again
    /// before a token is issued.
    pub async fn announce_impersonation(
        &self,
        db: &Db,
        tenant: TenantId,
        user: UserId,
        by: &Impersonator<'_>,
    ) -> Result<Option<Impersonated>, DbError> {
        let tenant = Proven::on(Evidence::Impersonation, tenant);
        let announce = async |tx: &mut _| {
            // Under a lock, so that a token proven now is hit by every later change of the person.
            let Some(role) = users::lock_role(tx, user).await? else { return Ok(None) };
            let proven_at = sessions::now(tx).await?;
            let (actor, target) = (by.operator.to_string(), user.to_string());
            let entry = Entry {
                at: by.at,
                actor: &actor,
                act: None,
                action: by.action,
                target: &target,
                request_id: by.request.id,
                address: Some(by.request.address),
                changes: serde_json::json!({ "reason": by.reason }),
            };
            audit::record(tx, &entry).await?;
            Ok::<_, DbError>(Some((role, proven_at)))
        };
        let found = db.write(tenant, announce).await?;
        Ok(found.map(|(role, proven_at)| {
            let role = self.access.tenants().role(role);
            Impersonated { tenant, user, role, proven_at }
        }))
    }

    /// Issues the token, for an operator's session that lives until `ends`.
    pub fn impersonate(
        &self,
        person: &Impersonated,
        operator: OperatorId,
        session: SessionId,
        ends: DateTime<Utc>,
    ) -> Result<AccessToken, AuthError> {
        let Impersonated { tenant, user: id, role, proven_at } = *person;
        let principal = Principal::User { tenant, id, role, session, acting: Some(operator) };
        let ends = ends.min(proven_at + LIFETIME);
        let issue = Issue { principal, proven_at, credential_expires_at: Some(ends) };
        Ok(self.tokens.issue(&*self.keys()?, &issue)?)
    }
}

/// The same caller; somebody who acts as a person has less than they, and nothing when the tenant's owners allow it no longer.
pub(crate) fn may_act(
    access: &AccessRegistry,
    principal: Principal,
    tenant: &DirectoryEntry,
) -> Result<Principal, AuthError> {
    match principal.act() {
        None => Ok(principal),
        Some(_) if tenant.impersonation => {
            Ok(principal.with_role(access.tenants().without(*principal.role(), &WITHHELD)))
        }
        Some(_) => Err(AuthError::Lapsed),
    }
}
