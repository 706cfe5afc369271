//! The tables as diesel knows them. `tests/it/schema.rs` compares them with a migrated database.

pub(crate) mod gate;
pub(crate) mod platform;
pub(crate) mod tenant;
