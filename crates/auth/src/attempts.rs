//! How often logins to an account have failed.
//!
//! Owns the growing delay between attempts to log in to one account: ten failures are free, after that one attempt is
//! let through at a time, after a second, two, four, up to a quarter of an hour. So ever new addresses do not let an
//! attacker guess one account's password faster, and no account is locked for good. Accounts are told apart by a keyed
//! hash of what was sent, so an account that does not exist is counted, and refused, like one that does.
//!
//! Addresses from which the account was logged in to on this node are counted apart, each for itself, and attempts
//! from other addresses do not count for them. From any other address the owner is a stranger too: while an attacker
//! goes on trying the account, the owner competes with the attacker for the one attempt that is let through after each
//! wait, and may lose for as long as that goes on.
//!
//! A node counts for itself, knows only the addresses of logins at itself, and forgets both when it is restarted: `n`
//! nodes let `n` times as many attempts through. Refuses to say whether an account exists, and to grow: over the bound
//! those with the fewest failures are forgotten.

use std::{
    cell::Cell,
    collections::{HashMap, hash_map::RandomState},
    fmt,
    time::Duration,
};

use bulkhead_domain::Network;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::keyring::{Keyring, Purpose};

/// Failures, and attempts under way, that cost no waiting.
const FREE: u32 = 10;

/// The longest wait before the next attempt.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);

/// How long after the last failure an account has a clean slate.
const REMEMBERED: TimeDelta = TimeDelta::hours(1);

/// How many accounts, and how many addresses of accounts, are remembered: some 5 MB each.
const ACCOUNTS: usize = 65_536;

/// How long an attempt has to wait when too many are under way at once.
const A_MOMENT: Duration = Duration::from_secs(1);

/// An account as it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AccountKey([u8; 16]);

impl AccountKey {
    /// The account that a login names, whether it exists or not. `tenant` is `None` for operators.
    pub(crate) fn of(keyring: &Keyring, tenant: Option<&str>, email: &str) -> Self {
        let email = email.as_bytes();
        match tenant {
            None => Self::mac(keyring, &[b"operator", email]),
            Some(slug) => Self::mac(keyring, &[b"person", slug.as_bytes(), email]),
        }
    }

    /// The person, or operator, who is logged in and shows their password once more: counted apart from log-ins, which need no
    /// token.
    pub(crate) fn of_subject(keyring: &Keyring, subject: &str) -> Self {
        Self::mac(keyring, &[b"subject", subject.as_bytes()])
    }

    /// The codes of a person or an operator: counted apart from their passwords.
    pub(crate) fn of_codes(keyring: &Keyring, subject: &str) -> Self {
        Self::mac(keyring, &[b"codes", subject.as_bytes()])
    }

    /// The account, counted for one address alone.
    fn from(self, keyring: &Keyring, network: Network) -> Self {
        Self::mac(keyring, &[b"address", &self.0, &network.bytes()])
    }

    /// The first part says what is counted.
    fn mac(keyring: &Keyring, parts: &[&[u8]]) -> Self {
        let mac = keyring.mac_of_parts(Purpose::LoginAttempt, parts);
        let mut key = [0; 16];
        key.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
        Self(key)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    failures: u32,
    under_way: u32,
    last_failure: DateTime<Utc>,
}

impl Count {
    /// The count as it is at `now`: old failures are forgotten.
    fn at(self, now: DateTime<Utc>) -> Self {
        // The distance counts both ways: after the clock was set back, failures do not stay until it has caught up.
        let forgotten = (now - self.last_failure).abs() >= REMEMBERED;
        Self { failures: if forgotten { 0 } else { self.failures }, ..self }
    }

    /// How long the next attempt has to wait; `None` when it has not.
    fn wait(self, now: DateTime<Utc>) -> Option<Duration> {
        let Some(doublings) = self.failures.checked_sub(FREE) else {
            return (self.failures + self.under_way >= FREE).then_some(A_MOMENT);
        };
        let delay = Duration::from_secs(1 << doublings.min(10)).min(LONGEST_WAIT);
        let passed = (now - self.last_failure).abs().to_std().unwrap_or_default();
        match delay.checked_sub(passed).filter(|left| !left.is_zero()) {
            Some(left) => Some(left),
            None => (self.under_way > 0).then_some(A_MOMENT),
        }
    }

    const fn is_nothing(self) -> bool {
        self.failures == 0 && self.under_way == 0
    }
}

/// Counts failed attempts, account by account. Shared by the threads of a process.
pub(crate) struct Attempts {
    counts: Mutex<HashMap<AccountKey, Count, RandomState>>,
    /// Accounts together with the addresses from which they were logged in to.
    known: Cache<AccountKey, ()>,
    capacity: usize,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new(ACCOUNTS)
    }
}

impl Attempts {
    fn new(capacity: usize) -> Self {
        Self { counts: Mutex::default(), known: Cache::new(capacity), capacity }
    }

    /// Lets an attempt through; the error is how long it has to wait.
    pub(crate) fn begin(
        &self,
        keyring: &Keyring,
        account: AccountKey,
        network: Network,
        now: DateTime<Utc>,
    ) -> Result<Attempt<'_>, Duration> {
        let here = account.from(keyring, network);
        let is_returning = self.known.get(&here).is_some();
        let counted = if is_returning { here } else { account };
        let mut counts = self.counts.lock();
        let mut count = counts.get(&counted).copied().unwrap_or_default().at(now);
        if let Some(wait) = count.wait(now) {
            return Err(wait);
        }
        count.under_way += 1;
        if counts.len() >= self.capacity && !counts.contains_key(&counted) {
            make_room(&mut counts, self.capacity, now);
        }
        counts.insert(counted, count);
        let is_checked = Cell::new(false);
        Ok(Attempt { attempts: self, counted, here, is_returning, now, is_checked })
    }

    fn change(&self, counted: AccountKey, change: impl FnOnce(Count) -> Count) {
        let mut counts = self.counts.lock();
        let after = change(counts.get(&counted).copied().unwrap_or_default());
        if after.is_nothing() {
            counts.remove(&counted);
        } else {
            counts.insert(counted, after);
        }
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempts({} accounts)", self.counts.lock().len())
    }
}

/// Forgets the counts that are over. If that leaves less than an eighth of the places free, forgets those with the
/// fewest failures until an eighth is.
fn make_room(counts: &mut HashMap<AccountKey, Count, RandomState>, capacity: usize, now: DateTime<Utc>) {
    counts.retain(|_, count| !count.at(now).is_nothing());
    let Some(too_many) = (counts.len() + capacity / 8 + 1).checked_sub(capacity).filter(|count| *count > 0)
    else {
        return;
    };
    let mut fewest: Vec<_> = counts.iter().map(|(key, count)| (count.failures, *key)).collect();
    let last = too_many.min(fewest.len()) - 1;
    fewest.select_nth_unstable_by_key(last, |(failures, _)| *failures);
    for (_, key) in fewest.iter().take(too_many) {
        counts.remove(key);
    }
}

/// An attempt under way. One that is dropped while the password is hashed has failed: what was hashed has to be
/// counted. One that is dropped before that, also while it waits for its turn to be hashed, or after it, says nothing
/// about the password: the reason is the server's slowness.
#[must_use = "an attempt ends when this is dropped"]
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    counted: AccountKey,
    here: AccountKey,
    is_returning: bool,
    now: DateTime<Utc>,
    /// Whether the password is being hashed.
    is_checked: Cell<bool>,
}

impl Attempt<'_> {
    /// Whether the account was logged in to from the same address on this node lately.
    pub(crate) const fn is_returning(&self) -> bool {
        self.is_returning
    }

    /// Checks the password once its turn to be hashed has come. An attempt that is dropped meanwhile has failed.
    pub(crate) async fn check<T>(&self, check: impl Future<Output = T>) -> T {
        self.is_checked.set(true);
        let result = check.await;
        self.is_checked.set(false);
        result
    }

    /// The password was wrong.
    pub(crate) fn failed(self) {
        self.is_checked.set(true);
    }

    /// The password was right.
    pub(crate) fn succeeded(self) {
        self.attempts.known.insert(self.here, ());
        self.attempts.change(self.counted, |count| Count { failures: 0, ..count });
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (now, has_failed) = (self.now, self.is_checked.get());
        self.attempts.change(self.counted, |count| {
            let count = Count { under_way: count.under_way.saturating_sub(1), ..count };
            if !has_failed {
                return count;
            }
            let count = count.at(now);
            Count { failures: count.failures.saturating_add(1), last_failure: now, ..count }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::root_key::RootKey;

    const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();

    fn keyring() -> Keyring {
        Keyring::new(&RootKey::from([1; 32])).unwrap()
    }

    fn network(number: u32) -> Network {
        Network::V4(number.into())
    }

    struct Given {
        keyring: Keyring,
        attempts: Attempts,
    }

    impl Given {
        fn new(capacity: usize) -> Self {
            Self { keyring: keyring(), attempts: Attempts::new(capacity) }
        }

        fn begin(&self, email: &str, from: u32, now: DateTime<Utc>) -> Result<Attempt<'_>, Duration> {
            let account = AccountKey::of(&self.keyring, Some("acme"), email);
            self.attempts.begin(&self.keyring, account, network(from), now)
        }

        /// Fails as often as is let through at this moment.
        fn fail(&self, email: &str, now: DateTime<Utc>) -> u32 {
            (0..100)
                .map_while(|from| self.begin(email, from, now).ok().map(Attempt::failed))
                .count()
                .try_into()
                .unwrap()
        }
    }

    #[test]
    fn after_ten_failures_from_anywhere_the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let given = Given::new(100);
        assert_eq!(given.fail("a", NOW), FREE);
        let (mut now, mut waits) = (NOW, Vec::new());
        for _ in 0..13 {
            let wait = given.begin("a", 99, now).err().unwrap();
            waits.push(wait.as_secs());
            let almost = now + wait - TimeDelta::milliseconds(1);
            assert!(given.begin("a", 99, almost).is_err(), "{wait:?}");
            now += wait;
            assert_eq!(given.fail("a", now), 1, "one at a time");
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert!(given.begin("b", 99, now).is_ok(), "another account is not held up");
        assert_eq!(given.fail("a", now + TimeDelta::hours(1)), FREE, "an hour later it is forgotten");
    }

    #[test]
    fn attempts_at_once_are_no_way_around() {
        let given = Given::new(100);
        let under_way: Vec<_> = (0..FREE).map(|from| given.begin("a", from, NOW).unwrap()).collect();
        assert_eq!(given.begin("a", 99, NOW).err(), Some(A_MOMENT));
        under_way.into_iter().for_each(Attempt::failed);
        let later = NOW + TimeDelta::seconds(1);
        let one = given.begin("a", 99, later).unwrap();
        assert_eq!(given.begin("a", 98, later).err(), Some(A_MOMENT), "after the free ones one at a time");
        drop(one);
        assert!(given.begin("a", 98, later).is_ok(), "what was not checked has not failed");
    }

    #[test]
    fn who_hammers_an_account_does_not_lock_out_those_who_have_logged_in_before() {
        let given = Given::new(100);
        given.begin("a", 7, NOW).unwrap().succeeded();
        // One of these is from the owner's address, and counts there.
        assert_eq!(given.fail("a", NOW), FREE + 1);
        assert!(given.begin("a", 99, NOW).is_err());
        let owner = given.begin("a", 7, NOW).unwrap();
        assert!(owner.is_returning());
        owner.succeeded();
        // Their own mistakes count, for their own address.
        for _ in 0..FREE {
            given.begin("a", 7, NOW).unwrap().failed();
        }
        assert!(given.begin("a", 7, NOW).is_err());
    }

    #[test]
    fn a_success_wipes_the_slate_and_leaves_nothing_behind() {
        let given = Given::new(100);
        for _ in 0..FREE - 1 {
            given.begin("a", 1, NOW).unwrap().failed();
        }
        given.begin("a", 1, NOW).unwrap().succeeded();
        assert_eq!(given.attempts.counts.lock().len(), 0);
        // One of these is from the address of the success, and counts there.
        assert_eq!(given.fail("a", NOW), FREE + 1, "strangers begin anew");
    }

    #[test]
    fn a_flood_of_made_up_accounts_does_not_wash_a_victims_failures_away() {
        let given = Given::new(64);
        given.fail("victim", NOW);
        for number in 0..10_000 {
            given.begin(&number.to_string(), 1, NOW).unwrap().failed();
        }
        assert!(given.begin("victim", 99, NOW).is_err());
        assert!(given.attempts.counts.lock().len() <= 64);
    }

    #[test]
    fn who_hangs_up_while_the_password_is_checked_has_failed_and_who_is_cut_off_by_us_has_not() {
        let given = Given::new(100);
        for _ in 0..2 * FREE {
            let attempt = given.begin("a", 1, NOW).unwrap();
            assert_eq!(attempt.check(std::future::ready(7)).now_or_never(), Some(7));
        }
        for number in 0..=FREE {
            let Ok(attempt) = given.begin("a", 1, NOW) else {
                assert_eq!(number, FREE);
                return;
            };
            assert!(attempt.check(std::future::pending::<()>()).now_or_never().is_none());
        }
        panic!("there was no end");
    }

    #[test]
    fn accounts_are_told_apart_by_all_that_names_them() {
        let of = |tenant, email| AccountKey::of(&keyring(), tenant, email).0;
        let all = [
            of(None, "a"),
            of(Some(""), "a"),
            of(Some("a"), ""),
            of(Some("a\0b"), "c"),
            of(Some("a"), "b\0c"),
            of(Some("operators"), "a"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{at}");
        }
    }
}
