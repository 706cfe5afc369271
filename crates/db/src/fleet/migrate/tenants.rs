//! Running over the tenants: claiming, batches, and what becomes of those that fail.

use std::{collections::BTreeMap, time::Instant};

use bulkhead_domain::{SchemaName, TenantId};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use uuid::Uuid;

use super::{
    ATTEMPTS, Listener, MigrateOptions, MigrationReport, Progress,
    change::clear_marks,
    ids::Ids,
    is_fatal,
    ledger::{Ledger, Step},
    pause,
    register::register,
    set::Sets,
    split,
};
use crate::engine::{
    error::{BatchError, DbError, DbResult},
    scope::{LEAVE_SCHEMA, Owner, OwnerTx},
};

/// Tenants that have the same migrations.
#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = Text)]
    applied: String,
    #[diesel(sql_type = BigInt)]
    tenants: i64,
    /// Those of them that have not failed since.
    #[diesel(sql_type = BigInt)]
    open: i64,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// How far the tenants are.
#[derive(Default)]
struct Fleet {
    /// Lack something, and have not failed since.
    pending: i64,
    /// Lack nothing.
    already: i64,
    /// The database's time of the counts; `None` when there is no tenant.
    at: Option<DateTime<Utc>>,
}

#[derive(Clone, QueryableByName)]
struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
    #[diesel(sql_type = Text)]
    applied: String,
}

#[derive(QueryableByName)]
struct Held {
    #[diesel(sql_type = Integer)]
    id: i32,
}

/// One message of a batch, and the migration that it applies, if it applies one.
struct Message {
    title: Option<String>,
    sql: String,
}

/// What became of a batch.
#[derive(Default)]
struct Attempt {
    claimed: Vec<Claimed>,
    /// The migration that failed, where it was one that did.
    failed_at: Option<String>,
}

/// One run over the tenants.
struct Run<'a> {
    owner: &'a Owner,
    ledger: &'a Ledger,
    /// All that a tenant is to have, as the database takes it.
    wanted: String,
    batch: i64,
    /// A tenant that has failed since is not tried again.
    started: DateTime<Utc>,
    listener: Listener<'a>,
}

/// Enters what is new of `sets` into the ledger, and gives each tenant what it lacks of all that is wanted there, whichever
/// program has registered it. Does not return before every tenant that needed it was migrated or has failed, by this run or
/// another one. [`DbError::MigrationChanged`] when a migration is not the one that the database has met, [`DbError::Outdated`]
/// when tenants lack something that only a newer program can read; then no tenant is changed.
pub async fn migrate_tenants(
    owner: &Owner,
    sets: &Sets,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<MigrationReport> {
    let began = Instant::now();
    let owner = owner.with_timeouts(options.timeouts());
    let converted = split::convert(&owner, sets, options, listener).await?;
    // From here on no tenant is built without them, and whatever was being built is there to be seen.
    let ledger = register(&owner, sets).await?;
    let mut report = bring_up(&owner, &ledger, options, listener).await?;
    // What a tenant gets for the conversion and what it gets afterwards are one thing that it lacked.
    let again = report.already.min(converted);
    report.migrated += again;
    report.already -= again;
    owner.write(clear_marks).await?;
    report.elapsed = began.elapsed();
    Ok(report)
}

/// Gives each tenant what it lacks of what is wanted in this ledger.
pub(super) async fn bring_up(
    owner: &Owner,
    ledger: &Ledger,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<MigrationReport> {
    let fleet = survey(owner, ledger, None).await?;
    let count = |rows: i64| usize::try_from(rows).unwrap_or_default();
    let mut report = MigrationReport { already: count(fleet.already), ..MigrationReport::default() };
    if let Some(started) = fleet.at.filter(|_| fleet.pending > 0) {
        listener(Progress::Pending(count(fleet.pending)));
        let workers = options.connections.clamp(1, owner.connections());
        let wanted = ledger.target.as_ref().map(Ids::to_string).unwrap_or_default();
        let run = Run { owner, ledger, wanted, batch: options.batch, started, listener };
        run.until_done(workers, &mut report).await?;
    }
    Ok(report)
}

/// How many tenants lack something and have not failed since, and how many lack nothing. Thousands of tenants are a few groups.
/// [`DbError::Outdated`] when one lacks what this program cannot read.
async fn survey(owner: &Owner, ledger: &Ledger, since: Option<DateTime<Utc>>) -> DbResult<Fleet> {
    let query = diesel::sql_query(
        "SELECT applied::text AS applied, count(*) AS tenants, \
         count(*) FILTER (WHERE (failed_at < $1) IS NOT FALSE) AS open, now() AS at \
         FROM tenant_schema_versions GROUP BY applied",
    )
    .bind::<Nullable<Timestamptz>, _>(since);
    let groups: Vec<Group> = owner.read(async |tx| tx.tx.load(query).await).await?;
    let mut fleet = Fleet::default();
    for group in groups {
        fleet.at = Some(group.at);
        let applied = group.applied.parse()?;
        let mut lacking = ledger.lacking(&applied).peekable();
        if lacking.peek().is_none() {
            fleet.already += group.tenants;
        } else if lacking.all(Step::is_readable) {
            fleet.pending += group.open;
        } else {
            return Err(DbError::Outdated);
        }
    }
    Ok(fleet)
}

impl Run<'_> {
    async fn until_done(&self, workers: usize, report: &mut MigrationReport) -> DbResult<()> {
        for round in 0.. {
            let parts = futures::future::try_join_all((0..workers).map(|_| self.work())).await?;
            for part in parts {
                report.migrated += part.migrated;
                report.failed.extend(part.failed);
            }
            if survey(self.owner, self.ledger, Some(self.started)).await?.pending == 0 {
                break;
            }
            // Another run has claimed them.
            pause(round).await;
        }
        Ok(())
    }

    /// Takes batch after batch, until no tenant is left that another worker or run has not claimed.
    async fn work(&self) -> DbResult<MigrationReport> {
        let mut done = MigrationReport::default();
        let mut busy = Vec::new();
        let mut from = Uuid::nil();
        loop {
            let mut attempt = Attempt::default();
            let outcome = self.apply(from, Uuid::max(), self.batch, &mut attempt).await;
            let claimed = attempt.claimed;
            let Some(last) = claimed.last() else {
                outcome?;
                break;
            };
            from = last.tenant_id;
            match outcome {
                Ok(()) => claimed.iter().for_each(|tenant| self.migrated(tenant, &mut done)),
                // One tenant may be slow, or the server be frozen: the next statement tells. The tenants are tried
                // alone after a pause, in which the server learns that the client has given this transaction up.
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
    async fn apply(&self, from: Uuid, to: Uuid, limit: i64, attempt: &mut Attempt) -> DbResult<()> {
        self.owner
            .write(async |tx| {
                let claim = diesel::sql_query(
                    "SELECT tenant_id, applied::text AS applied FROM tenant_schema_versions \
                     WHERE NOT applied @> $1::text::int4multirange AND (failed_at < $2) IS NOT FALSE \
                       AND tenant_id > $3 AND tenant_id <= $4 \
                     ORDER BY tenant_id LIMIT $5 FOR UPDATE SKIP LOCKED",
                )
                .bind::<Text, _>(&self.wanted)
                .bind::<Timestamptz, _>(self.started)
                .bind::<SqlUuid, _>(from)
                .bind::<SqlUuid, _>(to)
                .bind::<BigInt, _>(limit);
                attempt.claimed = tx.tx.load(claim).await?;
                if attempt.claimed.is_empty() {
                    return Ok(());
                }
                // The client waits as long for the answer to a message as the server lets a statement go on, so no message has
                // more than one migration of one tenant: a batch may take as long as its tenants need.
                let messages = self.messages(&attempt.claimed)?;
                self.hold(tx, &attempt.claimed).await?;
                let (titles, sql): (Vec<_>, Vec<_>) =
                    messages.into_iter().map(|Message { title, sql }| (title, sql)).unzip();
                tx.tx.batches(&sql).await.map_err(|BatchError { place, error }| {
                    attempt.failed_at = titles.into_iter().nth(place).flatten();
                    error
                })
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
            let mut attempt = Attempt::default();
            let before = Uuid::from_u128(tenant.tenant_id.as_u128().saturating_sub(1));
            let outcome = self.apply(before, tenant.tenant_id, 1, &mut attempt).await;
            let told = |error: &DbError| match &attempt.failed_at {
                Some(migration) => format!("{migration}: {error}"),
                None => error.to_string(),
            };
            match outcome {
                // Another run has it.
                Ok(()) if attempt.claimed.is_empty() => {}
                Ok(()) => self.migrated(&tenant, done),
                // The tenant was alone, so it is slow by itself: another try would hold its tables as long. When it is
                // the server that does not answer, the mark cannot be written either, and that ends the run.
                Err(error @ DbError::Timeout) => self.failed(&tenant, told(&error), done).await?,
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) if error.is_transient() && !last => busy.push(tenant),
                Err(error) => self.failed(&tenant, told(&error), done).await?,
            }
        }
        Ok(busy)
    }

    /// Keeps what the batch is to run from being corrected or withdrawn before it ends. [`DbError::Outrun`] when it has been.
    async fn hold(&self, tx: &mut OwnerTx, claimed: &[Claimed]) -> DbResult<()> {
        let mut digests = BTreeMap::new();
        for tenant in claimed {
            let applied = tenant.applied.parse()?;
            let steps = self.ledger.lacking(&applied);
            digests.extend(steps.map(|step| (step.id, step.digest.as_str())));
        }
        let (ids, texts): (Vec<i32>, Vec<&str>) = digests.into_iter().unzip();
        let lock = diesel::sql_query(
            "SELECT m.id FROM fleet_migrations m JOIN unnest($1, $2) AS own (id, digest) USING (id) \
             WHERE encode(sha256(convert_to(m.up, 'UTF8')), 'hex') = own.digest ORDER BY m.id FOR SHARE OF m",
        );
        let lock = lock.bind::<Array<Integer>, _>(&ids).bind::<Array<Text>, _>(texts);
        let held: Vec<Held> = tx.tx.load(lock).await?;
        if held.iter().map(|row| row.id).eq(ids) { Ok(()) } else { Err(DbError::Outrun) }
    }

    async fn failed(&self, tenant: &Claimed, error: String, done: &mut MigrationReport) -> DbResult<()> {
        let statement = diesel::sql_query(
            "UPDATE tenant_schema_versions SET error = left($1, 2000), failed_at = now() \
             WHERE tenant_id = $2 AND NOT applied @> $3::text::int4multirange AND (failed_at < $4) IS NOT FALSE",
        )
        .bind::<Text, _>(&error)
        .bind::<SqlUuid, _>(tenant.tenant_id)
        .bind::<Text, _>(&self.wanted)
        .bind::<Timestamptz, _>(self.started);
        if self.owner.write(async |tx| tx.tx.execute(statement).await).await? == 0 {
            // Between the failure and this statement another run has migrated or marked the tenant, and has reported
            // it.
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

    /// Everything that a batch runs: each migration that a tenant lacks, of whichever set, and then the statement that
    /// records that the tenants lack nothing any more.
    fn messages(&self, claimed: &[Claimed]) -> DbResult<Vec<Message>> {
        let mut messages = Vec::new();
        for tenant in claimed {
            let schema = SchemaName::of(TenantId::from_uuid(tenant.tenant_id));
            for step in self.ledger.lacking(&tenant.applied.parse()?) {
                messages.push(Message { title: Some(step.title()), sql: step.script(schema)? });
            }
        }
        let ids: Vec<String> = claimed.iter().map(|tenant| format!("'{}'", tenant.tenant_id)).collect();
        let sql = format!(
            "{LEAVE_SCHEMA} UPDATE tenant_schema_versions \
             SET applied = applied + '{}', migrated_at = now(), error = NULL, failed_at = NULL WHERE tenant_id IN ({})",
            self.wanted,
            ids.join(", ")
        );
        messages.push(Message { title: None, sql });
        Ok(messages)
    }
}
