//! What the tests share: a running system, callers, tenants, and looking at everything from outside.

mod acl;
mod answer;
mod call;
mod contract;
mod look;
mod process;
mod raw;
mod redact;
pub(crate) mod schema;
pub(crate) mod secrets;
mod system;
mod tenant;

pub(crate) use acl::Users;
pub(crate) use answer::Answer;
pub(crate) use call::{Call, Caller};
pub(crate) use contract::Operation;
pub(crate) use process::{Finished, Service, Variables, bulkhead, dev};
pub(crate) use raw::Raw;
pub(crate) use system::{Options, System, free_port};
pub(crate) use tenant::{Tenant, create_tenant};

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

use bulkhead_domain::{Clock, SystemClock, TenantId};

/// How long a change may take to reach every node: a node knows revocations within two seconds, and machines that run
/// tests are busy.
const SECONDS: Duration = Duration::from_secs(40);

/// Fourteen characters that no other test has: the random part of an id.
pub(crate) fn unique() -> String {
    let id = TenantId::mint(SystemClock.now()).to_string();
    id.chars().skip(id.len() - 14).collect()
}

/// The current billing period.
pub(crate) fn this_month() -> String {
    SystemClock.now().format("%Y-%m").to_string()
}

/// Asks until the answer is as wanted; fails with the last answer when that takes more than seconds.
pub(crate) async fn eventually<T: Debug>(ask: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(start.elapsed() < SECONDS, "still answered so after {SECONDS:?}:\n{answer:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
