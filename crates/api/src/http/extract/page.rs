//! Pages of lists. A cursor is the id that the page before ended with: opaque to clients, and of no use in another
//! tenant or another list. `openapi.md` tells clients what it promises, `db/src/engine/page.rs` says why not more.

use std::{
    num::{IntErrorKind, ParseIntError},
    str::FromStr,
};

use actix_web::HttpRequest;
use bulkhead_db::PageRequest;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use url::form_urlencoded;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::error::ApiError;

/// How many rows a page has unless the client says otherwise.
const DEFAULT_LIMIT: u16 = 20;
/// How many rows a page has at most.
const MAX_LIMIT: u16 = 100;
/// What is said of a number of rows that there is not.
const RANGE: &str = "must be between 1 and 100";

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20, example = 20)]
    #[serde(default, deserialize_with = "page_limit")]
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

/// Reads how many rows a page is to have, and tells the range of a number that is too large to be read, too. For the field of a
/// query, with `#[serde(default, deserialize_with = "page_limit")]`.
pub fn page_limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow => D::Error::custom(RANGE),
        _ => D::Error::custom(error),
    })
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
        return Err(refuse("limit", RANGE));
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

#[cfg(test)]
mod tests {
    use bulkhead_domain::UserId;

    use super::*;
    use crate::http::extract::fields::parse_query;

    #[test]
    fn a_number_of_rows_is_told_its_range_however_far_off_it_is() {
        let asked = |query: &str| parse_query::<PageQuery>(query).and_then(|page| page.request(UserId::uuid));
        for (query, limit) in [("", 20), ("limit=1", 1), ("limit=100", 100)] {
            assert_eq!(asked(query).unwrap().limit, limit);
        }
        for query in ["limit=0", "limit=101", "limit=65536", "limit=99999999999999999999999"] {
            assert_eq!(asked(query).unwrap_err().to_string(), "limit must be between 1 and 100.", "{query}");
        }
        for query in ["limit=", "limit=ten", "limit=1.5", "limit=-1"] {
            assert_eq!(asked(query).unwrap_err().to_string(), "limit must be a whole number.", "{query}");
        }
    }
}
