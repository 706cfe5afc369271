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

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use bulkhead_domain::SchemaName;
use diesel::{
    pg::Pg,
    query_builder::{AsQuery, QueryFragment, QueryId},
    result::QueryResult,
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection,
    methods::{ExecuteDsl, LoadQuery},
};
use futures::future::maybe_done;

use crate::engine::{
    error::{DbError, DbResult},
    pool::Lease,
    statement::{Marked, StatementKey},
};

/// How much a transaction is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As many statements as it likes.
    Open,
    /// One statement, and it ends.
    OneStatement,
}

/// What may be run in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Any statement: all of them are this crate's.
    Own,
    /// Work on rows and nothing else. `marks` is the schema whose own statements it uses; `None` for shared ones.
    Tenant { marks: Option<SchemaName> },
}

impl Kind {
    const fn marks(self) -> Option<SchemaName> {
        match self {
            Self::Own => None,
            Self::Tenant { marks } => marks,
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
    over: bool,
    answer: Duration,
}

/// What is sent with a statement.
enum Company {
    /// Nothing: the transaction is open.
    None,
    /// BEGIN, ahead of it.
    Opening(String),
    /// BEGIN ahead of it and COMMIT behind it.
    Whole(String),
}

/// What came back.
struct Outcome<T> {
    result: DbResult<T>,
    /// Whether COMMIT was answered.
    over: bool,
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
            over: false,
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
        self.kind = Kind::Tenant { marks: self.lease.count_use(schema).then_some(schema) };
        self
    }

    /// Whether there is nothing left to end.
    pub(crate) const fn is_over(&self) -> bool {
        self.over || self.opening.is_some()
    }

    /// All rows of a query.
    pub(crate) async fn load<'query, Q, U>(&mut self, query: Q) -> DbResult<Vec<U>>
    where
        Q: AsQuery,
        Q::Query: QueryFragment<Pg> + QueryId,
        Marked<Q::Query>: for<'conn> LoadQuery<'query, &'conn AsyncPgConnection, U> + 'query,
        U: Send,
    {
        let mut query = Marked { query: query.as_query(), schema: self.kind.marks(), text: None };
        let key = self.lease.name(&mut query)?;
        self.check(&query, key.as_ref())?;
        let company = self.company(key.as_ref())?;
        let outcome = match self.lease.pg() {
            Ok(pg) => {
                let mut connection = pg;
                pin!(sent(company, pg, self.answer, query.load(&mut connection))).await
            }
            Err(error) => Outcome { result: Err(error), over: false },
        };
        self.noted(key, outcome)
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
        let mut query = Marked { query, schema: self.kind.marks(), text: None };
        let key = self.lease.name(&mut query)?;
        self.check(&query, key.as_ref())?;
        let company = self.company(key.as_ref())?;
        let outcome = match self.lease.pg() {
            Ok(pg) => {
                let mut connection = pg;
                sent(company, pg, self.answer, RunQueryDsl::execute(query, &mut connection)).await
            }
            Err(error) => Outcome { result: Err(error), over: false },
        };
        self.noted(key, outcome)
    }

    /// Runs statements that bind nothing, in one message. Only for text that this crate has written itself.
    pub(crate) async fn batch(&mut self, sql: &str) -> DbResult<()> {
        let company = self.company(None)?;
        let outcome = match self.lease.pg() {
            Ok(pg) => {
                let mut connection = pg;
                sent(company, pg, self.answer, connection.batch_execute(sql)).await
            }
            Err(error) => Outcome { result: Err(error), over: false },
        };
        self.noted(None, outcome)
    }

    /// The same in several messages, sent one behind the other; each is waited for as long as [`Self::batch`] waits, from the answer
    /// to the one before. The transaction has begun.
    pub(crate) async fn batches(&mut self, messages: &[String]) -> DbResult<()> {
        let company = self.company(None)?;
        let result = match (company, self.lease.pg()) {
            (Company::None, Ok(pg)) => answered_in_turn(pg, messages, self.answer).await,
            (Company::Opening(_) | Company::Whole(_), _) => {
                Err(DbError::Setup("a transaction that has not begun was asked for batches".to_owned()))
            }
            (_, Err(error)) => Err(error),
        };
        self.noted(None, Outcome { result, over: false })
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
    fn company(&mut self, key: Option<&StatementKey>) -> DbResult<Company> {
        let Some(opening) = self.opening.take() else {
            return match self.extent {
                Extent::Open => Ok(Company::None),
                Extent::OneStatement => {
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
            Extent::OneStatement if is_ready => Ok(Company::Whole(opening)),
            Extent::OneStatement | Extent::Open => Ok(Company::Opening(opening)),
        }
    }

    fn noted<T>(&mut self, key: Option<StatementKey>, outcome: Outcome<T>) -> DbResult<T> {
        let Outcome { result, over } = outcome;
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
                self.over |= matches!(error, DbError::Timeout);
                if error.is_about_stale_plans() {
                    self.lease.retire();
                }
            }
        }
        if over {
            self.over = true;
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
        if self.is_over() {
            return Ok(());
        }
        let mut connection = self.lease.pg()?;
        let ended = answered(self.answer, connection.batch_execute(word)).await;
        if let Err(error) = &ended {
            self.lease.failed(error);
        } else {
            self.lease.mark_clean();
        }
        ended
    }
}

/// Runs a query with what goes out beside it.
///
/// What goes out together is pinned where it lies: whatever wraps it would otherwise move a kilobyte.
///
/// `join` polls its parts in order and the first poll of each writes its message, so the opening is ahead on the wire and
/// COMMIT behind. `unconstrained` keeps that true when the task has spent its cooperative budget: otherwise a part that
/// touches a tokio primitive before writing could be told to wait while the others go ahead.
async fn sent<T>(
    company: Company,
    mut connection: &AsyncPgConnection,
    answer: Duration,
    query: impl Future<Output = QueryResult<T>>,
) -> Outcome<T> {
    match company {
        Company::None => Outcome { result: answered(answer, query).await, over: false },
        Company::Opening(opening) => {
            let both = pin!(async {
                let (began, result) = futures::join!(connection.batch_execute(&opening), query);
                // When BEGIN fails the query fails too, but for a reason that explains nothing.
                began.and(result)
            });
            Outcome { result: answered(answer, tokio::task::coop::unconstrained(both)).await, over: false }
        }
        Company::Whole(opening) => {
            let mut ending = connection;
            let mut over = false;
            let result = {
                let whole = pin!(async {
                    let (began, result, ended) = futures::join!(
                        connection.batch_execute(&opening),
                        query,
                        ending.batch_execute("COMMIT")
                    );
                    over = ended.is_ok();
                    began.and(result)
                });
                answered(answer, tokio::task::coop::unconstrained(whole)).await
            };
            Outcome { result, over }
        }
    }
}

/// Sends all messages, in their order, and waits for each answer; the first error is told.
async fn answered_in_turn(pg: &AsyncPgConnection, messages: &[String], answer: Duration) -> DbResult<()> {
    let send = async |message: &str| {
        let mut connection = pg;
        connection.batch_execute(message).await
    };
    let mut sent: Vec<_> = messages.iter().map(|message| Box::pin(maybe_done(send(message)))).collect();
    // As in `sent`: the first poll of each writes its message.
    let write = poll_fn(|context| {
        for message in &mut sent {
            let _ready = message.as_mut().poll(context);
        }
        Poll::Ready(())
    });
    tokio::task::coop::unconstrained(write).await;
    for message in &mut sent {
        let answer_to_it = async {
            message.as_mut().await;
            message.as_mut().take_output().unwrap_or(Ok(()))
        };
        answered(answer, answer_to_it).await?;
    }
    Ok(())
}

/// Bounds the wait for an answer. The server's own time-outs come first; this one ends what they cannot: a server that
/// is frozen or unreachable.
async fn answered<T>(limit: Duration, answer: impl Future<Output = QueryResult<T>>) -> DbResult<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(result) => result.map_err(DbError::from),
        Err(_elapsed) => Err(DbError::Timeout),
    }
}
