//! Scaling decisions: how much capacity a tenant's load calls for.

mod engine;
mod policy;

pub use engine::{Action, Decision, Load, decide};
pub use policy::Policy;
