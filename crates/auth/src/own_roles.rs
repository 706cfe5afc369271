//! What a node remembers of the roles that tenants have defined.
//!
//! Owns a bounded copy of what each of them holds, by tenant and name, in the form of this program's registry. It is believed for
//! as long as an entry of the directory is, and under the same conditions: for a minute at most, until a change of the
//! tenant is announced, and by a node that has read announcements lately. A role that the tenant has not, or has no more, is
//! remembered as one that holds nothing. Refuses to say anything about built-in roles: those are in the registry.
//!
//! Rejected: all roles of a tenant as one entry (a tenant that has fifty of a hundred permissions would be as dear as one that
//! has one, and a bound in entries would bound nothing).

use std::sync::Arc;

use bulkhead_db::{Db, DbError, DbResult, tenant::roles};
use bulkhead_domain::{AccessRegistry, Proven, Role, RoleName, TenantId};
use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;

use crate::{directory::MAX_AGE, flight::Flights, generations::Generations};

/// How many roles a node remembers: about 12 MB.
const ROLES: usize = 100_000;

/// The tenants' own roles that this node has met lately.
#[derive(Debug)]
pub(crate) struct OwnRoles {
    entries: Cache<(TenantId, RoleName), Remembered>,
    generations: Arc<Generations>,
    /// By the tenant's generation, too: a caller that knows of a change does not share a read that began before it.
    reading: Flights<(TenantId, RoleName, u64), Role>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    role: Role,
    at: DateTime<Utc>,
    generation: u64,
}

impl OwnRoles {
    /// Remembers nothing yet.
    pub(crate) fn new(generations: Arc<Generations>) -> Self {
        Self { entries: Cache::new(ROLES), generations, reading: Flights::default() }
    }

    /// The tenant's own role of this name with what it holds: remembered, if the node `is_fresh`, that is, has read announcements
    /// lately; or read, once for all who wait. It holds nothing if the tenant has no such role.
    pub(crate) async fn find(
        &self,
        db: &Db,
        access: &Arc<AccessRegistry>,
        tenant: Proven<TenantId>,
        name: RoleName,
        is_fresh: bool,
        now: DateTime<Utc>,
    ) -> DbResult<Role> {
        let id = tenant.get();
        let generation = self.generations.of(id);
        if let Some(Remembered { role, at, generation: then }) = self.entries.get(&(id, name))
            && is_fresh
            && then == generation
            && (now - at).abs() < MAX_AGE
        {
            return Ok(role);
        }
        let read = || {
            let (db, access) = (db.clone(), Arc::clone(access));
            async move {
                let look = async |tx: &mut _| roles::permissions(tx, name).await;
                let entries = db.read::<_, DbError>(tenant, look).await?;
                Ok(access.own_role(name, &entries.unwrap_or_default()))
            }
        };
        let role = Box::pin(self.reading.join((id, name, generation), read)).await?;
        self.entries.insert((id, name), Remembered { role, at: now, generation });
        Ok(role)
    }
}
