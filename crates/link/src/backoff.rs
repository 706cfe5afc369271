//! Pauses that grow while something keeps failing.

use std::time::Duration;

use tokio::time::Instant;

/// When to try again: after a pause that doubles with every failure in a row, up to a bound. Each pause is drawn from
/// the upper half of its length, so that nodes that failed together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Pauses from `first` to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0, until: None }
    }

    /// Notes a failure. A pause begins; [`Self::is_over`] tells when it has ended.
    pub fn failed(&mut self) {
        self.next_pause();
    }

    /// Notes a failure. Returns the length of the pause that follows, for a caller that sleeps through it.
    pub fn next_pause(&mut self) -> Duration {
        let pause = pause(self.first, self.longest, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(Instant::now() + pause);
        pause
    }

    /// Notes a success.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// Whether the pause is over, or there is none.
    pub fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// When the pause is over, if there is one.
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// The pause after the failure with this number, from 0: `first` doubled as often, at most `longest`, and of that
/// between half and all at random.
pub fn pause(first: Duration, longest: Duration, failures: u32) -> Duration {
    bulkhead_domain::backoff::pause(first, longest, failures, rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        for (failures, whole) in [(0, 100), (1, 200), (4, 1600), (5, 2000), (u32::MAX, 2000)] {
            let whole = Duration::from_millis(whole);
            let pauses: Vec<_> = (0..100).map(|_| pause(first, longest, failures)).collect();
            assert!(pauses.iter().all(|pause| (whole / 2..=whole).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| Some(pause) != pauses.first()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_bound_and_end_with_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for (failure, full) in [100, 200, 400, 800, 1_000, 1_000].into_iter().enumerate() {
            let pause = backoff.next_pause().as_millis();
            assert!((full / 2..=full).contains(&pause), "failure {failure} paused for {pause} ms");
        }
        assert!(!backoff.is_over());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(backoff.is_over());
        backoff.failed();
        backoff.succeeded();
        assert!(backoff.is_over());
        assert!(backoff.next_pause().as_millis() <= 100);
    }
}
