//! Usage over time.

use actix_web::web::Data;
use bulkhead_db::tenant::usage::{self, Bucket};
use bulkhead_domain::usage::Meter;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::plain;
use crate::{
    answer::Answer,
    error::ApiError,
    extract::{Query, TenantCaller},
    state::AppState,
};

/// The most hours, or days, that one answer covers.
const MAX_BUCKETS: i32 = 750;

/// Which usage.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// Only this meter.
    #[param(value_type = Option<String>, example = "api_requests")]
    meter: Option<Meter>,
    /// The beginning, inclusive; a day ago if left out.
    from: Option<DateTime<Utc>>,
    /// The end, exclusive; now if left out.
    until: Option<DateTime<Utc>>,
    /// How finely: `hour` or `day`.
    #[param(inline, default = "hour")]
    window: Option<Window>,
}

/// How finely usage is cut.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Window {
    /// By the hour.
    #[default]
    Hour,
    /// By the day, UTC.
    Day,
}

/// Usage over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageResponse {
    /// How finely it is cut.
    window: Window,
    /// The buckets in which anything was used, in order of time.
    data: Vec<UsageBucket>,
}

/// One meter in one stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageBucket {
    /// When the stretch begins.
    start: DateTime<Utc>,
    /// The meter.
    #[schema(value_type = String, example = "api_requests")]
    meter: Meter,
    /// The unit.
    #[schema(example = "request")]
    unit: &'static str,
    /// How much: an exact decimal, written as a string.
    #[schema(example = "1204")]
    quantity: String,
}

impl From<Bucket> for UsageBucket {
    fn from(Bucket { meter, start, quantity }: Bucket) -> Self {
        Self { start, meter, unit: meter.unit(), quantity: plain(&quantity) }
    }
}

/// Read usage over time
///
/// By the hour or by the day. A request counts in the hour in which it began.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage", params(UsageQuery),
    responses((status = 200, description = "The usage.", body = UsageResponse)),
)]
pub(crate) async fn get_usage(
    state: Data<AppState>,
    caller: TenantCaller,
    Query(query): Query<UsageQuery>,
) -> Result<Answer, ApiError> {
    let until = query.until.unwrap_or_else(|| state.clock.now());
    let from = query.from.unwrap_or(until - TimeDelta::days(1));
    let window = query.window.unwrap_or_default();
    let most = match window {
        Window::Hour => TimeDelta::hours(1) * MAX_BUCKETS,
        Window::Day => TimeDelta::days(1) * MAX_BUCKETS,
    };
    if from >= until || until.signed_duration_since(from) > most {
        let detail =
            format!("must be before until, and at most {MAX_BUCKETS} hours (or days, by window=day)");
        return Err(ApiError::InvalidParameter { name: "from", detail });
    }
    let buckets = state
        .db
        .read(caller.tenant, async |tx| match window {
            Window::Hour => usage::hours(tx, query.meter, from, until).await,
            Window::Day => usage::days(tx, query.meter, from.date_naive(), until.date_naive()).await,
        })
        .await?;
    Answer::ok(&UsageResponse { window, data: buckets.into_iter().map(UsageBucket::from).collect() })
}
