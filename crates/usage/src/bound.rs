//! How much goes into one transaction.
//!
//! What a transaction writes has to fit its time-outs, or the same work would be tried for ever. How much fits is known only by
//! trying: the bound is halved after a transaction that took too long, and doubled again after each one that was committed.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A bound that follows what PostgreSQL gets done in time. Threads may share it.
#[derive(Debug)]
pub struct Bound {
    most: usize,
    now: AtomicUsize,
}

impl Bound {
    /// A bound that begins at `most`, and is never more.
    pub const fn new(most: usize) -> Self {
        Self { most, now: AtomicUsize::new(most) }
    }

    /// How much the next transaction should take at most; 1 at least.
    pub fn get(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// A transaction within the bound was committed.
    pub fn fitted(&self) {
        self.now.store(self.get().saturating_mul(2).min(self.most), Ordering::Relaxed);
    }

    /// A transaction of so much took too long.
    pub fn took_too_long(&self, tried: usize) {
        self.now.store((tried / 2).clamp(1, self.most.max(1)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_halved_down_to_one_and_comes_back() {
        let bound = Bound::new(10);
        let mut seen = vec![bound.get()];
        for _ in 0..4 {
            bound.took_too_long(bound.get());
            seen.push(bound.get());
        }
        for _ in 0..5 {
            bound.fitted();
            seen.push(bound.get());
        }
        assert_eq!(seen, [10, 5, 2, 1, 1, 2, 4, 8, 10, 10]);
        // One batch may go over the bound; half of it may, too.
        bound.took_too_long(100);
        assert_eq!(bound.get(), 10);
    }
}
