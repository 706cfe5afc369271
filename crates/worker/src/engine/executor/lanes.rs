//! Lanes, each with the same number of places for running jobs.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many lanes may be known before the empty ones are forgotten.
const FORGET_OVER: usize = 1_024;

/// The same number of places for every lane.
pub(super) struct Lanes {
    places: usize,
    lanes: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A job's place in a lane. It keeps the lane alive: a lane that no job holds may be forgotten.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _lane: Arc<Semaphore>,
}

impl Lanes {
    pub(super) fn new(places: usize) -> Self {
        Self { places, lanes: Mutex::default() }
    }

    /// Waits for a place, in the order of asking.
    pub(super) async fn enter(&self, name: &str) -> Option<Place> {
        let lane = self.lane(name);
        let permit = Arc::clone(&lane).acquire_owned().await.ok()?;
        Some(Place { _permit: permit, _lane: lane })
    }

    fn lane(&self, name: &str) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock();
        if let Some(lane) = lanes.get(name).and_then(Weak::upgrade) {
            return lane;
        }
        if lanes.len() >= FORGET_OVER {
            lanes.retain(|_, lane| lane.strong_count() > 0);
        }
        let lane = Arc::new(Semaphore::new(self.places));
        lanes.insert(name.to_owned(), Arc::downgrade(&lane));
        lane
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_lane_holds_up_nobody_else_and_an_empty_one_is_forgotten() {
        let lanes = Lanes::new(2);
        let held = [lanes.enter("a").await, lanes.enter("a").await];
        assert!(lanes.enter("a").now_or_never().is_none());
        assert!(lanes.enter("b").now_or_never().is_some());
        drop(held);
        assert!(lanes.enter("a").now_or_never().is_some());
        for n in 0..FORGET_OVER * 2 {
            lanes.enter(&n.to_string()).now_or_never();
        }
        assert!(lanes.lanes.lock().len() <= FORGET_OVER);
    }
}
