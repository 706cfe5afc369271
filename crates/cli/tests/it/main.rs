//! The product as its users meet it: the real binary, real servers, HTTP.
//!
//! The tree mirrors `crates/api/src/routes`; beside it stand the promises that hold for every route. Each test makes
//! its own tenants, so all of them run side by side on one system.

// `cfg(test)` tells clippy that helpers, too, are test code.
#[cfg(test)]
mod resources;
#[cfg(test)]
mod support;
