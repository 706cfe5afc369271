//! The order of what is sent in a transaction.
//!
//! The rules, each with a test in `tests/it/walls`:
//!
//! - BEGIN is sent with the transaction's first query, ahead of it in the same write; the two are polled in that order
//!   without yielding to the scheduler's budget, so the query cannot overtake.
//! - COMMIT is sent only after the last query's answer, or, where a transaction is one statement, in the same write behind
//!   that statement if this connection has run the very same one before: a statement that is still to be prepared sends
//!   more than one message, and COMMIT would get in between.
//! - A connection is dirty from before BEGIN until COMMIT or ROLLBACK is answered. A future dropped in between drops
//!   the connection with it.
//! - A connection that has not answered in time is never waited for again: it is dropped, and nothing is sent to end its
//!   transaction.
//! - A transaction that has seen an error refuses to commit: PostgreSQL would answer COMMIT with success and keep nothing.

mod framing;

use std::{pin::pin, time::Duration};

use bulkhead_domain::SchemaName;
use diesel::{
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    methods::{ExecuteDsl, LoadQuery},
};

use self::framing::{Framing, Outcome, run_framed, run_in_turn, with_timeout};
use crate::engine::{
    error::{BatchError, DbError, DbResult},
    pool::Lease,
    statement::{Marked, StatementKey},
};

/// How much a transaction is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As many statements as it likes.
    Open,
    /// One statement, and it ends.
    SingleStatement,
}

/// What may be run in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Any statement: all of them are this crate's.
    Own,
    /// Work on rows and nothing else. `statement_tag` is the schema whose own statements it uses; `None` for shared ones.
    Tenant { statement_tag: Option<SchemaName> },
}

impl Kind {
    const fn statement_tag(self) -> Option<SchemaName> {
        match self {
            Self::Own => None,
            Self::Tenant { statement_tag } => statement_tag,
        }
    }
}

/// A transaction, of a tenant or of the platform.
pub(crate) struct Tx {
    lease: Lease,
    /// BEGIN and the walls, until they have been sent.
    opening: Option<String>,
    /// Whether BEGIN itself refuses writes.
    read_only: bool,
    extent: Extent,
    kind: Kind,
    failed: bool,
    /// Whether there is nothing left to end: the server has ended it, or has not answered in time.
    ended: bool,
    answer: Duration,
}

impl Tx {
    pub(crate) fn new(lease: Lease, opening: String, answer: Duration) -> Self {
        Self {
            lease,
            read_only: opening.contains("READ ONLY;"),
            opening: Some(opening),
            extent: Extent::Open,
            kind: Kind::Own,
            failed: false,
            ended: false,
            answer,
        }
    }

    /// Says how much it is going to do.
    pub(crate) const fn of(mut self, extent: Extent) -> Self {
        self.extent = extent;
        self
    }

    /// Makes it a transaction in this tenant's schema, which runs work on rows and nothing else, with statements of the
    /// schema's own once the connection has served it often enough.
    pub(crate) fn in_schema(mut self, schema: SchemaName) -> Self {
        self.opening = self.opening.map(bulkhead_ablation::opening);
        self.kind = Kind::Tenant { statement_tag: self.lease.count_use(schema).then_some(schema) };
        self
    }

    /// Whether there is nothing left to end.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended || self.opening.is_some()
    }

    /// All rows of a query.
    pub(crate) async fn load<'query, Q, U>(&mut self, query: Q) -> DbResult<Vec<U>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        let mut query = Marked { query: query.as_query(), schema: self.kind.statement_tag(), text: None };
        let key = self.lease.name(&mut query)?;
        self.check(&query, key.as_ref())?;
        let framing = self.framing(key.as_ref())?;
        let outcome = match self.lease.pg() {
            Ok(pg) => {
                let mut connection = pg;
                pin!(run_framed(framing, pg, self.answer, query.load(&mut connection))).await
            }
            Err(error) => Outcome { result: Err(error), ended: false },
        };
        self.record_outcome(key, outcome)
    }

    /// All rows of a query that changes nothing and that the transaction can do without: `None` when the server has cancelled it,
    /// for its time-out or for a lock, and the transaction goes on.
    pub(crate) async fn load_if_in_time<'query, Q, U>(&mut self, query: Q) -> DbResult<Option<Vec<U>>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        self.batch("SAVEPOINT before").await?;
        match self.load(query).await {
            Ok(rows) => Ok(Some(rows)),
            Err(DbError::Cancelled(_)) => {
                self.batch("ROLLBACK TO SAVEPOINT before").await?;
                // The failed query is undone. No statement before it had failed, or the server would have refused the
                // savepoint. So the transaction can go on.
                self.failed = false;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// At most one row of a query; further ones are ignored.
    pub(crate) async fn first<'query, Q, U>(&mut self, query: Q) -> DbResult<Option<U>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        Ok(self.load(query).await?.into_iter().next())
    }

    /// The one row that an `INSERT … RETURNING` yields.
    pub(crate) async fn one<'query, Q, U>(&mut self, query: Q) -> DbResult<U>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        self.first(query).await?.ok_or_else(|| DbError::Query(diesel::NotFound))
    }

    /// How many rows a statement has changed.
    pub(crate) async fn execute<'query, Q>(&mut self, query: Q) -> DbResult<usize>
    where
        Q: QueryFragment<Pg> + QueryId,
        Marked<Q>: for<'conn> ExecuteDsl<&'conn AsyncPgConnection> + 'query,
    {
        let mut query = Marked { query, schema: self.kind.statement_tag(), text: None };
        let key = self.lease.name(&mut query)?;
        self.check(&query, key.as_ref())?;
        let framing = self.framing(key.as_ref())?;
        let outcome = match self.lease.pg() {
            Ok(pg) => {
                let mut connection = pg;
                run_framed(framing, pg, self.answer, RunQueryDsl::execute(query, &mut connection)).await
            }
            Err(error) => Outcome { result: Err(error), ended: false },
        };
        self.record_outcome(key, outcome)
    }

    /// Runs statements that bind nothing, in one message. Only for text that this crate has written itself.
    pub(crate) async fn batch(&mut self, sql: &str) -> DbResult<()> {
        let framing = self.framing(None)?;
        let outcome = match self.lease.pg() {
            Ok(pg) => {
                let mut connection = pg;
                run_framed(framing, pg, self.answer, connection.batch_execute(sql)).await
            }
            Err(error) => Outcome { result: Err(error), ended: false },
        };
        self.record_outcome(None, outcome)
    }

    /// The same in several messages, sent one behind the other; each is waited for as long as [`Self::batch`] waits, from the
    /// answer to the one before. The transaction has begun.
    pub(crate) async fn batches(&mut self, messages: &[String]) -> Result<(), BatchError> {
        let mut place = 0;
        let result = match self.framing(None).and_then(|framing| Ok((framing, self.lease.pg()?))) {
            Ok((Framing::Bare, pg)) => run_in_turn(pg, messages, self.answer).await.map_err(|failed| {
                place = failed.place;
                failed.error
            }),
            Ok((Framing::Begin(_) | Framing::BeginAndCommit(_), _)) => {
                Err(DbError::Setup("a transaction that has not begun was asked for batches".to_owned()))
            }
            Err(error) => Err(error),
        };
        let outcome = self.record_outcome(None, Outcome { result, ended: false });
        outcome.map_err(|error| BatchError { place, error })
    }

    /// Refuses a statement that a tenant's transaction does not run. A statement that this connection has prepared was
    /// looked at then; the text of one that diesel prepares each time is looked at each time.
    fn check<Q: QueryFragment<Pg> + QueryId>(
        &mut self,
        query: &Marked<Q>,
        key: Option<&StatementKey>,
    ) -> DbResult<()> {
        if self.kind == Kind::Own || key.is_some_and(|key| self.lease.is_ready(key)) {
            return Ok(());
        }
        let checked = query.check_rows_only(key);
        self.failed |= checked.is_err();
        checked
    }

    /// What is to be sent with the next statement. From here on the connection is dirty.
    fn framing(&mut self, key: Option<&StatementKey>) -> DbResult<Framing> {
        let Some(opening) = self.opening.take() else {
            return match self.extent {
                Extent::Open => Ok(Framing::Bare),
                Extent::SingleStatement => {
                    self.failed = true;
                    Err(DbError::Setup(
                        "a transaction of one statement was asked for a second one".to_owned(),
                    ))
                }
            };
        };
        self.lease.mark_dirty();
        let is_ready = key.is_some_and(|key| self.lease.is_ready(key));
        match self.extent {
            Extent::SingleStatement if is_ready => Ok(Framing::BeginAndCommit(opening)),
            Extent::SingleStatement | Extent::Open => Ok(Framing::Begin(opening)),
        }
    }

    fn record_outcome<T>(&mut self, key: Option<StatementKey>, outcome: Outcome<T>) -> DbResult<T> {
        let Outcome { result, ended } = outcome;
        let result = result.map_err(|error| if self.read_only { error.in_read_only() } else { error });
        match &result {
            Ok(_) => {
                if let Some(key) = key {
                    self.lease.ran(key);
                }
            }
            Err(error) => {
                self.failed = true;
                self.lease.failed(error);
                // After a time-out no ROLLBACK is sent: the connection is dirty, so it is closed with the lease.
                self.ended |= matches!(error, DbError::Timeout);
                if error.is_about_stale_plans() {
                    self.lease.retire();
                }
            }
        }
        if ended {
            self.ended = true;
            self.lease.mark_clean();
        }
        result
    }

    /// Keeps what was done. Fails, and keeps nothing, when any statement had failed.
    pub(crate) async fn commit(mut self) -> DbResult<()> {
        if self.failed {
            self.rollback().await;
            return Err(DbError::Aborted);
        }
        self.end("COMMIT").await
    }

    /// Undoes what was done. Never fails: a connection that does not answer is dropped, and the server undoes it.
    pub(crate) async fn rollback(mut self) {
        if let Err(error) = self.end("ROLLBACK").await {
            tracing::debug!(%error, "a transaction was rolled back by dropping its connection");
        }
    }

    async fn end(&mut self, word: &'static str) -> DbResult<()> {
        if self.has_ended() {
            return Ok(());
        }
        let mut connection = self.lease.pg()?;
        let ended = with_timeout(self.answer, connection.batch_execute(word)).await;
        if let Err(error) = &ended {
            self.lease.failed(error);
        } else {
            self.lease.mark_clean();
        }
        ended
    }
}
