//! What an API key holds.
//!
//! Owns one rule: a key holds what its role and its scopes have in common, and of that what the one holds who has granted it, now.
//! That one is a person, or another key of whom the same is true. A key above that is disabled, revoked or has come to its end
//! holds nothing, and neither does a person who was removed. So nobody can keep through a key what they were to lose.
//!
//! It is worked out when a key is looked up, and remembered with the key as one set until the tenant is announced to have changed:
//! whatever changes what a person, a role or a key holds announces that. For a request with a remembered key that is
//! the comparison of two numbers.
//!
//! Rejected: what a key holds as a column (each change of a role would have to rewrite the rows of all keys below it, and a program
//! that brings a permission all of them); the roles of all above it in the principal, joined for each request (it would be of no
//! bounded size, and copied some four times).

use bulkhead_db::{
    Db, DbError, DbResult, TenantTx,
    tenant::{
        api_keys::Grantor,
        credentials::{self, HeldRole, KeyLink},
    },
};
use bulkhead_domain::{AccessRegistry, PermissionSet, Proven, TenantId};
use chrono::{DateTime, Utc};

/// What a key holds, and until when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The permissions.
    pub(crate) permissions: PermissionSet,
    /// When the first of the key and those above it comes to its end by itself.
    pub(crate) ends_at: Option<DateTime<Utc>>,
}

impl Held {
    const NOTHING: Self = Self { permissions: PermissionSet::EMPTY, ends_at: None };
}

/// What the key with this link holds. Those above it that stand in no row of its own are read one by one.
pub(crate) async fn of(
    db: &Db,
    access: &AccessRegistry,
    tenant: Proven<TenantId>,
    mut link: KeyLink,
    now: DateTime<Utc>,
) -> DbResult<Held> {
    let mut found = Held { permissions: own(access, &link), ends_at: link.expires_at };
    for _ in 0..Grantor::DEPTH {
        match link.grantor {
            Grantor::Nobody => return Ok(Held::NOTHING),
            Grantor::User(id) => {
                let maker = match link.maker {
                    Some(maker) => Some(maker),
                    None => {
                        let look = async |tx: &mut _| credentials::find_granting_user(tx, id).await;
                        db.read::<_, DbError>(tenant, look).await?
                    }
                };
                let bound = maker.map_or(PermissionSet::EMPTY, |role| held(access, &role));
                return Ok(Held { permissions: found.permissions.and(bound), ..found });
            }
            Grantor::Key(id) => {
                let look = async |tx: &mut _| credentials::find_granting_key(tx, id).await;
                let above = db.read::<_, DbError>(tenant, look).await?;
                let Some(above) = above.filter(|above| is_in_force(above, now)) else {
                    return Ok(Held::NOTHING);
                };
                found.permissions = found.permissions.and(own(access, &above));
                found.ends_at = [found.ends_at, above.expires_at].into_iter().flatten().min();
                link = above;
            }
        }
    }
    Ok(Held::NOTHING)
}

/// What someone holds who answers for keys, as it is in this transaction.
pub async fn held_by(
    tx: &mut TenantTx,
    access: &AccessRegistry,
    grantor: Grantor,
    now: DateTime<Utc>,
) -> DbResult<PermissionSet> {
    let (mut found, mut next) = (None::<PermissionSet>, grantor);
    let bounded = |found: Option<PermissionSet>, by| found.map_or(by, |found| found.and(by));
    for _ in 0..=Grantor::DEPTH {
        match next {
            Grantor::Nobody => break,
            Grantor::User(id) => {
                let role = credentials::find_granting_user(tx, id).await?;
                return Ok(bounded(found, role.map_or(PermissionSet::EMPTY, |role| held(access, &role))));
            }
            Grantor::Key(id) => {
                let link = credentials::find_granting_key(tx, id).await?;
                let Some(link) = link.filter(|link| is_in_force(link, now)) else { break };
                found = Some(bounded(found, own(access, &link)));
                next = link.grantor;
            }
        }
    }
    Ok(PermissionSet::EMPTY)
}

/// Whether a key opens anything at `now`.
pub(crate) fn is_in_force(link: &KeyLink, now: DateTime<Utc>) -> bool {
    link.revoked_at.is_none() && link.disabled_at.is_none() && link.expires_at.is_none_or(|end| end > now)
}

/// What the role and the scopes of a key have in common.
fn own(access: &AccessRegistry, link: &KeyLink) -> PermissionSet {
    let role = held(access, &link.role);
    link.scopes.as_ref().map_or(role, |scopes| role.and(access.scope(scopes)))
}

fn held(access: &AccessRegistry, role: &HeldRole) -> PermissionSet {
    access.own_role(role.name, &role.entries).permissions()
}
