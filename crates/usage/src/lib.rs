//! Usage: what API nodes record, and how it reaches PostgreSQL exactly once.
//!
//! Owns the recorder that runs in every API thread, the Redis stream that batches wait in, and the draining of that
//! stream by the worker. Refuses to decide what is billable: it counts what it is told, all of it, once.
//!
//! # The promise, and what keeps it
//!
//! *From its answer on, a record is in at least two of {the answering process, Redis, PostgreSQL}, or in PostgreSQL.
//! After `kill -9` of an API process: answered ≤ billed ≤ answered + in flight. After anything else: equal. Never twice.*
//!
//! | step | what happens | why the promise holds |
//! |---|---|---|
//! | record | [`Recorder::record`] folds the request into the open batch, before its answer is sent | Whether the request's future goes on living does not matter: the batch belongs to the recorder. |
//! | flush | The open batch gets its number, goes into the ledger, then into the stream; only then [`Ticket::flushed`] resolves | At the answer the record is in this process (ledger) and in Redis (stream). |
//! | Redis does not answer | The same batch, under the same number, goes into the rollups directly | It is in PostgreSQL. The stream may or may not have it: the number tells. |
//! | nobody answers | The batch stays in the ledger and is tried again; the answer goes out as [`Outcome::Unsafe`], which is counted | Two faults at once; lost only if this process dies now too. |
//! | drain | The worker reads the stream from its start, applies, commits, then deletes what it has read | Dying in between only means that entries are read again. |
//! | apply | One transaction adds a batch to the rollups and its number to the recorder's set of applied numbers, under a lock on that set (`bulkhead_db::platform::usage`) | Never twice, whoever applies: worker, two workers, the recorder itself. |
//! | confirm | The ledger keeps a batch until PostgreSQL says that it is applied | If Redis loses the stream, the process still has all of it: a batch that is neither applied nor in the stream is appended again. |
//! | give up waiting | What is not confirmed in time, or too much of it, is applied directly, and its entry deleted | Without a worker the stream stays as short as the ledger is old, and the process's memory bounded. |
//! | shut down | [`Recorder::shutdown`] applies everything that is not confirmed | After an orderly end nothing depends on Redis. |
//!
//! A record's minute is that of the request's start, fixed when it is recorded: it is billed in that period however late
//! it arrives.

mod backoff;
mod codec;
mod drain;
mod recorder;
mod server;
mod stream;

pub use backoff::{Backoff, pause};
pub use codec::{CodecError, MAX_KEYS};
pub use drain::{DrainOptions, Drained, drain};
pub use recorder::{Outcome, Recorder, RecorderOptions, Ticket};
pub use server::RedisServer;
pub use stream::{STREAM, length};

/// Why usage could not be moved. Nothing is lost by it: what could not be moved is still where it was.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Redis.
    #[error("Redis: {0}")]
    Redis(#[from] redis::RedisError),

    /// PostgreSQL.
    #[error(transparent)]
    Db(#[from] bulkhead_db::DbError),
}
