//! The HTTP API.
//!
//! Owns routes, the request pipeline, problems and the OpenAPI document. Refuses SQL (`bulkhead-db`'s), cryptography
//! (`bulkhead-auth`'s) and everything that outlives a request. A handler extracts, makes one call, and responds; who may
//! call it stands in the route table.
//!
//! `http` is what every request passes through, from the socket to the answer. `routes` holds the handlers, in a folder for
//! each kind of caller: callers without a credential (`service`), callers who log in and ask who they are (`session`), a
//! tenant's users and API keys (`tenant`), operators (`operator`).

mod http;
pub mod routes;

pub use http::{
    about::About,
    answer::Answer,
    call::{OperatorCall, TenantCall, Written},
    error::{ApiError, FieldError, ProblemDef},
    extract::{
        Id, IdempotencyKeyHeader, IfMatch, IfMatchHeader, Json, PageQuery, PageResponse, Query, RequestBody,
        object, optional_text, optional_time, page_limit, page_request, present,
    },
    matrix::matrix,
    openapi,
    operation::{Access, Catalog, CatalogError, Group, Operation, Weight},
    progress::OperationResponse,
    row::Row,
    server::{ServeError, ServerOptions, block_on, probes, serve},
    state::{ApiOptions, AppState, Shared, SignUpOptions},
    validation::{Fields, refused, taken, unknown_reference},
};
pub use utoipa;

/// What the expansion of [`operations!`] names.
#[doc(hidden)]
pub mod __private {
    pub use utoipa;

    pub use crate::http::{
        extract::{optional_date, optional_time, present_date, present_time, read_date, read_time},
        handler::{Handler, invoke},
        operation::{Group, Operation, Weight},
        validation::{HasBounds, HasNone},
    };
}
