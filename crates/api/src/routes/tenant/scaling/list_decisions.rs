//! List scaling decisions.

use std::{fmt, str::FromStr};

use bulkhead_db::gate::scaling::{self, DecisionRow};
use bulkhead_domain::scaling::Action;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::{
    answer::Answer,
    call::TenantCall,
    error::ApiError,
    extract::{PageQuery, PageResponse, Query},
};

/// A decision about the tenant's capacity.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScalingDecisionResponse {
    /// The minute it was made for.
    minute: DateTime<Utc>,
    /// What to do: `scale_up`, `scale_down` or `hold`.
    #[schema(value_type = String, example = "scale_up")]
    action: Action,
    /// Capacity before, in units.
    #[schema(example = 2)]
    current: i32,
    /// Capacity wanted, in units.
    #[schema(example = 3)]
    target: i32,
    /// The load it saw.
    #[schema(example = 2250.0)]
    requests_per_minute: f64,
    /// The 95th percentile of latency it saw, in milliseconds; `null` without requests.
    #[schema(example = 32.8)]
    p95_ms: Option<f64>,
    /// Why.
    #[schema(example = "2250 requests per minute per unit is above the high threshold of 1000")]
    reason: String,
}

/// A decision's id, as cursors carry it.
struct DecisionCursor(Uuid);

impl FromStr for DecisionCursor {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for DecisionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.simple(), f)
    }
}

/// List scaling decisions
///
/// The newest first. One is made each minute for a tenant that has traffic or more than its least capacity.
#[utoipa::path(
    get, path = "/v1/scaling/decisions", tag = "scaling", params(PageQuery),
    responses((status = 200, description = "A page of decisions.", body = PageResponse<ScalingDecisionResponse>)),
)]
pub(crate) async fn list_scaling_decisions(
    call: TenantCall,
    Query(query): Query<PageQuery>,
) -> Result<Answer, ApiError> {
    let page = query.request(|DecisionCursor(id)| id)?;
    let rows = call.read(async |tx| scaling::list(tx, page).await).await?;
    let view = |row: DecisionRow| ScalingDecisionResponse {
        minute: row.minute,
        action: row.action,
        current: row.current_units,
        target: row.target_units,
        requests_per_minute: row.requests_per_minute,
        p95_ms: row.p95_ms,
        reason: row.reason,
    };
    call.page(rows, |row| DecisionCursor(row.id), view)
}
