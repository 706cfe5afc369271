//! What handlers take from a request, checked before they run.

mod accept;
pub(crate) mod body;
mod caller;
mod complaint;
mod fields;
mod headers;
mod page;
mod path;
mod query;

pub(crate) use accept::preferred;
pub(crate) use body::{Json, RequestBody, object};
pub(crate) use caller::{AnyCaller, OperatorCaller, TenantCaller};
pub(crate) use fields::{no_parameters, optional_time, present};
pub(crate) use headers::{IdempotencyKeyHeader, IfMatch, IfMatchHeader, Intent, etag};
pub(crate) use page::{PageQuery, PageResponse, page_request};
pub(crate) use path::Id;
pub(crate) use query::Query;
