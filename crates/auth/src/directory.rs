//! What a node remembers of tenants: state, plan, limit.
//!
//! Owns a bounded copy of the platform's directory. An entry is believed for a minute at most, and only until somebody
//! announces a change (`platform::revocations::announce_tenant_change`), which every node reads within seconds.

use std::sync::atomic::{AtomicU64, Ordering};

use bulkhead_db::{
    Authority, Db, DbResult,
    platform::tenants::{self, DirectoryEntry},
};
use bulkhead_domain::{Slug, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;

/// How long an entry is believed at most.
const MAX_AGE: TimeDelta = TimeDelta::seconds(60);

/// The tenants that this node has met lately.
#[derive(Debug)]
pub struct Directory {
    entries: Cache<TenantId, Remembered>,
    /// Grows with every announced change: what was read before one is not believed after it.
    generation: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    entry: DirectoryEntry,
    at: DateTime<Utc>,
    generation: u64,
}

impl Directory {
    /// Remembers up to `capacity` tenants.
    pub fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), generation: AtomicU64::new(0) }
    }

    /// The tenant with this id, remembered or read.
    pub async fn find(&self, db: &Db, id: TenantId, now: DateTime<Utc>) -> DbResult<Option<DirectoryEntry>> {
        let generation = self.generation.load(Ordering::Acquire);
        if let Some(Remembered { entry, at, generation: then }) = self.entries.get(&id)
            && then == generation
            && (now - at).abs() < MAX_AGE
        {
            return Ok(Some(entry));
        }
        let found =
            db.platform_read(Authority::credentials(), async |tx| tenants::entry(tx, id).await).await?;
        if let Some(entry) = found {
            self.entries.insert(id, Remembered { entry, at: now, generation });
        }
        Ok(found)
    }

    /// The tenant with this slug. Always read: only logins ask.
    pub async fn find_by_slug(&self, db: &Db, slug: &Slug) -> DbResult<Option<DirectoryEntry>> {
        db.platform_read(Authority::credentials(), async |tx| tenants::entry_by_slug(tx, slug).await).await
    }

    /// Believes nothing that was read before now: a tenant has changed. Changes are rare, so all are read anew rather
    /// than one tracked; what is being read this moment is covered too.
    pub(crate) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}
