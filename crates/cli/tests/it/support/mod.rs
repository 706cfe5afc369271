//! What the tests share: the kit that applications are tested with, set up for the `bulkhead` command, and what looks closer
//! than the kit lets an application's tests look.

mod acl;
mod dev;
mod raw;
mod resources;
mod system;
mod tool;

pub(crate) use acl::Users;
pub(crate) use bulkhead_testkit::{
    Answer, Call, Caller, Finished, Person, Service, Tenant, Variables, conformance::Aim, create_tenant,
    eventually, free_port, unique,
};
pub(crate) use dev::dev;
pub(crate) use raw::Raw;
pub(crate) use resources::MakesResources;
pub(crate) use system::{BINARY, Options, System};
pub(crate) use tool::Tool;

use bulkhead_domain::{Clock, SystemClock};

/// Runs a command of `bulkhead` to its end, with this on its standard input.
pub(crate) fn bulkhead(arguments: &[&str], variables: &[(&'static str, String)], input: &str) -> Finished {
    bulkhead_testkit::run(BINARY, arguments, variables, input)
}

/// The current billing period.
pub(crate) fn this_month() -> String {
    SystemClock.now().format("%Y-%m").to_string()
}
