//! How slowly an answer may be taken, so that a reader that takes a byte now and then does not hold it in memory for ever.

use std::{
    io,
    task::Poll,
    time::{Duration, Instant},
};

/// The slowest that a reader may be, in bytes per second, beyond the time that it may make no progress at all.
const SLOWEST: u64 = 16 << 10;
/// How an answer's reader keeps up.
pub(super) struct Pace {
    /// How long the reader may make no progress.
    patience: Duration,
    written: u64,
    blocked: Duration,
    blocked_since: Option<Instant>,
}

impl Pace {
    /// Of a reader that may make no progress for this long.
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, written: 0, blocked: Duration::ZERO, blocked_since: None }
    }

    /// Another answer begins.
    pub(super) fn restart(&mut self) {
        (self.written, self.blocked, self.blocked_since) = (0, Duration::ZERO, None);
    }

    /// Notes an attempt to write. Returns whether the reader keeps up.
    pub(super) fn note(&mut self, attempt: &Poll<io::Result<usize>>) -> bool {
        match attempt {
            Poll::Pending => {
                let since = *self.blocked_since.get_or_insert_with(Instant::now);
                self.allows(self.blocked + since.elapsed())
            }
            Poll::Ready(Ok(length)) => {
                self.blocked += self.blocked_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                self.written += *length as u64;
                self.allows(self.blocked)
            }
            Poll::Ready(Err(_)) => true,
        }
    }

    fn allows(&self, blocked: Duration) -> bool {
        blocked.is_zero() || blocked <= self.patience + Duration::from_millis(self.written * 1000 / SLOWEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_up_or_is_cut() {
        let patience = Duration::from_secs(1);
        let mut pace = Pace::new(patience);
        assert!(pace.note(&Poll::Ready(Ok(10))), "one that takes everything at once");
        pace.blocked = patience;
        assert!(pace.note(&Poll::Ready(Ok(10))));
        pace.blocked = patience + Duration::from_secs(1);
        assert!(!pace.note(&Poll::Pending), "20 bytes in two seconds");
        pace.written = SLOWEST * 2;
        assert!(pace.note(&Poll::Pending));
        pace.restart();
        assert_eq!((pace.written, pace.blocked, pace.blocked_since), (0, Duration::ZERO, None));
    }
}
