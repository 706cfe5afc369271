//! Callers who mean harm, or whose software does: each gets a documented refusal, and nothing comes of it.
//!
//! What holds for the bodies, queries and ids of every operation is held by the kit (`conformance/mod.rs`); here is what it
//! cannot say of all of them, and what stands outside of operations.

mod bodies;
pub(crate) mod credentials;
mod headers;
mod nulls;
mod queries;
mod socket;
