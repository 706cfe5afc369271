//! Schemas that are ready for tenants that have not signed up yet.

use serde::{Deserialize, Serialize};

use crate::Job;

/// Build schemas ahead until as many are ready as are wanted, and drop those that no tenant will take.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct FillSchemaPool {}

impl Job for FillSchemaPool {
    const KIND: &'static str = "fill_schema_pool";
    const MAX_ATTEMPTS: i32 = 1;
}
