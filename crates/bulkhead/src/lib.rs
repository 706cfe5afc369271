#![doc = include_str!("../README.md")]
//!
//! # What is in this crate
//!
//! Owns the command line, how settings become what the other crates work with, and the surface that extensions are built on:
//! everything that an extension needs has its name here, and an extension depends on nothing else of Bulkhead. Refuses to know
//! what a route, a job or a table does. Refuses to hand out what reaches beyond one tenant: connections, transactions on the
//! platform's tables or of the owner of schemas, and ways to say that something is proven.

mod app;
mod commands;
mod demo;
mod extension;
mod health;
mod ids;
mod names;
mod out;
mod stop;
mod wiring;

pub use app::App;
pub use demo::Demo;
pub use extension::Extension;
pub use health::HealthCall;

/// What goes wrong with a request, as its client is told.
#[doc(inline)]
pub use bulkhead_api::ApiError as Error;
#[doc(inline)]
pub use bulkhead_api::{
    Access, Answer, FieldError, Fields, Group, Id, IdempotencyKeyHeader, IfMatch, IfMatchHeader, Json,
    OperationResponse, PageQuery, PageResponse, ProblemDef, Query, RequestBody, Row, TenantCall, Weight,
    Written, object, operations, optional_text, optional_time, page_limit, page_request, present, refused,
    taken, unknown_reference, utoipa,
};
#[doc(inline)]
pub use bulkhead_config::{Password, section::Settings, settings, value};
#[doc(inline)]
pub use bulkhead_db::{
    DbError, DbResult, JsonText, PAGE_BYTES, Page, PageRequest, TenantTx, WithinPage,
    fleet::migrate::Migration, migrations, within_page,
};
#[doc(inline)]
pub use bulkhead_domain::{
    Email, IdError, JobId, JsonContent, Role, TenantId, Text, TextError, UserId,
    access::{BuiltIn, Permission, PermissionDef},
    metering::{MeterDef, MeterKind, MeterName, Quantity, QuantityError},
    meters, permissions,
};
#[doc(inline)]
pub use bulkhead_jobs::{Job, TenantJob};
#[doc(inline)]
pub use bulkhead_macros::{body, choice, delete, filter, get, job, patch, post, put, row};
#[doc(inline)]
pub use bulkhead_telemetry::metrics::own::{Collects, Counter, Gauge, Histogram};
#[doc(inline)]
pub use bulkhead_worker::{Every, Finished, JobCall, JobError, TenantJobHandler, TransactionalJob};

/// The result of a handler, and of what it calls on its way to an answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What nearly every file of an extension needs, for `use bulkhead::prelude::*`.
pub mod prelude {
    pub use chrono::{DateTime, NaiveDate, Utc};
    pub use diesel::{
        BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl, SelectableHelper,
        TextExpressionMethods,
    };
    pub use serde_json::{Value, json};

    pub use crate::{
        Access, Answer, DbError, DbResult, Error, Every, Extension, Fields, Finished, Id,
        IdempotencyKeyHeader, IfMatch, IfMatchHeader, Job, JobCall, JobError, JobId, Json, JsonContent,
        JsonText, Migration, OperationResponse, Page, PageQuery, PageRequest, PageResponse, ProblemDef,
        Quantity, Query, RequestBody, Result, Row, TenantCall, TenantJob, TenantJobHandler, TenantTx, Text,
        TransactionalJob, Written, body, choice, delete, filter, get, id, job, meters, migrations,
        operations, optional_text, page_limit, page_request, patch, permissions, post, present, put, row,
        settings, taken, unknown_reference, utoipa,
        utoipa::{IntoParams, ToSchema},
        within_page,
    };
}

/// What the expansions of this crate's macros name.
#[doc(hidden)]
pub mod __private {
    pub use bulkhead_api::__private::{
        HasBounds, HasNone, optional_date, optional_time, present_date, present_time, read_date, read_time,
    };
    pub use bulkhead_domain::{id::__private::Uuid, ids};

    pub use crate::ids::schema as id_schema;
}

/// For every application: it has to perform like the one that was measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
