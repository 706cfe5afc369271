//! What goes out beside a statement, in one write with it, and what comes back.
//!
//! Owns the order on the wire and the bound on the wait for an answer. Refuses to know what the statements do.

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use diesel::result::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures::future::maybe_done;

use crate::engine::error::{BatchError, DbError, DbResult};

/// What is sent with a statement.
pub(super) enum Framing {
    /// Nothing: the transaction is open.
    Bare,
    /// BEGIN, ahead of it.
    Begin(String),
    /// BEGIN ahead of it and COMMIT behind it.
    BeginAndCommit(String),
}

/// What came back.
pub(super) struct Outcome<T> {
    pub(super) result: DbResult<T>,
    /// Whether COMMIT was answered.
    pub(super) ended: bool,
}

/// Runs a query with what goes out beside it.
///
/// What goes out together is pinned where it lies: whatever wraps it would otherwise move a kilobyte.
///
/// `join` polls its parts in order and the first poll of each writes its message, so the opening is ahead on the wire and
/// COMMIT behind. `unconstrained` keeps that true when the task has spent its cooperative budget: otherwise a part that
/// touches a tokio primitive before writing could be told to wait while the others go ahead.
pub(super) async fn run_framed<T>(
    framing: Framing,
    mut connection: &AsyncPgConnection,
    answer: Duration,
    query: impl Future<Output = QueryResult<T>>,
) -> Outcome<T> {
    match framing {
        Framing::Bare => Outcome { result: with_timeout(answer, query).await, ended: false },
        Framing::Begin(opening) => {
            let both = pin!(async {
                let (began, result) = futures::join!(connection.batch_execute(&opening), query);
                // When BEGIN fails the query fails too, but for a reason that explains nothing.
                began.and(result)
            });
            Outcome {
                result: with_timeout(answer, tokio::task::coop::unconstrained(both)).await,
                ended: false,
            }
        }
        Framing::BeginAndCommit(opening) => {
            let mut ending = connection;
            let mut ended = false;
            let result = {
                let whole = pin!(async {
                    let (began, result, committed) = futures::join!(
                        connection.batch_execute(&opening),
                        query,
                        ending.batch_execute("COMMIT")
                    );
                    ended = committed.is_ok();
                    began.and(result)
                });
                with_timeout(answer, tokio::task::coop::unconstrained(whole)).await
            };
            Outcome { result, ended }
        }
    }
}

/// Sends all messages, in their order, and waits for each answer; the first error is told, with the place of its message.
pub(super) async fn run_in_turn(
    pg: &AsyncPgConnection,
    messages: &[String],
    answer: Duration,
) -> Result<(), BatchError> {
    let send = async |message: &str| {
        let mut connection = pg;
        connection.batch_execute(message).await
    };
    let mut sent: Vec<_> = messages.iter().map(|message| Box::pin(maybe_done(send(message)))).collect();
    // As in [`run_framed`]: the first poll of each writes its message.
    let write = poll_fn(|context| {
        for message in &mut sent {
            let _ready = message.as_mut().poll(context);
        }
        Poll::Ready(())
    });
    tokio::task::coop::unconstrained(write).await;
    for (place, message) in sent.iter_mut().enumerate() {
        let answer_to_it = async {
            message.as_mut().await;
            message.as_mut().take_output().unwrap_or(Ok(()))
        };
        with_timeout(answer, answer_to_it).await.map_err(|error| BatchError { place, error })?;
    }
    Ok(())
}

/// Bounds the wait for an answer. The server's own time-outs come first; this one ends what they cannot: a server that
/// is frozen or unreachable.
pub(super) async fn with_timeout<T>(
    limit: Duration,
    answer: impl Future<Output = QueryResult<T>>,
) -> DbResult<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(result) => result.map_err(DbError::from),
        Err(_elapsed) => Err(DbError::Timeout),
    }
}
