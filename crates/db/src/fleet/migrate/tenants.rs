//! Running over the tenants: claiming, batches, and what becomes of those that fail.

use std::time::Instant;

use bulkhead_domain::{SchemaName, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    ATTEMPTS, Listener, MigrateOptions, Migration, MigrationReport, Progress, is_fatal, pause, target,
};
use crate::engine::{
    error::{DbError, DbResult},
    scope::{LEAVE_SCHEMA, Owner, enter_schema},
};

#[derive(QueryableByName)]
struct Fleet {
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    already: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

#[derive(Clone, QueryableByName)]
struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = Text)]
    version: String,
}

/// One run over the tenants.
struct Run<'a> {
    owner: Owner,
    migrations: &'a [Migration],
    newest: String,
    batch: i64,
    /// A tenant that has failed since is not tried again.
    started: DateTime<Utc>,
    listener: Listener<'a>,
}

/// Raises the version that tenants are built at to the newest of `migrations`, and applies what each tenant lacks of them,
/// oldest first. Does not return before every tenant that needed it was migrated or has failed, whoever did it. A program
/// older than that version raises nothing, and brings its own tenants as far as it knows.
pub async fn migrate_tenants(
    owner: &Owner,
    migrations: &[Migration],
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<MigrationReport> {
    let began = Instant::now();
    let newest = newest(migrations);
    let owner = owner.with_timeouts(options.timeouts());
    // From here on nobody builds at an older version, and whatever was being built is there to be seen.
    target::raise(&owner, migrations).await?;
    let fleet = survey(&owner, &newest, None).await?;
    let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
    let mut report = MigrationReport { already: count(fleet.already), ..MigrationReport::default() };
    if fleet.pending > 0 {
        listener(Progress::Pending(count(fleet.pending)));
        let workers = options.connections.clamp(1, owner.connections());
        let run = Run { owner, migrations, newest, batch: options.batch, started: fleet.at, listener };
        run.until_done(workers, &mut report).await?;
    }
    report.elapsed = began.elapsed();
    Ok(report)
}

/// The newest version of a set.
pub(crate) fn newest(migrations: &[Migration]) -> String {
    migrations.last().map(|migration| migration.version().to_string()).unwrap_or_default()
}

/// How many tenants lack something and have not failed since, and how many lack nothing.
async fn survey(owner: &Owner, newest: &str, since: Option<DateTime<Utc>>) -> DbResult<Fleet> {
    let query = diesel::sql_query(
        "SELECT count(*) FILTER (WHERE version < $1 AND (failed_at < $2) IS NOT FALSE) AS pending, \
         count(*) FILTER (WHERE version >= $1) AS already, now() AS at FROM tenant_schema_versions",
    )
    .bind::<Text, _>(newest)
    .bind::<Nullable<Timestamptz>, _>(since);
    owner.read(async |tx| tx.tx.one(query).await).await
}

impl Run<'_> {
    async fn until_done(&self, workers: usize, report: &mut MigrationReport) -> DbResult<()> {
        for round in 0.. {
            let parts = futures::future::try_join_all((0..workers).map(|_| self.work())).await?;
            for part in parts {
                report.migrated += part.migrated;
                report.failed.extend(part.failed);
            }
            if survey(&self.owner, &self.newest, Some(self.started)).await?.pending == 0 {
                break;
            }
            // Another run has claimed them.
            pause(round).await;
        }
        Ok(())
    }

    /// Takes batch after batch, until nothing is left that nobody else has claimed.
    async fn work(&self) -> DbResult<MigrationReport> {
        let mut done = MigrationReport::default();
        let mut busy = Vec::new();
        let mut from = Uuid::nil();
        loop {
            let mut claimed = Vec::new();
            let outcome = self.apply(from, Uuid::max(), self.batch, &mut claimed).await;
            let Some(last) = claimed.last() else {
                outcome?;
                break;
            };
            from = last.tenant_id;
            match outcome {
                Ok(()) => claimed.iter().for_each(|tenant| self.migrated(tenant, &mut done)),
                // One tenant may be slow, or the server be frozen: the next statement tells. They are tried alone after a pause, in
                // which the server hears that nobody waits for this transaction any more.
                Err(DbError::Timeout) => busy.extend(claimed),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, tenants = claimed.len(), "a batch failed; its tenants are tried alone");
                    busy.extend(self.apply_each(claimed, false, &mut done).await?);
                }
            }
        }
        for attempt in 1..=ATTEMPTS {
            if busy.is_empty() {
                break;
            }
            pause(attempt).await;
            busy = self.apply_each(busy, attempt == ATTEMPTS, &mut done).await?;
        }
        Ok(done)
    }

    /// Migrates up to `limit` of the tenants after `from` and up to `to` in one transaction, and tells which it has
    /// claimed.
    async fn apply(&self, from: Uuid, to: Uuid, limit: i64, claimed: &mut Vec<Claimed>) -> DbResult<()> {
        self.owner
            .write(async |tx| {
                let claim = diesel::sql_query(
                    "SELECT tenant_id, version FROM tenant_schema_versions \
                     WHERE version < $1 AND (failed_at < $2) IS NOT FALSE AND tenant_id > $3 AND tenant_id <= $4 \
                     ORDER BY tenant_id LIMIT $5 FOR UPDATE SKIP LOCKED",
                )
                .bind::<Text, _>(&self.newest)
                .bind::<Timestamptz, _>(self.started)
                .bind::<SqlUuid, _>(from)
                .bind::<SqlUuid, _>(to)
                .bind::<BigInt, _>(limit);
                *claimed = tx.tx.load(claim).await?;
                // The client waits as long for the answer to a message as the server lets a statement go on, so no message has more than
                // one migration of one tenant: a batch may take as long as its tenants need.
                if claimed.is_empty() { Ok(()) } else { tx.tx.batches(&self.messages(claimed)).await }
            })
            .await
    }

    /// Migrates tenants one by one, marks the bad ones, and returns those that are worth another attempt: the ones whose
    /// tables were in use, unless this is the last attempt.
    async fn apply_each(
        &self,
        tenants: Vec<Claimed>,
        last: bool,
        done: &mut MigrationReport,
    ) -> DbResult<Vec<Claimed>> {
        let mut busy = Vec::new();
        for tenant in tenants {
            let mut claimed = Vec::new();
            let before = Uuid::from_u128(tenant.tenant_id.as_u128().saturating_sub(1));
            match self.apply(before, tenant.tenant_id, 1, &mut claimed).await {
                // Somebody else has it.
                Ok(()) if claimed.is_empty() => {}
                Ok(()) => self.migrated(&tenant, done),
                // It was alone, so it is slow by itself: another try would hold its tables as long. When it is the server that does not
                // answer, the mark cannot be written either, and that ends the run.
                Err(error @ DbError::Timeout) => self.failed(&tenant, error.to_string(), done).await?,
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) if error.is_transient() && !last => busy.push(tenant),
                Err(error) => self.failed(&tenant, error.to_string(), done).await?,
            }
        }
        Ok(busy)
    }

    async fn failed(&self, tenant: &Claimed, error: String, done: &mut MigrationReport) -> DbResult<()> {
        let statement = diesel::sql_query(
            "UPDATE tenant_schema_versions SET error = left($1, 2000), failed_at = now() \
             WHERE tenant_id = $2 AND version < $3 AND (failed_at < $4) IS NOT FALSE",
        )
        .bind::<Text, _>(&error)
        .bind::<SqlUuid, _>(tenant.tenant_id)
        .bind::<Text, _>(&self.newest)
        .bind::<Timestamptz, _>(self.started);
        if self.owner.write(async |tx| tx.tx.execute(statement).await).await? == 0 {
            // Between the failure and here somebody else has had it, and has told.
            return Ok(());
        }
        let tenant = TenantId::from_uuid(tenant.tenant_id);
        (self.listener)(Progress::Failed(tenant, &error));
        done.failed.push((tenant, error));
        Ok(())
    }

    fn migrated(&self, tenant: &Claimed, done: &mut MigrationReport) {
        done.migrated += 1;
        (self.listener)(Progress::Migrated(TenantId::from_uuid(tenant.tenant_id)));
    }

    /// Everything that a batch runs: each migration that a tenant lacks, and the word that they lack nothing any more.
    fn messages(&self, claimed: &[Claimed]) -> Vec<String> {
        let mut messages = Vec::new();
        for tenant in claimed {
            let schema = SchemaName::of(TenantId::from_uuid(tenant.tenant_id));
            let lacks =
                self.migrations.iter().filter(|migration| migration.version().to_string() > tenant.version);
            messages.extend(lacks.map(|migration| schema_script(schema, std::iter::once(migration.up()))));
        }
        let ids: Vec<String> = claimed.iter().map(|tenant| format!("'{}'", tenant.tenant_id)).collect();
        messages.push(format!(
            "{LEAVE_SCHEMA} UPDATE tenant_schema_versions \
             SET version = '{}', migrated_at = now(), error = NULL, failed_at = NULL WHERE tenant_id IN ({})",
            self.newest,
            ids.join(", ")
        ));
        messages
    }
}

/// Migrations as SQL that enters the schema first.
pub(crate) fn schema_script<'a>(schema: SchemaName, ups: impl Iterator<Item = &'a str>) -> String {
    let mut sql = enter_schema(schema);
    for up in ups {
        sql.push('\n');
        sql += &up.replace(":\"tenant\"", schema.as_str());
        // Ends a last statement without a semicolon, and a last line that is a comment.
        sql += "\n;\n";
    }
    sql
}
