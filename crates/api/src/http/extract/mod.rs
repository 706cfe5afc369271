//! What handlers take from a request, checked before they run.

mod accept;
pub(crate) mod body;
mod complaint;
mod fields;
mod headers;
mod page;
mod path;
mod query;

pub(crate) use accept::preferred;
pub use body::{Json, RequestBody, object};
pub(crate) use fields::no_parameters;
pub use fields::{
    optional_date, optional_text, optional_time, present, present_date, present_time, read_date, read_time,
};
pub(crate) use headers::{IdempotencyKey, etag, writes};
pub use headers::{IdempotencyKeyHeader, IfMatch, IfMatchHeader};
pub(crate) use page::next_link;
pub use page::{PageQuery, PageResponse, page_limit, page_request};
pub use path::Id;
pub(crate) use path::SessionInPath;
pub use query::Query;
