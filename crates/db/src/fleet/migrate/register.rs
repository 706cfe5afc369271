//! Enters a program's migrations into the ledger, and raises what tenants are built with.
//!
//! Takes the fleet's lock alone, so each tenant that is being built is there to be seen when this is done. Refuses migrations
//! that were changed after a tenant got them ([`super::change`]), and sets that cannot build an empty schema; then nothing is
//! changed, and sign-ups go on as before.
//!
//! Programs of before the ledger know only `tenant_schema_target` and `tenant_migrations`, and the newest version of each
//! tenant. The first run puts a version there that they do not know, in a format that they do not know: they leave the building
//! of tenants to a newer program and find nothing to migrate, and do nothing by halves.

use bulkhead_domain::{SchemaName, TenantId};
use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Bool, Integer, SmallInt, Text},
};
use uuid::Uuid;

use super::{
    ATTEMPTS, FLEET_LOCK,
    change::{clear_marks, compare_recorded, correct, corrections},
    is_fatal,
    ledger::{FORMAT, Ledger, Step},
    pause,
    set::{CORE, Sets},
    split,
};
use crate::engine::{
    error::{DbError, DbResult},
    scope::{Owner, OwnerTx},
};

/// The version that programs of before the ledger read: newer than any of theirs.
pub(crate) const LEDGER_VERSION: &str = "99990101000000";

/// A format that programs of before the ledger cannot read.
const LEDGER_FORMAT: i16 = 2;

/// Registers what is new in `sets`; the ledger as it is then. When nothing is, nothing is written and no process is waited for.
pub(super) async fn register(owner: &Owner, sets: &Sets) -> DbResult<Ledger> {
    let look = async |tx: &mut OwnerTx| {
        let ledger = Ledger::read(tx).await?;
        let is_right = corrections(tx, &ledger, sets).await?.is_empty() && !has_strangers(tx).await?;
        Ok::<_, DbError>((ledger, is_right))
    };
    let (ledger, is_right) = owner.read(look).await?;
    if is_right && ledger.covers(sets) {
        return Ok(ledger);
    }
    under_lock(owner, async |tx| write(tx, sets).await).await
}

/// Works under the fleet's lock, and waits for the processes that build tenants at this moment.
pub(super) async fn under_lock<T>(
    owner: &Owner,
    work: impl AsyncFn(&mut OwnerTx) -> DbResult<T>,
) -> DbResult<T> {
    let once = async |tx: &mut OwnerTx| {
        tx.tx.batch(&format!("SELECT pg_advisory_xact_lock({FLEET_LOCK})")).await?;
        work(tx).await
    };
    for attempt in 1..ATTEMPTS {
        match owner.write(&once).await {
            Err(DbError::Outdated) => return Err(DbError::Outdated),
            Err(error) if error.is_transient() && !is_fatal(&error) => pause(attempt).await,
            outcome => return outcome,
        }
    }
    owner.write(&once).await
}

/// Registers what is new in `sets`. The caller holds the fleet's lock.
pub(super) async fn write(tx: &mut OwnerTx, sets: &Sets) -> DbResult<Ledger> {
    let before = Ledger::read(tx).await?;
    correct(tx, &before, sets).await?;
    if before.target.is_none() {
        compare_recorded(tx, sets).await?;
    }
    enter(tx, sets, &before).await?;
    let raise = diesel::sql_query(
        "INSERT INTO fleet_target (wanted) \
         SELECT coalesce(range_agg(int4range(id, id + 1)), '{}') FROM fleet_migrations \
         JOIN unnest($1, $2) AS own (set_name, version) USING (set_name, version) \
         ON CONFLICT (singleton) DO UPDATE SET wanted = fleet_target.wanted + excluded.wanted, set_at = excluded.set_at",
    );
    let (names, versions): (Vec<&str>, Vec<i64>) =
        sets.migrations().map(|(set, migration)| (set, migration.version())).unzip();
    tx.tx.execute(raise.bind::<Array<Text>, _>(names).bind::<Array<BigInt>, _>(versions)).await?;
    if before.target.is_none() || has_strangers(tx).await? {
        take_over(tx).await?;
    }
    let ledger = Ledger::read(tx).await?;
    rehearse(tx, &ledger).await?;
    Ok(ledger)
}

/// Writes down what the ledger has not met yet, and in which order the sets stand.
async fn enter(tx: &mut OwnerTx, sets: &Sets, before: &Ledger) -> DbResult<()> {
    let new: Vec<_> = sets
        .migrations()
        .filter(|(set, migration)| before.find(set, migration.version()).is_none())
        .zip(before.next_id()..)
        .collect();
    let (mut ids, mut names, mut versions, mut titles, mut ups) = (vec![], vec![], vec![], vec![], vec![]);
    for ((set, migration), id) in new {
        ids.push(id);
        names.push(set);
        versions.push(migration.version());
        titles.push(migration.name());
        ups.push(migration.up());
    }
    let insert = diesel::sql_query(
        "INSERT INTO fleet_migrations (id, set_name, place, version, name, format, up) \
         SELECT id, set_name, 0, version, name, $6, up \
         FROM unnest($1, $2, $3, $4, $5) AS new (id, set_name, version, name, up)",
    )
    .bind::<Array<Integer>, _>(ids)
    .bind::<Array<Text>, _>(names)
    .bind::<Array<BigInt>, _>(versions)
    .bind::<Array<Text>, _>(titles)
    .bind::<Array<Text>, _>(ups)
    .bind::<SmallInt, _>(FORMAT);
    tx.tx.execute(insert).await?;
    // A set that this program does not have stands behind its own, or two sets would stand in one place.
    let is_foreign = |step: &&Step| !sets.names().any(|name| name == step.set_name);
    let mut all: Vec<&str> = sets.names().collect();
    for step in before.steps.iter().filter(is_foreign) {
        if !all.contains(&step.set_name.as_str()) {
            all.push(&step.set_name);
        }
    }
    let (places, names): (Vec<i32>, Vec<&str>) = (0..).zip(all).unzip();
    let order = diesel::sql_query(
        "UPDATE fleet_migrations m SET place = own.place FROM unnest($1, $2) AS own (place, set_name) \
         WHERE m.set_name = own.set_name AND m.place <> own.place",
    );
    tx.tx.execute(order.bind::<Array<Integer>, _>(places).bind::<Array<Text>, _>(names)).await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

/// Whether a program of before the ledger has recorded a schema since there is one.
async fn has_strangers(tx: &mut OwnerTx) -> DbResult<bool> {
    let query = diesel::sql_query(
        "SELECT EXISTS (SELECT FROM tenant_schema_versions WHERE version <> $1) \
             OR EXISTS (SELECT FROM schema_pool WHERE version <> $1) AS found",
    );
    let Found { found } = tx.tx.one(query.bind::<Text, _>(LEDGER_VERSION)).await?;
    Ok(found)
}

/// Reads what programs of before the ledger have recorded: the newest version of each schema, which had every migration up to it
/// that those programs knew. One that comes between them was never applied. Then tells such programs to leave it.
///
/// The tables are locked first, against rows that are claimed and written: an older program may be migrating, and an UPDATE
/// that waited for one of its rows would compare the version from before the wait, and pass the row over.
async fn take_over(tx: &mut OwnerTx) -> DbResult<()> {
    tx.tx.batch("LOCK TABLE tenant_schema_versions, schema_pool IN EXCLUSIVE MODE").await?;
    for table in ["tenant_schema_versions", "schema_pool"] {
        let read = format!(
            "UPDATE {table} AS old SET applied = old.applied + had.applied, version = '{LEDGER_VERSION}' FROM ( \
                 SELECT known.version, coalesce(range_agg(int4range(m.id, m.id + 1)), '{{}}') AS applied \
                 FROM (SELECT DISTINCT version FROM {table} WHERE version <> '{LEDGER_VERSION}') AS known \
                 LEFT JOIN fleet_migrations m ON (m.set_name = '{core}' \
                     AND m.version::text COLLATE \"C\" <= known.version COLLATE \"C\" \
                     AND (NOT EXISTS (SELECT FROM tenant_migrations) \
                          OR EXISTS (SELECT FROM tenant_migrations t WHERE t.version = m.version::text))) \
                     OR (m.set_name = '{split_off}' AND known.version COLLATE \"C\" >= '{last}' \
                         AND EXISTS (SELECT FROM tenant_migrations t WHERE t.version = '{last}')) \
                 GROUP BY known.version) AS had \
             WHERE had.version = old.version",
            core = CORE.name(),
            split_off = split::SPLIT_OFF,
            last = split::LAST
        );
        tx.tx.batch(&read).await?;
    }
    let tell = format!(
        "INSERT INTO tenant_migrations (version, name, format, up) \
         VALUES ('{LEDGER_VERSION}', 'fleet_migrations has them', {LEDGER_FORMAT}, '') ON CONFLICT DO NOTHING; \
         INSERT INTO tenant_schema_target (version) VALUES ('{LEDGER_VERSION}') \
         ON CONFLICT (singleton) DO UPDATE SET version = excluded.version, set_at = excluded.set_at"
    );
    tx.tx.batch(&tell).await
}

/// Builds an empty schema with all that tenants are to have and takes it back. A set that cannot even do that raises nothing:
/// sign-ups go on as before, and the run fails here.
pub(super) async fn rehearse(tx: &mut OwnerTx, ledger: &Ledger) -> DbResult<()> {
    // Roles are the server's: the rehearsals of two databases have different ones.
    let schema = SchemaName::of(TenantId::from_uuid(Uuid::now_v7()));
    tx.tx.batch("SAVEPOINT rehearsal").await?;
    ledger.build(tx, schema).await?;
    tx.tx.batch("ROLLBACK TO SAVEPOINT rehearsal").await
}

/// Takes a set out of what tenants are built with: one that no program has any more. Tenants that have its tables keep them, new
/// ones do not get them, and a program that has the set again puts it back. `false` when tenants are not built with it. Fails,
/// and changes nothing, when what is left builds no empty schema.
pub async fn forget(owner: &Owner, set: &str) -> DbResult<bool> {
    under_lock(owner, async |tx| {
        let lower = diesel::sql_query(
            "UPDATE fleet_target SET wanted = wanted - ids, set_at = now() FROM ( \
                 SELECT range_agg(int4range(id, id + 1)) AS ids FROM fleet_migrations WHERE set_name = $1) AS own \
             WHERE wanted && ids",
        );
        if tx.tx.execute(lower.bind::<Text, _>(set)).await? == 0 {
            return Ok(false);
        }
        let ledger = Ledger::read(tx).await?;
        rehearse(tx, &ledger).await?;
        clear_marks(tx).await?;
        Ok(true)
    })
    .await
}
