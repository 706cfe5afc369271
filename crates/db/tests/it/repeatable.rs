//! The functions and views of gate: what their texts make, however the database has come to them.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use bulkhead_db::fleet::migrate::{
    MigrateOptions, Sets, migrate, migrate_platform, plan, revert_platform_once,
};
use bulkhead_fixtures::{Login, TestDb};

use crate::support::catalog;

async fn gate(db: &TestDb) -> Result<String> {
    catalog(db, &["gate"]).await
}

async fn run(db: &TestDb) -> Result<()> {
    migrate_platform(&db.owner()?, &MigrateOptions::default()).await?;
    Ok(())
}

/// How often each text was run last, by the time of its transaction.
async fn ran(db: &TestDb) -> Result<String> {
    db.value("SELECT string_agg(name || applied_at || xmin, ' ' ORDER BY name) FROM platform.repeatables")
        .await
}

#[tokio::test]
async fn every_text_makes_the_object_of_its_name_and_there_is_no_other() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/gate");
    let files: BTreeSet<String> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path().file_stem().context("a name")?.to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    let db = TestDb::new().await?;
    let made = "SELECT string_agg(name, ' ' ORDER BY name COLLATE \"C\") FROM (
        SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'gate'::regnamespace
        UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'gate'::regnamespace) AS made";
    assert_eq!(db.value(made).await?, files.into_iter().collect::<Vec<_>>().join(" "));
    Ok(())
}

#[tokio::test]
async fn gate_is_the_same_fresh_upgraded_and_run_again() -> Result<()> {
    let db = TestDb::new().await?;
    let fresh = gate(&db).await?;
    assert!(fresh.contains("function §0.tenant() grants EXECUTE to bulkhead_tenants"), "{fresh}");
    // As it was made by dated migrations, before it had texts.
    let admin = db.session(Login::Admin).await?;
    admin
        .batch_execute(&format!(
            "SET ROLE bulkhead_owner; DROP SCHEMA gate CASCADE; CREATE SCHEMA gate; GRANT USAGE ON SCHEMA gate TO bulkhead_tenants;
             DELETE FROM platform.repeatables; SET search_path = platform; {}",
            include_str!("repeatable/dated.sql")
        ))
        .await?;
    assert_eq!(gate(&db).await?, fresh);
    run(&db).await?;
    assert_eq!(gate(&db).await?, fresh, "upgraded");
    db.sql("DELETE FROM platform.repeatables").await?;
    run(&db).await?;
    assert_eq!(gate(&db).await?, fresh, "run again");
    db.sql("DROP SCHEMA gate CASCADE; CREATE SCHEMA gate AUTHORIZATION bulkhead_owner; DELETE FROM platform.repeatables").await?;
    db.sql("GRANT USAGE ON SCHEMA gate TO bulkhead_tenants").await?;
    run(&db).await?;
    assert_eq!(gate(&db).await?, fresh, "made from nothing");
    Ok(())
}

#[tokio::test]
async fn a_text_is_run_when_it_changes_and_only_then() -> Result<()> {
    let db = TestDb::new().await?;
    let (owner, fresh, before) = (db.owner()?, gate(&db).await?, ran(&db).await?);
    run(&db).await?;
    assert_eq!(ran(&db).await?, before);
    assert!(plan(&owner, &Sets::core()).await?.is_empty());
    // An older text was run: one function does something else, one is no more.
    db.sql(
        "CREATE OR REPLACE FUNCTION gate.revoke(kind text, id uuid) RETURNS void LANGUAGE sql AS '';
         CREATE VIEW gate.removed AS SELECT 1; ALTER VIEW gate.removed OWNER TO bulkhead_owner;
         UPDATE platform.repeatables SET digest = 'another' WHERE name = 'revoke';
         INSERT INTO platform.repeatables VALUES ('removed', 'x');
         CREATE TABLE platform.of_an_extension (tenant_id uuid DEFAULT gate.tenant())",
    )
    .await?;
    assert_eq!(plan(&owner, &Sets::core()).await?.repeatables, ["removed", "revoke"]);
    migrate(&owner, &Sets::core(), &MigrateOptions::default(), &|_| {}).await?;
    assert_eq!(gate(&db).await?, fresh);
    assert!(plan(&owner, &Sets::core()).await?.is_empty());
    let stands = "SELECT count(*) FROM pg_attrdef WHERE adrelid = 'platform.of_an_extension'::regclass";
    assert_eq!(db.value(stands).await?, "1", "what stands on a text that stays, stays");
    Ok(())
}

/// A newer program has migrated, and its texts stand on what it has made.
#[tokio::test]
async fn an_older_program_leaves_the_texts_of_a_newer_one() -> Result<()> {
    let db = TestDb::new().await?;
    db.sql(
        "INSERT INTO platform.__diesel_schema_migrations (version) VALUES ('29990101000000');
         CREATE OR REPLACE VIEW gate.meters WITH (security_barrier) AS SELECT name, unit, kind FROM platform.meters;
         UPDATE platform.repeatables SET digest = 'newer' WHERE name = 'meters'",
    )
    .await?;
    let before = gate(&db).await?;
    assert_eq!(plan(&db.owner()?, &Sets::core()).await?.repeatables, Vec::<String>::new());
    run(&db).await?;
    assert_eq!(gate(&db).await?, before);
    Ok(())
}

#[tokio::test]
async fn going_back_drops_them_and_going_on_puts_them_back() -> Result<()> {
    let db = TestDb::new().await?;
    let (owner, fresh) = (db.owner()?, gate(&db).await?);
    revert_platform_once(&owner).await?;
    assert!(!gate(&db).await?.contains("function"), "{}", gate(&db).await?);
    let ended = "SELECT coalesce(to_regclass('platform.migration_runs')::text, 'gone')";
    if db.value(ended).await? != "gone" {
        assert_eq!(db.value("SELECT count(*) FROM platform.migration_runs").await?, "0");
    }
    run(&db).await?;
    assert_eq!(gate(&db).await?, fresh);
    // A way back that is refused leaves them as they are.
    db.sql("CREATE VIEW platform.stands_on_it AS SELECT FROM platform.repeatables").await?;
    let refused = revert_platform_once(&owner).await.err().context("it stands in the way")?.to_string();
    assert!(refused.contains("depend on it"), "{refused}");
    assert_eq!(gate(&db).await?, fresh);
    Ok(())
}
