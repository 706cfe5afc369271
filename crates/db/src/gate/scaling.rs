//! A tenant's own scaling decisions, through the view of `gate`.

use bulkhead_domain::scaling::Action;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::TenantTx,
    },
    schema::gate::scaling_decisions,
};

/// A decision that was written.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = scaling_decisions, check_for_backend(diesel::pg::Pg))]
pub struct DecisionRow {
    /// Its id.
    pub id: Uuid,
    /// The minute it was made for.
    pub minute: DateTime<Utc>,
    /// What to do.
    #[diesel(deserialize_as = String)]
    pub action: Action,
    /// Capacity before.
    pub current_units: i32,
    /// Capacity wanted.
    pub target_units: i32,
    /// The load it saw.
    pub requests_per_minute: f64,
    /// The 95th percentile of latency it saw.
    pub p95_ms: Option<f64>,
    /// Why.
    pub reason: String,
}

/// Decisions, the newest first.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> DbResult<Page<DecisionRow>> {
    let mut query = scaling_decisions::table
        .select(DecisionRow::as_select())
        .order(scaling_decisions::id.desc())
        .limit(page.probe())
        .into_boxed();
    if let Some(before) = page.after {
        query = query.filter(scaling_decisions::id.lt(before));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}
