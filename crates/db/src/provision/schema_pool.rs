//! Schemas that are built before anybody has asked for them, so that a new tenant only has to move in.
//!
//! Owns `schema_pool`: a row stands for a role and a schema without data, from the moment they are built until their
//! tenant is in service. A sign-up takes one (`platform/tenants.rs`), [`super::provision_tenant`] puts it into service. What
//! is here is no tenant's yet: migrations pass it by, and one that is behind is dropped and built anew. Refuses to drop
//! anything that ever was in service.

use bulkhead_domain::{SchemaName, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{build_script, drop_script, timestamp};
use crate::{
    error::{DbError, DbResult},
    migrate::{FLEET_LOCK, TenantMigration, newest},
    scope::{LEAVE_SCHEMA, OwnerTx},
};

#[derive(QueryableByName)]
struct Site {
    #[diesel(sql_type = Bool)]
    outdated: bool,
}

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

/// Builds role and schema with `migrations` for a tenant to come, under an id that was minted for it.
/// [`DbError::Outdated`] when a newer program should do it.
pub async fn build_ahead(
    tx: &mut OwnerTx,
    migrations: &[TenantMigration],
    tenant: TenantId,
    at: DateTime<Utc>,
) -> DbResult<()> {
    // A migration that has seen its last tenant knows that nobody still builds with what was before.
    tx.tx.batch(&format!("SELECT pg_advisory_xact_lock_shared({FLEET_LOCK})")).await?;
    let query = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM tenant_schema_versions WHERE version > $1) \
         OR EXISTS (SELECT FROM schema_pool WHERE version > $1) AS outdated",
    );
    let site: Site = tx.tx.one(query.bind::<Text, _>(newest(migrations))).await?;
    if site.outdated {
        return Err(DbError::Outdated);
    }
    let name = SchemaName::of(tenant);
    let sql = build_script(name, migrations)
        + &format!(
            "{LEAVE_SCHEMA} INSERT INTO schema_pool (tenant_id, role_name, version, built_at) \
             VALUES ('{}', '{name}', '{}', {})",
            tenant.uuid(),
            newest(migrations),
            timestamp(at)
        );
    tx.tx.batch(&sql).await
}

/// How many schemas are ready to be taken. One that a newer program has built is as good, one that is behind is not.
pub async fn count_ready(tx: &mut OwnerTx, migrations: &[TenantMigration]) -> DbResult<usize> {
    let query = diesel::sql_query(
        "SELECT count(*) AS ready FROM schema_pool WHERE taken_at IS NULL AND version >= $1",
    );
    let row: Ready = tx.tx.one(query.bind::<Text, _>(newest(migrations))).await?;
    Ok(usize::try_from(row.ready).unwrap_or_default())
}

/// Drops one schema that nobody will move into, and its role: it is behind, or there are more than `wanted`, or its
/// tenant was deleted before it was built. Whether there was one; call it again until there is not.
pub async fn drop_surplus(tx: &mut OwnerTx, migrations: &[TenantMigration], wanted: u16) -> DbResult<bool> {
    // When a sign-up takes the row while it is being locked, its new version is judged beside the other tables as they were
    // before. So a row's being taken has to speak for itself, and that a tenant is missing proves nothing.
    let query = diesel::sql_query(
        "SELECT tenant_id FROM schema_pool p \
         WHERE NOT EXISTS (SELECT FROM tenant_schema_versions v WHERE v.tenant_id = p.tenant_id) AND ( \
             (taken_at IS NULL AND (version < $1 OR tenant_id IN ( \
                 SELECT tenant_id FROM schema_pool WHERE taken_at IS NULL AND version >= $1 \
                 ORDER BY tenant_id OFFSET $2))) \
             OR EXISTS (SELECT FROM tenants t WHERE t.id = p.tenant_id AND t.status = 'deleted')) \
         LIMIT 1 FOR UPDATE OF p SKIP LOCKED",
    )
    .bind::<Text, _>(newest(migrations))
    .bind::<BigInt, _>(i64::from(wanted));
    let Some(row): Option<Surplus> = tx.tx.first(query).await? else { return Ok(false) };
    tx.tx.batch(&drop_script(TenantId::from_uuid(row.tenant_id))).await?;
    Ok(true)
}
