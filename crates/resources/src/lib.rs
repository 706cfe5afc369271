//! Business objects of a tenant: anything with a name, a kind and JSON content.
//!
//! An extension like any other, and the one to copy: it is built on `bulkhead` alone, as a product's own are
//! (`crates/bulkhead/README.md`). `store` owns the rows and their queries, `handlers` what can be asked over HTTP. Refuses to
//! look into the content, which is carried as it was sent.

mod handlers;
mod schema;
pub mod store;

use bulkhead::prelude::*;

permissions! {
    /// See business objects.
    READ_RESOURCES = "read:resources", held by [Owner, Admin, Developer, ReadOnly];
    /// Make, change and remove business objects.
    WRITE_RESOURCES = "write:resources", held by [Owner, Admin, Developer];
}

id! {
    /// A business object of a tenant.
    pub ResourceId = "res_";
}

/// What an application adds to have business objects.
pub fn extension() -> Extension {
    Extension::new("resources")
        .about("Business objects of a tenant.")
        .tenant_migrations(migrations!["2026-11-21-000001_resources"])
        .permissions(ALL)
        .ids(IDS)
        .operations(handlers::group())
        .demo(store::demo)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_stands_beside_the_core() {
        assert_eq!(bulkhead::App::new().extension(super::extension()).check(), Ok(()));
    }
}
