//! The tables as diesel knows them. `tests/it/schema.rs` compares every one of them with a migrated database: columns,
//! types, what may be null, keys; and refuses columns of the database that neither stand here nor in its own list.

pub(crate) mod gate;
pub(crate) mod platform;
pub(crate) mod tenant;

diesel::define_sql_function! {
    /// The moment at which the statement asks for it, by the server's clock.
    fn clock_timestamp() -> diesel::sql_types::Timestamptz;
}
