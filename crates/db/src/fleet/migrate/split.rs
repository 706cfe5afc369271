//! The way of the table `resources` from the core's set into a set of its own, once in each database that was made before.
//!
//! Owns what the core's set was until then: three migrations, of which two were about the table. A database of that time has
//! them in its ledger or, when it is from before the ledger, as the newest version of each tenant. The conversion changes no
//! schema:
//!
//! 1. A database without a ledger gets one, as a program of that time would have made it.
//! 2. Tenants that lack one of the three get it, as in every run. When one cannot, the conversion ends here, and the next run goes on.
//! 3. In one transaction the ledger is rewritten: the core's first migration gets its present text, the two others go, and a tenant
//!    that had all three has the migration of the set `resources` instead.
//!
//! The ids of the two are given to no other migration, and tenants keep them, so that a program of that time that is still
//! migrating finds nothing to do for the tenants of that time. For a tenant that was built after the conversion it runs one of
//! the two, which fails and changes nothing; the next run of a program of now clears the mark that this leaves. A program that
//! does not have the set `resources` enters it all the same, as one that was removed.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Bool, Integer, SmallInt, Text},
};

use super::{
    Listener, MigrateOptions,
    change::corrections,
    ids::Ids,
    ledger::{FORMAT, Ledger, Step},
    register::{rehearse, under_lock, write},
    set::{CORE, Migration, MigrationSet, Sets},
    tenants::bring_up,
};
use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::{Owner, OwnerTx},
    },
    migrations,
};

/// The set that the table is of now, as its crate has it: the conversion enters it also for a program without that crate.
pub const RESOURCES: MigrationSet =
    MigrationSet::new("resources", migrations![in "../resources/migrations"; "2026-11-21-000001_resources"]);

/// The core as it was. What its first migration made besides the table is what it makes now.
const OLD: MigrationSet = MigrationSet::new(
    CORE.name(),
    &[
        Migration::new(
            "2026-11-21-000001_foundation",
            concat!(
                include_str!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/../../migrations/tenant/2026-11-21-000001_foundation/up.sql"
                )),
                include_str!("split/table.sql")
            ),
        ),
        Migration::new("2026-11-28-000002_resource_bytes", include_str!("split/bytes.sql")),
        Migration::new("2026-11-28-000003_resource_text", include_str!("split/text.sql")),
    ],
);

/// SHA-256 of the first migration's text as databases of that time have it.
const FOUNDATION: &str = "743ad5fae07072ce3d0d914e6ed0c34d2135fd82f291fb87eab7665c7f4e12ed";

/// The last of the three: a tenant of before the ledger that is at this version has the table as it is now.
pub(super) const LAST: &str = "20261128000003";

/// The set that the table is of now.
pub(super) const SPLIT_OFF: &str = RESOURCES.name();

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    answer: bool,
}

#[derive(QueryableByName)]
struct Lacking {
    #[diesel(sql_type = BigInt)]
    tenants: i64,
}

/// Whether a text with this digest is what the migration, when it is the first of the old core, was.
pub(super) fn is_old_foundation(migration: &Migration, digest: &str) -> bool {
    digest == FOUNDATION && OLD.tenant().first().is_some_and(|old| old.version() == migration.version())
}

/// What the conversion of a database will do.
pub(super) struct Due {
    /// The number that the migration of the set `resources` gets.
    id: i32,
    /// Those of the three; `None` in a database of before the ledger.
    old: Option<Vec<i32>>,
}

impl Due {
    /// Whether a database with this ledger is to be converted. Reads tables that platform migrations of before the ledger have
    /// made.
    pub(super) async fn find(tx: &mut OwnerTx, ledger: &Ledger) -> DbResult<Option<Self>> {
        let id = ledger.next_id();
        if ledger.target.is_some() {
            let [_first, later @ ..] = OLD.tenant() else { return Ok(None) };
            let is_old = later.iter().any(|one| ledger.find(CORE.name(), one.version()).is_some());
            let old = |one: &Migration| ledger.find(CORE.name(), one.version()).map(|step| step.id);
            return Ok(is_old.then(|| Self { id, old: Some(OLD.tenant().iter().filter_map(old).collect()) }));
        }
        // A database of now whose ledger was taken back has its tenants as it should.
        let query = diesel::sql_query(
            "SELECT (EXISTS (SELECT FROM tenant_schema_versions) OR EXISTS (SELECT FROM schema_pool)) \
             AND NOT EXISTS (SELECT FROM tenant_migrations WHERE version = $1 \
                             AND replace(up, E'\\r\\n', E'\\n') = replace($2, E'\\r\\n', E'\\n')) AS answer",
        );
        let [first, ..] = CORE.tenant() else { return Ok(None) };
        let query = query.bind::<Text, _>(first.version().to_string()).bind::<Text, _>(first.up());
        let Answer { answer } = tx.tx.one(query).await?;
        Ok(answer.then_some(Self { id, old: None }))
    }

    /// The number that the migration of the set `resources` gets.
    pub(super) const fn id(&self) -> i32 {
        self.id
    }

    /// The ledger as it will be.
    pub(super) fn foresee(&self, ledger: &mut Ledger) {
        let [step] = RESOURCES.tenant() else { return };
        let is_gone = |one: &Step| {
            one.set_name == CORE.name() && OLD.tenant().iter().skip(1).any(|old| old.version() == one.version)
        };
        ledger.steps.retain(|one| !is_gone(one));
        for one in &mut ledger.steps {
            if let Some(now) = CORE
                .tenant()
                .first()
                .filter(|now| one.set_name == CORE.name() && now.version() == one.version)
            {
                now.up().clone_into(&mut one.up);
            }
        }
        ledger.steps.push(Step {
            id: self.id,
            set_name: RESOURCES.name().to_owned(),
            place: place(ledger),
            version: step.version(),
            name: step.name().to_owned(),
            format: FORMAT,
            up: step.up().to_owned(),
            digest: String::new(),
        });
        if let (Some(target), Some(old)) = (&mut ledger.target, &self.old) {
            *target = target.without(old.iter().copied().skip(1)).with(self.id);
        }
    }

    /// What a tenant that has these will have.
    pub(super) fn foresee_of(&self, applied: Ids) -> Ids {
        let has_all = self.old.as_ref().is_some_and(|old| old.iter().all(|id| applied.contains(*id)));
        if has_all { applied.with(self.id) } else { applied }
    }

    /// Whether a tenant of before the ledger that is at this version has the table as it is now.
    pub(super) fn has(version: &str) -> bool {
        version >= LAST
    }
}

/// Converts the database when it is to be; how many tenants got what they lacked of the old core. `owner` has the time-outs of
/// a run. [`DbError::Setup`] when a tenant could not get it: then nothing is converted.
pub(super) async fn convert(
    owner: &Owner,
    sets: &Sets,
    options: &MigrateOptions,
    listener: Listener<'_>,
) -> DbResult<usize> {
    let look = async |tx: &mut OwnerTx| {
        let ledger = Ledger::read(tx).await?;
        let due = Due::find(tx, &ledger).await?;
        Ok::<_, DbError>((ledger, due))
    };
    let (mut ledger, Some(due)) = owner.read(look).await? else { return Ok(0) };
    // A program that the run would refuse converts nothing either.
    let mut after = ledger.clone();
    due.foresee(&mut after);
    owner.read(async |tx| corrections(tx, &after, sets).await).await?;
    if due.old.as_ref().is_some_and(|old| old.len() < OLD.tenant().len()) {
        return Err(DbError::Setup(
            "a migration of the core that made the table resources was withdrawn, so it is not known how the tenants' tables are: run the \
             release before once more, which puts it back"
                .to_owned(),
        ));
    }
    if due.old.is_none() {
        let old = Sets::new([OLD])?;
        ledger = under_lock(owner, async |tx| found(tx, &old).await).await?;
    }
    let done = bring_up(owner, &ledger, options, listener).await?;
    under_lock(owner, rewrite).await?;
    Ok(done.migrated)
}

/// Makes the ledger that a program of that time would have made. Another run may have made it since this one has looked, and
/// may have rewritten it: then it stays as it is.
async fn found(tx: &mut OwnerTx, old: &Sets) -> DbResult<Ledger> {
    let ledger = Ledger::read(tx).await?;
    if ledger.target.is_some() { Ok(ledger) } else { write(tx, old).await }
}

/// Rewrites the ledger, unless another run has.
async fn rewrite(tx: &mut OwnerTx) -> DbResult<()> {
    let ledger = Ledger::read(tx).await?;
    let Some(Due { id, old: Some(old) }) = Due::find(tx, &ledger).await? else { return Ok(()) };
    let ([first, gone @ ..], [step], [foundation, ..]) = (&*old, RESOURCES.tenant(), CORE.tenant()) else {
        return Err(DbError::Unreadable("the ledger has not the core's migrations".to_owned()));
    };
    tx.tx.batch("LOCK TABLE tenant_schema_versions, schema_pool IN EXCLUSIVE MODE").await?;
    let all: Ids = old.iter().copied().collect();
    let query = diesel::sql_query(
        "SELECT count(*) AS tenants FROM tenant_schema_versions WHERE NOT applied @> $1::text::int4multirange",
    );
    let Lacking { tenants } = tx.tx.one(query.bind::<Text, _>(all.to_string())).await?;
    if tenants > 0 {
        return Err(DbError::Setup(format!(
            "{tenants} tenants could not be given core/2026-11-28-000003_resource_text, which the set {} replaces: mend the \
             cause that bulkhead doctor tells, and run this again",
            RESOURCES.name()
        )));
    }
    let text = diesel::sql_query(
        "UPDATE fleet_migrations SET up = $1 WHERE id = $2 \
         AND (up = $3 OR encode(sha256(convert_to(replace(up, E'\\r\\n', E'\\n'), 'UTF8')), 'hex') = $4)",
    )
    .bind::<Text, _>(foundation.up())
    .bind::<Integer, _>(*first)
    .bind::<Text, _>(OLD.tenant().first().map_or("", Migration::up))
    .bind::<Text, _>(FOUNDATION);
    if tx.tx.execute(text).await? == 0 {
        return Err(DbError::MigrationChanged {
            file: format!("{}/{}/up.sql", CORE.name(), foundation.name()),
        });
    }
    let insert = diesel::sql_query(
        "INSERT INTO fleet_migrations (id, set_name, place, version, name, format, up) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind::<Integer, _>(id)
    .bind::<Text, _>(RESOURCES.name())
    .bind::<Integer, _>(place(&ledger))
    .bind::<BigInt, _>(step.version())
    .bind::<Text, _>(step.name())
    .bind::<SmallInt, _>(FORMAT)
    .bind::<Text, _>(step.up());
    tx.tx.execute(insert).await?;
    let (gone, new) = (gone.iter().copied().collect::<Ids>(), std::iter::once(id).collect::<Ids>());
    // A schema of the pool that has something else than tenants are built with stays behind, and is built anew.
    tx.tx
        .batch(&format!(
            "UPDATE schema_pool p SET applied = wanted - '{gone}' + '{new}' FROM fleet_target WHERE p.applied = wanted; \
             UPDATE tenant_schema_versions SET applied = applied + '{new}'; \
             UPDATE fleet_target SET wanted = wanted - '{gone}' + '{new}', set_at = now(); \
             DELETE FROM fleet_migrations WHERE '{gone}'::int4multirange @> id"
        ))
        .await?;
    let ledger = Ledger::read(tx).await?;
    rehearse(tx, &ledger).await
}

/// The place of the set `resources`: the core's own, from which its table comes. So it is built before the tables of every
/// other set, which may refer to it.
fn place(ledger: &Ledger) -> i32 {
    ledger
        .steps
        .iter()
        .filter(|step| step.set_name == CORE.name())
        .map(|step| step.place)
        .min()
        .unwrap_or_default()
}
