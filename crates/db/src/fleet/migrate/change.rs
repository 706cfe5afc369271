//! Migrations that are put right or taken back after the database has met them.
//!
//! A migration that every tenant refuses, or that must not go on, would otherwise stay for ever: its text is compared with what
//! the database has met. So a text may change, and a migration may be withdrawn, for as long as no tenant has it. Both happen
//! under the fleet's lock, which keeps tenants from being built meanwhile, and after locking the migration's row, which a run
//! over the tenants holds until its batch has ended: neither can follow an old text afterwards. Schemas of the pool that have
//! it are built anew. Refuses both as soon as one tenant has it: its schema says what was run.

use std::collections::BTreeSet;

use diesel::{
    QueryableByName,
    sql_types::{Array, BigInt, Integer, SmallInt, Text},
};

use super::{
    ledger::{FORMAT, Ledger},
    register::{rehearse, under_lock},
    set::{CORE, Migration, Sets, same_text},
    split,
};
use crate::engine::{
    error::{DbError, DbResult},
    scope::{Owner, OwnerTx},
};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Integer)]
    id: i32,
}

#[derive(QueryableByName)]
struct Tenants {
    #[diesel(sql_type = BigInt)]
    tenants: i64,
}

/// A migration of this program with another text than the database has met, which no tenant has.
#[derive(Clone, Copy)]
pub(crate) struct Correction {
    /// Its number in the ledger.
    pub(crate) id: i32,
    /// Its set.
    pub(crate) set: &'static str,
    migration: &'static Migration,
}

impl Correction {
    /// Its set and its name.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.set, self.migration.name())
    }
}

/// What differs between these sets and the ledger. [`DbError::MigrationChanged`] when a tenant has one that does.
pub(crate) async fn corrections(tx: &mut OwnerTx, ledger: &Ledger, sets: &Sets) -> DbResult<Vec<Correction>> {
    let differs = |(set, migration): (&'static str, &'static Migration)| {
        let step = ledger.find(set, migration.version())?;
        (!same_text(&step.up, migration.up())).then_some(Correction { id: step.id, set, migration })
    };
    let found: Vec<Correction> = sets.migrations().filter_map(differs).collect();
    if found.is_empty() {
        return Ok(found);
    }
    let ids: Vec<i32> = found.iter().map(|one| one.id).collect();
    let query = diesel::sql_query(
        "SELECT id FROM unnest($1) AS id WHERE EXISTS (SELECT FROM tenant_schema_versions WHERE applied @> id)",
    );
    let had: Vec<Id> = tx.tx.load(query.bind::<Array<Integer>, _>(ids)).await?;
    let had: BTreeSet<i32> = had.into_iter().map(|row| row.id).collect();
    match found.iter().find(|one| had.contains(&one.id)) {
        Some(one) => Err(DbError::MigrationChanged { file: format!("{}/up.sql", one.title()) }),
        None => Ok(found),
    }
}

/// Gives the ledger the texts of these sets. The caller holds the fleet's lock.
pub(super) async fn correct(tx: &mut OwnerTx, ledger: &Ledger, sets: &Sets) -> DbResult<()> {
    let wrong = corrections(tx, ledger, sets).await?;
    if wrong.is_empty() {
        return Ok(());
    }
    let ids: Vec<i32> = wrong.iter().map(|one| one.id).collect();
    hold(tx, &ids).await?;
    build_pool_anew(tx, &ids).await?;
    // Again: a batch that has just ended may have given it to a tenant.
    for one in corrections(tx, ledger, sets).await? {
        let update =
            diesel::sql_query("UPDATE fleet_migrations SET up = $1, name = $2, format = $3 WHERE id = $4")
                .bind::<Text, _>(one.migration.up())
                .bind::<Text, _>(one.migration.name())
                .bind::<SmallInt, _>(FORMAT)
                .bind::<Integer, _>(one.id);
        tx.tx.execute(update).await?;
    }
    Ok(())
}

/// Waits for the batches that run these migrations, and keeps further ones out.
async fn hold(tx: &mut OwnerTx, ids: &[i32]) -> DbResult<()> {
    // A release from before the ledger's rows were held by batches takes none of them; every batch has rows of this table.
    tx.tx.batch("LOCK TABLE tenant_schema_versions IN EXCLUSIVE MODE").await?;
    let lock =
        diesel::sql_query("SELECT id FROM fleet_migrations WHERE id = ANY ($1) ORDER BY id FOR UPDATE");
    let _held: Vec<Id> = tx.tx.load(lock.bind::<Array<Integer>, _>(ids)).await?;
    Ok(())
}

/// Lets the schemas of the pool that have one of these migrations be built again.
async fn build_pool_anew(tx: &mut OwnerTx, ids: &[i32]) -> DbResult<()> {
    let pool = diesel::sql_query(
        "UPDATE schema_pool SET applied = '{}' WHERE EXISTS (SELECT FROM unnest($1) AS id WHERE applied @> id)",
    );
    tx.tx.execute(pool.bind::<Array<Integer>, _>(ids)).await?;
    Ok(())
}

/// What a program of before the ledger has recorded, when tenants have it, is compared like what is in the ledger.
/// [`DbError::MigrationChanged`] when it is another text.
pub(super) async fn compare_recorded(tx: &mut OwnerTx, sets: &Sets) -> DbResult<()> {
    #[derive(QueryableByName)]
    struct Recorded {
        #[diesel(sql_type = Text)]
        version: String,
        #[diesel(sql_type = Text)]
        up: String,
        #[diesel(sql_type = Text)]
        digest: String,
    }
    let query = diesel::sql_query(
        "SELECT version, up, encode(sha256(convert_to(replace(up, E'\\r\\n', E'\\n'), 'UTF8')), 'hex') AS digest \
         FROM tenant_migrations m WHERE format = 1 AND EXISTS ( \
             SELECT FROM tenant_schema_versions v WHERE v.version COLLATE \"C\" >= m.version COLLATE \"C\")",
    );
    let recorded: Vec<Recorded> = tx.tx.load(query).await?;
    for (set, migration) in sets.migrations().filter(|(set, _)| *set == CORE.name()) {
        let version = migration.version().to_string();
        let is_another = |one: &Recorded| {
            one.version == version
                && !same_text(&one.up, migration.up())
                && !split::is_old_foundation(migration, &one.digest)
        };
        if recorded.iter().any(is_another) {
            return Err(DbError::MigrationChanged { file: format!("{set}/{}/up.sql", migration.name()) });
        }
    }
    Ok(())
}

/// What became of a request to withdraw a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// Tenants are built without it.
    Done,
    /// The database has met no such migration.
    Unknown,
    /// The program has it, and its next run would enter it again.
    Own,
    /// So many tenants have it.
    Had(i64),
}

/// Takes a migration that no tenant has out of what tenants are built with, by its set and its name, and forgets that it was
/// met. Fails, and changes nothing, when what is left builds no empty schema.
pub async fn withdraw(owner: &Owner, sets: &Sets, set: &str, name: &str) -> DbResult<Withdrawn> {
    under_lock(owner, async |tx| {
        let ledger = Ledger::read(tx).await?;
        let Some(step) = ledger.steps.iter().find(|step| step.set_name == set && step.name == name) else {
            return Ok(Withdrawn::Unknown);
        };
        if sets.migrations().any(|(own, migration)| own == set && migration.version() == step.version) {
            return Ok(Withdrawn::Own);
        }
        hold(tx, &[step.id]).await?;
        let query =
            diesel::sql_query("SELECT count(*) AS tenants FROM tenant_schema_versions WHERE applied @> $1");
        let Tenants { tenants } = tx.tx.one(query.bind::<Integer, _>(step.id)).await?;
        if tenants > 0 {
            return Ok(Withdrawn::Had(tenants));
        }
        build_pool_anew(tx, &[step.id]).await?;
        let id = step.id;
        let lower = format!(
            "DELETE FROM fleet_migrations WHERE id = {id}; \
             UPDATE fleet_target SET wanted = wanted - int4multirange(int4range({id}, {id} + 1)), set_at = now()"
        );
        tx.tx.batch(&lower).await?;
        let left = Ledger::read(tx).await?;
        rehearse(tx, &left).await?;
        clear_marks(tx).await?;
        Ok(Withdrawn::Done)
    })
    .await
}

/// A tenant that lacks nothing has no failure: it has failed at what it need not have any more, or an older program's run has
/// failed at what this one has given it meanwhile. No run touches it again, so the mark would stay for ever.
pub(super) async fn clear_marks(tx: &mut OwnerTx) -> DbResult<()> {
    tx.tx
        .batch(
            "UPDATE tenant_schema_versions SET error = NULL, failed_at = NULL WHERE tenant_id IN ( \
                 SELECT tenant_id FROM tenant_schema_versions v, fleet_target \
                 WHERE error IS NOT NULL AND applied @> wanted FOR UPDATE OF v SKIP LOCKED)",
        )
        .await
}
