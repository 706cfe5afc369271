//! What a tenant's people and programs do.

pub(crate) mod api_keys;
pub(crate) mod jobs;
pub(crate) mod operations;
pub(crate) mod resources;
pub(crate) mod scaling;
pub(crate) mod usage;
pub(crate) mod users;
