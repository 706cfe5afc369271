//! Admission: how many requests are let in.
//!
//! Owns token buckets (a tenant's, shared by all processes through Redis; an address's, local), tokens taken ahead, the
//! buckets that take over when Redis is away, what a tenant may have in flight (requests, and their bytes in memory), the
//! threads for work that takes milliseconds, and the response headers that tell clients about limits. Refuses to fail for
//! Redis: a broken one makes a decision local, never absent and never an error.
//!
//! # What holds
//!
//! A bucket of burst `B` that gains `R` tokens a minute admits, in any `t` minutes,
//!
//! - at most `B + R·t` requests while Redis answers, over all processes, to the token and without drift ([`bucket`]);
//! - at most `B + R·t` while it does not, all processes together, each deciding alone about its share (shares are
//!   rounded up: less than one token, and less than one a minute, comes on top for each process);
//! - not one more because a node takes tokens ahead or keeps a refusal in mind ([`lease`] says why): what it spends is
//!   gone from the bucket, and its room there is kept free;
//! - at most the sum of both, twice the limit, however often Redis comes and goes: a local bucket is kept through the
//!   times when Redis answers, is never refilled by an outage, and holds no more than its share of what Redis last said
//!   was left and what has flowed in since.
//!
//! What Redis forgets (`FLUSHALL`, a restart without persistence, a fail-over to a replica that lags) costs at most one
//! extra burst and what was lent per bucket each time, because a bucket that is not there is a full one. A changed limit is
//! in force with the next request and adds no tokens to a bucket that is in use; up to then the bucket has filled at the
//! old rate. What nodes hold ahead under the old limit, a hundredth of its burst at most, is no debt of the new bucket:
//! those that have not heard of the change may still spend it.

mod address;
mod aside;
pub mod bucket;
mod connections;
mod decision;
mod in_flight;
mod large;
mod lease;
mod limiter;
mod local;
mod script;

pub use address::{AddressLimiter, FailureBudget};
pub use aside::{NotDone, aside};
pub use connections::{AddressConnections, OpenConnection};
pub use decision::{
    Decision, Demand, KEY, Prefetch, Source, TENANT, rate_limit, rate_limit_policy, retry_after,
};
pub use in_flight::{Crowded, Entered, InFlight, InFlightOptions, Party};
pub use large::{LargePlace, LargeRequests, Size};
pub use limiter::Limiter;
pub use local::LocalBuckets;
