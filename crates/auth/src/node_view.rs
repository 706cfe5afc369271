//! What a node has read of the platform's state: what was revoked, which keys sign tokens, how its tenants stand, and what the
//! roles hold that they have defined.
//!
//! Owns the reading. Each read begins where the last one ended, one read serves all callers that wait for it, and no
//! lock is held while the database is asked.

use std::{sync::Arc, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError, DbResult,
    platform::{
        revocations::{self, Horizon, RevocationRow},
        signing_keys,
    },
};
use bulkhead_domain::TenantId;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use crate::{
    cache::CredentialCache,
    directory::Directory,
    flight::Flights,
    generations::Generations,
    keyring::Keyring,
    node_keys::NodeKeys,
    own_roles::OwnRoles,
    revocation::{Batch, Bounds, Revocation, Revocations},
    rotation::PUBLISHED_BEHIND,
};

/// How long a request waits for the view to be read anew, before it asks the database about its own credential.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many tenants a node remembers.
const TENANTS: usize = 100_000;

/// A node's view. One per process, shared by its threads.
#[derive(Debug)]
pub(crate) struct NodeView {
    pub(crate) revocations: Revocations,
    pub(crate) directory: Directory,
    pub(crate) own_roles: OwnRoles,
    generations: Arc<Generations>,
    pub(crate) keys: NodeKeys,
    /// What was verified with all of this.
    cache: Arc<CredentialCache>,
    /// Where the last read has got to.
    horizon: Mutex<Option<Horizon>>,
    reading: Flights<(), ()>,
}

impl NodeView {
    /// Has read nothing yet.
    pub(crate) fn new(bounds: Bounds, keyring: Arc<Keyring>, cache: Arc<CredentialCache>) -> Self {
        let generations = Arc::<Generations>::default();
        Self {
            revocations: Revocations::new(bounds),
            directory: Directory::new(TENANTS, Arc::clone(&generations)),
            own_roles: OwnRoles::new(Arc::clone(&generations)),
            generations,
            keys: NodeKeys::new(keyring),
            cache,
            horizon: Mutex::new(None),
            reading: Flights::default(),
        }
    }

    /// Reads what has changed since the last time, or waits for the read of another caller that is under way.
    pub(crate) async fn read(self: &Arc<Self>, db: &Db, now: DateTime<Utc>) -> DbResult<()> {
        let read = || {
            let (view, db) = (Arc::clone(self), db.clone());
            async move { view.read_now(&db, now).await }
        };
        self.reading.join((), read).await
    }

    /// Whether the view may be judged by at `now`, after an attempt to read it anew when it is too old.
    pub(crate) async fn freshen(self: &Arc<Self>, db: &Db, now: DateTime<Utc>) -> bool {
        if self.revocations.is_fresh(now) {
            return true;
        }
        if self.reading.is_slow((), PATIENCE) {
            return false;
        }
        match tokio::time::timeout(PATIENCE, Box::pin(self.read(db, now))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "revocations could not be read when they were needed"),
            Err(_elapsed) => tracing::debug!("revocations were not read in time"),
        }
        self.revocations.is_fresh(now)
    }

    /// How often a tenant is known to have changed. Take it before a look-up begins whose result is remembered.
    pub(crate) fn generation_of(&self, tenant: TenantId) -> u64 {
        self.generations.of(tenant)
    }

    async fn read_now(&self, db: &Db, now: DateTime<Utc>) -> DbResult<()> {
        let from = self.horizon.lock().clone();
        let most = u32::try_from(self.revocations.capacity()).unwrap_or(u32::MAX);
        let read = async |tx: &mut _| {
            let read = revocations::read(tx, from.as_ref(), Revocations::horizon(), most).await?;
            Ok::<_, DbError>((read, signing_keys::published(tx, PUBLISHED_BEHIND).await?))
        };
        let (read, keys) = db.platform_read(Authority::credentials(), read).await?;
        // Before the view counts as fresh: what is good by it is good by these keys.
        self.take_keys(keys);
        let (changes, rows): (Vec<_>, Vec<_>) =
            read.rows.into_iter().partition(|row| row.subject == "tenant");
        // A read of everything leaves changes of tenants out.
        if read.is_whole {
            self.generations.forget_all();
        }
        for change in changes {
            self.generations.forget(TenantId::from_uuid(change.subject_id));
        }
        let rows = rows.into_iter().map(understood).collect::<Result<Vec<_>, DbError>>()?;
        let batch = Batch { rows, left_out: read.left_out, now: read.now, read_at: now };
        self.revocations.apply(batch);
        *self.horizon.lock() = Some(read.next);
        Ok(())
    }

    /// Takes in the stored signing keys; a key that is gone takes the tokens with it that it has signed.
    pub(crate) fn take_keys(&self, rows: Vec<signing_keys::StoredSigningKey>) {
        if self.keys.update(rows) {
            self.cache.invalidate_all();
        }
    }
}

fn understood(row: RevocationRow) -> DbResult<Revocation> {
    let RevocationRow { tenant_id, subject, subject_id, at } = row;
    let unreadable = || DbError::Unreadable(format!("revocation of a {subject}"));
    Revocation::from_columns(tenant_id, &subject, subject_id, at).ok_or_else(unreadable)
}
