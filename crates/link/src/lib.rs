//! The way to Redis, for all who use it.
//!
//! Owns how a server is named and trusted ([`RedisServer`]: address, TLS, time-outs), a thread's connection to it that comes and
//! goes ([`Link`]), and the pauses between attempts ([`Backoff`]). Refuses to know what is kept in Redis: scripts, streams
//! and queues are those of the crates above.
//!
//! Three of them use it, each with a patience of its own, because they lose different things when Redis is away. Admission asks
//! in the middle of a request and decides alone after milliseconds: a [`Link`], whose breaker keeps Redis out of the way. The
//! flusher of usage opens connections without time-outs and measures the server's silence itself: a time-out by the clock would
//! take its own pauses for the server's. The queue waits by the clock, and opens a connection for each of its workers.
//! Rejected: the library's connection manager, which connects again by itself and so sends a call a second time whose effect
//! may have happened.

mod backoff;
mod breaker;
mod server;

pub use backoff::{Backoff, pause};
pub use breaker::{Link, Purpose, Reply};
pub use server::{ClientError, RedisServer, client};
