//! Schemas that are built before a tenant signs up.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::{
    Authority, DbError, Owner,
    fleet::{
        migrate::{
            MigrateOptions, Migration, MigrationReport, Sets, migrate, migrate_platform, migrate_tenants,
            revert_platform_once,
        },
        provision::{
            Provisioned, provision_tenant,
            schema_pool::{build_ahead, count_ready, drop_surplus},
        },
    },
    platform::tenants::{self, NewTenant},
};
use bulkhead_domain::{Clock as _, JobId, PlanName, SchemaName, Slug, SystemClock, TenantId, UserId};
use bulkhead_fixtures::{Login, TestDb};
use tokio::sync::Barrier;

use crate::support::{catalog, release_with};

/// A later release's migration.
const NEXT: Migration = Migration::new(
    "2999-01-01-000000_next",
    "CREATE TABLE next (id int PRIMARY KEY); GRANT SELECT ON next TO :\"tenant\"",
);

fn newer() -> Sets {
    release_with(&[NEXT])
}

async fn ahead(owner: &Owner) -> Result<TenantId, DbError> {
    let at = SystemClock.now();
    let id = TenantId::mint(at);
    owner.write(async |tx| build_ahead(tx, id, at).await).await?;
    Ok(id)
}

async fn provision(owner: &Owner, id: TenantId) -> Result<Provisioned, DbError> {
    let at = SystemClock.now();
    owner.write(async |tx| provision_tenant(tx, id, JobId::mint(at), at).await).await
}

async fn ready(owner: &Owner) -> Result<usize, DbError> {
    owner.write(async |tx| count_ready(tx).await).await
}

/// Migrates as a release that has these sets.
async fn release(owner: &Owner, sets: &Sets) -> Result<MigrationReport, DbError> {
    migrate_tenants(owner, sets, &MigrateOptions::default(), &|_| {}).await
}

/// Drops all that is too much; how many it were.
async fn trim(owner: &Owner, wanted: u16) -> Result<usize, DbError> {
    let mut dropped = 0;
    while owner.write::<_, DbError>(async |tx| drop_surplus(tx, wanted).await).await? {
        dropped += 1;
    }
    Ok(dropped)
}

fn order(id: Option<TenantId>, slug: &Slug) -> NewTenant<'_> {
    let at = SystemClock.now();
    NewTenant {
        id,
        slug,
        name: "Acme",
        plan: PlanName::FREE,
        owner: UserId::mint(at),
        owner_email: "a@b.example",
        owner_password_hash: "x",
        at,
    }
}

fn schema(id: TenantId) -> String {
    SchemaName::of(id).to_string()
}

/// What is there under an id, and as what: the schema's own number tells whether it was built again.
async fn state(db: &TestDb, id: TenantId) -> Result<String> {
    let (name, id) = (schema(id), id.uuid());
    db.value(&format!(
        "SELECT concat_ws(' ', CASE WHEN to_regrole('{name}') IS NOT NULL THEN 'role' END,
            CASE WHEN to_regnamespace('{name}') IS NOT NULL THEN 'schema' END,
            (SELECT CASE WHEN taken_at IS NULL THEN 'ready' ELSE 'taken' END
             FROM platform.schema_pool WHERE tenant_id = '{id}' AND role_name = '{name}'),
            (SELECT 'version' FROM platform.tenant_schema_versions WHERE tenant_id = '{id}'),
            (SELECT status FROM platform.tenants WHERE id = '{id}'))"
    ))
    .await
}

async fn number(db: &TestDb, id: TenantId) -> Result<String> {
    db.value(&format!("SELECT '{}'::regnamespace::oid", schema(id))).await
}

#[tokio::test]
async fn a_tenant_moves_into_a_schema_that_equals_a_fresh_one() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let fresh = db.create_tenant("fresh", PlanName::FREE).await?;
    let id = ahead(&owner).await?;
    assert_eq!(state(&db, id).await?, "role schema ready");
    let built = number(&db, id).await?;

    let tenant = db.sign_up("acme", PlanName::FREE).await?;
    assert_eq!(tenant.id, id);
    assert_eq!(state(&db, id).await?, "role schema taken provisioning");
    assert_eq!(provision(&owner, id).await?, Provisioned::Built);
    assert_eq!(state(&db, id).await?, "role schema version active");
    assert_eq!(number(&db, id).await?, built, "it was built again");
    let (moved_in, from_nothing) =
        (catalog(&db, &[&schema(id)]).await?, catalog(&db, &[&fresh.schema()]).await?);
    assert!(moved_in.contains("relation §0.users grants INSERT to §0"), "{moved_in}");
    assert_eq!(moved_in, from_nothing);
    let people =
        format!("SELECT string_agg(id || ' ' || email || ' ' || role, ',') FROM {}.users", schema(id));
    assert_eq!(db.value(&people).await?, format!("{} {} owner", tenant.owner_id.uuid(), tenant.owner_email));
    let audit = format!("SELECT string_agg(action, ',') FROM {}.audit_log", schema(id));
    assert_eq!(db.value(&audit).await?, "provision_tenant");
    let memberships = "SELECT string_agg(format('%s in %s', regexp_replace(m.rolname, '^t_.*', 't'),
            regexp_replace(g.rolname, '^t_.*', 't')), ', ' ORDER BY m.rolname, g.rolname)
        FROM pg_auth_members a JOIN pg_roles m ON m.oid = member JOIN pg_roles g ON g.oid = roleid
        WHERE m.rolname !~ '^bulkhead_creator_' AND";
    let of = |name: String| format!("{memberships} '{name}' IN (m.rolname, g.rolname)");
    assert_eq!(db.value(&of(schema(id))).await?, db.value(&of(fresh.schema())).await?);
    assert_eq!(provision(&owner, id).await?, Provisioned::AlreadyActive);
    Ok(())
}

#[tokio::test]
async fn the_oldest_is_taken_first_one_that_is_behind_last_and_then_none() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let behind = ahead(&owner).await?;
    release(&owner, &newer()).await?;
    let (first, second) = (ahead(&owner).await?, ahead(&owner).await?);
    let mut taken = Vec::new();
    for number in 0..4 {
        taken.push(db.sign_up(&format!("tenant-{number}"), PlanName::FREE).await?.id);
    }
    assert_eq!(taken[..3], [first, second, behind]);
    assert_eq!(state(&db, taken[3]).await?, "provisioning");
    assert_eq!(provision(&owner, taken[3]).await?, Provisioned::Built);
    assert_eq!(state(&db, taken[3]).await?, "role schema version active");
    Ok(())
}

#[tokio::test]
async fn a_tenant_that_has_an_id_keeps_it() -> Result<()> {
    let db = TestDb::new().await?;
    let id = ahead(&db.owner()?).await?;
    let own = TenantId::mint(SystemClock.now());
    let slug: Slug = "acme".parse()?;
    let new = order(Some(own), &slug);
    let insert = async |tx: &mut _| tenants::insert(tx, &new).await;
    let made = db.db()?.platform_write::<_, DbError>(Authority::machinery(), insert).await?;
    assert_eq!(made.id, own);
    assert_eq!(state(&db, id).await?, "role schema ready");
    Ok(())
}

#[tokio::test]
async fn two_that_sign_up_at_once_take_two() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let mut built = [ahead(&owner).await?, ahead(&owner).await?];
    built.sort_unstable();
    let (pools, both_have_taken) = (db.db()?, Barrier::new(2));
    let sign_up = async |slug: &str| {
        let slug: Slug = slug.parse()?;
        let new = order(None, &slug);
        let insert = async |tx: &mut _| {
            let made = tenants::insert(tx, &new).await?;
            // Neither has been committed yet.
            both_have_taken.wait().await;
            Ok::<_, DbError>(made.id)
        };
        anyhow::Ok(pools.platform_write(Authority::machinery(), insert).await?)
    };
    let (a, b) = tokio::join!(sign_up("first"), sign_up("second"));
    let mut taken = [a?, b?];
    taken.sort_unstable();
    assert_eq!(taken, built);
    Ok(())
}

#[tokio::test]
async fn a_sign_up_that_fails_gives_back_what_it_took() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    db.sign_up("acme", PlanName::FREE).await?;
    let id = ahead(&owner).await?;
    let taken = db.sign_up("acme", PlanName::FREE).await;
    assert!(format!("{:?}", taken.unwrap_err()).contains("tenants_slug_key"));
    assert_eq!(state(&db, id).await?, "role schema ready");
    assert_eq!(db.sign_up("other", PlanName::FREE).await?.id, id);
    Ok(())
}

#[tokio::test]
async fn one_that_is_behind_is_built_anew_for_its_tenant() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let id = ahead(&owner).await?;
    let built = number(&db, id).await?;
    // Nothing in it may outlive it.
    db.sql(&format!("CREATE TABLE {}.stray (x int)", schema(id))).await?;
    assert_eq!(db.sign_up("acme", PlanName::FREE).await?.id, id);
    // A migration of the tenants passes by what is no tenant's yet.
    let report = release(&owner, &newer()).await?;
    assert_eq!((report.migrated, report.failed.len()), (0, 0));
    assert_eq!(number(&db, id).await?, built);

    assert_eq!(provision(&owner, id).await?, Provisioned::Built);
    assert_eq!(state(&db, id).await?, "role schema version active");
    assert_ne!(number(&db, id).await?, built);
    let fresh = db.create_tenant_with(&newer(), "fresh", PlanName::FREE).await?;
    let (rebuilt, fresh) = (catalog(&db, &[&schema(id)]).await?, catalog(&db, &[&fresh.schema()]).await?);
    assert!(rebuilt.contains("relation §0.next grants SELECT to §0"), "{rebuilt}");
    assert_eq!(rebuilt, fresh);
    Ok(())
}

#[tokio::test]
async fn building_ahead_and_migrating_wait_for_each_other() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let migration = db.session(Login::Admin).await?;
    // The lock that a migration takes alone when it has seen the last tenant.
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock({})", 0x6275_6c6b_666c_6565_i64);
    migration.batch_execute(&lock).await?;
    let waits = async {
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
        while db.value(waiting).await? == "0" {
            tokio::task::yield_now().await;
        }
        assert_eq!(db.value("SELECT count(*) FROM platform.schema_pool").await?, "0");
        migration.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    };
    let both = async { tokio::join!(ahead(&owner), waits) };
    let (built, waited) = tokio::time::timeout(Duration::from_secs(20), both).await?;
    waited?;
    assert_eq!(state(&db, built?).await?, "role schema ready");
    Ok(())
}

#[tokio::test]
async fn what_is_too_much_or_behind_is_dropped_and_what_is_taken_is_not() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(ahead(&owner).await?);
    }
    assert_eq!(ready(&owner).await?, 4);
    assert_eq!(trim(&owner, 4).await?, 0);
    let tenant = db.sign_up("acme", PlanName::FREE).await?.id;
    assert_eq!(tenant, ids[0]);
    assert_eq!(trim(&owner, 2).await?, 1);
    assert_eq!(state(&db, ids[3]).await?, "", "the one that would be taken last goes first");

    // A newer release: all are behind, whether or not so many are wanted.
    release(&owner, &newer()).await?;
    assert_eq!(ready(&owner).await?, 0);
    let next = ahead(&owner).await?;
    assert_eq!(trim(&owner, 8).await?, 2);
    assert_eq!(state(&db, ids[1]).await?, "");
    assert_eq!(state(&db, next).await?, "role schema ready");
    assert_eq!(state(&db, tenant).await?, "role schema taken provisioning");
    assert_eq!(trim(&owner, 0).await?, 1);
    assert_eq!(state(&db, next).await?, "");
    Ok(())
}

#[tokio::test]
async fn one_that_a_sign_up_is_about_to_take_is_not_dropped() -> Result<()> {
    let db = TestDb::new().await?;
    let owner = db.owner()?;
    let id = ahead(&owner).await?;
    let sign_up = db.session(Login::Platform).await?;
    sign_up
        .batch_execute(
            "BEGIN; SET LOCAL ROLE bulkhead_platform_rw; UPDATE platform.schema_pool SET taken_at = now()",
        )
        .await?;
    assert_eq!(trim(&owner, 0).await?, 0);
    sign_up.batch_execute("ROLLBACK").await?;
    assert_eq!(trim(&owner, 0).await?, 1);
    assert_eq!(state(&db, id).await?, "");
    Ok(())
}

#[tokio::test]
async fn the_platform_may_take_schemas_and_nothing_else() -> Result<()> {
    let db = TestDb::new().await?;
    ahead(&db.owner()?).await?;
    let platform = db.session(Login::Platform).await?;
    platform.batch_execute("SET ROLE bulkhead_platform_rw; SET search_path = platform").await?;
    for sql in [
        "DELETE FROM schema_pool",
        "UPDATE schema_pool SET version = '3'",
        "UPDATE schema_pool SET applied = '{}'",
        "UPDATE schema_pool SET tenant_id = gen_random_uuid()",
        "INSERT INTO schema_pool SELECT gen_random_uuid(), 't_00000000000000000000000000', '', now()",
        "TRUNCATE schema_pool",
    ] {
        let refused = platform.batch_execute(sql).await.unwrap_err();
        let why = refused.as_db_error().map(|error| error.message().to_owned());
        assert_eq!(why.as_deref(), Some("permission denied for table schema_pool"), "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn the_table_stays_while_there_are_schemas_that_only_it_knows_of() -> Result<()> {
    let db = TestDb::unmigrated().await?;
    let owner = db.owner()?;
    let report = migrate(&owner, &Sets::core(), &MigrateOptions::default(), &|_| {}).await?;
    ahead(&owner).await?;
    // What came after the pool can go, the pool cannot.
    let mut later = report.platform_applied;
    while later.last().is_some_and(|name| !name.ends_with("schema_pool")) {
        revert_platform_once(&owner).await?;
        later.pop();
    }
    let refused = revert_platform_once(&owner).await.unwrap_err().to_string();
    assert!(refused.contains("BULKHEAD_SCHEMA_POOL=0"), "{refused}");
    assert!(!migrate_platform(&owner, &MigrateOptions::default(), &|_| {}).await?.is_empty());
    release(&owner, &Sets::core()).await?;
    assert_eq!(trim(&owner, 0).await?, 1);
    while revert_platform_once(&owner).await.is_ok() {}
    assert_eq!(db.value("SELECT to_regclass('platform.schema_pool')").await?, "");
    Ok(())
}
