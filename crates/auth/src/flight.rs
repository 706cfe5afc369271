//! One read for all callers that want the same at once.
//!
//! The first caller starts the read, as a task of its own on its thread (which has to run local tasks). All callers
//! wait for its result, each for as long as it likes, and share its failure, which is remembered for a moment. No
//! caller holds a lock meanwhile, and a caller that goes away does not break the read off for the others.

use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use bulkhead_db::{DbError, DbResult};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

/// For how long a failure is the answer without another try.
const REMEMBERED: Duration = Duration::from_secs(1);

/// After how long a read that has not ended is taken for lost, and another one started beside it.
const LOST: Duration = Duration::from_secs(10);

/// How many entries there may be. Those of past failures and lost reads are dropped then; if that is not enough, nothing more
/// is begun.
const MANY: usize = 1_024;

type Outcome<T> = Result<T, Arc<DbError>>;

/// Reads under way, and failures of a moment ago, by what is read.
pub(crate) struct Flights<K, T> {
    states: Arc<Mutex<HashMap<K, State<T>, RandomState>>>,
}

enum State<T> {
    Going { since: Instant, result: watch::Receiver<Option<Outcome<T>>> },
    Failed { at: Instant, error: Arc<DbError> },
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self { states: Arc::default() }
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flights")
    }
}

impl<K, T> Flights<K, T>
where
    K: Copy + Eq + Hash + 'static,
    T: Clone + 'static,
{
    /// What the read of `key` yields: the one that is under way, or `work`, started now.
    pub(crate) async fn join<W>(&self, key: K, work: impl FnOnce() -> W) -> DbResult<T>
    where
        W: Future<Output = DbResult<T>> + 'static,
    {
        let mut result = match self.board(key) {
            Ok(result) => result,
            Err(Boarding::Failed(error)) => return Err(retold(&error)),
            Err(Boarding::Full) => return Err(DbError::Busy),
            Err(Boarding::Start(result)) => {
                let landing = Landing { states: Arc::clone(&self.states), key, result };
                let (waiting, work) = (landing.result.subscribe(), work());
                tokio::task::spawn_local(async move { landing.land(work.await) });
                waiting
            }
        };
        let ended = result.wait_for(Option::is_some).await;
        match ended.as_deref() {
            Ok(Some(Ok(value))) => Ok(value.clone()),
            Ok(Some(Err(error))) => Err(retold(error)),
            Ok(None) | Err(_) => {
                Err(DbError::Unavailable("a read that many waited for was broken off".into()))
            }
        }
    }

    /// Whether a read of `key` has been under way for at least `longer_than`. A caller that waits for it now is likely
    /// to wait in vain.
    pub(crate) fn is_slow(&self, key: K, longer_than: Duration) -> bool {
        matches!(self.states.lock().get(&key), Some(State::Going { since, result })
            if since.elapsed() >= longer_than && since.elapsed() < LOST && result.has_changed().is_ok())
    }

    /// The result to wait for, or why there is none yet.
    fn board(&self, key: K) -> Result<watch::Receiver<Option<Outcome<T>>>, Boarding<T>> {
        let mut states = self.states.lock();
        match states.get(&key) {
            Some(state @ State::Going { result, .. }) if state.is_under_way() => return Ok(result.clone()),
            Some(State::Failed { at, error }) if at.elapsed() < REMEMBERED => {
                return Err(Boarding::Failed(Arc::clone(error)));
            }
            _ => {}
        }
        if states.len() >= MANY {
            states.retain(|_, state| state.is_under_way());
            if states.len() >= MANY {
                return Err(Boarding::Full);
            }
        }
        let (sender, result) = watch::channel(None);
        states.insert(key, State::Going { since: Instant::now(), result });
        Err(Boarding::Start(sender))
    }
}

impl<T> State<T> {
    /// Whether there is still something to wait for. When the runtime of the read has ended, the sender is dropped
    /// without a result.
    fn is_under_way(&self) -> bool {
        matches!(self, Self::Going { since, result } if since.elapsed() < LOST && result.has_changed().is_ok())
    }
}

enum Boarding<T> {
    Full,
    Failed(Arc<DbError>),
    Start(watch::Sender<Option<Outcome<T>>>),
}

/// A read under way, as the task that makes it holds it.
struct Landing<K, T> {
    states: Arc<Mutex<HashMap<K, State<T>, RandomState>>>,
    key: K,
    result: watch::Sender<Option<Outcome<T>>>,
}

impl<K: Eq + Hash, T> Landing<K, T> {
    fn land(self, result: DbResult<T>) {
        let result = result.map_err(Arc::new);
        {
            let mut states = self.states.lock();
            // One that was taken for lost has been replaced.
            let own = matches!(states.get(&self.key), Some(State::Going { result, .. })
                if result.same_channel(&self.result.subscribe()));
            if own {
                match &result {
                    Ok(_) => states.remove(&self.key),
                    Err(error) => {
                        let failed = State::Failed { at: Instant::now(), error: Arc::clone(error) };
                        states.insert(self.key, failed)
                    }
                };
            }
        }
        self.result.send_replace(Some(result));
    }
}

/// A copy of a failure for one of the callers that share it.
fn retold(error: &DbError) -> DbError {
    if error.is_transient() {
        DbError::Unavailable(error.to_string())
    } else {
        DbError::Setup(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, pending, ready},
        sync::atomic::{AtomicU32, Ordering},
    };

    use tokio::{
        sync::oneshot,
        task::{LocalSet, spawn_local, yield_now},
        time::{advance, timeout},
    };

    use super::*;

    fn good(value: u32) -> Ready<DbResult<u32>> {
        ready(Ok(value))
    }

    fn bad(error: DbError) -> Ready<DbResult<u32>> {
        ready(Err(error))
    }

    #[tokio::test]
    async fn many_share_one_read_and_one_that_leaves_takes_it_from_nobody() {
        let test = async {
            let flights = Arc::new(Flights::<u8, u32>::default());
            let reads = Arc::new(AtomicU32::new(0));
            let (answer, answered) = oneshot::channel::<u32>();
            let mut answered = Some(answered);
            let mut callers = Vec::new();
            for _ in 0..10 {
                let (flights, reads, answered) = (Arc::clone(&flights), Arc::clone(&reads), answered.take());
                callers.push(spawn_local(async move {
                    let work = || async move {
                        reads.fetch_add(1, Ordering::SeqCst);
                        match answered {
                            Some(answered) => answered.await.map_err(|_gone| DbError::Busy),
                            None => Err(DbError::Busy),
                        }
                    };
                    flights.join(1, work).await
                }));
                yield_now().await;
            }
            // The one that has started it, and one that waits.
            for gone in callers.drain(..2) {
                gone.abort();
                assert!(gone.await.unwrap_err().is_cancelled());
            }
            answer.send(7).unwrap();
            for caller in callers {
                assert_eq!(caller.await.unwrap().unwrap(), 7);
            }
            assert_eq!(reads.load(Ordering::SeqCst), 1);
            assert_eq!(flights.join(1, || good(8)).await.unwrap(), 8, "a later one reads anew");
            assert_eq!(flights.states.lock().len(), 0);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_and_remembered_for_a_second_by_its_own_key_alone() {
        let test = async {
            let flights = Flights::<u8, u32>::default();
            let (one, two) =
                tokio::join!(flights.join(1, || bad(DbError::Timeout)), flights.join(1, || good(1)));
            for shared in [one, two] {
                assert!(matches!(shared, Err(DbError::Unavailable(_))));
            }
            assert!(flights.join(1, || good(1)).await.is_err());
            assert_eq!(flights.join(2, || good(2)).await.unwrap(), 2);
            advance(REMEMBERED).await;
            assert_eq!(flights.join(1, || good(1)).await.unwrap(), 1);
            let shared = flights.join(1, || bad(DbError::Denied("x".into()))).await;
            assert!(shared.is_err_and(|error| !error.is_transient()));
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_never_ends_holds_nobody_up_for_longer_than_they_like() {
        let test = async {
            let flights = Flights::<u8, u32>::default();
            let patience = Duration::from_secs(2);
            assert!(timeout(patience, flights.join(1, pending)).await.is_err());
            assert!(timeout(patience, flights.join(1, || good(1))).await.is_err());
            assert!(flights.is_slow(1, patience) && !flights.is_slow(1, 3 * patience));
            assert!(!flights.is_slow(2, patience));
            advance(LOST).await;
            assert_eq!(flights.join(1, || good(1)).await.unwrap(), 1, "it counts as lost");
        };
        LocalSet::new().run_until(test).await;
    }

    #[test]
    fn a_read_whose_runtime_has_ended_is_started_anew() {
        let flights = Flights::<u8, u32>::default();
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let never = async {
            let brief = Duration::from_millis(1);
            assert!(timeout(brief, flights.join(1, pending)).await.is_err());
        };
        LocalSet::new().block_on(&runtime(), never);
        let again = async { assert_eq!(flights.join(1, || good(1)).await.unwrap(), 1) };
        LocalSet::new().block_on(&runtime(), again);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_nothing_is_begun_and_what_is_under_way_is_still_shared() {
        let test = async {
            let flights = Flights::<usize, u32>::default();
            for key in 0..MANY {
                assert!(timeout(Duration::ZERO, flights.join(key, pending)).await.is_err());
            }
            assert!(matches!(flights.join(MANY, || good(1)).await, Err(DbError::Busy)));
            assert!(timeout(Duration::ZERO, flights.join(1, || good(1))).await.is_err(), "it is read beside");
            advance(LOST).await;
            assert_eq!(
                flights.join(MANY, || good(1)).await.unwrap(),
                1,
                "the lost ones give their places up"
            );
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn what_failed_is_not_kept_for_ever() {
        let test = async {
            let flights = Flights::<usize, u32>::default();
            for key in 0..3 * MANY {
                assert!(flights.join(key, || bad(DbError::Busy)).await.is_err());
            }
            assert!(flights.states.lock().len() <= MANY);
        };
        LocalSet::new().run_until(test).await;
    }
}
