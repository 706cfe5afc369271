//! How long a batch waits for requests that are about to be answered, so that they share it: each batch costs a round trip to
//! Redis and wakes two threads.
//!
//! A batch goes out at once when no request is under way. When waiting brought nothing, the next batches do not wait either,
//! more of them each time: the requests that are under way are slow.

use std::{cell::Cell, time::Duration};

/// Pauses of one batch: with what the system adds to each, about as long as Redis takes to answer.
const PAUSES: usize = 2;
/// One pause.
pub(super) const PAUSE: Duration = Duration::from_micros(50);
/// Batches that go out without waiting, at most, after waiting was in vain again and again.
const MOST_LEFT_OUT: u32 = 63;

/// What waiting has brought so far.
#[derive(Default)]
pub(super) struct Linger {
    /// Batches that go out without waiting, because waiting was in vain.
    to_leave_out: Cell<u32>,
    /// How many of them have.
    left_out: Cell<u32>,
}

impl Linger {
    /// Waits, if it is worth while. `expects_more` says whether requests are under way that are going to be recorded,
    /// `records` how many have been.
    pub(super) fn wait(
        &self,
        expects_more: impl Fn() -> bool,
        records: impl Fn() -> usize,
        pause: impl Fn(Duration),
    ) {
        if !expects_more() {
            return;
        }
        if self.left_out.get() < self.to_leave_out.get() {
            return self.left_out.set(self.left_out.get() + 1);
        }
        let before = records();
        for _ in 0..PAUSES {
            pause(PAUSE);
            if !expects_more() {
                break;
            }
        }
        let is_in_vain = records() == before;
        let more = (self.to_leave_out.get() * 2 + 1).min(MOST_LEFT_OUT);
        self.to_leave_out.set(if is_in_vain { more } else { 0 });
        self.left_out.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pauses one batch waits, while requests are under way and `come` are recorded in each pause.
    fn pauses(linger: &Linger, under_way: bool, come: usize) -> usize {
        let (records, pauses) = (Cell::new(1), Cell::new(0));
        linger.wait(
            || under_way,
            || records.get(),
            |_| {
                records.set(records.get() + come);
                pauses.set(pauses.get() + 1);
            },
        );
        pauses.get()
    }

    #[test]
    fn a_batch_waits_for_requests_under_way_and_for_nothing_else() {
        let linger = Linger::default();
        assert_eq!(pauses(&linger, false, 0), 0);
        for _ in 0..100 {
            assert_eq!(pauses(&linger, true, 1), PAUSES);
        }
    }

    #[test]
    fn waiting_ends_with_the_last_request() {
        let (under_way, paused) = (Cell::new(1), Cell::new(0));
        let pause = |_| {
            under_way.set(0);
            paused.set(paused.get() + 1);
        };
        Linger::default().wait(|| under_way.get() > 0, || 1, pause);
        assert_eq!(paused.get(), 1);
    }

    #[test]
    fn after_waiting_in_vain_ever_more_batches_go_out_at_once_until_one_has_company() {
        let linger = Linger::default();
        for left_out in [0, 1, 3, 7, 15, 31, 63, 63] {
            for batch in 0..left_out {
                assert_eq!(pauses(&linger, true, 0), 0, "{batch} of {left_out}");
            }
            assert_eq!(pauses(&linger, true, 0), PAUSES, "after {left_out}");
        }
        for _ in 0..63 {
            assert_eq!(pauses(&linger, true, 0), 0);
        }
        assert_eq!(pauses(&linger, true, 1), PAUSES);
        assert_eq!(pauses(&linger, true, 1), PAUSES, "it was worth it");
    }
}
