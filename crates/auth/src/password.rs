//! Passwords: how they are hashed and checked.
//!
//! Owns the one way a password becomes something that may be stored: Argon2id with 19 MiB, 2 passes and 1 lane, from
//! OWASP's password storage cheat sheet, as a PHC string. Hashing is expensive on purpose. It runs on threads of its
//! own that give way to those that serve requests, a few at a time, in the order of `hash_queue.rs`: a flood of logins
//! is refused instead of taking the node's memory and processors. Refuses to tell, by answer or by time, whether there
//! was a stored hash at all.

use std::{fmt, sync::Arc};

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use bulkhead_domain::{Slug, TextError, text::opaque::opaque_string};
use bulkhead_limits::aside;

use crate::hash_queue::{Full, HashQueue, Slot, Turn};

/// The hash that a password is checked against when the account does not exist. Its parameters are those of new
/// hashes, so the check takes as long. No password is known for it, and a match would be ignored.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbC4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The most memory of a stored hash that is checked, in KiB; below it the most passes and lanes. Stored hashes may
/// have been imported. A hash that needs more was not made by this program: its author would choose how much memory
/// and time a login takes.
const MOST_MEMORY_KIB: u32 = 64 * 1024;
const MOST_PASSES: u32 = 10;
const MOST_LANES: u32 = 4;

/// The most characters of a password.
pub(crate) const MOST_CHARS: usize = 256;

/// The fewest characters that any password has had.
pub(crate) const LEAST_CHARS: usize = 8;

/// The most characters of a password as it is sent: in its form, no character stands for more than four.
const MOST_CHARS_SENT: usize = 4 * MOST_CHARS;

/// A text that is hashed, or that a hash is checked against. A password that is to be stored is made by
/// [`PasswordRules`](crate::PasswordRules) alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The form of a password ([`opaque_string`]), of at most 256 characters.
    pub(crate) fn normalised(text: &str) -> Result<Self, TextError> {
        const TOO_LONG: TextError = TextError::TooLong { most: MOST_CHARS };
        // Counting stops where it is known to be too long.
        if text.chars().take(MOST_CHARS_SENT + 1).count() > MOST_CHARS_SENT {
            return Err(TOO_LONG);
        }
        let form = opaque_string(text)?;
        if form.chars().count() > MOST_CHARS { Err(TOO_LONG) } else { Ok(Self(form.into_owned())) }
    }

    /// The text itself.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The slug that the password spells, in whatever case, if it could be one.
    pub fn as_slug(&self) -> Option<Slug> {
        self.0.to_lowercase().parse().ok()
    }
}

/// A password that is logged in with, in the forms of it that a stored hash can have been made of. Hashes are made of the
/// form in which every spelling of a password is the same text. Those of before 2026-11-29 were made of the text as it was sent.
/// Where that is another text, both are checked; ordinary passwords are one.
pub(crate) struct Presented {
    first: Password,
    as_sent: Option<Password>,
}

/// Which form of a password has matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// The one that new hashes are made of, if the password has it.
    First,
    /// The text as it was sent, which new hashes are not made of.
    AsSent,
}

impl Presented {
    /// The forms of a text; `None` when no hash was ever made of it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let fits = |length| (LEAST_CHARS..=MOST_CHARS).contains(&length);
        let form = Password::normalised(text).ok().filter(|form| fits(form.0.chars().count()));
        let as_sent = || fits(text.chars().take(MOST_CHARS + 1).count()).then(|| Password(text.to_owned()));
        match form {
            Some(first) if first.0 == text => Some(Self { first, as_sent: None }),
            Some(first) => Some(Self { first, as_sent: as_sent() }),
            // It has no form, so it stays as it was sent.
            None => as_sent().map(|first| Self { first, as_sent: None }),
        }
    }

    /// What is checked in place of a text that cannot be a password.
    pub(crate) fn stand_in() -> Self {
        Self { first: Password("not a password".to_owned()), as_sent: None }
    }

    /// What a new hash is made of.
    pub(crate) const fn to_store(&self) -> &Password {
        &self.first
    }

    fn forms(&self) -> impl Iterator<Item = (Match, &Password)> {
        let as_sent = self.as_sent.as_ref().map(|form| (Match::AsSent, form));
        std::iter::once((Match::First, &self.first)).chain(as_sent)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why a password was neither hashed nor checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// As many are waiting as may wait: try again in a second.
    #[error("too many passwords are being checked")]
    Busy,
    /// Argon2 failed, or the system has no thread to spare.
    #[error("the password could not be hashed")]
    Failed,
}

impl From<Full> for PasswordError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// Hashes and checks passwords, a bounded number at a time. Clones share the queue.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    queue: HashQueue,
}

impl PasswordHasher {
    /// Lets `parallelism` hashes run at once; each takes 19 MiB and a processor for tens of milliseconds.
    pub fn new(parallelism: usize) -> Self {
        Self { queue: HashQueue::new(parallelism) }
    }

    /// How many run at once.
    pub(crate) fn slots(&self) -> usize {
        self.queue.slots()
    }

    /// Whether a caller that asks for this turn now is refused. Asked before work that would be wasted then.
    pub fn is_full(&self, turn: Turn) -> bool {
        self.queue.is_full(turn)
    }

    /// The PHC string to store for a password. [`PasswordError::Busy`] when the queue has no place for this turn or
    /// gives the place to another tenant, [`PasswordError::Failed`] when Argon2 fails or the system has no thread to
    /// spare.
    pub async fn hash(&self, turn: Turn, password: Password) -> Result<String, PasswordError> {
        Self::run(self.wait(turn).await?, move || {
            let hash = Argon2::default()
                .hash_password(password.0.as_bytes())
                .map_err(|_argon2| PasswordError::Failed)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Waits for the right to hash once.
    pub(crate) async fn wait(&self, turn: Turn) -> Result<Slot, PasswordError> {
        Ok(self.queue.wait(turn).await?)
    }

    /// In which form a password is the stored one. Without a usable stored hash in none. Whatever is stored, the check
    /// of a password that does not match is no less work than for an account that does not exist.
    pub(crate) async fn verify(
        slot: Slot,
        password: Arc<Presented>,
        stored: Option<String>,
    ) -> Result<Option<Match>, PasswordError> {
        let verify = |form: &Password, hash: &PasswordHash| {
            Argon2::default().verify_password(form.0.as_bytes(), hash).is_ok()
        };
        Self::run(slot, move || Ok(matching(&password, stored.as_deref(), verify))).await
    }

    async fn run<T: Send + 'static>(
        slot: Slot,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        // A caller who goes away does not stop the thread, so the thread holds the slot, not the caller.
        let work = move || {
            let result = work();
            drop(slot);
            result
        };
        aside("password", work).await.map_err(|_not_done| PasswordError::Failed)?
    }
}

/// Whether a stored hash, though good, should be replaced by a new one at the next login.
pub fn needs_rehash(stored: &str) -> bool {
    let today = Params::DEFAULT;
    PasswordHash::new(stored).ok().zip(PasswordHash::new(DECOY).ok()).is_none_or(|(stored, decoy)| {
        let same_kind = stored.algorithm == decoy.algorithm && stored.version == decoy.version;
        let same_cost = Params::try_from(&stored).is_ok_and(|params| {
            (params.m_cost(), params.t_cost(), params.p_cost())
                == (today.m_cost(), today.t_cost(), today.p_cost())
        });
        !(same_kind && same_cost)
    })
}

/// The form of a password that matches the stored hash, as `verify` finds. How many hashes that takes without a match
/// follows from the password alone.
fn matching(
    password: &Presented,
    stored: Option<&str>,
    mut verify: impl FnMut(&Password, &PasswordHash) -> bool,
) -> Option<Match> {
    let (own, decoy) = hashes(stored);
    password.forms().find_map(|(form, text)| {
        let _decoy_has_it = decoy.as_ref().is_some_and(|hash| verify(text, hash));
        own.as_ref().is_some_and(|hash| verify(text, hash)).then_some(form)
    })
}

/// The hashes that a password is checked against: the stored one if it is usable, and, unless that costs at least as
/// much, the decoy that is checked when an account does not exist. So an account with an unusable or a cheap hash,
/// from an import, is not answered sooner than one that does not exist.
fn hashes(stored: Option<&str>) -> (Option<PasswordHash>, Option<PasswordHash>) {
    let own = stored.and_then(parse);
    if stored.is_some() && own.is_none() {
        tracing::error!("a stored password hash is unusable: no log-in with it can succeed");
    }
    let cost = |hash: &PasswordHash| {
        Params::try_from(hash).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
    };
    let decoy = parse(DECOY);
    let least = decoy.as_ref().map_or(0, cost);
    let is_dear = own.as_ref().is_some_and(|own| cost(own) >= least);
    (own, decoy.filter(|_| !is_dear))
}

/// A usable stored hash: Argon2id with salt and hash, within the limits above; otherwise `None`.
fn parse(stored: &str) -> Option<PasswordHash> {
    let hash = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let affordable =
        params.m_cost() <= MOST_MEMORY_KIB && params.t_cost() <= MOST_PASSES && params.p_cost() <= MOST_LANES;
    let ours =
        affordable && hash.algorithm == argon2::ARGON2ID_IDENT && hash.salt.is_some() && hash.hash.is_some();
    ours.then_some(hash)
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;

    use super::*;
    use crate::hash_queue::Lane;

    const LOGIN: Turn = Turn { lane: Lane::Logins, group: 1, network: None };

    async fn verify(
        hasher: &PasswordHasher,
        turn: Turn,
        text: &str,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let presented = Arc::new(Presented::read(text).unwrap());
        Ok(PasswordHasher::verify(hasher.wait(turn).await?, presented, stored).await?.is_some())
    }

    fn password(text: &str) -> Password {
        Password::normalised(text).unwrap()
    }

    /// The forms in which a text is checked.
    fn forms(text: &str) -> Vec<String> {
        let forms = |presented: Presented| presented.forms().map(|(_, form)| form.0.clone()).collect();
        Presented::read(text).map(forms).unwrap_or_default()
    }

    #[test]
    fn an_ordinary_password_is_checked_once_and_one_with_another_spelling_as_it_was_sent_too() {
        for ordinary in ["12345678", "ääääääää", &"x".repeat(256), &"ä".repeat(256), "blanks and \u{1F511}"]
        {
            assert_eq!(forms(ordinary), [ordinary]);
        }
        let (decomposed, composed) = ("pa\u{308}sswo\u{308}rd", "pässwörd");
        assert_eq!(forms(decomposed), [composed, decomposed]);
        assert_eq!(forms("eight\u{3000}chars"), ["eight chars", "eight\u{3000}chars"]);
        // What was a password once is one for those who have it.
        for disallowed in ["love \u{2764}\u{fe0f} love", "a tab \t in it", "zero\u{200b}width"] {
            assert_eq!(forms(disallowed), [disallowed]);
        }
        // Eight characters were counted as they were sent.
        assert_eq!(forms("e\u{301}1234567"), ["é1234567", "e\u{301}1234567"]);
        assert_eq!(forms("e\u{301}123456"), ["e\u{301}123456"]);
        assert_eq!(forms(&"e\u{301}".repeat(256)), ["é".repeat(256)]);
        for none in ["", "1234567", "äääääää", "e\u{301}12345", &"x".repeat(257), &"e\u{301}".repeat(257)]
        {
            assert_eq!(forms(none), [""; 0], "{none:?}");
        }
        assert_eq!(forms(&format!("a{}", "\u{301}".repeat(100_000))), [""; 0]);
        assert_eq!(format!("{:?}", password("12345678")), "Password(..)");
    }

    /// Ordinary passwords take one hash, others two, and an account that does not exist takes as many as one that does.
    #[test]
    fn a_failed_check_takes_as_many_hashes_whatever_is_stored() {
        let tail = "$bm9ib2R5IGF0IGFsbC4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let (dear, cheap) =
            (format!("$argon2id$v=19$m=19456,t=2,p=1{tail}"), format!("$argon2id$v=19$m=8192,t=1,p=1{tail}"));
        for (text, hashes) in
            [("12345678", 1), ("love \u{2764}\u{fe0f} love", 1), ("pa\u{308}sswo\u{308}rd", 2)]
        {
            let presented = Presented::read(text).unwrap();
            for stored in [None, Some("unusable"), Some(dear.as_str()), Some(cheap.as_str())] {
                let (mut at_full_cost, mut at_less) = (0, 0);
                let found = matching(&presented, stored, |_, hash| {
                    let is_full = Params::try_from(hash).unwrap().m_cost() == 19_456;
                    *if is_full { &mut at_full_cost } else { &mut at_less } += 1;
                    false
                });
                let is_cheap = stored == Some(cheap.as_str());
                assert_eq!((found, at_full_cost), (None, hashes), "{text:?} {stored:?}");
                assert_eq!(at_less, if is_cheap { hashes } else { 0 }, "{text:?} {stored:?}");
            }
        }
        assert_eq!(Presented::stand_in().forms().count(), 1);
    }

    #[tokio::test]
    async fn a_hash_of_either_form_is_matched_and_told_apart() {
        let hasher = PasswordHasher::new(2);
        let (decomposed, composed) = ("pa\u{308}sswo\u{308}rd", "pässwörd");
        let found = async |text, stored: &str| {
            let presented = Arc::new(Presented::read(text).unwrap());
            let slot = hasher.wait(LOGIN).await.unwrap();
            PasswordHasher::verify(slot, presented, Some(stored.to_owned())).await.unwrap()
        };
        let today = hasher.hash(LOGIN, password(decomposed)).await.unwrap();
        let before = hasher.hash(LOGIN, Password(decomposed.to_owned())).await.unwrap();
        assert_eq!(found(composed, &today).await, Some(Match::First));
        assert_eq!(found(decomposed, &today).await, Some(Match::First));
        assert_eq!(found(decomposed, &before).await, Some(Match::AsSent));
        assert_eq!(found(composed, &before).await, None);
    }

    #[test]
    fn new_hashes_follow_owasp_and_the_dummy_costs_the_same() {
        for params in [Params::DEFAULT, Params::try_from(&parse(DECOY).unwrap()).unwrap()] {
            assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (19_456, 2, 1));
        }
        assert!(!needs_rehash(DECOY));
    }

    #[tokio::test]
    async fn a_password_matches_only_its_own_hash() {
        let hasher = PasswordHasher::new(2);
        let stored = hasher.hash(LOGIN, password("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hasher.hash(LOGIN, password("correct horse")).await.unwrap());
        assert!(!needs_rehash(&stored));
        let verify = |text, stored| verify(&hasher, LOGIN, text, stored);
        assert_eq!(verify("correct horse", Some(stored.clone())).await, Ok(true));
        assert_eq!(verify("correct horsf", Some(stored)).await, Ok(false));
        assert_eq!(verify("correct horse", None).await, Ok(false));
    }

    #[tokio::test]
    async fn hashes_that_are_not_ours_or_cost_too_much_are_not_read_and_decoys_is_run_instead() {
        let hasher = PasswordHasher::new(1);
        let tail = "$bm9ib2R5IGF0IGFsbC4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for bad in [
            String::new(),
            "12345678".to_owned(),
            format!("$argon2id$v=19$m=4194304,t=2,p=1{tail}"),
            format!("$argon2id$v=19$m=19456,t=4294967295,p=1{tail}"),
            format!("$argon2id$v=19$m=19456,t=2,p=200{tail}"),
            format!("$argon2d$v=19$m=19456,t=2,p=1{tail}"),
            "$argon2id$v=19$m=19456,t=2,p=1".to_owned(),
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
                .to_owned(),
        ] {
            let (own, decoy) = hashes(Some(&bad));
            assert!(own.is_none() && decoy.is_some(), "{bad}");
            assert_eq!(verify(&hasher, LOGIN, "12345678", Some(bad.clone())).await, Ok(false), "{bad}");
            assert!(needs_rehash(&bad) || bad == "$argon2id$v=19$m=19456,t=2,p=1", "{bad}");
        }
        assert!(needs_rehash(&format!("$argon2id$v=19$m=19456,t=3,p=1{tail}")));
        assert!(needs_rehash(&format!("$argon2id$v=16$m=19456,t=2,p=1{tail}")));
    }

    #[test]
    fn a_check_costs_no_less_than_that_of_an_account_that_does_not_exist() {
        let tail = "$bm9ib2R5IGF0IGFsbC4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let with = |m: u32, t: u32| hashes(Some(&format!("$argon2id$v=19$m={m},t={t},p=1{tail}")));
        for (m, t, is_dear) in [(8_192, 1, false), (19_456, 1, false), (19_456, 2, true), (65_536, 3, true)] {
            let (own, decoy) = with(m, t);
            assert_eq!((own.is_some(), decoy.is_none()), (true, is_dear), "{m} {t}");
        }
        let (own, decoy) = hashes(None);
        assert!(own.is_none() && decoy.is_some());
    }

    #[tokio::test]
    async fn beyond_the_queue_callers_are_turned_away_at_once_and_later_ones_served() {
        let hasher = PasswordHasher::new(1);
        let operator = Turn { lane: Lane::Operators, group: 0, network: None };
        let running = hasher.queue.wait(operator).await.unwrap();
        let mut callers = JoinSet::new();
        for _ in 0..30 {
            let hasher = hasher.clone();
            callers.spawn(async move { verify(&hasher, operator, "12345678", None).await });
        }
        // Sixteen wait.
        for _ in 0..14 {
            assert_eq!(callers.join_next().await.unwrap().unwrap(), Err(PasswordError::Busy));
        }
        assert!(hasher.is_full(operator));
        drop(running);
        assert_eq!(callers.join_all().await, [Ok(false); 16]);
        assert!(!hasher.is_full(operator));
        assert_eq!(verify(&hasher, operator, "12345678", None).await, Ok(false));
    }

    #[tokio::test]
    async fn hashing_is_done_aside_of_the_serving_threads() {
        let hasher = PasswordHasher::new(1);
        let name = || Ok(std::thread::current().name().map(str::to_owned));
        let hashing = PasswordHasher::run(hasher.wait(LOGIN).await.unwrap(), name);
        assert_eq!(hashing.await, Ok(Some("password".to_owned())));
    }

    #[tokio::test]
    async fn a_caller_who_goes_away_frees_no_slot_before_its_hash_is_done() {
        let hasher = PasswordHasher::new(1);
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let gone = tokio::spawn({
            let hasher = hasher.clone();
            async move {
                let work = move || {
                    begin.send(()).unwrap();
                    finished.recv().unwrap();
                    Ok(())
                };
                PasswordHasher::run(hasher.wait(LOGIN).await?, work).await
            }
        });
        tokio::task::yield_now().await;
        begun.recv().unwrap();
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.queue.counts(), (1, 0));
        finish.send(()).unwrap();
        assert_eq!(verify(&hasher, LOGIN, "12345678", None).await, Ok(false));
    }
}
