//! At which version tenants are built, whichever program builds them.
//!
//! Owns `tenant_schema_target`, one row, and `tenant_migrations`, the SQL that leads there. A run of `migrate` writes both
//! under the fleet's lock before it looks at any tenant; whoever builds a schema holds the same lock, shared, from before
//! it reads the row until its schema is there. So every schema that was begun before the row was written is seen by the
//! run, and every later one is built at the new version, whether or not there was a tenant to migrate.
//!
//! A program that is older than the row builds with the SQL that the newer one has left: a release that was rolled back
//! signs customers up at the version that the whole fleet has. The SQL has built an empty schema before it was left, so no
//! release can leave what nobody can build with. Refuses to build what it cannot read
//! ([`DbError::Outdated`]), and to guess a version when none was ever written ([`DbError::NotMigrated`]).

use bulkhead_domain::{SchemaName, TenantId};
use diesel::{
    QueryableByName,
    sql_types::{Array, Bool, Nullable, SmallInt, Text},
};
use uuid::Uuid;

use super::{ATTEMPTS, FLEET_LOCK, Migration, is_fatal, newest, pause, schema_script};
use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::{Owner, OwnerTx},
    },
    fleet::provision::role_script,
};

/// How the SQL of a migration is to be read: as it stands, save that `:"tenant"` is replaced by the tenant's role.
const FORMAT: i16 = 1;

#[derive(QueryableByName)]
struct TargetRow {
    #[diesel(sql_type = Nullable<Text>)]
    version: Option<String>,
}

#[derive(QueryableByName)]
struct RaisedRow {
    #[diesel(sql_type = Bool)]
    reached: bool,
}

#[derive(QueryableByName)]
struct StoredMigration {
    #[diesel(sql_type = SmallInt)]
    format: i16,
    #[diesel(sql_type = Text)]
    up: String,
}

/// What a tenant's schema is built from: the version, and the SQL that leads there.
pub(crate) struct Blueprint<'a> {
    version: String,
    steps: Steps<'a>,
}

enum Steps<'a> {
    /// The program's own, as far as the version.
    Own(&'a [Migration]),
    /// Those that a newer program has left.
    Stored(Vec<StoredMigration>),
}

impl<'a> Blueprint<'a> {
    /// The blueprint in force, for a program that knows the migrations `own`. The caller holds the fleet's lock.
    pub(crate) async fn read(tx: &mut OwnerTx, own: &'a [Migration]) -> DbResult<Self> {
        let version = read_target(tx).await?.ok_or(DbError::NotMigrated)?;
        let known = own.iter().any(|migration| migration.version().to_string() == version);
        let steps = if known { Steps::Own(own) } else { Steps::Stored(stored(tx, &version).await?) };
        Ok(Self { version, steps })
    }

    /// The version that it leads to.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// SQL that enters an empty schema and brings it to the version.
    pub(crate) fn script(&self, schema: SchemaName) -> String {
        match &self.steps {
            Steps::Own(own) => {
                let own = own.iter().filter(|migration| migration.version().to_string() <= self.version);
                schema_script(schema, own.map(Migration::up))
            }
            Steps::Stored(stored) => schema_script(schema, stored.iter().map(|step| step.up.as_str())),
        }
    }
}

/// The version that tenants are built at; `None` before the first run of `migrate`.
pub(crate) async fn read_target(tx: &mut OwnerTx) -> DbResult<Option<String>> {
    let query = diesel::sql_query("SELECT (SELECT version FROM tenant_schema_target) AS version");
    let row: TargetRow = tx.tx.one(query).await?;
    Ok(row.version)
}

/// What a newer program has left, up to `version`; oldest first.
async fn stored(tx: &mut OwnerTx, version: &str) -> DbResult<Vec<StoredMigration>> {
    let query = diesel::sql_query(
        "SELECT format, up FROM tenant_migrations WHERE version <= $1 ORDER BY version COLLATE \"C\"",
    );
    let stored: Vec<StoredMigration> = tx.tx.load(query.bind::<Text, _>(version.to_owned())).await?;
    if stored.iter().all(|migration| migration.format == FORMAT) {
        Ok(stored)
    } else {
        Err(DbError::Outdated)
    }
}

/// Raises the version that tenants are built at to the newest of `migrations`, and leaves the SQL for older programs. One
/// that is as high already stays, and nobody is waited for.
pub(super) async fn raise(owner: &Owner, migrations: &[Migration]) -> DbResult<()> {
    let newest = newest(migrations);
    let reached = owner
        .read(async |tx| {
            let query = diesel::sql_query(
                "SELECT EXISTS (SELECT FROM tenant_schema_target WHERE version >= $1) AS reached",
            );
            let row: RaisedRow = tx.tx.one(query.bind::<Text, _>(&newest)).await?;
            Ok::<_, DbError>(row.reached)
        })
        .await?;
    if reached || newest.is_empty() {
        return Ok(());
    }
    for attempt in 1.. {
        match owner.write(async |tx| write(tx, migrations).await).await {
            // Whoever builds a tenant at this moment is waited for.
            Err(error) if error.is_transient() && !is_fatal(&error) && attempt < ATTEMPTS => {
                pause(attempt).await;
            }
            outcome => return outcome,
        }
    }
    Ok(())
}

async fn write(tx: &mut OwnerTx, migrations: &[Migration]) -> DbResult<()> {
    tx.tx.batch(&format!("SELECT pg_advisory_xact_lock({FLEET_LOCK})")).await?;
    let column = |of: fn(&Migration) -> &'static str| migrations.iter().map(of).collect::<Vec<_>>();
    let versions: Vec<_> = migrations.iter().map(|migration| migration.version().to_string()).collect();
    let store = diesel::sql_query(
        "INSERT INTO tenant_migrations (version, name, format, up) \
         SELECT version, name, $4, up FROM unnest($1, $2, $3) AS step (version, name, up) \
         ON CONFLICT (version) DO NOTHING",
    )
    .bind::<Array<Text>, _>(versions)
    .bind::<Array<Text>, _>(column(Migration::name))
    .bind::<Array<Text>, _>(column(Migration::up))
    .bind::<SmallInt, _>(FORMAT);
    tx.tx.execute(store).await?;
    let raise = diesel::sql_query(
        "INSERT INTO tenant_schema_target (version) VALUES ($1) \
         ON CONFLICT (singleton) DO UPDATE SET version = excluded.version, set_at = excluded.set_at \
         WHERE tenant_schema_target.version < excluded.version",
    );
    tx.tx.execute(raise.bind::<Text, _>(newest(migrations))).await?;
    rehearse(tx, migrations).await
}

/// Builds an empty schema with the new set and takes it back. A set that cannot even do that raises nothing: sign-ups go on
/// at the version before, and the run fails here.
async fn rehearse(tx: &mut OwnerTx, migrations: &[Migration]) -> DbResult<()> {
    // Roles are the server's: the rehearsals of two databases have different ones.
    let schema = SchemaName::of(TenantId::from_uuid(Uuid::now_v7()));
    let build = role_script(schema) + &schema_script(schema, migrations.iter().map(Migration::up));
    tx.tx.batch(&format!("SAVEPOINT rehearsal; {build} ROLLBACK TO SAVEPOINT rehearsal")).await
}
