//! Usage over time.

use std::borrow::Cow;

use bulkhead_db::gate::usage::{self, Bucket, MeterTotal};
use bulkhead_domain::{
    TextError,
    metering::{MeterName, MeterRegistry, MeterText},
};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::plain;
use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{Query, optional_time},
};

/// The most hours, or days, that one answer covers.
const MAX_BUCKETS: i32 = 750;

/// Which usage.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// Only this meter, which must be one that is counted here.
    #[param(example = "api_requests")]
    meter: Option<String>,
    /// The beginning, inclusive; a day before `until` if left out. An offset's + is written %2B.
    #[serde(default, deserialize_with = "optional_time")]
    from: Option<DateTime<Utc>>,
    /// The end, exclusive; now if left out. An offset's + is written %2B.
    #[serde(default, deserialize_with = "optional_time")]
    until: Option<DateTime<Utc>>,
    /// How finely: `hour` or `day`.
    #[param(inline)]
    window: Option<Window>,
}

/// How finely usage is cut.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(default = json!("hour"))]
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
    #[schema(example = "api_requests")]
    meter: String,
    /// The unit; empty when it is not known.
    #[schema(value_type = String, example = "request")]
    unit: Cow<'static, str>,
    /// How much: an exact decimal, written as a string.
    #[schema(example = "1204")]
    quantity: String,
}

impl UsageBucket {
    fn new(Bucket { start, total }: Bucket, meters: &MeterRegistry) -> Self {
        let MeterTotal { meter, unit, quantity } = total;
        let unit = meters.find(&meter).map_or(Cow::Owned(unit), |known| known.unit().into());
        Self { start, meter, unit, quantity: plain(&quantity) }
    }
}

/// The meter that is asked for.
fn one_of(meters: &MeterRegistry, asked: &str) -> Result<MeterName, ApiError> {
    let refused = |detail| ApiError::InvalidParameter { name: "meter", detail };
    let asked: MeterText = asked.parse().map_err(|unlike: TextError| refused(unlike.to_string()))?;
    let known = meters.find(asked.as_str()).ok_or_else(|| {
        let all: Vec<&str> = meters.all().iter().map(|meter| meter.name().as_str()).collect();
        refused(format!("must be one of {}", all.join(", ")))
    })?;
    Ok(known.name())
}

/// The stretch of time asked for, widened to whole hours or days. Refused when it is in years that RFC 3339 cannot write,
/// empty, or too long; the caller is told which end is at fault.
fn stretch(
    query: &UsageQuery,
    window: Window,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), ApiError> {
    let (unit, units) = match window {
        Window::Hour => (TimeDelta::hours(1), "hours"),
        Window::Day => (TimeDelta::days(1), "days"),
    };
    let refuse = |name, detail| Err(ApiError::InvalidParameter { name, detail });
    let until = query.until.unwrap_or(now);
    let from = query.from.unwrap_or_else(|| until - TimeDelta::days(1));
    for (name, time) in [("until", until), ("from", from)] {
        if !(1..9999).contains(&time.year()) {
            return refuse(name, "must be in the years 1 to 9998, UTC".to_owned());
        }
    }
    if from >= until {
        let end = if query.until.is_none() { "now: until was left out" } else { "until" };
        return refuse("from", format!("must be before {end}"));
    }
    if until.signed_duration_since(from) > unit * MAX_BUCKETS {
        return refuse("from", format!("must be at most {MAX_BUCKETS} {units} before until"));
    }
    // Not chrono's own rounding: it counts nanoseconds in 64 bits, and so fails outside of the years 1678 to 2262.
    let floor = |time: DateTime<Utc>| {
        let past = TimeDelta::seconds(time.timestamp().rem_euclid(unit.num_seconds()));
        time - past - TimeDelta::nanoseconds(i64::from(time.timestamp_subsec_nanos()))
    };
    let last = floor(until);
    Ok((floor(from), if last == until { last } else { last + unit }))
}

/// Read usage over time
///
/// By the hour or by the day, each whole that the time asked for touches. A request counts in the hour in which it began.
#[utoipa::path(
    get, path = "/v1/usage", tag = "usage", params(UsageQuery),
    responses((status = 200, description = "The usage.", body = UsageResponse)),
)]
pub(crate) async fn get_usage(call: TenantCall, Query(query): Query<UsageQuery>) -> Result<Answer, ApiError> {
    let window = query.window.unwrap_or_default();
    let meters = &call.state().meters;
    let meter = query.meter.as_deref().map(|asked| one_of(meters, asked)).transpose()?;
    let (from, until) = stretch(&query, window, call.at())?;
    let buckets = call
        .read(async |tx| match window {
            Window::Hour => usage::hours(tx, meter, from, until).await,
            Window::Day => usage::days(tx, meter, from.date_naive(), until.date_naive()).await,
        })
        .await?;
    let data = buckets.into_iter().map(|bucket| UsageBucket::new(bucket, meters)).collect();
    Answer::ok(&UsageResponse { window, data })
}
