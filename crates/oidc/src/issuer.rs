//! One issuer, as this node knows it: its document, its keys, and whether it answers.
//!
//! Owns when it is asked. Keys are believed for an hour; when the issuer does not answer then, for a day in all. A token that
//! names a key which is not among them or was signed by none of them, an old set and a failure are reasons to ask again, and none of them more often than the
//! pauses say. One request at a time; who has keys to go on with does not wait for it, and who has none waits for its end.

use std::{sync::Arc, time::Duration};

use bulkhead_outbound::{Client, Endpoint, FetchError};
use bulkhead_telemetry::metrics::Identity;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    issuers::{Source, Unavailable},
    keys::{Algorithm, Keys},
    metadata::{self, Metadata},
};

/// For how long an issuer's answer is believed.
pub const FRESH_FOR: Duration = Duration::from_secs(3_600);
/// For how long keys are used when the issuer does not answer. After that, a key that it has withdrawn meanwhile would be
/// trusted for too long.
pub const STALE_FOR: Duration = Duration::from_secs(86_400);
/// The shortest time between two requests because of a key that is not known, and while the circuit is open.
pub const PAUSE: Duration = Duration::from_secs(30);
/// The same for an issuer of which nothing is known yet, while the circuit is closed.
pub const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// After how many failures in a row the circuit opens.
pub const FAILURES: u32 = 3;

/// Whether an issuer is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// It answers, as far as is known.
    Closed,
    /// It has failed [`FAILURES`] times in a row, a moment ago: it is not asked.
    Open,
    /// The pause is over: the next request that needs it asks once, and closes the circuit or opens it again.
    HalfOpen,
}

#[derive(Default)]
struct State {
    metadata: Option<Arc<Metadata>>,
    keys: Option<Arc<Keys>>,
    /// When the two were read.
    read_at: Option<Instant>,
    /// When the issuer was last asked.
    asked_at: Option<Instant>,
    /// Whether it is being asked at this moment.
    is_asked: bool,
    failures: u32,
}

/// What a caller looks for.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    /// Where people log in.
    Anything,
    /// A key of this name, or any one, for this algorithm.
    Key(Option<&'a str>, Algorithm),
    /// Keys that were read after these.
    OtherThan(&'a Arc<Keys>),
}

impl Wanted<'_> {
    fn is_had(self, keys: &Arc<Keys>) -> bool {
        match self {
            Self::Anything => true,
            Self::Key(kid, algorithm) => keys.has(kid, algorithm),
            Self::OtherThan(known) => !Arc::ptr_eq(known, keys),
        }
    }
}

/// What a caller does next.
enum Next {
    Use(Arc<Metadata>, Arc<Keys>),
    Ask,
    GiveUp,
}

pub(crate) struct Issuer {
    source: Source,
    state: Mutex<State>,
    asking: Arc<tokio::sync::Mutex<()>>,
    metrics: Option<Identity>,
}

impl Issuer {
    pub(crate) fn new(source: Source, metrics: Option<Identity>) -> Self {
        Self { source, state: Mutex::default(), asking: Arc::default(), metrics }
    }

    /// What the issuer publishes, with what is wanted, if it can be had.
    pub(crate) async fn find(
        self: &Arc<Self>,
        client: &Client,
        wanted: Wanted<'_>,
    ) -> Result<(Arc<Metadata>, Arc<Keys>), Unavailable> {
        // The second look is after the request of another caller or of our own.
        for _ in 0..2 {
            match self.next(wanted) {
                Next::Use(metadata, keys) => return Ok((metadata, keys)),
                Next::GiveUp => return Err(Unavailable),
                Next::Ask => {}
            }
            match Arc::clone(&self.asking).try_lock_owned() {
                Ok(turn) => {
                    // A task of its own: a caller that goes away must not break it off for the others.
                    let (issuer, client) = (Arc::clone(self), client.clone());
                    let asked = tokio::spawn(async move {
                        issuer.ask(&client).await;
                        drop(turn);
                    });
                    if let Some(known) = self.usable(wanted) {
                        return Ok(known);
                    }
                    let _finished_or_aborted = asked.await;
                }
                Err(_another_asks) => {
                    if let Some(known) = self.usable(wanted) {
                        return Ok(known);
                    }
                    drop(self.asking.lock().await);
                }
            }
        }
        match self.next(wanted) {
            Next::Use(metadata, keys) => Ok((metadata, keys)),
            Next::Ask | Next::GiveUp => Err(Unavailable),
        }
    }

    fn next(&self, wanted: Wanted<'_>) -> Next {
        let state = self.state.lock();
        let age = state.read_at.map(|at| at.elapsed());
        let known =
            state.metadata.clone().zip(state.keys.clone()).filter(|_| age.is_some_and(|age| age < STALE_FOR));
        let is_fresh = age.is_some_and(|age| age < FRESH_FOR);
        match known {
            Some((metadata, keys)) if is_fresh && wanted.is_had(&keys) => Next::Use(metadata, keys),
            // What the request that is under way brings may be what is wanted.
            Some(_) | None if state.is_asked || state.may_ask() => Next::Ask,
            Some((metadata, keys)) => Next::Use(metadata, keys),
            None => Next::GiveUp,
        }
    }

    /// What can be used although it is old, so that the caller need not wait.
    fn usable(&self, wanted: Wanted<'_>) -> Option<(Arc<Metadata>, Arc<Keys>)> {
        let state = self.state.lock();
        let is_usable = state.read_at.is_some_and(|at| at.elapsed() < STALE_FOR);
        let known = state.metadata.clone().zip(state.keys.clone()).filter(|_| is_usable)?;
        wanted.is_had(&known.1).then_some(known)
    }

    async fn ask(&self, client: &Client) {
        {
            let mut state = self.state.lock();
            state.asked_at = Some(Instant::now());
            state.is_asked = true;
        }
        let answer = self.read(client).await;
        let (was, is) = {
            let mut state = self.state.lock();
            let was = state.failures;
            match &answer {
                Ok((metadata, keys)) => {
                    state.metadata = Some(Arc::clone(metadata));
                    state.keys = Some(Arc::clone(keys));
                    state.read_at = Some(Instant::now());
                    state.failures = 0;
                }
                Err(_) => state.failures = was.saturating_add(1),
            }
            // Counted from its end: a request may have taken seconds.
            state.asked_at = Some(Instant::now());
            state.is_asked = false;
            (was >= FAILURES, state.failures >= FAILURES)
        };
        if let Err(error) = &answer {
            tracing::warn!(issuer = %self.source.issuer, %error, circuit_open = is, "an issuer was asked in vain");
        }
        if let Some(metrics) = &self.metrics {
            metrics.asked(answer.is_ok());
            metrics.open_circuits.add(i64::from(is) - i64::from(was));
        }
    }

    async fn read(&self, client: &Client) -> Result<(Arc<Metadata>, Arc<Keys>), FetchError> {
        let private_allowed = client.is_private_allowed();
        let form = |_form| FetchError::Unusable("its address is not https");
        let own = self.source.jwks.as_deref();
        let metadata = match own {
            // An issuer whose keys were named has none to be found by: it need not have a document.
            Some(jwks) => Metadata {
                jwks: Endpoint::parse(jwks, private_allowed).map_err(form)?,
                authorization: None,
                token: None,
                secret_in_body: false,
            },
            None => {
                let address = metadata::address(&self.source.issuer, private_allowed).map_err(form)?;
                Metadata::read(&client.get(&address).await?, &self.source.issuer, private_allowed)?
            }
        };
        let keys = Keys::read(&client.get(&metadata.jwks).await?);
        let keys = keys.map_err(|_error| FetchError::Unusable("its keys are none that can be used"))?;
        Ok((Arc::new(metadata), Arc::new(keys)))
    }

    /// Asks the issuer now, whatever is known, and says what is wrong.
    pub(crate) async fn probe(&self, client: &Client) -> Result<usize, FetchError> {
        Ok(self.read(client).await?.1.count())
    }

    pub(crate) fn circuit(&self) -> Circuit {
        self.state.lock().circuit()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        if self.state.lock().failures >= FAILURES
            && let Some(metrics) = &self.metrics
        {
            metrics.open_circuits.dec();
        }
    }
}

impl State {
    fn circuit(&self) -> Circuit {
        match (self.failures >= FAILURES, self.may_ask()) {
            (false, _) => Circuit::Closed,
            (true, false) => Circuit::Open,
            (true, true) => Circuit::HalfOpen,
        }
    }

    fn may_ask(&self) -> bool {
        let pause = if self.keys.is_none() && self.failures < FAILURES { SHORT_PAUSE } else { PAUSE };
        self.asked_at.is_none_or(|at| at.elapsed() >= pause)
    }
}
