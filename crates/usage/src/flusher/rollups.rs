//! The flusher's way into the rollups of PostgreSQL, without Redis and without a worker.
//!
//! Owns how much goes into one transaction. Many batches at once are cheap, for those of a minute share rows; but what a
//! transaction writes must fit its time-outs, or the same batches would be tried for ever. So it is bounded by keys, each
//! of which is a few rows, and the bound is halved whenever a transaction has taken too long. Refuses to split a batch: it is
//! applied once, under its number, or not at all.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bulkhead_db::{Authority, Connector, Db, DbError, platform::usage};
use bulkhead_domain::metering::{BatchId, UsageBatch};
use bulkhead_link::Backoff;
use bulkhead_telemetry::metrics::DbFailure;
use tokio::time::sleep;

use crate::{bound::Bound, patience};

/// Keys in one transaction at most, and in one message to Redis: as many as the worker takes at a time (`drain.rs`).
pub(super) const MOST_KEYS: usize = 10_000;

/// How soon a login that had no answer is tried again.
const LOGIN_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Rollups {
    db: Db,
    server: Connector,
    /// How long the server may be silent.
    silence: Duration,
    /// Keys in the next transaction at most; one batch may go over it.
    bound: Bound,
    pause: RefCell<Backoff>,
}

/// Why batches were not applied.
pub(super) enum Trouble {
    /// The server has said that it does not take them, or has been silent when it was asked for any answer at all. A
    /// refusal because its connections are used up does not count: one of them will come free.
    Certain,
    /// They were not taken, or not in time, and the server may well be there.
    Unclear,
}

impl Rollups {
    pub(super) fn new(db: Db, server: Connector, silence: Duration) -> Self {
        // Short: while it lasts and Redis is away, records are in this process alone.
        let pause = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        Self { db, server, silence, bound: Bound::new(MOST_KEYS), pause: RefCell::new(pause) }
    }

    /// Whether nothing has failed for a moment.
    pub(super) fn is_ready(&self) -> bool {
        self.pause.borrow().is_over()
    }

    /// Adds batches to the rollups, in as many transactions as it takes. `applied` is called with those of each
    /// transaction that is committed, so that what is done stays done when a later one fails.
    pub(super) async fn apply(
        &self,
        batches: &[Rc<UsageBatch>],
        mut applied: impl AsyncFnMut(&[Rc<UsageBatch>]),
    ) -> Result<(), Trouble> {
        let mut rest = batches;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(share(rest, self.bound.get()));
            let committed = tokio::select! {
                committed = self.commit(some) => committed,
                () = self.falls_silent() => return Err(self.silent()),
            };
            match committed {
                Ok(()) => {
                    self.bound.fitted();
                    self.pause.borrow_mut().succeeded();
                    applied(some).await;
                    rest = others;
                }
                Err(error) => self.failed(&error, some)?,
            }
        }
        Ok(())
    }

    /// One transaction.
    async fn commit(&self, batches: &[Rc<UsageBatch>]) -> Result<(), DbError> {
        let work = async |tx: &mut _| usage::apply(tx, batches.iter().map(Rc::as_ref)).await;
        self.db.platform_write::<_, DbError>(Authority::machinery(), work).await.map(drop)
    }

    /// `Ok` when it is worth trying at once with less.
    fn failed(&self, error: &DbError, batches: &[Rc<UsageBatch>]) -> Result<(), Trouble> {
        tracing::warn!(
            %error,
            batches = batches.len(),
            "usage could not be stored in PostgreSQL; it will be tried again"
        );
        let took_too_long = error.took_too_long();
        if took_too_long {
            let keys: usize = batches.iter().map(|batch| batch.keys()).sum();
            self.bound.took_too_long(keys);
        }
        if took_too_long && batches.len() > 1 {
            return Ok(());
        }
        self.pause.borrow_mut().failed();
        Err(trouble(error))
    }

    fn silent(&self) -> Trouble {
        tracing::warn!("PostgreSQL does not answer; usage will be stored when it does");
        self.pause.borrow_mut().failed();
        Trouble::Certain
    }

    /// Which of a recorder's batches from `first` to number `last` are applied; `None` when PostgreSQL cannot be asked.
    pub(super) async fn confirmed(
        &self,
        first: BatchId,
        last: u64,
    ) -> Option<Vec<std::ops::RangeInclusive<u64>>> {
        let ask = async |tx: &mut _| usage::confirmed(tx, first, last).await;
        match self.db.platform_read::<_, DbError>(Authority::machinery(), ask).await {
            Ok(confirmed) => Some(confirmed),
            Err(error) => {
                tracing::debug!(%error, "could not ask which usage is applied");
                None
            }
        }
    }

    /// Whether the server is there: a login of its own, which may be refused, tried until the server has been silent for too
    /// long.
    pub(super) async fn is_there(&self) -> bool {
        let log_in = async {
            while !self.server.is_there().await {
                sleep(LOGIN_PAUSE).await;
            }
        };
        patience::within(self.silence, log_in).await.is_some()
    }

    /// Ends once an answer has been waited for as long as `silence` and a login finds the server silent too. As long
    /// as the server answers logins, a transaction that takes long waits for its turn, and the server's own time-outs
    /// end it.
    async fn falls_silent(&self) {
        loop {
            sleep(self.silence).await;
            if !self.is_there().await {
                return;
            }
        }
    }
}

/// How many of the first batches have at most so many keys together; at least one.
pub(super) fn share(batches: &[impl AsRef<UsageBatch>], most_keys: usize) -> usize {
    let mut keys = 0;
    let fit = batches.iter().take_while(|batch| {
        keys += batch.as_ref().keys();
        keys <= most_keys
    });
    fit.count().max(1).min(batches.len())
}

/// What an error says about the server.
const fn trouble(error: &DbError) -> Trouble {
    match error {
        DbError::Unavailable(_)
        | DbError::Refused { why: DbFailure::TooManyConnections, .. }
        | DbError::Busy
        | DbError::OverShare
        | DbError::Timeout
        | DbError::Cancelled(_)
        | DbError::Conflict
        | DbError::Aborted => Trouble::Unclear,
        DbError::AlreadyExists { .. }
        | DbError::BrokenReference { .. }
        | DbError::Denied(_)
        | DbError::Unreadable(_)
        | DbError::Outdated
        | DbError::NotMigrated
        | DbError::MigrationChanged { .. }
        | DbError::Unbuildable { .. }
        | DbError::Outrun
        | DbError::Refused { .. }
        | DbError::Setup(_)
        | DbError::Query(_) => Trouble::Certain,
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::{
        TenantId,
        metering::{MeterKey, RequestStats, StatusClass, UsageKey},
    };
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_share_is_bounded_by_keys_and_never_empty() {
        let batch = |keys: u32| {
            let entry = |minute| {
                let tenant = TenantId::from_uuid(Uuid::nil());
                let key = UsageKey { tenant, route: "r".to_owned(), status: StatusClass::of(200), minute };
                (key, RequestStats::default())
            };
            let id = BatchId { recorder_id: Uuid::nil(), seq: 1 };
            let quantity = |minute| {
                let tenant = TenantId::from_uuid(Uuid::nil());
                (MeterKey { tenant, meter: "m".parse().unwrap(), minute }, 1)
            };
            let entries = (0..keys / 2).map(entry).collect();
            let quantities = (keys / 2..keys).map(quantity).collect();
            Rc::new(UsageBatch { id, node: "n".to_owned(), entries, quantities })
        };
        let batches = [3, 4, 5, 1].map(batch);
        let shares = [1, 3, 6, 7, 11, 12, 13, 99].map(|most| share(&batches, most));
        assert_eq!(shares, [1, 1, 1, 2, 2, 3, 4, 4]);
        assert_eq!(share(&batches[..0], 9), 0);
    }
}
