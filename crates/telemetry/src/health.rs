//! Whether this process should be given work. Its background tasks keep the state, and the health endpoints read it.

pub mod probes;

use std::sync::atomic::{AtomicBool, Ordering};

use self::probes::{Probes, States};

/// A process's state.
#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    database: AtomicBool,
    redis: AtomicBool,
    probes: States,
}

/// What a process can do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Something that it needs to begin is still missing.
    Starting,
    /// It can be given work.
    Ready,
    /// PostgreSQL is away: nothing can be done until it is back.
    Degraded,
    /// It is about to stop.
    Draining,
}

impl Phase {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
        }
    }
}

impl Health {
    /// The state of a process that runs these probes.
    pub fn with_probes(probes: &Probes) -> Self {
        Self { probes: States::of(probes), ..Self::default() }
    }

    /// Each probe of the application's extensions by its name, and whether its last answer was good and still counts.
    pub fn probes(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.probes.all()
    }

    /// Says that the process has everything it needs to begin.
    pub fn mark_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Says that the process is about to stop.
    pub fn mark_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Says whether PostgreSQL answers.
    pub fn set_database(&self, up: bool) {
        self.database.store(up, Ordering::Relaxed);
    }

    /// Says whether Redis answers.
    pub fn set_redis(&self, up: bool) {
        self.redis.store(up, Ordering::Relaxed);
    }

    /// Whether PostgreSQL has answered lately.
    pub fn database(&self) -> bool {
        self.database.load(Ordering::Relaxed)
    }

    /// Whether Redis has answered lately.
    pub fn redis(&self) -> bool {
        self.redis.load(Ordering::Relaxed)
    }

    /// What the process can do now. Redis does not matter for it: everything works without, only slower. The probes of
    /// extensions do not matter either: what they miss is needed by the extensions alone.
    pub fn phase(&self) -> Phase {
        if self.draining.load(Ordering::Relaxed) {
            Phase::Draining
        } else if !self.started.load(Ordering::Relaxed) {
            Phase::Starting
        } else if !self.database() {
            Phase::Degraded
        } else {
            Phase::Ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_once_it_has_begun_and_while_the_database_answers() {
        let health = Health::default();
        assert_eq!(health.phase(), Phase::Starting);
        health.mark_started();
        assert_eq!(health.phase(), Phase::Degraded);
        health.set_database(true);
        assert_eq!(health.phase(), Phase::Ready);
        health.set_redis(true);
        health.set_database(false);
        assert_eq!((health.phase(), health.redis()), (Phase::Degraded, true));
        health.mark_draining();
        health.set_database(true);
        assert_eq!(health.phase(), Phase::Draining);
    }
}
