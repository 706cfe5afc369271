//! What a tenant may know of its own entry in the platform.

use bulkhead_domain::{PlanName, TenantId};
use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::gate::tenant_profile,
};

/// The tenant, as it sees itself.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = tenant_profile, check_for_backend(diesel::pg::Pg))]
pub struct Profile {
    /// Its id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: TenantId,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Its plan.
    #[diesel(deserialize_as = String)]
    pub plan: PlanName,
    /// The request limit in force.
    pub requests_per_minute: i32,
    /// The burst in force.
    pub burst: i32,
    /// When it signed up.
    pub created_at: DateTime<Utc>,
}

/// The tenant of the transaction.
pub async fn find(tx: &mut TenantTx) -> DbResult<Option<Profile>> {
    tx.tx.first(tenant_profile::table.select(Profile::as_select())).await
}
