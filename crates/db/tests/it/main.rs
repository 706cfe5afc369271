//! The crate against real servers.

mod across;
mod audit_chain;
mod bootstrap;
mod caps;
mod change;
mod faults;
mod idempotency;
mod inspect;
mod ledger;
mod memory;
mod meters;
mod migrations;
mod one_time_tokens;
mod pool;
mod probe;
mod provision;
mod purge;
mod refusals;
mod repeatable;
mod schema;
mod schema_pool;
mod split;
mod support;
mod tls;
mod usage_counts;
mod walls;
