//! Usage: what API nodes record, and how it reaches PostgreSQL exactly once.
//!
//! Owns the recorder that all threads of an API process share, the flusher that stores what they record, the Redis stream
//! that batches wait in, and the draining of that stream by the worker. Refuses to decide what is billable: it counts what
//! it is told, all of it, once.
//!
//! # The promise, and what keeps it
//!
//! *From its answer on, a record is in at least two of {the answering process, Redis, PostgreSQL}, or in PostgreSQL.
//! After `kill -9` of an API process: answered ≤ billed ≤ answered + in flight. After anything else: equal. Never twice.*
//! Two kinds of answers are outside of the promise, and counted: those that waited for as long as an answer may
//! ([`Outcome::Late`]), and those whose record no server took ([`Outcome::NotDurable`]). With Redis or PostgreSQL
//! answering none is unsafe; with Redis answering and room in its stream none is late, unless the process itself
//! hardly runs.
//!
//! | step | what happens | why the promise holds |
//! |---|---|---|
//! | record | [`Recorder::record`] folds the request into the open batch, before its answer is sent | Whether the request's future goes on living does not matter: the batch belongs to the process. |
//! | flush | The flusher, on a thread of its own, takes the open batch, numbers it, keeps it in the ledger, and appends it to the stream; only then [`Ticket::durable`] resolves | At the answer the record is in this process (ledger) and in Redis (stream). No request runs on that thread, so none can hold up another's record. |
//! | Redis does not answer | The same batch, under the same number, goes into the rollups directly, in transactions that PostgreSQL can finish in time | It is in PostgreSQL. The stream may or may not have it: the number tells. |
//! | the flusher does not run | A server is silent when the flusher has looked for its answer ten times in a row and found nothing; a look that came late does not count. What PostgreSQL may have done after the flusher stopped waiting is asked of it again | Threads without processor time, of requests or the flusher's own, make no answer unsafe while Redis or PostgreSQL answers. |
//! | neither server answers | Redis was asked and did not take the batch, PostgreSQL was asked and refused it or did not answer a login, both after the record was put down: the answer goes out as [`Outcome::NotDurable`], which is counted, and the record stays in the process and is tried again | Two faults at once; lost only if this process dies now too. |
//! | it takes too long | PostgreSQL answers and does not get it done (a lock, no connection left), and Redis is away: after the longest wait the answer goes out as [`Outcome::Late`], which is counted, and the flusher goes on | An answer has a deadline, and that one is kept. Until it is stored the record is in this process alone; lost only if the process dies in that time. |
//! | the flusher fails | Its thread's end is told by [`Flusher::ended`], and the process ends; nothing is recorded any more | A process that does not bill must not go on answering. What the stream holds of it the worker applies. |
//! | drain | The worker reads the stream from its start, applies, commits, then deletes what it has read | Dying in between only means that entries are read again. |
//! | believe | An entry carries a tag, an HMAC of all its bytes; one without the right tag is set aside unread | An attacker who can write to Redis bills no tenant, and claims no number of a batch that is still to come. |
//! | apply | One transaction adds a batch to the rollups and its number to the recorder's set of applied numbers, under a lock on that set (`bulkhead_db::platform::usage`) | Never twice, whichever process applies: a worker, two workers or the flusher itself, also when an attacker writes a copied entry again. |
//! | confirm | The ledger keeps a batch until PostgreSQL says that it is applied | If Redis loses the stream, or the worker did not believe an entry, the process still has all of it: a batch that is neither applied nor in the stream is appended again. |
//! | give up waiting | What is not confirmed in time, or too much of it, is applied directly, and its entry deleted | Without a worker the stream stays as short as the ledger is old, and while PostgreSQL takes usage the process's memory is bounded. |
//! | PostgreSQL takes nothing | Over its bound the ledger gets five batches a second at most; answers wait for the next one | Memory is not bounded, for what only Redis has beside us may not be forgotten; it grows by the keys (tenant, route, status, minute) of five batches a second instead of those of each flush. When PostgreSQL is away altogether it stops growing: no credential is trusted for longer than five seconds then, so nothing billable is answered. |
//! | shut down | [`Flusher::finish`] applies everything that is not confirmed, of all threads, until its one deadline | After an orderly end nothing depends on Redis. What PostgreSQL did not take in time is still in the stream. |
//!
//! # To count something else
//!
//! A meter is one line where it is declared, in `bulkhead_domain::meters!`, and one where it is counted:
//!
//! ```
//! bulkhead_domain::meters! {
//!     /// Invoices that were sent to customers.
//!     INVOICES_SENT = "invoices_sent", "invoice";
//! }
//! ```
//!
//! - What a transaction of the tenant's does: `call.count(tx, INVOICES_SENT, Quantity::ONE)` in a handler's `write`, or
//!   [`bulkhead_db::gate::usage::count`] in any. The count is committed with what it counts, lies in `platform.usage_counts`,
//!   and is moved into the rollups by the worker, which deletes it in the transaction that adds it. Nothing of the table
//!   above is needed for it.
//! - What a request does beside being one: `call.count_request(INVOICES_SENT, Quantity::ONE)?` in its handler. It rides with the
//!   request's own record, and all of the above holds for it. A request that is not billed counts nothing.
//!
//! The list `METERS` that the macro makes goes into the program's `MeterRegistry`, from which `bulkhead migrate` writes down
//! units for programs that do not declare the meter, and reports take the order of their lines.
//!
//! A record's minute is that of the request's start, fixed when it is recorded: it is billed in that period however late
//! it arrives.

mod bound;
mod codec;
mod drain;
mod flusher;
mod patience;
mod recorder;
mod stream;

pub use bound::Bound;
pub use codec::{CodecError, MAX_KEYS};
pub use drain::{DrainOptions, Drained, drain};
pub use flusher::{Flusher, FlusherOptions, Stores};
pub use recorder::{Expected, Outcome, Recorder, Ticket};
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
