//! The plans that can be bought. Their limits are read where they are in force: with the directory's entry of a tenant, and with
//! its caps.

use bulkhead_domain::{PlanName, text};
use diesel::prelude::*;

use crate::{
    engine::{error::DbResult, scope::PlatformTx},
    schema::platform::plans,
};

/// A text names no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be {}", text::alternatives(.known))]
pub struct UnknownPlan {
    known: Vec<PlanName>,
}

/// The plan of this name, or those that there are, the smallest limit first. The text goes into no statement, so it may be
/// anything.
pub async fn find(tx: &mut PlatformTx, name: &str) -> DbResult<Result<PlanName, UnknownPlan>> {
    let query = plans::table.order((plans::requests_per_minute.asc(), plans::name.asc())).select(plans::name);
    let known: Vec<String> = tx.tx.load(query).await?;
    let mut known: Vec<PlanName> = known.into_iter().map(PlanName::from).collect();
    Ok(match known.iter().position(|plan| plan.as_str() == name) {
        Some(at) => Ok(known.swap_remove(at)),
        None => Err(UnknownPlan { known }),
    })
}
