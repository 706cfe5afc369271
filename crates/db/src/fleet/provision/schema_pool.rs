//! Schemas that are built before a tenant signs up, so that a new tenant only has to take one.
//!
//! Owns `schema_pool`: a row stands for a role and a schema without data, from the moment they are built until their
//! tenant is in service. A sign-up takes one (`platform/tenants.rs`), [`super::provision_tenant`] puts it into service. What
//! is here is no tenant's yet: migrations pass it by, and one that is behind is dropped and built anew. Refuses to drop
//! anything that ever was in service.

use bulkhead_domain::{SchemaName, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{drop_script, timestamp};
use crate::{
    engine::{
        error::DbResult,
        scope::{LEAVE_SCHEMA, OwnerTx},
    },
    fleet::migrate::{Blueprint, FLEET_LOCK, LEDGER_VERSION},
};

#[derive(QueryableByName)]
struct Ready {
    #[diesel(sql_type = BigInt)]
    ready: i64,
}

#[derive(QueryableByName)]
struct Surplus {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
}

/// Builds role and schema for a tenant to come, under an id that was minted for it, with the migrations that tenants are built
/// with now. Errors as those of [`super::provision_tenant`].
pub async fn build_ahead(tx: &mut OwnerTx, tenant: TenantId, at: DateTime<Utc>) -> DbResult<()> {
    // Held to the end: a migration that raises what is wanted waits for what was begun before it.
    tx.tx.batch(&format!("SELECT pg_advisory_xact_lock_shared({FLEET_LOCK})")).await?;
    let blueprint = Blueprint::read(tx).await?;
    let name = SchemaName::of(tenant);
    blueprint.build(tx, name).await?;
    let sql = format!(
        "{LEAVE_SCHEMA} INSERT INTO schema_pool (tenant_id, role_name, version, applied, built_at) \
             VALUES ('{}', '{name}', '{LEDGER_VERSION}', '{}', {})",
        tenant.uuid(),
        blueprint.target(),
        timestamp(at)
    );
    tx.tx.batch(&sql).await
}

/// How many schemas are ready to be taken. One that has other migrations than tenants are built with is not.
pub async fn count_ready(tx: &mut OwnerTx) -> DbResult<usize> {
    let query = diesel::sql_query(
        "SELECT count(*) AS ready FROM schema_pool p JOIN fleet_target t ON t.wanted = p.applied \
         WHERE p.taken_at IS NULL",
    );
    let row: Ready = tx.tx.one(query).await?;
    Ok(usize::try_from(row.ready).unwrap_or_default())
}

/// Drops one schema that no tenant will take, and its role: it is behind, or there are more than `wanted`. Returns
/// whether there was one; call it again until there is not.
pub async fn drop_surplus(tx: &mut OwnerTx, wanted: u16) -> DbResult<bool> {
    // A sign-up may take the row before this statement locks it. PostgreSQL then checks the conditions again, and the
    // schema is not dropped.
    let query = diesel::sql_query(
        "SELECT p.tenant_id FROM schema_pool p, fleet_target t \
         WHERE p.taken_at IS NULL \
           AND NOT EXISTS (SELECT FROM tenant_schema_versions v WHERE v.tenant_id = p.tenant_id) \
           AND (p.applied <> t.wanted OR p.tenant_id IN ( \
               SELECT tenant_id FROM schema_pool WHERE taken_at IS NULL AND applied = t.wanted \
               ORDER BY tenant_id OFFSET $1)) \
         LIMIT 1 FOR UPDATE OF p SKIP LOCKED",
    )
    .bind::<BigInt, _>(i64::from(wanted));
    let Some(row): Option<Surplus> = tx.tx.first(query).await? else { return Ok(false) };
    tx.tx.batch(&drop_script(TenantId::from_uuid(row.tenant_id))).await?;
    Ok(true)
}
