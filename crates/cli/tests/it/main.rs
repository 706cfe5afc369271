//! The product as its users meet it: the real binary, real servers, HTTP.
//!
//! The tree mirrors `crates/api/src/routes`; beside it stand the promises that hold for every route. Each test makes
//! its own tenants, so all of them run side by side on one system.

#![cfg_attr(
    test,
    expect(clippy::too_many_lines, reason = "a story with its snapshots is read from top to bottom")
)]

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod support;

#[cfg(test)]
mod admin;
#[cfg(test)]
mod api_keys;
#[cfg(test)]
mod api_keys_bounds;
#[cfg(test)]
mod api_keys_makers;
#[cfg(test)]
mod api_keys_secrets;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod cognito;
#[cfg(test)]
mod federation;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod me;
#[cfg(test)]
mod newcomers;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod other_provider;
#[cfg(test)]
mod own_roles;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod root;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod second_factor;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod texts;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod users;

#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod master_key;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod refusing_database;
#[cfg(test)]
mod revoked_without_redis;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tour;
#[cfg(test)]
mod wrong_settings;
