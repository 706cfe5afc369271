//! The HTTP API.
//!
//! Owns routes, the request pipeline, problems and the OpenAPI document. Refuses SQL (`bulkhead-db`'s), cryptography
//! (`bulkhead-auth`'s) and everything that outlives a request. A handler extracts, makes one call, and responds; who may
//! call it stands in the route table.

mod address;
mod answer;
mod background;
mod connections;
mod context;
mod cors;
mod docs;
mod error;
mod extract;
mod health;
mod once;
pub mod openapi;
mod operation;
mod paced;
mod pipeline;
mod problem;
pub mod routes;
mod server;
mod state;
mod wire;

pub use error::{ApiError, FieldError};
pub use operation::{Access, Catalog, CatalogError, Operation};
pub use server::{ServeError, ServerOptions, block_on, probes, serve};
pub use state::{ApiOptions, AppState, Shared};
