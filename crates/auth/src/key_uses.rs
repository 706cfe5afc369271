//! When API keys were last used, on its way to their rows.
//!
//! Owns what a node has seen and not written yet. A key is looked up at least once a minute while it is used, and each look-up that
//! finds a note older than a minute leaves one here: so of all nodes about one writes, about once a minute, and a request neither
//! writes nor waits. Bounded: what does not fit is left out, and noted by a later look-up. Refuses to be exact: after a crash the
//! last seconds are missing, and what is used within a minute of a note is not noted.

use std::{collections::HashMap, mem};

use bulkhead_db::{Db, DbError, tenant::api_keys};
use bulkhead_domain::{ApiKeyId, Proven, TenantId};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

/// How old a note has to be for another one to be made.
const NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// How many keys wait to be written at most: about 2 MB.
const MOST: usize = 20_000;

/// The uses of keys that this node has to write.
#[derive(Debug, Default)]
pub(crate) struct KeyUses {
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    keys: usize,
    tenants: HashMap<TenantId, Uses>,
}

#[derive(Debug)]
struct Uses {
    tenant: Proven<TenantId>,
    keys: HashMap<ApiKeyId, DateTime<Utc>>,
}

impl KeyUses {
    /// A key is used at `now`, whose row says when it was `last_used_at`.
    pub(crate) fn note(
        &self,
        tenant: Proven<TenantId>,
        key: ApiKeyId,
        last_used_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        if last_used_at.is_some_and(|last| now - last < NOTED_EVERY) {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.keys >= MOST {
            return;
        }
        let uses = waiting.tenants.entry(tenant.get());
        let uses = uses.or_insert_with(|| Uses { tenant, keys: HashMap::new() });
        if uses.keys.insert(key, now).is_none() {
            waiting.keys += 1;
        }
    }

    /// Writes what waits, one tenant after the other, so that it takes one connection whatever there is. What cannot be written is
    /// forgotten: the keys' next uses are noted. How many keys were written.
    pub(crate) async fn write(&self, db: &Db) -> usize {
        let waiting = mem::take(&mut *self.waiting.lock());
        let mut written = 0;
        for Uses { tenant, keys } in waiting.tenants.into_values() {
            let keys: Vec<_> = keys.into_iter().collect();
            let write = async |tx: &mut _| api_keys::note_uses(tx, &keys).await;
            match db.write::<_, DbError>(tenant, write).await {
                Ok(()) => written += keys.len(),
                Err(error) => tracing::debug!(%error, "the last uses of API keys could not be written"),
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::RoleName;
    use uuid::Uuid;

    use super::*;
    use crate::principal::tests::user;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();

    fn tenant(number: u8) -> Proven<TenantId> {
        user(number, RoleName::OWNER, None).tenant().unwrap()
    }

    fn key(number: u128) -> ApiKeyId {
        ApiKeyId::from_uuid(Uuid::from_u128(number))
    }

    fn waiting(uses: &KeyUses) -> usize {
        let waiting = uses.waiting.lock();
        let found: usize = waiting.tenants.values().map(|uses| uses.keys.len()).sum();
        assert_eq!(waiting.keys, found);
        waiting.keys
    }

    #[test]
    fn a_use_is_noted_when_the_last_note_is_a_minute_old() {
        let uses = KeyUses::default();
        for (last, noted) in [(0, 0), (59, 0), (60, 1), (3600, 2)] {
            let last = NOW - TimeDelta::seconds(last);
            uses.note(tenant(1), key(u128::try_from(noted).unwrap()), Some(last), NOW);
            assert_eq!(waiting(&uses), noted, "{last}");
        }
        for _ in 0..10 {
            uses.note(tenant(1), key(7), None, NOW);
        }
        assert_eq!(waiting(&uses), 3, "a key waits once");
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let uses = KeyUses::default();
        for number in 0..u128::try_from(MOST).unwrap() + 100 {
            uses.note(tenant(u8::try_from(number % 10).unwrap()), key(number), None, NOW);
        }
        assert_eq!(waiting(&uses), MOST);
    }
}
