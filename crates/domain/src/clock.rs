//! The one source of the current time.
//!
//! Code that needs the time takes a [`Clock`] (or the time itself) as a parameter, so that tests can choose it;
//! `.clippy.toml` refuses `Utc::now` everywhere else.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the current time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time, UTC.
    fn now(&self) -> DateTime<Utc>;
}

/// The operating system's clock, to the microsecond: as exact as PostgreSQL keeps times, so that one is the same, and
/// written the same, before and after it was stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is told to use")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_to_the_microsecond() {
        for _ in 0..1_000 {
            assert_eq!(SystemClock.now().timestamp_subsec_nanos() % 1_000, 0);
        }
    }
}
