//! Builds a tenant: its role, its schema with every migration, its first owner, and the record that it is in service.
//! Role and schema may be there already ([`schema_pool`]); then the tenant takes those.
//!
//! All of it in the caller's one transaction, so there is no half-built tenant to find or to clean up: a process that
//! is killed anywhere leaves what was there before. The text of every statement is this crate's own; what people have
//! typed (the owner's address) never leaves the database on its way from `pending_owners` to the new schema.

use bulkhead_domain::{JobId, SchemaName, TenantId, TenantStatus, UserId};
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Bool, Nullable, Text, Uuid as SqlUuid},
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::{LEAVE_SCHEMA, OwnerTx, enter_schema},
    },
    fleet::migrate::{Blueprint, FLEET_LOCK, LEDGER_VERSION},
    tenant::audit::Entry,
};

pub mod schema_pool;

/// What became of a request to build a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provisioned {
    /// It was built, and is in service.
    Built,
    /// It had been built before; nothing was done.
    AlreadyActive,
    /// It was deleted before it was built: nothing was done, what there is of it is the purge's to remove.
    Withdrawn,
}

#[derive(QueryableByName)]
struct Order {
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Bool)]
    built: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    owner: Option<Uuid>,
    /// The migrations of the schema that was built ahead for it, if one was.
    #[diesel(sql_type = Nullable<Text>)]
    ahead: Option<String>,
    /// The migrations that it is to have; `None` before the first run of `migrate`.
    #[diesel(sql_type = Nullable<Text>)]
    wanted: Option<String>,
}

/// Builds a tenant that `platform.tenants` and `platform.pending_owners` describe, with the migrations that tenants are built
/// with now, on behalf of `job`. Two that build the same tenant wait for each other. A tenant that does not exist is
/// [`DbError::Query`] with "not found"; [`DbError::Outdated`] when only a newer program can do it,
/// [`DbError::NotMigrated`] when no `migrate` has run yet.
pub async fn provision_tenant(
    tx: &mut OwnerTx,
    tenant: TenantId,
    job: JobId,
    at: DateTime<Utc>,
) -> DbResult<Provisioned> {
    // The locks first: only a later statement sees what the transactions that held them have done. The fleet's is held
    // to the end, so a migration that raises what is wanted waits until this tenant is there to be seen.
    let locks = format!(
        "SELECT pg_advisory_xact_lock_shared({FLEET_LOCK}); SELECT FROM tenants WHERE id = '{id}' FOR UPDATE; \
         SELECT FROM schema_pool WHERE tenant_id = '{id}' FOR UPDATE",
        id = tenant.uuid()
    );
    tx.tx.batch(&locks).await?;
    let query = diesel::sql_query(
        "SELECT t.status, v.tenant_id IS NOT NULL AS built, p.user_id AS owner, \
             s.applied::text AS ahead, (SELECT wanted::text FROM fleet_target) AS wanted \
         FROM tenants t LEFT JOIN pending_owners p ON p.tenant_id = t.id \
         LEFT JOIN schema_pool s ON s.tenant_id = t.id \
         LEFT JOIN tenant_schema_versions v ON v.tenant_id = t.id WHERE t.id = $1",
    );
    let order: Order = tx.tx.one(query.bind::<SqlUuid, _>(tenant.uuid())).await?;
    if order.built {
        return Ok(Provisioned::AlreadyActive);
    }
    if order.status == TenantStatus::Deleted.as_str() {
        return Ok(Provisioned::Withdrawn);
    }
    let owner = order
        .owner
        .map(UserId::from_uuid)
        .ok_or_else(|| DbError::Unreadable(format!("tenant {tenant} has no pending owner")))?;
    let wanted = order.wanted.ok_or(DbError::NotMigrated)?;
    let name = SchemaName::of(tenant);
    match order.ahead {
        Some(applied) if applied == wanted => {}
        Some(_behind) => {
            tx.tx.batch(&drop_script(tenant)).await?;
            Blueprint::read(tx).await?.build(tx, name).await?;
        }
        None => Blueprint::read(tx).await?.build(tx, name).await?,
    }
    let sql =
        enter_schema(name) + &owner_script(tenant, owner, job, at) + &record_script(tenant, &wanted, at);
    tx.tx.batch(&sql).await?;
    Ok(Provisioned::Built)
}

/// Takes back what was built ahead: schema, role, and the row of the pool.
pub(crate) fn drop_script(tenant: TenantId) -> String {
    let name = SchemaName::of(tenant);
    format!(
        "DROP SCHEMA IF EXISTS {name} CASCADE; SELECT tenant_roles.remove('{name}'); DELETE FROM schema_pool WHERE tenant_id = '{}';\n",
        tenant.uuid()
    )
}

/// The role (`bootstrap/tenant_roles.rs` says who makes it) and the empty schema.
pub(crate) fn role_script(name: SchemaName) -> String {
    format!(
        "SELECT tenant_roles.make('{name}'); CREATE SCHEMA {name}; GRANT USAGE ON SCHEMA {name} TO {name};\n"
    )
}

/// The first owner and the tenant's first audit entry; runs inside the schema.
fn owner_script(tenant: TenantId, owner: UserId, job: JobId, at: DateTime<Utc>) -> String {
    let (job, target) = (job.to_string(), owner.to_string());
    let entry = Entry {
        at,
        actor: "system",
        act: None,
        action: "provision_tenant",
        target: &target,
        request_id: &job,
        address: None,
        changes: Value::Object(serde_json::Map::new()),
    };
    let time = timestamp(at);
    format!(
        "INSERT INTO users (id, email, password_hash, role, created_at, updated_at) \
         SELECT user_id, email, password_hash, 'owner', {time}, {time} \
         FROM platform.pending_owners WHERE tenant_id = '{}';\n\
         INSERT INTO audit_log (id, at, actor, action, target, request_id, changes) \
         VALUES ('{}', {time}, '{}', '{}', '{}', '{}', '{}');\n",
        tenant.uuid(),
        entry.mint_id(),
        entry.actor,
        entry.action,
        entry.target,
        entry.request_id,
        entry.changes
    )
}

/// What the platform knows of a tenant that has been built with these migrations.
fn record_script(tenant: TenantId, applied: &str, at: DateTime<Utc>) -> String {
    let (id, time) = (tenant.uuid(), timestamp(at));
    format!(
        "{LEAVE_SCHEMA} DELETE FROM pending_owners WHERE tenant_id = '{id}';\n\
         DELETE FROM schema_pool WHERE tenant_id = '{id}';\n\
         INSERT INTO tenant_schema_versions (tenant_id, version, applied, migrated_at) \
             VALUES ('{id}', '{LEDGER_VERSION}', '{applied}', {time});\n\
         UPDATE tenants SET status = 'active', version = version + 1, updated_at = {time} \
         WHERE id = '{id}' AND status = 'provisioning'"
    )
}

fn timestamp(at: DateTime<Utc>) -> String {
    format!("timestamptz '{}'", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}
