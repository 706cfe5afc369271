//! Removes a deleted tenant, step by step, for good.
//!
//! The state is a row of `tenant_purges`: [`advance`] does the step that it names and writes the next one down in the same
//! transaction, so a process that dies anywhere leaves a purge that goes on from there, and two that advance the same one wait
//! for each other. What goes, in this order: the tenant's jobs; schema and role with everything in them, people, sessions,
//! keys, resources, kept answers; its rows in the tables across tenants that extensions have, in portions; what the platform
//! knows of it beside its name. What stays, under the tenant's id: usage, for the bill, and what was counted and is not yet in
//! it; the operators' audit log; the entries of the tenant's audit log, without what was changed; the row in `tenants`, without
//! its slug, which is free from then on; and the receipt, which says what was removed.
//!
//! What is in Redis goes by itself: a bucket expires when it is full, within a minute of the last request or so. Refuses a
//! tenant that is not deleted.

use std::collections::BTreeMap;

use bulkhead_domain::{JobId, SchemaName, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use self::forget::forget;
use crate::{
    audit::Chain,
    engine::{
        error::{DbError, DbResult},
        scope::OwnerTx,
    },
    fleet::{audit_chain, erase, provision::drop_script},
    platform::audit,
    tenant::audit::Entry,
};

mod forget;

/// Rows that one transaction deletes or copies.
const BATCH: i64 = 5_000;

/// Up to how many rows of a table are counted for the receipt: counting more would only take time.
pub const COUNTED: i64 = 100_000;

/// What a purge has removed, and what it has kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// Rows that were removed of each table of the tenant's schema that had at most [`COUNTED`].
    pub rows: BTreeMap<String, i64>,
    /// The other tables, which had more or could not be counted within the time of a statement: about how many rows there
    /// were, as PostgreSQL estimated it for itself; `None` when it had no idea.
    pub rows_estimated: BTreeMap<String, Option<i64>>,
    /// The size that the schema had on the disk, in bytes.
    pub bytes: i64,
    /// Whether there was a schema.
    pub schema: bool,
    /// Whether there was a role.
    pub role: bool,
    /// Whether a first owner was still waiting for the schema.
    pub pending_owner: bool,
    /// Jobs that were removed, in whatever state.
    pub jobs: i64,
    /// Revocations that were removed.
    pub revocations: i64,
    /// Scaling policies, states and decisions that were removed.
    pub scaling: i64,
    /// Answers to operators that mentioned the tenant. That they were given is still known for a day; what they said is not.
    pub answers: i64,
    /// Entries of the tenant's audit log that are kept, without what was changed.
    pub audit_kept: i64,
}

impl TryFrom<Value> for Receipt {
    type Error = serde_json::Error;

    fn try_from(stored: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(stored)
    }
}

impl Receipt {
    fn read(stored: Value) -> DbResult<Self> {
        Self::try_from(stored).map_err(|error| DbError::Unreadable(format!("receipt: {error}")))
    }

    fn to_json(&self) -> DbResult<Value> {
        serde_json::to_value(self)
            .map_err(|error| DbError::Query(diesel::result::Error::SerializationError(Box::new(error))))
    }
}

/// What there is to be done next; the words are those of `tenant_purges.step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Remove the tenant's jobs.
    Jobs,
    /// Keep the entries of the tenant's audit log, without what was changed.
    Audit,
    /// Drop schema and role.
    Schema,
    /// Remove what the platform knows of it.
    Records,
    /// Free the slug and write the receipt.
    Seal,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [Self::Jobs, Self::Audit, Self::Schema, Self::Records, Self::Seal];

    /// The word the database uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Audit => "audit",
            Self::Schema => "schema",
            Self::Records => "records",
            Self::Seal => "seal",
        }
    }
}

/// How far a purge has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// A step, or a part of it, is done; there is more.
    Going,
    /// Nothing is left to do.
    Purged(Receipt),
    /// There is no purge of this tenant, or it is not deleted. Nothing was done.
    Refused,
}

#[derive(QueryableByName)]
struct PurgeRow {
    #[diesel(sql_type = Text)]
    step: String,
    #[diesel(sql_type = Jsonb)]
    receipt: Value,
    #[diesel(sql_type = Bool)]
    finished: bool,
}

#[derive(QueryableByName)]
struct TableRow {
    /// Quoted.
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    estimate: Option<i64>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

#[derive(QueryableByName)]
struct Log {
    #[diesel(sql_type = Bool)]
    found: bool,
    /// Whether its rows say what the chain has to know of them.
    #[diesel(sql_type = Bool)]
    is_chained: bool,
}

#[derive(QueryableByName)]
struct Copied {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

#[derive(QueryableByName)]
struct Last {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    id: Option<Uuid>,
}

/// Does the next step of a tenant's purge on behalf of `job`, and writes down that it is done. Call it again until there is
/// nothing left to do.
pub async fn advance(
    tx: &mut OwnerTx,
    tenant: TenantId,
    job: JobId,
    at: DateTime<Utc>,
) -> DbResult<Advanced> {
    let query = diesel::sql_query(
        "SELECT p.step, p.receipt, p.finished_at IS NOT NULL AS finished \
         FROM tenant_purges p JOIN tenants t ON t.id = p.tenant_id \
         WHERE p.tenant_id = $1 AND t.status = 'deleted' FOR UPDATE",
    );
    let Some(PurgeRow { step, receipt, finished }) =
        tx.tx.first(query.bind::<SqlUuid, _>(tenant.uuid())).await?
    else {
        return Ok(Advanced::Refused);
    };
    let mut receipt = Receipt::read(receipt)?;
    if finished {
        return Ok(Advanced::Purged(receipt));
    }
    let unknown = || DbError::Unreadable(format!("purge of {tenant}: step {step}"));
    let step = Step::ALL.into_iter().find(|known| known.as_str() == step).ok_or_else(unknown)?;
    let next = match step {
        Step::Jobs => remove_jobs(tx, tenant, &mut receipt).await?,
        Step::Audit => keep_audit(tx, tenant, &mut receipt).await?,
        Step::Schema => drop_schema(tx, tenant, &mut receipt).await?,
        Step::Records if forget(tx, tenant).await? => Step::Records,
        Step::Records => {
            remove_records(tx, tenant, &mut receipt).await?;
            Step::Seal
        }
        Step::Seal if forget(tx, tenant).await? => Step::Seal,
        Step::Seal => {
            seal(tx, tenant, job, &mut receipt, at).await?;
            return Ok(Advanced::Purged(receipt));
        }
    };
    let done = diesel::sql_query("UPDATE tenant_purges SET step = $2, receipt = $3 WHERE tenant_id = $1")
        .bind::<SqlUuid, _>(tenant.uuid())
        .bind::<Text, _>(next.as_str())
        .bind::<Jsonb, _>(receipt.to_json()?);
    tx.tx.execute(done).await?;
    Ok(Advanced::Going)
}

/// Removes jobs in whatever state: nothing that they were to do has to be done any more.
async fn remove_jobs(tx: &mut OwnerTx, tenant: TenantId, receipt: &mut Receipt) -> DbResult<Step> {
    let statement = diesel::sql_query(
        "DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM jobs WHERE tenant_id = $1 LIMIT $2))",
    )
    .bind::<SqlUuid, _>(tenant.uuid())
    .bind::<BigInt, _>(BATCH);
    let removed = count(tx.tx.execute(statement).await?);
    receipt.jobs += removed;
    Ok(if removed < BATCH { Step::Audit } else { Step::Jobs })
}

/// Chains what is not chained yet, and copies the audit log in the order of the ids, so that the last entry copied says where to go
/// on. No entry is added any more: the tenant is closed. Of what is not copied the chain keeps commitments, so it can be
/// verified as before.
async fn keep_audit(tx: &mut OwnerTx, tenant: TenantId, receipt: &mut Receipt) -> DbResult<Step> {
    let name = SchemaName::of(tenant);
    let chain = Chain::Tenant(tenant);
    let query = diesel::sql_query(
        "SELECT to_regclass($1) IS NOT NULL AS found, EXISTS ( \
             SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'xid') AS is_chained",
    );
    let log: Log = tx.tx.one(query.bind::<Text, _>(chain.log())).await?;
    if !log.found {
        return Ok(Step::Schema);
    }
    if log.is_chained && audit_chain::advance(tx, chain).await?.more {
        return Ok(Step::Audit);
    }
    let query = diesel::sql_query(
        "SELECT (SELECT id FROM tenant_audit_log WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1) AS id",
    );
    let last: Last = tx.tx.one(query.bind::<SqlUuid, _>(tenant.uuid())).await?;
    // Through the row as JSON: a tenant that was deleted before it had the column is purged, too.
    let copy = diesel::sql_query(format!(
        "INSERT INTO tenant_audit_log (tenant_id, id, at, actor, act, action, target, request_id) \
         SELECT $1, id, at, actor, to_jsonb(entry) ->> 'act', action, target, request_id FROM {name}.audit_log entry \
         WHERE id > coalesce($2, '00000000-0000-0000-0000-000000000000') ORDER BY id LIMIT $3 RETURNING id"
    ))
    .bind::<SqlUuid, _>(tenant.uuid())
    .bind::<Nullable<SqlUuid>, _>(last.id)
    .bind::<BigInt, _>(BATCH);
    let copied: Vec<Copied> = tx.tx.load(copy).await?;
    if log.is_chained {
        let ids: Vec<Uuid> = copied.iter().map(|entry| entry.id).collect();
        erase::commit_all(tx, chain, &ids).await?;
    }
    let copied = count(copied.len());
    receipt.audit_kept += copied;
    Ok(if copied < BATCH { Step::Schema } else { Step::Audit })
}

/// Drops everything that is the tenant's own, in one transaction. So a purge that stops half-way leaves no schema
/// without a role and no role without a schema.
async fn drop_schema(tx: &mut OwnerTx, tenant: TenantId, receipt: &mut Receipt) -> DbResult<Step> {
    let name = SchemaName::of(tenant);
    // A migration of the tenant has its row for as long as it works in the schema.
    let lock = format!("SELECT FROM tenant_schema_versions WHERE tenant_id = '{}' FOR UPDATE", tenant.uuid());
    tx.tx.batch(&lock).await?;
    let tables = diesel::sql_query(
        "SELECT quote_ident(relname) AS name, pg_total_relation_size(oid) AS bytes, \
             nullif(reltuples, -1)::bigint AS estimate FROM pg_class \
         WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')",
    );
    let tables: Vec<TableRow> = tx.tx.load(tables.bind::<Text, _>(name.to_string())).await?;
    receipt.bytes = tables.iter().map(|table| table.bytes).sum();
    count_rows(tx, name, &tables, receipt).await?;
    receipt.schema = exists(tx, "SELECT to_regnamespace($1) IS NOT NULL AS found", name).await?;
    receipt.role = exists(tx, "SELECT to_regrole($1) IS NOT NULL AS found", name).await?;
    tx.tx.batch(&drop_script(tenant)).await?;
    let id = tenant.uuid();
    let owner = diesel::sql_query("DELETE FROM pending_owners WHERE tenant_id = $1").bind::<SqlUuid, _>(id);
    receipt.pending_owner = tx.tx.execute(owner).await? > 0;
    let version = diesel::sql_query("DELETE FROM tenant_schema_versions WHERE tenant_id = $1");
    tx.tx.execute(version.bind::<SqlUuid, _>(id)).await?;
    Ok(Step::Records)
}

/// A statement for each table, which may be too slow: what is counted is only for the receipt, and nothing that a tenant has
/// left can keep its purge from ending.
async fn count_rows(
    tx: &mut OwnerTx,
    name: SchemaName,
    tables: &[TableRow],
    receipt: &mut Receipt,
) -> DbResult<()> {
    for TableRow { name: table, estimate, .. } in tables {
        // The names are the catalog's, and come from our own migrations.
        let query = diesel::sql_query(format!(
            "SELECT count(*) AS rows FROM (SELECT FROM {name}.{table} LIMIT {COUNTED} + 1) counted"
        ));
        let counted: Option<Vec<CountRow>> = tx.tx.load_if_in_time(query).await?;
        match counted.and_then(|rows| rows.first().map(|row| row.rows)) {
            Some(rows) if rows <= COUNTED => {
                receipt.rows.insert(table.clone(), rows);
            }
            Some(more) => {
                let about = estimate.map_or(more, |estimate| estimate.max(more));
                receipt.rows_estimated.insert(table.clone(), Some(about));
            }
            None => {
                receipt.rows_estimated.insert(table.clone(), *estimate);
            }
        }
    }
    Ok(())
}

async fn exists(tx: &mut OwnerTx, query: &str, name: SchemaName) -> DbResult<bool> {
    let row: Found = tx.tx.one(diesel::sql_query(query).bind::<Text, _>(name.to_string())).await?;
    Ok(row.found)
}

/// Answers to operators are kept for a day, so that a request that is repeated is not done twice. Their keys stay, but
/// the answers that mention this tenant are emptied: such a request, repeated, is answered with `already-completed`.
async fn remove_records(tx: &mut OwnerTx, tenant: TenantId, receipt: &mut Receipt) -> DbResult<()> {
    let id = tenant.uuid();
    let mut remove = async |statement: &str| {
        Ok::<_, DbError>(count(tx.tx.execute(diesel::sql_query(statement).bind::<SqlUuid, _>(id)).await?))
    };
    receipt.revocations += remove("DELETE FROM revocations WHERE tenant_id = $1").await?;
    receipt.scaling += remove("DELETE FROM scaling_decisions WHERE tenant_id = $1").await?
        + remove("DELETE FROM scaling_states WHERE tenant_id = $1").await?
        + remove("DELETE FROM scaling_policies WHERE tenant_id = $1").await?;
    // What the tenant has said about identity providers, its client's secrets included, is nobody's to count.
    remove("DELETE FROM identity_provider_tenants WHERE tenant_id = $1").await?;
    remove("DELETE FROM identity_providers WHERE tenant_id = $1").await?;
    let answers = diesel::sql_query(
        "UPDATE idempotency_keys SET body = NULL, location = NULL \
         WHERE strpos(body, $1) > 0 OR strpos(location, $1) > 0",
    );
    receipt.answers += count(tx.tx.execute(answers.bind::<Text, _>(tenant.to_string())).await?);
    Ok(())
}

/// The end: the slug is free, and the receipt says so.
async fn seal(
    tx: &mut OwnerTx,
    tenant: TenantId,
    job: JobId,
    receipt: &mut Receipt,
    at: DateTime<Utc>,
) -> DbResult<()> {
    // A job of the tenant may have been asked for while its jobs were being removed. It is removed too, and so is what
    // the answer to that request said.
    while remove_jobs(tx, tenant, receipt).await? == Step::Jobs {}
    remove_records(tx, tenant, receipt).await?;
    // The stand-in is a slug like any other, so that older programs can read the row; no new tenant can ask for it
    // (`Slug::for_new_tenant`).
    let free = diesel::sql_query(
        "UPDATE tenants SET slug = 't-' || substr(role_name, 3), requests_per_minute = NULL, burst = NULL, \
             version = version + 1, updated_at = $2 WHERE id = $1",
    );
    tx.tx.execute(free.bind::<SqlUuid, _>(tenant.uuid()).bind::<Timestamptz, _>(at)).await?;
    let (target, request_id) = (tenant.to_string(), job.to_string());
    let entry = Entry {
        at,
        actor: "system",
        act: None,
        action: "purge_tenant",
        target: &target,
        request_id: &request_id,
        address: None,
        changes: receipt.to_json()?,
    };
    audit::record_as_owner(tx, &entry).await?;
    let finish = diesel::sql_query(
        "UPDATE tenant_purges SET step = 'seal', finished_at = $2, receipt = $3 WHERE tenant_id = $1",
    )
    .bind::<SqlUuid, _>(tenant.uuid())
    .bind::<Timestamptz, _>(at)
    .bind::<Jsonb, _>(receipt.to_json()?);
    tx.tx.execute(finish).await?;
    Ok(())
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
