//! How long a batch waits for requests that are about to be answered, so that they share it: each batch costs a round trip to
//! Redis and wakes two threads.
//!
//! A batch goes out at once when it holds as many records as are yet to come. When waiting brought nothing, the next batches do
//! not wait either, more of them each time: the requests that are under way are slow.

use std::{cell::Cell, time::Duration};

/// How long one batch waits, at most. On a busy machine half of what is under way takes about so long to come.
const LONGEST: Duration = Duration::from_millis(1);
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
    /// Waits, if it is worth while. `has_enough` says whether the batch holds as many records as are yet to come; `gather` waits
    /// until it does, for at most so long, and says whether a record came.
    pub(super) fn wait(&self, has_enough: impl Fn() -> bool, gather: impl FnOnce(Duration) -> bool) {
        if has_enough() {
            return;
        }
        if self.left_out.get() < self.to_leave_out.get() {
            return self.left_out.set(self.left_out.get() + 1);
        }
        let more = (self.to_leave_out.get() * 2 + 1).min(MOST_LEFT_OUT);
        self.to_leave_out.set(if gather(LONGEST) { 0 } else { more });
        self.left_out.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a batch waited, to which `come` records come meanwhile.
    fn waits(linger: &Linger, has_enough: bool, come: usize) -> bool {
        let waited = Cell::new(false);
        linger.wait(
            || has_enough,
            |_| {
                waited.set(true);
                come > 0
            },
        );
        waited.get()
    }

    #[test]
    fn a_batch_waits_for_company_and_not_when_it_has_enough() {
        let linger = Linger::default();
        for _ in 0..100 {
            assert!(!waits(&linger, true, 0));
            assert!(waits(&linger, false, 1));
        }
    }

    #[test]
    fn after_waiting_in_vain_ever_more_batches_go_out_at_once_until_one_has_company() {
        let linger = Linger::default();
        for left_out in [0, 1, 3, 7, 15, 31, 63, 63] {
            for batch in 0..left_out {
                assert!(!waits(&linger, false, 0), "{batch} of {left_out}");
            }
            assert!(waits(&linger, false, 0), "after {left_out}");
        }
        for _ in 0..63 {
            assert!(!waits(&linger, false, 0));
        }
        assert!(waits(&linger, false, 1));
        assert!(waits(&linger, false, 1), "it was worth it");
    }
}
