//! Connections and transactions: how a query reaches PostgreSQL, and as whom.

pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod pool;
pub(crate) mod scope;
pub(crate) mod statement;
pub(crate) mod transaction;
