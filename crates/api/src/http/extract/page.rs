//! Pages of lists. A cursor is the id that the page before ended with: opaque to clients, and of no use in another
//! tenant or another list. `openapi.md` tells clients what it promises, `db/src/engine/page.rs` says why not more.

use std::str::FromStr;

use actix_web::HttpRequest;
use bulkhead_db::PageRequest;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::error::ApiError;

/// How many rows a page has unless the client says otherwise.
const DEFAULT_LIMIT: u16 = 20;
/// How many rows a page has at most.
const MAX_LIMIT: u16 = 100;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20, example = 20)]
    pub limit: Option<u16>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Checks the parameters of a list whose ids are of type `Id`.
    pub fn request<Id: FromStr>(&self, uuid: impl FnOnce(Id) -> Uuid) -> Result<PageRequest, ApiError> {
        page_request(self.limit, self.cursor.as_deref(), uuid)
    }
}

/// Checks the page parameters of a list that has filters beside them.
pub fn page_request<Id: FromStr>(
    limit: Option<u16>,
    cursor: Option<&str>,
    uuid: impl FnOnce(Id) -> Uuid,
) -> Result<PageRequest, ApiError> {
    let refuse = |name, detail: &str| ApiError::InvalidParameter { name, detail: detail.to_owned() };
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(refuse("limit", "must be between 1 and 100"));
    }
    let after = cursor
        .map(|text| {
            text.parse().map(uuid).map_err(|_bad| refuse("cursor", "must be the next_cursor of another page"))
        })
        .transpose()?;
    Ok(PageRequest { after, limit })
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageResponse<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; `null` on the last page.
    pub next_cursor: Option<String>,
}

/// The same request with another cursor (RFC 8288).
pub(crate) fn next_link(request: &HttpRequest, cursor: &str) -> String {
    // As the query was read: a name may be written with escapes.
    let is_cursor = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).any(|(name, _)| name == "cursor");
    let kept = request.query_string().split('&').filter(|pair| !pair.is_empty() && !is_cursor(pair));
    let query: Vec<&str> = kept.collect();
    let separator = if query.is_empty() { "" } else { "&" };
    format!("<{}?{}{separator}cursor={cursor}>; rel=\"next\"", request.path(), query.join("&"))
}
