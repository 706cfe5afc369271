//! The route table: one line per operation, each with who may call it.

mod admin;
mod api_keys;
mod auth;
mod jobs;
mod me;
mod operations;
mod resources;
mod root;
mod scaling;
mod usage;
mod users;

use crate::operation::{Catalog, CatalogError};

/// Every operation of the API.
pub fn catalog() -> Result<Catalog, CatalogError> {
    Catalog::assemble(vec![
        root::group(),
        auth::group(),
        me::group(),
        users::group(),
        api_keys::group(),
        resources::group(),
        jobs::group(),
        operations::group(),
        usage::group(),
        scaling::group(),
        admin::tenants::group(),
        admin::usage::group(),
    ])
}
