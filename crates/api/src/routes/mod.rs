//! The route table: one line per operation, each with who may call it.

mod operator;
mod service;
mod session;
mod tenant;

use bulkhead_domain::AccessRegistry;

use crate::http::operation::{Catalog, CatalogError};

/// Every operation of the API, each with the permission of `access` that it needs.
pub fn catalog(access: &AccessRegistry) -> Result<Catalog, CatalogError> {
    let groups = vec![
        service::group(),
        session::auth::group(),
        session::me::group(),
        tenant::users::group(),
        tenant::api_keys::group(),
        tenant::resources::group(),
        tenant::jobs::group(),
        tenant::operations::group(),
        tenant::usage::group(),
        tenant::scaling::group(),
        operator::tenants::group(),
        operator::usage::group(),
    ];
    Catalog::assemble(groups, access)
}
