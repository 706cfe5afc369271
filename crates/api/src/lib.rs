//! The HTTP API.
//!
//! Owns routes, the request pipeline, problems and the OpenAPI document. Refuses SQL (`bulkhead-db`'s), cryptography
//! (`bulkhead-auth`'s) and everything that outlives a request. A handler extracts, makes one call, and responds; who may
//! call it stands in the route table.
//!
//! `http` is what every request passes through, from the socket to the answer. `routes` holds the handlers, in a folder for each
//! kind of caller: callers without a credential (`service`), callers who log in and ask who they are (`session`), a tenant's users
//! and API keys (`tenant`), operators (`operator`).

mod http;
pub mod routes;

pub use http::{
    error::{ApiError, FieldError},
    openapi,
    operation::{Access, Catalog, CatalogError, Operation},
    server::{ServeError, ServerOptions, block_on, probes, serve},
    state::{ApiOptions, AppState, Shared},
};
