//! Credentials that this node has verified lately.
//!
//! Owns the shortcut from a credential's text to its principal: verifying a signature takes tens of microseconds and an
//! API key a query, finding the digest of its text again one. Keeps digests, never texts, and only of credentials that
//! are good, or were: those of ours that have expired or were revoked are remembered for a minute as such, so that a
//! program which goes on using one costs no query each time. What was never good is not kept. It is bounded, so remembering
//! cannot be made expensive from outside. An entry that is too old to answer still says that its credential was good
//! once, so its holder is no stranger. Refuses to answer for a credential that was verified too long ago, or cannot be
//! judged by what the node knows of revocations.

use aws_lc_rs::digest;
use chrono::{DateTime, TimeDelta, Utc};
use quick_cache::sync::Cache;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    principal::Verified,
    revocation::{Revocations, Standing},
};

/// How long a verification is trusted at most.
pub const MAX_AGE: TimeDelta = TimeDelta::seconds(60);

type Digest = [u8; 32];

/// Verified credentials by the SHA-256 of their text.
#[derive(Debug)]
pub struct CredentialCache {
    entries: Cache<Digest, Entry>,
    /// Since when credentials of ours are known to be good no more, and how often their tenants had changed then.
    lapsed: Cache<Digest, (DateTime<Utc>, u64)>,
    /// Grows when everything is to be verified anew, so that a verification begun before is not kept.
    generation: AtomicU64,
}

#[derive(Clone, Debug)]
struct Entry {
    verified: Verified,
    cached_at: DateTime<Utc>,
    generation: u64,
}

/// A credential that has to be verified, and the right to keep the result.
#[derive(Clone, Copy, Debug)]
pub struct Miss {
    digest: Digest,
    generation: u64,
    was_good: bool,
}

impl Miss {
    /// Whether this node has verified the credential before, however long ago.
    pub const fn was_good(&self) -> bool {
        self.was_good
    }
}

impl CredentialCache {
    /// Keeps up to `capacity` credentials, about 300 bytes each.
    pub fn new(capacity: usize) -> Self {
        let lapsed = Cache::new(capacity.div_ceil(10));
        Self { entries: Cache::new(capacity), lapsed, generation: AtomicU64::new(0) }
    }

    /// What an earlier verification of this text has shown, if it still holds at `now`.
    pub fn get(&self, text: &str, now: DateTime<Utc>, revocations: &Revocations) -> Result<Verified, Miss> {
        let miss = self.miss(text);
        let entry = self.entries.get(&miss.digest).ok_or(miss)?;
        let miss = Miss { was_good: true, ..miss };
        let Verified { principal, since, expires_at, key: _ } = &entry.verified;
        // A clock that was set back makes an entry come from the future: then it is as good as too old.
        let holds = entry.generation == miss.generation
            && now < *expires_at
            && (now - entry.cached_at).abs() < MAX_AGE
            && revocations.standing(principal, *since, now) == Standing::Good;
        if holds { Ok(entry.verified) } else { Err(miss) }
    }

    /// The right to keep the result for a credential that was found here and cannot be answered for: what it holds has changed.
    pub fn outdated(&self, text: &str) -> Miss {
        Miss { was_good: true, ..self.miss(text) }
    }

    /// The right to keep the result for a credential that is never answered for from here.
    pub fn miss(&self, text: &str) -> Miss {
        let generation = self.generation.load(Ordering::Acquire);
        Miss { digest: sha256(text), generation, was_good: false }
    }

    /// Remembers what the verification after a miss has shown.
    pub fn put(&self, miss: Miss, verified: Verified, now: DateTime<Utc>) {
        let Miss { digest, generation, was_good: _ } = miss;
        self.entries.insert(digest, Entry { verified, cached_at: now, generation });
    }

    /// Whether a credential that missed is known to be good no more, and cannot become good again. The bound of a minute is for a
    /// database that an administrator changes by hand.
    pub fn has_lapsed(&self, miss: &Miss, now: DateTime<Utc>) -> bool {
        self.lapsed_in(miss, now).is_some()
    }

    /// Remembers that a credential of ours is good no more, for good.
    pub fn put_lapsed(&self, miss: Miss, now: DateTime<Utc>) {
        self.put_lapsed_in(miss, 0, now);
    }

    /// For a credential that missed and is known to be good no more: how often its tenant had changed when that was seen. With the
    /// next change it may be good again, as a key is that was disabled; the bound of a minute is for a database that an
    /// administrator changes by hand.
    pub fn lapsed_in(&self, miss: &Miss, now: DateTime<Utc>) -> Option<u64> {
        let (since, generation) = self.lapsed.get(&miss.digest)?;
        ((now - since).abs() < MAX_AGE).then_some(generation)
    }

    /// Remembers that a credential of ours is good no more, as of this generation of its tenant.
    pub fn put_lapsed_in(&self, miss: Miss, generation: u64, now: DateTime<Utc>) {
        self.lapsed.insert(miss.digest, (now, generation));
    }

    /// Forgets everything, and what is being verified right now too: for a change of the trusted signing keys.
    pub fn invalidate_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.entries.clear();
        self.lapsed.clear();
    }
}

fn sha256(text: &str) -> Digest {
    let mut out = [0; 32];
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    out.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::RoleName;

    use super::*;
    use crate::{
        principal::{KeyTerms, Principal, tests::user},
        revocation::{Batch, Group, Revocation, Since, Target},
    };

    const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_500).unwrap();

    fn verified(expires_in: TimeDelta) -> Verified {
        Verified {
            principal: user(1, RoleName::OWNER, None),
            since: Since::Proven(NOW),
            expires_at: NOW + expires_in,
            key: KeyTerms::default(),
        }
    }

    /// A view that stays fresh around `at`.
    fn fresh(at: DateTime<Utc>) -> Revocations {
        let revocations = Revocations::default();
        read(&revocations, [], at);
        revocations
    }

    fn read<const N: usize>(revocations: &Revocations, rows: [Revocation; N], at: DateTime<Utc>) {
        revocations.apply(Batch { rows: rows.into(), left_out: None, now: at, read_at: at });
    }

    fn filled(expires_in: TimeDelta) -> CredentialCache {
        let cache = CredentialCache::new(100);
        let miss = cache.get("token", NOW, &fresh(NOW)).unwrap_err();
        cache.put(miss, verified(expires_in), NOW);
        cache
    }

    #[test]
    fn a_verified_credential_is_found_by_its_exact_text() {
        let cache = filled(TimeDelta::minutes(10));
        assert_eq!(cache.get("token", NOW, &fresh(NOW)).unwrap(), verified(TimeDelta::minutes(10)));
        for other in ["", "toke", "token ", "Token"] {
            assert!(cache.get(other, NOW, &fresh(NOW)).is_err(), "{other:?}");
        }
    }

    #[test]
    fn an_entry_ends_with_its_credential_or_after_a_minute() {
        for (expires_in, lasts) in [(10, 10), (59, 59), (60, 60), (600, 60)] {
            let cache = filled(TimeDelta::seconds(expires_in));
            let end = NOW + TimeDelta::seconds(lasts);
            let before = end - TimeDelta::milliseconds(1);
            assert!(cache.get("token", before, &fresh(before)).is_ok(), "{expires_in}");
            assert!(cache.get("token", end, &fresh(end)).is_err(), "{expires_in}");
        }
        let earlier = NOW - TimeDelta::seconds(60);
        assert!(filled(TimeDelta::minutes(10)).get("token", earlier, &fresh(earlier)).is_err());
    }

    #[test]
    fn what_is_too_old_to_answer_was_good_and_what_was_never_verified_was_not() {
        let cache = filled(TimeDelta::minutes(10));
        let late = NOW + TimeDelta::hours(1);
        let was_good = |text: &str, at| cache.get(text, at, &fresh(at)).unwrap_err().was_good();
        assert!(was_good("token", late) && !was_good("other", late) && !was_good("other", NOW));
        assert!(cache.get("token", NOW, &Revocations::default()).unwrap_err().was_good());
        cache.invalidate_all();
        assert!(!was_good("token", NOW));
    }

    #[test]
    fn nothing_is_answered_from_stale_or_revoking_knowledge() {
        let cache = filled(TimeDelta::minutes(10));
        let late = NOW + TimeDelta::seconds(6);
        assert!(cache.get("token", late, &fresh(NOW)).is_err());
        assert!(cache.get("token", late, &fresh(late)).is_ok());
        assert!(cache.get("token", NOW, &Revocations::default()).is_err());
        let revoked = fresh(NOW);
        let Principal::User { tenant, id, .. } = user(1, RoleName::OWNER, None) else { panic!("not a user") };
        let row = Revocation { group: Group::Tenant(tenant.get()), target: Target::User(id), at: NOW };
        read(&revoked, [row], NOW);
        assert!(cache.get("token", NOW, &revoked).is_err());
    }

    #[test]
    fn after_an_invalidation_even_a_verification_in_progress_is_not_kept() {
        let cache = filled(TimeDelta::minutes(10));
        let begun_before = cache.get("other", NOW, &fresh(NOW)).unwrap_err();
        cache.invalidate_all();
        cache.put(begun_before, verified(TimeDelta::minutes(10)), NOW);
        for text in ["token", "other"] {
            let miss = cache.get(text, NOW, &fresh(NOW)).unwrap_err();
            cache.put(miss, verified(TimeDelta::minutes(10)), NOW);
            assert!(cache.get(text, NOW, &fresh(NOW)).is_ok());
        }
    }

    #[test]
    fn what_has_lapsed_is_remembered_for_a_minute_and_is_no_other() {
        let cache = filled(TimeDelta::minutes(10));
        let miss = |text| cache.get(text, NOW + TimeDelta::minutes(10), &fresh(NOW)).unwrap_err();
        assert_eq!(cache.lapsed_in(&miss("token"), NOW), None);
        cache.put_lapsed_in(miss("token"), 7, NOW);
        assert_eq!(cache.lapsed_in(&miss("other"), NOW), None);
        let end = NOW + TimeDelta::seconds(60);
        assert_eq!(cache.lapsed_in(&miss("token"), end - TimeDelta::milliseconds(1)), Some(7));
        assert_eq!(cache.lapsed_in(&miss("token"), end), None);
        cache.invalidate_all();
        assert_eq!(cache.lapsed_in(&miss("token"), NOW), None);
    }

    #[test]
    fn it_never_grows_beyond_its_capacity() {
        let cache = CredentialCache::new(100);
        for number in 0..10_000 {
            let miss = cache.get(&number.to_string(), NOW, &fresh(NOW)).unwrap_err();
            cache.put(miss, verified(TimeDelta::minutes(10)), NOW);
        }
        assert!((1..=100).contains(&cache.entries.len()), "{}", cache.entries.len());
        assert!(size_of::<(Digest, Entry)>() < 250, "{}", size_of::<(Digest, Entry)>());
    }
}
