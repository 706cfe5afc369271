//! What a node remembers of tenants: state, limit.
//!
//! Owns a bounded copy of the platform's directory. An entry is believed for a minute at most, and only until a change of the
//! tenant is announced (`platform::revocations::announce_tenant_change`, `gate::revocations::announce_change`). Every node reads
//! announcements within seconds; a node that has not read them for a while believes no entry.

use std::sync::Arc;

use bulkhead_db::{
    Authority, Db, DbResult,
    platform::tenants::{self, DirectoryEntry, LoginTenant},
};
use bulkhead_domain::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;

use crate::{flight::Flights, generations::Generations};

/// How long an entry is believed at most.
pub(crate) const MAX_AGE: TimeDelta = TimeDelta::seconds(60);

/// The tenants that this node has met lately.
#[derive(Debug)]
pub struct Directory {
    entries: Cache<TenantId, Remembered>,
    generations: Arc<Generations>,
    /// By the tenant's generation, too: a caller that knows of a change does not share a read that began before it.
    reading: Flights<(TenantId, u64), Option<DirectoryEntry>>,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    entry: DirectoryEntry,
    at: DateTime<Utc>,
    generation: u64,
}

impl Directory {
    /// Remembers up to `capacity` tenants, each until its generation is another one.
    pub(crate) fn new(capacity: usize, generations: Arc<Generations>) -> Self {
        Self { entries: Cache::new(capacity), generations, reading: Flights::default() }
    }

    /// The tenant with this id: remembered, if the node `is_fresh`, that is, has read announcements lately; or read.
    pub async fn find(
        &self,
        db: &Db,
        id: TenantId,
        is_fresh: bool,
        now: DateTime<Utc>,
    ) -> DbResult<Option<DirectoryEntry>> {
        let generation = self.generations.of(id);
        if let Some(Remembered { entry, at, generation: then }) = self.entries.get(&id)
            && is_fresh
            && then == generation
            && (now - at).abs() < MAX_AGE
        {
            return Ok(Some(entry));
        }
        let read = || {
            let db = db.clone();
            async move {
                db.platform_read(Authority::credentials(), async |tx| tenants::entry(tx, id).await).await
            }
        };
        let found = Box::pin(self.reading.join((id, generation), read)).await?;
        if let Some(entry) = found {
            self.entries.insert(id, Remembered { entry, at: now, generation });
        }
        Ok(found)
    }

    /// The tenant against which a login that names one by `slug` is checked. Always read.
    pub async fn find_for_login(&self, db: &Db, slug: &str, decoy: &str) -> DbResult<Option<LoginTenant>> {
        let read = async |tx: &mut _| tenants::login_tenant(tx, slug, decoy).await;
        db.platform_read(Authority::logins(), read).await
    }
}
