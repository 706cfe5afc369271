//! Private PostgreSQL and Redis servers for `bulkhead dev`, the tests and the benchmarks, and a mail server that keeps what it gets.
//!
//! Owns: finding the binaries, a server's directory (who may use it, which account owns it), starting,
//! killing and stopping, and the promise that no server outlives its owner, however the owner dies.
//! Refuses: every address but loopback, running a server as root, and two owners of one directory.
//! Knows nothing of Bulkhead's schemas or keys, and is synchronous: callers with a runtime use its
//! blocking threads.

mod account;
mod binaries;
mod data_dir;
mod error;
mod mail_catcher;
mod port;
mod postgres;
mod redis;
mod scratch;
mod supervisor;

pub use binaries::Binaries;
pub use error::Error;
pub use mail_catcher::{CaughtMail, MailCatcher, Manner};
pub use nix::sys::signal::Signal;
pub use postgres::{Durability, Postgres, PostgresOptions};
pub use redis::{Redis, RedisOptions};
pub use scratch::Scratch;

use std::path::PathBuf;

/// The files (PEM) with which a server speaks TLS. They are copied beside its data, readable by it alone.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, followed by intermediate ones if there are any.
    pub certificate: PathBuf,
    /// The private key of `certificate`.
    pub key: PathBuf,
    /// The authority that signed `certificate`.
    pub ca: PathBuf,
}
