//! What a run would do. Reads only, also a database that no program has migrated yet, or only one of before the ledger.

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};

use super::{
    change::{Correction, compare_recorded, corrections},
    ids::Ids,
    ledger::Ledger,
    platform::schema_of,
    repeatable::{self, Texts},
    set::{CORE, Migration, PLATFORM_MIGRATIONS, Sets},
    split::Due,
};
use crate::engine::{
    error::{DbError, DbResult},
    scope::{Owner, OwnerTx},
};

/// What a run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The migrations of the platform that would be applied.
    pub platform: Vec<&'static str>,
    /// The migrations of tables across tenants of further sets that would be applied, as set and name.
    pub extensions: Vec<String>,
    /// The functions and views of gate whose texts would be run, or that would be dropped. Unknown where the platform's
    /// migrations are pending.
    pub repeatables: Vec<String>,
    /// Whether a newer program has run its texts of gate: a run leaves them as they are. Unknown where the platform's
    /// migrations are pending.
    pub newer_gate: bool,
    /// The migrations of tenants that are new to the database, or that tenants lack; in the order in which a tenant gets them.
    pub pending: Vec<Pending>,
    /// The sets of this program of which nothing is pending.
    pub idle: Vec<&'static str>,
    /// How many tenants lack something.
    pub tenants: usize,
    /// How many lack nothing.
    pub up_to_date: usize,
    /// Whether no run has entered into the database yet what tenants are built with.
    pub first: bool,
}

impl Plan {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.platform.is_empty()
            && self.extensions.is_empty()
            && self.repeatables.is_empty()
            && self.pending.is_empty()
            && !self.first
    }
}

/// A migration that is to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its set.
    pub set: String,
    /// Its name.
    pub name: String,
    /// How many tenants lack it. New ones get it also when there is none.
    pub tenants: usize,
}

#[derive(QueryableByName)]
struct Table {
    #[diesel(sql_type = Text)]
    table: String,
}

/// Which tables there are.
struct Tables(Vec<Table>);

impl Tables {
    fn have(&self, name: &str) -> bool {
        self.0.iter().any(|row| row.table == name)
    }
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

/// Tenants that have the same migrations.
#[derive(QueryableByName)]
struct Group {
    #[diesel(sql_type = Text)]
    has: String,
    #[diesel(sql_type = BigInt)]
    tenants: i64,
}

/// Which migrations a group of tenants has.
enum Has {
    Ids(Ids),
    /// As programs of before the ledger have recorded it: those up to this version.
    UpTo(String),
}

/// What the database has.
struct State {
    ledger: Ledger,
    /// The versions that programs of before the ledger knew; none when that was not recorded, or when there is a ledger.
    known: Vec<String>,
    /// How many tenants have what.
    groups: Vec<(Has, usize)>,
    /// What becomes of the table `resources`, in a database of before it had a set of its own.
    split: Option<Due>,
    /// The texts that the run puts right.
    corrections: Vec<Correction>,
}

/// A migration that tenants are to have.
struct Wanted {
    /// Its number in the ledger; `None` when the ledger has not met it.
    id: Option<i32>,
    set: String,
    name: String,
    version: i64,
}

impl State {
    /// Whether tenants are built with it already.
    fn builds(&self, wanted: &Wanted) -> bool {
        match &self.ledger.target {
            Some(_) if self.is_split_off(wanted) => false,
            Some(_) if self.corrections.iter().any(|one| Some(one.id) == wanted.id) => false,
            Some(target) => wanted.id.is_some_and(|id| target.contains(id)),
            None => self.knew(wanted),
        }
    }

    fn lacks(&self, has: &Has, wanted: &Wanted) -> bool {
        match has {
            Has::UpTo(version) if self.is_split_off(wanted) => !Due::has(version),
            Has::Ids(ids) => wanted.id.is_none_or(|id| !ids.contains(id)),
            Has::UpTo(version) => {
                let is_between = wanted.version.to_string() <= *version && wanted.set == CORE.name();
                !(is_between && (self.known.is_empty() || self.knew(wanted)))
            }
        }
    }

    /// Whether it is what the run makes of the old core's table `resources`.
    fn is_split_off(&self, wanted: &Wanted) -> bool {
        self.split.as_ref().is_some_and(|due| wanted.id == Some(due.id()))
    }

    /// Whether programs of before the ledger knew it.
    fn knew(&self, wanted: &Wanted) -> bool {
        wanted.set == CORE.name() && self.known.contains(&wanted.version.to_string())
    }
}

/// What a run with these sets would do. [`DbError::MigrationChanged`] when it would be refused.
pub async fn plan(owner: &Owner, sets: &Sets) -> DbResult<Plan> {
    owner
        .read(async |tx| {
            let tables = Tables(tx.tx.load(diesel::sql_query(TABLES)).await?);
            let mut ledger =
                if tables.have("fleet_target") { Ledger::read(tx).await? } else { Ledger::empty() };
            let split = if tables.have("tenant_migrations") { Due::find(tx, &ledger).await? } else { None };
            if let Some(due) = &split {
                due.foresee(&mut ledger);
            }
            let corrections = corrections(tx, &ledger, sets).await?;
            let is_recorded = ledger.target.is_none() && tables.have("tenant_migrations");
            // The old core is compared when it is read.
            if is_recorded && split.is_none() {
                compare_recorded(tx, sets).await?;
            }
            let platform = pending_of_platform(tx, &tables).await?;
            let state = State { corrections, ..state(tx, &tables, ledger, split).await? };
            let known =
                if platform.is_empty() { repeatable::compare(tx).await? } else { Texts::Pending(Vec::new()) };
            let (newer_gate, repeatables) = match known {
                Texts::Newer => (true, Vec::new()),
                Texts::Pending(pending) => (false, pending),
            };
            let extensions = pending_of_extensions(tx, sets).await?;
            Ok::<_, DbError>(Plan { extensions, repeatables, newer_gate, ..compare(sets, &state, platform) })
        })
        .await
}

const TABLES: &str =
    "SELECT relname::text AS table FROM pg_class WHERE relnamespace = to_regnamespace('platform')";

/// The platform's migrations that the database does not have.
pub(crate) async fn pending_platform(tx: &mut OwnerTx) -> DbResult<Vec<&'static str>> {
    let tables = Tables(tx.tx.load(diesel::sql_query(TABLES)).await?);
    pending_of_platform(tx, &tables).await
}

async fn pending_of_platform(tx: &mut OwnerTx, tables: &Tables) -> DbResult<Vec<&'static str>> {
    let query = "SELECT version::text AS version FROM __diesel_schema_migrations";
    let applied: Vec<Version> = if tables.have("__diesel_schema_migrations") {
        tx.tx.load(diesel::sql_query(query)).await?
    } else {
        Vec::new()
    };
    let is_applied = |version: i64| applied.iter().any(|row| row.version == version.to_string());
    let pending = PLATFORM_MIGRATIONS.iter().filter(|migration| !is_applied(migration.version()));
    Ok(pending.map(Migration::name).collect())
}

async fn pending_of_extensions(tx: &mut OwnerTx, sets: &Sets) -> DbResult<Vec<String>> {
    let mut pending = Vec::new();
    for set in sets.iter().filter(|set| !set.platform().is_empty()) {
        let schema = schema_of(set);
        let query = format!(
            "SELECT relname::text AS table FROM pg_class WHERE relnamespace = to_regnamespace('{schema}')"
        );
        let has_record =
            Tables(tx.tx.load(diesel::sql_query(query)).await?).have("__diesel_schema_migrations");
        let query = format!("SELECT version::text AS version FROM {schema}.__diesel_schema_migrations");
        let applied: Vec<Version> =
            if has_record { tx.tx.load(diesel::sql_query(query)).await? } else { Vec::new() };
        let is_applied =
            |one: &&Migration| applied.iter().any(|row| row.version == one.version().to_string());
        let lacking = set.platform().iter().filter(|one| !is_applied(one));
        pending.extend(lacking.map(|one| format!("{}/{}", set.name(), one.name())));
    }
    Ok(pending)
}

async fn state(tx: &mut OwnerTx, tables: &Tables, ledger: Ledger, split: Option<Due>) -> DbResult<State> {
    let is_kept = ledger.target.is_some();
    let query = if is_kept {
        "SELECT applied::text AS has, count(*) AS tenants FROM tenant_schema_versions GROUP BY applied"
    } else {
        "SELECT version AS has, count(*) AS tenants FROM tenant_schema_versions GROUP BY version"
    };
    let rows: Vec<Group> = if tables.have("tenant_schema_versions") {
        tx.tx.load(diesel::sql_query(query)).await?
    } else {
        Vec::new()
    };
    let mut groups = Vec::new();
    for row in rows {
        let has = if is_kept {
            let ids: Ids = row.has.parse()?;
            Has::Ids(split.as_ref().map_or(ids.clone(), |due| due.foresee_of(ids)))
        } else {
            Has::UpTo(row.has)
        };
        groups.push((has, usize::try_from(row.tenants).unwrap_or_default()));
    }
    let query = "SELECT version FROM tenant_migrations";
    let known: Vec<Version> = if tables.have("tenant_migrations") && !is_kept {
        tx.tx.load(diesel::sql_query(query)).await?
    } else {
        Vec::new()
    };
    Ok(State {
        ledger,
        known: known.into_iter().map(|row| row.version).collect(),
        groups,
        split,
        corrections: Vec::new(),
    })
}

fn compare(sets: &Sets, state: &State, platform: Vec<&'static str>) -> Plan {
    let wanted = wanted(sets, &state.ledger);
    let tenants = |lacks: &dyn Fn(&Has) -> bool| {
        state.groups.iter().filter(|(has, _)| lacks(has)).map(|(_, tenants)| tenants).sum::<usize>()
    };
    let mut plan = Plan { platform, first: state.ledger.target.is_none(), ..Plan::default() };
    for step in &wanted {
        let lacking = tenants(&|has| state.lacks(has, step));
        if lacking > 0 || !state.builds(step) {
            let (set, name) = (step.set.clone(), step.name.clone());
            plan.pending.push(Pending { set, name, tenants: lacking });
        }
    }
    plan.tenants = tenants(&|has| wanted.iter().any(|step| state.lacks(has, step)));
    plan.up_to_date = tenants(&|_| true).saturating_sub(plan.tenants);
    plan.idle = sets.names().filter(|name| plan.pending.iter().all(|step| step.set != *name)).collect();
    plan
}

/// What tenants are to have after the run: the program's own, then what others have registered.
fn wanted(sets: &Sets, ledger: &Ledger) -> Vec<Wanted> {
    let own = sets.migrations().map(|(set, migration)| Wanted {
        id: ledger.find(set, migration.version()).map(|step| step.id),
        set: set.to_owned(),
        name: migration.name().to_owned(),
        version: migration.version(),
    });
    let others = ledger.foreign(sets).map(|step| Wanted {
        id: Some(step.id),
        set: step.set_name.clone(),
        name: step.name.clone(),
        version: step.version,
    });
    own.chain(others).collect()
}
