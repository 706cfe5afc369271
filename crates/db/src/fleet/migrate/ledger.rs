//! What tenants are built with, and what each of them has.
//!
//! Owns `fleet_migrations`, each migration of each set that the database has met, with its SQL, and `fleet_target`, one row:
//! those that every tenant is to have. A run of `migrate` writes both under the fleet's lock before it looks at any tenant
//! ([`register`](super::register)). A process that builds a schema holds the same lock, shared, from before it reads the row
//! until its schema is there. So every schema that was begun before the row was written is seen by the run, and every later one
//! is built with the new migrations, whether or not there was a tenant to migrate.
//!
//! Tenants are built and migrated with the SQL of the ledger and never with a program's own, which differs from it only by
//! what the program does not know: an older release builds what the newer one has registered, a program without some extension
//! builds its tables all the same, and all tenants are alike. The SQL has built an empty schema before it was kept. Refuses to
//! build what it cannot read ([`DbError::Outdated`]), and to guess when nothing was ever registered ([`DbError::NotMigrated`]).

use bulkhead_domain::SchemaName;
use diesel::{
    QueryableByName,
    sql_types::{BigInt, Integer, Nullable, SmallInt, Text},
};

use super::{ids::Ids, set::Sets};
use crate::{
    engine::{
        error::{BatchError, DbError, DbResult},
        scope::{OwnerTx, enter_schema},
    },
    fleet::provision::role_script,
};

/// How the SQL of a migration is to be read: as it stands, save that `:"tenant"` is replaced by the tenant's role.
pub(super) const FORMAT: i16 = 1;

/// A migration as the ledger has it.
#[derive(Clone, Debug, QueryableByName)]
pub(crate) struct Step {
    #[diesel(sql_type = Integer)]
    pub(crate) id: i32,
    #[diesel(sql_type = Text)]
    pub(crate) set_name: String,
    /// Where its set stands among the others.
    #[diesel(sql_type = Integer)]
    pub(super) place: i32,
    #[diesel(sql_type = BigInt)]
    pub(crate) version: i64,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = SmallInt)]
    pub(super) format: i16,
    #[diesel(sql_type = Text)]
    pub(super) up: String,
    /// The SHA-256 of `up` as it was read.
    #[diesel(sql_type = Text)]
    pub(super) digest: String,
}

impl Step {
    /// Its set and its name, as people are told of it.
    pub(crate) fn title(&self) -> String {
        format!("{}/{}", self.set_name, self.name)
    }

    /// Whether this program can read its SQL.
    pub(super) fn is_readable(&self) -> bool {
        // A newer program reads what older ones have registered.
        (1..=FORMAT).contains(&self.format)
    }

    /// SQL that takes the step in a tenant's schema, which it enters. [`DbError::Outdated`] when this program cannot read the
    /// step.
    pub(super) fn script(&self, schema: SchemaName) -> DbResult<String> {
        if !self.is_readable() {
            return Err(DbError::Outdated);
        }
        let up = self.up.replace(":\"tenant\"", schema.as_str());
        // Ends a last statement without a semicolon, and a last line that is a comment.
        Ok(format!("{}\n{up}\n;\n", enter_schema(schema)))
    }
}

#[derive(QueryableByName)]
struct TargetRow {
    #[diesel(sql_type = Nullable<Text>)]
    wanted: Option<String>,
}

/// The ledger at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// What every tenant is to have; `None` before the first run of `migrate`.
    pub(crate) target: Option<Ids>,
    /// Everything that the database has met, in the order in which a tenant gets it.
    pub(crate) steps: Vec<Step>,
}

impl Ledger {
    pub(crate) async fn read(tx: &mut OwnerTx) -> DbResult<Self> {
        let target = read_target(tx).await?;
        let query = diesel::sql_query(
            "SELECT id, set_name, place, version, name, format, up, encode(sha256(convert_to(up, 'UTF8')), 'hex') AS digest \
             FROM fleet_migrations ORDER BY place, set_name, version",
        );
        Ok(Self { target, steps: tx.tx.load(query).await? })
    }

    /// The ledger of a database that has none yet.
    pub(super) const fn empty() -> Self {
        Self { target: None, steps: Vec::new() }
    }

    /// The number of the next migration that the database meets.
    pub(super) fn next_id(&self) -> i32 {
        // Numbered here and not by a sequence, which would leave gaps where a transaction was rolled back.
        self.steps.iter().map(|step| step.id).max().unwrap_or_default().saturating_add(1)
    }

    /// The migrations that every tenant is to have and that these sets do not hold.
    pub(crate) fn foreign(&self, sets: &Sets) -> impl Iterator<Item = &Step> {
        let own = |step: &Step| {
            sets.migrations()
                .any(|(set, migration)| set == step.set_name && migration.version() == step.version)
        };
        self.wanted().filter(move |step| !own(step))
    }

    /// What every tenant is to have.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| self.target.as_ref().is_some_and(|target| target.contains(step.id)))
    }

    /// What a tenant that has these is still to get, in this order.
    pub(crate) fn lacking(&self, applied: &Ids) -> impl Iterator<Item = &Step> {
        self.wanted().filter(|step| !applied.contains(step.id))
    }

    /// The migration of this set and version.
    pub(crate) fn find(&self, set: &str, version: i64) -> Option<&Step> {
        self.steps.iter().find(|step| step.version == version && step.set_name == set)
    }

    /// Whether every migration of these sets is among those that tenants are to have.
    pub(crate) fn covers(&self, sets: &Sets) -> bool {
        self.missing(sets).next().is_none() && self.target.is_some()
    }

    /// What of these sets tenants are not built with yet, as set and name.
    pub(crate) fn missing(&self, sets: &Sets) -> impl Iterator<Item = String> {
        sets.migrations().filter_map(|(set, migration)| {
            let step = self.find(set, migration.version());
            let wanted =
                step.zip(self.target.as_ref()).is_some_and(|(step, target)| target.contains(step.id));
            (!wanted).then(|| format!("{set}/{}", migration.name()))
        })
    }

    /// As [`Blueprint::build`].
    pub(super) async fn build(&self, tx: &mut OwnerTx, schema: SchemaName) -> DbResult<()> {
        build(tx, schema, &self.wanted().collect::<Vec<_>>()).await
    }
}

/// What every tenant is to have; `None` before the first run of `migrate`.
async fn read_target(tx: &mut OwnerTx) -> DbResult<Option<Ids>> {
    let query = diesel::sql_query("SELECT (SELECT wanted::text FROM fleet_target) AS wanted");
    let row: TargetRow = tx.tx.one(query).await?;
    row.wanted.map(|text| text.parse()).transpose()
}

/// What a tenant's schema is built from: the migrations it is to have, with their SQL.
pub(crate) struct Blueprint {
    target: Ids,
    steps: Vec<Step>,
}

impl Blueprint {
    /// The blueprint in force. The caller holds the fleet's lock.
    pub(crate) async fn read(tx: &mut OwnerTx) -> DbResult<Self> {
        let target = read_target(tx).await?.ok_or(DbError::NotMigrated)?;
        let query = diesel::sql_query(
            "SELECT id, set_name, place, version, name, format, up, '' AS digest FROM fleet_migrations, fleet_target \
             WHERE wanted @> id ORDER BY place, set_name, version",
        );
        Ok(Self { target, steps: tx.tx.load(query).await? })
    }

    /// What a schema has that is built from it.
    pub(crate) const fn target(&self) -> &Ids {
        &self.target
    }

    /// Makes role and schema with all that a tenant is to have, and stays inside the schema. [`DbError::Unbuildable`] names the
    /// migration that fails for another reason than one that passes.
    pub(crate) async fn build(&self, tx: &mut OwnerTx, schema: SchemaName) -> DbResult<()> {
        build(tx, schema, &self.steps.iter().collect::<Vec<_>>()).await
    }
}

/// Each step is a message of its own, so that it is known which of them fails; they are sent together.
async fn build(tx: &mut OwnerTx, schema: SchemaName, steps: &[&Step]) -> DbResult<()> {
    let mut messages = vec![role_script(schema) + &enter_schema(schema)];
    for step in steps {
        messages.push(step.script(schema)?);
    }
    tx.tx.batches(&messages).await.map_err(|BatchError { place, error }| {
        let step = place.checked_sub(1).and_then(|place| steps.get(place));
        match step.filter(|_| !error.is_transient()) {
            Some(step) => DbError::Unbuildable { migration: step.title(), why: error.to_string() },
            None => error,
        }
    })
}
