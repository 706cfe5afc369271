//! Checks in the background whether what an application's extensions depend on answers, and reports it to machines. The
//! process itself decides nothing by it.
//!
//! A probe is an extension's code, so nothing else may depend on how it behaves. Each has a thread of its own: one
//! that blocks, hangs or panics holds up neither another probe nor the process, and what is not confirmed any more
//! counts as down. Probes do not change readiness: a mail server that is away is no reason to take every node out of
//! service.
//!
//! Rejected: probes on the thread that keeps revocations and the heartbeat. A probe that blocks it would end the node.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::LocalBoxFuture};
use tokio::sync::watch;

use super::Health;

type Check = Arc<dyn Fn() -> LocalBoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A check by an extension, which runs again and again.
#[derive(Clone)]
pub struct Probe {
    owner: &'static str,
    name: &'static str,
    check: Check,
}

impl Probe {
    /// A probe of the extension `owner`. `name` is its name in reports to machines. The check ends in 2 seconds or
    /// counts as failed; its error is for the log and holds no secret.
    pub fn new<F>(
        owner: &'static str,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        Self { owner, name, check: Arc::new(move || check().boxed_local()) }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Probe({} of {})", self.name, self.owner)
    }
}

/// Why the probes of an application cannot stand beside each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Two probes have one name.
    #[error("the health probe {name} is declared by {first} and by {second}")]
    Twice {
        /// The name.
        name: &'static str,
        /// Who declared it first.
        first: &'static str,
        /// Who declared it again.
        second: &'static str,
    },
    /// A name that no probe may have.
    #[error(
        "the health probe '{name}' of {owner}: a name is 1 to 31 of a-z, 0-9 and _, and begins with a letter"
    )]
    Name {
        /// The name.
        name: &'static str,
        /// The extension.
        owner: &'static str,
    },
    /// Too many probes: each has a thread.
    #[error("{count} health probes are too many: a process has at most {MOST}")]
    Many {
        /// How many there are.
        count: usize,
    },
}

/// The probes that a process may have.
const MOST: usize = 32;

/// The probes of an application, which were found to go together.
#[derive(Clone, Debug, Default)]
pub struct Probes(Vec<Probe>);

impl Probes {
    /// Checks that the probes of an application go together, in the order in which its extensions were registered.
    pub fn new(probes: Vec<Probe>) -> Result<Self, ProbeError> {
        if probes.len() > MOST {
            return Err(ProbeError::Many { count: probes.len() });
        }
        for (at, Probe { owner, name, .. }) in probes.iter().enumerate() {
            let word = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
            let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
            if !(word && begins && name.len() <= 31) {
                return Err(ProbeError::Name { name, owner });
            }
            if let Some(first) = probes.iter().take(at).find(|before| before.name == *name) {
                return Err(ProbeError::Twice { name, first: first.owner, second: owner });
            }
        }
        Ok(Self(probes))
    }

    /// Runs the probes until the returned value is dropped, and keeps `health`, which was made with them, up to date.
    pub fn watch(&self, health: &Arc<Health>, pace: Pace) -> std::io::Result<Watching> {
        let (stop, _) = watch::channel(());
        for probe in &self.0 {
            let (probe, health, stopped) = (probe.clone(), Arc::clone(health), stop.subscribe());
            // Detached: a check that blocks cannot be waited for.
            thread::Builder::new()
                .name(format!("health-{}", probe.name).chars().take(15).collect())
                .spawn(move || run(&probe, &health, pace, stopped))?;
        }
        Ok(Watching { _stop: stop })
    }
}

/// Ends the probes when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the asking"]
pub struct Watching {
    _stop: watch::Sender<()>,
}

/// The times of probes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The pause between an answer and the next check.
    pub every: Duration,
    /// How long an answer may take.
    pub limit: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { every: Duration::from_secs(10), limit: Duration::from_secs(2) }
    }
}

/// The last result of a probe.
pub(super) struct State {
    name: &'static str,
    /// Milliseconds after the process's beginning at which a good answer stops counting; 0 when the last was not good.
    good_until: AtomicU64,
}

/// The last results of all probes.
pub(super) struct States {
    began: Instant,
    states: Vec<State>,
}

impl Default for States {
    fn default() -> Self {
        Self::of(&Probes::default())
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

impl States {
    pub(super) fn of(probes: &Probes) -> Self {
        let state = |probe: &Probe| State { name: probe.name, good_until: AtomicU64::new(0) };
        Self { began: Instant::now(), states: probes.0.iter().map(state).collect() }
    }

    /// Each probe's name, and whether it was lately answered well.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let now = self.now();
        self.states.iter().map(move |state| (state.name, state.good_until.load(Ordering::Relaxed) > now))
    }

    fn heard(&self, name: &str, good_for: Option<Duration>) {
        let until = good_for.map_or(0, |time| self.now() + millis(time));
        for state in self.states.iter().filter(|state| state.name == name) {
            state.good_until.store(until, Ordering::Relaxed);
        }
    }

    /// Milliseconds since the process began, from 1.
    fn now(&self) -> u64 {
        millis(self.began.elapsed()) + 1
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX / 4)
}

fn run(probe: &Probe, health: &Health, pace: Pace, stopped: watch::Receiver<()>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(ask_until(probe, health, pace, stopped)),
        Err(error) => tracing::error!(probe = probe.name, %error, "a health probe cannot be asked"),
    }
}

async fn ask_until(probe: &Probe, health: &Health, pace: Pace, mut stopped: watch::Receiver<()>) {
    let local = tokio::task::LocalSet::new();
    let mut was_good = true;
    loop {
        let asked = local.run_until(ask(probe, pace.limit));
        let answer = tokio::select! {
            answer = asked => answer,
            _ = stopped.changed() => return,
        };
        // A good answer counts for twice the time after which the next one is due. An answer that is later than that is
        // taken for lost.
        let good_for = answer.is_ok().then_some((pace.every + pace.limit) * 2);
        health.probes.heard(probe.name, good_for);
        match answer {
            Err(reason) if was_good => {
                tracing::warn!(probe = probe.name, extension = probe.owner, reason, "a health probe fails");
            }
            Ok(()) if !was_good => {
                tracing::info!(probe = probe.name, extension = probe.owner, "a health probe is good again");
            }
            _ => {}
        }
        was_good = good_for.is_some();
        tokio::select! {
            () = tokio::time::sleep(pace.every) => {}
            _ = stopped.changed() => return,
        }
    }
}

async fn ask(probe: &Probe, limit: Duration) -> Result<(), String> {
    let asked = AssertUnwindSafe(async { (probe.check)().await }).catch_unwind();
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err("it panicked".to_owned()),
        Err(_elapsed) => Err(format!("no answer in {limit:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const PACE: Pace = Pace { every: Duration::from_millis(1), limit: Duration::from_millis(20) };

    fn fine(owner: &'static str, name: &'static str) -> Probe {
        Probe::new(owner, name, || async { Ok(()) })
    }

    /// A probe that says each time that it is asked, and then does this.
    fn telling<F: Future<Output = Result<(), String>> + 'static>(
        name: &'static str,
        asked: &Sender<&'static str>,
        then: impl Fn() -> F + Send + Sync + 'static,
    ) -> Probe {
        let asked = asked.clone();
        Probe::new("shop", name, move || {
            // The test has ended when nothing listens.
            let _told = asked.send(name);
            then()
        })
    }

    #[test]
    fn a_probe_that_fails_panics_hangs_or_blocks_is_down_and_hurts_nothing() {
        let (asked, hear) = channel();
        let (unblock, blocked) = channel::<()>();
        let blocked = std::sync::Mutex::new(blocked);
        let probes = Probes::new(vec![
            telling("blocks", &asked, move || {
                // Ends when the test does.
                let _ended = blocked.lock().map(|end| end.recv());
                async { Ok(()) }
            }),
            telling("fails", &asked, || async { Err("the mail server is away".to_owned()) }),
            telling("panics", &asked, || async { panic!("planted") }),
            telling("panics_at_once", &asked, || -> futures::future::Ready<_> { panic!("planted") }),
            telling("hangs", &asked, std::future::pending),
            telling("answers", &asked, || async { Ok(()) }),
        ])
        .unwrap();
        let health = Arc::new(Health::with_probes(&probes));
        health.mark_started();
        health.set_database(true);
        assert!(health.probes().all(|(_, up)| !up), "nothing has been heard yet");
        let watching = probes.watch(&health, PACE).unwrap();
        // Each but the first is asked again after what it did; the answer before was then written down.
        let mut times = std::collections::BTreeMap::new();
        while ["fails", "panics", "panics_at_once", "hangs", "answers"]
            .iter()
            .any(|name| times.get(name).copied().unwrap_or(0) < 3)
        {
            *times.entry(hear.recv().unwrap()).or_insert(0) += 1;
            // What is not asked again never will be.
            assert!(times.values().sum::<i32>() < 20_000, "{times:?}");
        }
        // An answer counts for twice its pace, so the thread of this one was not kept for long.
        let up = || health.probes().filter(|(_, up)| *up).map(|(name, _)| name).collect::<Vec<_>>();
        while up() != ["answers"] {
            hear.recv().unwrap();
        }
        assert_eq!(times.get("blocks"), Some(&1));
        assert_eq!(health.phase(), super::super::Phase::Ready, "a probe never turns readiness");
        drop(watching);
        drop(asked);
        drop(probes);
        drop(unblock);
        // Every thread ends: then nothing holds a sender any more.
        while hear.recv().is_ok() {}
    }

    #[test]
    fn a_good_answer_does_not_count_for_ever() {
        let health = Health::with_probes(&Probes::new(vec![fine("shop", "mail")]).unwrap());
        health.probes.heard("mail", Some(Duration::from_hours(1)));
        assert_eq!(health.probes().collect::<Vec<_>>(), [("mail", true)]);
        health.probes.heard("mail", Some(Duration::ZERO));
        assert_eq!(health.probes().collect::<Vec<_>>(), [("mail", false)]);
    }

    #[test]
    fn names_are_words_and_each_is_declared_once() {
        let refused = |probes| Probes::new(probes).unwrap_err().to_string();
        assert_eq!(
            refused(vec![fine("shop", "mail"), fine("billing", "mail")]),
            "the health probe mail is declared by shop and by billing"
        );
        for name in ["", "Mail", "mail server", "9", "a23456789012345678901234567890123"] {
            assert!(refused(vec![fine("shop", name)]).contains("of shop"), "{name}");
        }
        let many: Vec<Probe> = (0..=MOST).map(|_| fine("shop", "mail")).collect();
        assert_eq!(refused(many), "33 health probes are too many: a process has at most 32");
    }
}
