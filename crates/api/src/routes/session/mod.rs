//! Logging in, and who one is then.

pub(crate) mod auth;
pub(crate) mod federated;
pub(crate) mod me;
mod person;
pub(crate) mod second_factor;
pub(crate) mod sessions;
pub(crate) mod sign_up;
