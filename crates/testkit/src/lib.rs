//! Tests of an application that is built on bulkhead, as its users meet it: the real program, real servers, HTTP.
//!
//! [`App::start`] runs the `migrate`, `api` and `worker` of a program on a PostgreSQL and a Redis of their own, once for all
//! tests of a process. [`conformance!`](crate::conformance!) makes tests that hold every operation of the application's OpenAPI
//! document to what bulkhead promises. What a `POST` makes is deduced from the document; of the rest it has to be told how a
//! tenant comes to have one ([`Fixture`]).
//!
//! ```no_run
//! use bulkhead_testkit::App;
//!
//! # mod tests {
//! # use super::*;
//! # const PROGRAM: &str = "target/debug/shop";
//! // In place of PROGRAM: env!("CARGO_BIN_EXE_shop").
//! bulkhead_testkit::conformance!(App::start(PROGRAM, &[]));
//! # }
//! # fn main() {}
//! ```
//!
//! Owns the processes under test, callers of every kind, and the judgement of every answer. Links no crate of the product:
//! what it knows of the application is what a client, an operator with `psql`, and a reader of the logs can know. Refuses to
//! return errors: whatever is not as it must be fails the test that runs, with what was seen.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a failure of the kit is the failure of the test that called it"
)]

mod answer;
mod app;
mod body;
mod built_in;
mod call;
#[doc(hidden)]
pub mod catalog;
pub mod conformance;
mod contract;
mod deduced;
mod fixture;
mod id;
mod look;
mod operation;
mod process;
mod redact;
mod reference;
mod schema;
mod secrets;
mod servers;
mod tenant;

pub use answer::Answer;
pub use app::App;
#[doc(hidden)]
pub use app::{Options, Strict};
pub use bulkhead_servers::{CaughtMail, MailCatcher};
#[doc(hidden)]
pub use call::{Asked, Fault, with_fault};
pub use call::{Call, Caller};
#[doc(hidden)]
pub use contract::Contract;
pub use fixture::{Fixture, Made, Making, Referring};
#[doc(hidden)]
pub use look::Session;
pub use operation::Operation;
pub use process::{Finished, Service, Variables, run};
pub use serde_json::{Value, json};
#[doc(hidden)]
pub use servers::Server;
pub use servers::free_port;
#[doc(hidden)]
pub use tenant::create_tenant;
pub use tenant::{Key, Person, Tenant};

use std::{
    fmt::Debug,
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, Instant},
};

/// How long a change may take to reach every node: a node knows revocations within two seconds, and machines that run
/// tests are busy.
const SECONDS: Duration = Duration::from_secs(40);

/// Fourteen lower-case letters and digits that no other call returns, in this process or another.
pub fn unique() -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    // Each has keys of its own, from the system's source of randomness.
    let random = || u128::from(RandomState::new().build_hasher().finish());
    let bits = (random() << 64) | random();
    (0..14).map(|place| char::from(DIGITS[usize::try_from((bits >> (5 * place)) & 31).unwrap()])).collect()
}

/// Asks until the answer is as wanted; fails with the last answer when that takes more than 40 seconds:
/// `eventually(async || tenant.count("letters"), |count| *count == 1).await`.
pub async fn eventually<T: Debug>(ask: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < SECONDS, "still answered so after {SECONDS:?}:\n{answer:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
