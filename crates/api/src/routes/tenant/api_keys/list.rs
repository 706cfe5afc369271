//! List API keys.

use bulkhead_db::tenant::api_keys::{self, Filter, Grantor};
use bulkhead_domain::{ApiKeyId, UserId};
use chrono::TimeDelta;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiKeyResponse;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageResponse, Query, page_limit, page_request},
};

/// The longest time, in days.
const DAYS: u16 = 3_650;

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListApiKeysQuery {
    /// Only keys for which this user or this key answers.
    #[param(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    granted_by: Option<String>,
    /// Only keys that are neither revoked nor expired and were not used for so many days, 1 to 3650. Keys from before uses were
    /// noted count from then.
    #[param(minimum = 1, maximum = 3650, example = 90)]
    unused_for_days: Option<u16>,
    /// How many rows to return, 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 20)]
    #[serde(default, deserialize_with = "page_limit")]
    limit: Option<u16>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List API keys
///
/// In the order in which their rows were begun, revoked ones too. With `unused_for_days=90` the keys that nobody seems to need.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "api-keys", params(ListApiKeysQuery),
    responses((status = 200, description = "A page of API keys.", body = PageResponse<ApiKeyResponse>)),
)]
pub(crate) async fn list_api_keys(
    call: TenantCall,
    Query(query): Query<ListApiKeysQuery>,
) -> Result<Answer, ApiError> {
    let page = page_request(query.limit, query.cursor.as_deref(), ApiKeyId::uuid)?;
    let unused_since = match query.unused_for_days {
        Some(days) if !(1..=DAYS).contains(&days) => {
            let detail = format!("must be between 1 and {DAYS}");
            return Err(ApiError::InvalidParameter { name: "unused_for_days", detail });
        }
        days => days.map(|days| call.at() - TimeDelta::days(days.into())),
    };
    let grantor = query.granted_by.as_deref().map(read_grantor).transpose()?;
    let filter = Filter { grantor, unused_since };
    let rows = call.read(async |tx| api_keys::list(tx, filter, page).await).await?;
    call.page(rows, |row| row.id, ApiKeyResponse::from)
}

fn read_grantor(text: &str) -> Result<Grantor, ApiError> {
    let user = text.parse::<UserId>().map(Grantor::User);
    user.or_else(|_no_user| text.parse().map(Grantor::Key)).map_err(|_neither| ApiError::InvalidParameter {
        name: "granted_by",
        detail: "must be the id of a user or of an API key".to_owned(),
    })
}
