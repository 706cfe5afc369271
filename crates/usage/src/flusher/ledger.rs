//! The batches that PostgreSQL has not confirmed yet.

use std::{collections::BTreeMap, ops::RangeInclusive, rc::Rc, time::Duration};

use bulkhead_domain::metering::{MeterKey, RequestStats, UsageBatch, UsageKey};
use tokio::time::Instant;

use super::rollups::{MOST_KEYS, share};

/// A batch and what is known about its whereabouts.
#[derive(Debug)]
struct Held {
    batch: Rc<UsageBatch>,
    bytes: usize,
    sealed_at: Instant,
    /// Its entry in the stream, and since when.
    entry: Option<(String, Instant)>,
}

/// The batches of one process that must not be forgotten, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: BTreeMap<u64, Held>,
    bytes: usize,
}

impl Ledger {
    pub(super) fn keep(&mut self, batch: Rc<UsageBatch>) {
        let bytes = size(&batch);
        self.bytes += bytes;
        self.held.insert(batch.id.seq, Held { batch, bytes, sealed_at: Instant::now(), entry: None });
    }

    pub(super) fn sent(&mut self, seq: u64, entry: String) {
        if let Some(held) = self.held.get_mut(&seq) {
            held.entry = Some((entry, Instant::now()));
        }
    }

    /// Forgets a batch that is in the rollups. Returns the id of its entry in the stream.
    pub(super) fn applied(&mut self, seq: u64) -> Option<String> {
        let held = self.held.remove(&seq)?;
        self.bytes -= held.bytes;
        held.entry.map(|(entry, _)| entry)
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Bytes held, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets some of the batches with these numbers that are in the rollups. Returns whether there are more of them.
    pub(super) fn forget_some(&mut self, seqs: &RangeInclusive<u64>, count: usize) -> bool {
        let some: Vec<u64> = self.held.range(seqs.clone()).map(|(seq, _)| *seq).take(count).collect();
        for seq in &some {
            self.applied(*seq);
        }
        some.len() == count
    }

    /// The lowest and the highest number held below `below`.
    pub(super) fn span(&self, below: u64) -> Option<(u64, u64)> {
        let mut seqs = self.held.range(..below).map(|(seq, _)| *seq);
        let first = seqs.next()?;
        Some((first, seqs.next_back().unwrap_or(first)))
    }

    /// The oldest batches with numbers below `below`, as many as are moved at a time.
    pub(super) fn oldest(&self, below: u64) -> Vec<Rc<UsageBatch>> {
        some(self.held.range(..below).map(|(_, held)| held))
    }

    /// The oldest batches with numbers below `below` that are not known to be in the stream, as many as are moved at a time.
    pub(super) fn unsent(&self, below: u64) -> Vec<Rc<UsageBatch>> {
        some(self.held.range(..below).map(|(_, held)| held).filter(|held| held.entry.is_none()))
    }

    /// Batches that have been in the stream for longer than `age`, with their entries.
    pub(super) fn overdue(&self, age: Duration, count: usize) -> Vec<(u64, String)> {
        let overdue = self.held.iter().filter_map(|(seq, held)| {
            let (entry, since) = held.entry.as_ref()?;
            (since.elapsed() >= age).then(|| (*seq, entry.clone()))
        });
        overdue.take(count).collect()
    }

    /// The stream does not hold this batch any more.
    pub(super) fn lost(&mut self, seq: u64) {
        if let Some(held) = self.held.get_mut(&seq) {
            held.entry = None;
        }
    }

    /// Whether the oldest batch is older than `age`.
    pub(super) fn is_older_than(&self, age: Duration) -> bool {
        self.held.values().next().is_some_and(|held| held.sealed_at.elapsed() >= age)
    }
}

/// Batches moved at a time, at most; their keys are bounded too.
const MOST_BATCHES: usize = 1_000;

fn some<'a>(held: impl Iterator<Item = &'a Held>) -> Vec<Rc<UsageBatch>> {
    let mut batches: Vec<_> = held.take(MOST_BATCHES).map(|held| Rc::clone(&held.batch)).collect();
    batches.truncate(share(&batches, MOST_KEYS));
    batches
}

/// What a batch takes in memory, about: an entry, the text of its route, and the nodes that hold them.
fn size(batch: &UsageBatch) -> usize {
    let entries = batch.entries.len() * size_of::<(UsageKey, RequestStats)>();
    let quantities = batch.quantities.len() * size_of::<(MeterKey, u128)>();
    let routes: usize = batch.entries.iter().map(|(key, _)| key.route.len()).sum();
    size_of::<Held>() + 64 + entries + quantities + routes
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::metering::BatchId;
    use uuid::Uuid;

    use super::*;

    fn batch(seq: u64) -> Rc<UsageBatch> {
        let id = BatchId { recorder_id: Uuid::nil(), seq };
        Rc::new(UsageBatch { id, node: "n".to_owned(), entries: vec![], quantities: vec![] })
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_unsent_then_overdue_then_lost_then_applied() {
        let mut ledger = Ledger::default();
        ledger.keep(batch(1));
        ledger.keep(batch(2));
        assert_eq!(ledger.unsent(9).len(), 2);
        ledger.sent(1, "1-0".to_owned());
        let age = Duration::from_secs(5);
        assert_eq!((ledger.unsent(9).len(), ledger.overdue(age, 9).len()), (1, 0));
        tokio::time::advance(age).await;
        assert_eq!(ledger.overdue(age, 9), [(1, "1-0".to_owned())]);
        assert!(ledger.is_older_than(age));
        ledger.lost(1);
        assert_eq!((ledger.unsent(9).len(), ledger.overdue(age, 9).len()), (2, 0));
        ledger.sent(2, "2-0".to_owned());
        assert_eq!(
            (ledger.applied(1), ledger.applied(2), ledger.applied(2)),
            (None, Some("2-0".to_owned()), None)
        );
        assert_eq!((ledger.len(), ledger.bytes()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_confirmed_is_forgotten_in_steps() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.span(9), None);
        for seq in [2, 3, 5, 6, 8] {
            ledger.keep(batch(seq));
        }
        assert_eq!(
            (ledger.span(3), ledger.span(6), ledger.span(99)),
            (Some((2, 2)), Some((2, 5)), Some((2, 8)))
        );
        assert!(ledger.forget_some(&(3..=6), 2));
        assert_eq!(ledger.span(6), Some((2, 2)));
        assert!(!ledger.forget_some(&(3..=6), 2));
        assert_eq!((ledger.len(), ledger.span(99)), (2, Some((2, 8))));
    }
}
