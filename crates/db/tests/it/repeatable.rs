//! The functions and views of gate: what their texts make, however the database has come to them.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use bulkhead_db::fleet::{
    inspect::{Level, inspect},
    migrate::{MigrateOptions, Progress, Sets, migrate, migrate_platform, plan, revert_platform_once},
};
use bulkhead_fixtures::{Login, TestDb};

use crate::support::catalog;

/// The lock that a run at the platform's schemas has.
const PLATFORM_LOCK: i64 = 0x6275_6c6b_6d69_6772;

async fn gate(db: &TestDb) -> Result<String> {
    catalog(db, &["gate"]).await
}

async fn run(db: &TestDb) -> Result<()> {
    migrate_platform(&db.owner()?, &MigrateOptions::default(), &|_| {}).await?;
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
             DELETE FROM platform.repeatables; SET search_path = platform; {}; {}",
            include_str!("repeatable/dated.sql"),
            // What has come since is made anew by its text.
            concat!(
                include_str!("../../../../migrations/gate/announce_change.sql"),
                include_str!("../../../../migrations/gate/audit_links.sql"),
                include_str!("../../../../migrations/gate/audit_chain.sql"),
                include_str!("../../../../migrations/gate/take_mail.sql"),
                include_str!("../../../../migrations/gate/allow_impersonation.sql"),
                include_str!("../../../../migrations/gate/tenant_settings.sql"),
                include_str!("../../../../migrations/gate/identity_providers.sql"),
                include_str!("../../../../migrations/gate/identity_provider_tenants.sql"),
                include_str!("../../../../migrations/gate/shared_identity_providers.sql"),
            ),
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

/// What doctor says of the texts.
async fn told(db: &TestDb) -> Result<(Level, String)> {
    let found = inspect(&db.owner()?, &Sets::core()).await?;
    let found = found.into_iter().find(|finding| finding.check == "gate texts").context("a finding")?;
    Ok((found.level, found.detail))
}

/// A newer program has migrated, and its texts stand on what it has made; or it has only changed a text.
#[tokio::test]
async fn an_older_program_leaves_the_texts_of_a_newer_one() -> Result<()> {
    for newer in [
        "INSERT INTO platform.__diesel_schema_migrations (version) VALUES ('29990101000000')",
        "UPDATE platform.repeatables SET generation = generation + 1 WHERE name = 'meters'",
    ] {
        let db = TestDb::new().await?;
        let own = "the functions and views of gate are those of this program";
        assert_eq!(told(&db).await?, (Level::Ok, own.to_owned()));
        db.sql("CREATE OR REPLACE VIEW gate.meters WITH (security_barrier) AS SELECT name, unit, kind FROM platform.meters;
                UPDATE platform.repeatables SET digest = 'newer' WHERE name = 'meters'").await?;
        let pending = plan(&db.owner()?, &Sets::core()).await?;
        assert_eq!((pending.newer_gate, pending.repeatables), (false, vec!["meters".to_owned()]));
        let lacks = "gate has not this program's meters: run `migrate`";
        assert_eq!(told(&db).await?, (Level::Broken, lacks.to_owned()));
        db.sql(newer).await?;
        let (before, ran_before) = (gate(&db).await?, ran(&db).await?);
        let pending = plan(&db.owner()?, &Sets::core()).await?;
        assert_eq!((pending.newer_gate, pending.is_empty()), (true, true), "{newer}");
        run(&db).await?;
        assert_eq!((gate(&db).await?, ran(&db).await?), (before, ran_before), "{newer}");
        let newers =
            "the functions and views of gate are a newer program's, and this one leaves them as they are";
        assert_eq!(told(&db).await?, (Level::Ok, newers.to_owned()));
    }
    Ok(())
}

/// A program takes its texts for newer than those of another one by how often they have changed.
#[tokio::test]
async fn a_text_that_changes_begins_another_generation() -> Result<()> {
    let listed: Vec<&str> =
        include_str!("../../src/fleet/migrate/repeatable/generations.txt").lines().collect();
    let db = TestDb::new().await?;
    let all = "SELECT encode(sha256(convert_to(string_agg(name || ' ' || digest, E'\\n' ORDER BY name COLLATE \"C\"), 'UTF8')), 'hex')
        FROM platform.repeatables";
    let digest = db.value(all).await?;
    assert_eq!(
        listed.last().copied(),
        Some(digest.as_str()),
        "a text in migrations/gate has changed: add this digest as a line to generations.txt, below those that are there, or in \
         the place of the last one when no release has it"
    );
    let each: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(
        each.len(),
        listed.len(),
        "texts that go back to what they were are another generation, and differ by a comment"
    );
    let generation = "SELECT string_agg(DISTINCT generation::text, ' ') FROM platform.repeatables";
    assert_eq!(db.value(generation).await?, listed.len().to_string());
    // A program of this generation enters it also where the texts stay.
    db.sql("UPDATE platform.repeatables SET generation = 0; UPDATE platform.repeatables SET digest = 'older' WHERE name = 'revoke'").await?;
    run(&db).await?;
    assert_eq!(db.value(generation).await?, listed.len().to_string());
    Ok(())
}

/// Another run has the platform's lock when this one comes, and a third one gets it between this one's migrations and its texts.
#[tokio::test]
async fn a_run_waits_for_others_and_says_so() -> Result<()> {
    let db = TestDb::new().await?;
    let fresh = gate(&db).await?;
    db.sql("DROP FUNCTION gate.revoke; DELETE FROM platform.repeatables WHERE name = 'revoke'").await?;
    let (one, third) = (db.session(Login::Admin).await?, db.session(Login::Admin).await?);
    let lock = format!("SELECT pg_advisory_lock({PLATFORM_LOCK})");
    one.batch_execute(&lock).await?;
    let waiting = async |runs: &str| {
        let sql = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
            WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()";
        while db.value(sql).await? != runs {}
        Ok::<_, anyhow::Error>(())
    };
    let (owner, events) = (db.owner()?, tokio::sync::Notify::new());
    let told = AtomicUsize::new(0);
    let options = MigrateOptions { lock_ms: 1, ..MigrateOptions::default() };
    let listen = |progress: Progress<'_>| {
        if matches!(progress, Progress::Waiting) {
            told.fetch_add(1, Ordering::SeqCst);
            events.notify_one();
        }
    };
    let run = async { Ok::<_, anyhow::Error>(migrate_platform(&owner, &options, &listen).await?) };
    let others = async {
        events.notified().await;
        waiting("1").await?;
        let next = async { Ok::<_, anyhow::Error>(third.batch_execute(&lock).await?) };
        let free = async {
            waiting("2").await?;
            Ok(one.batch_execute("SELECT pg_advisory_unlock_all()").await?)
        };
        tokio::try_join!(next, free)?;
        events.notified().await;
        assert!(!gate(&db).await?.contains("revoke"), "nothing is done meanwhile");
        Ok(third.batch_execute("SELECT pg_advisory_unlock_all()").await?)
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), async { tokio::try_join!(run, others) });
    let (applied, ()) = ended.await.context("it waits for nothing")??;
    assert_eq!((applied, told.load(Ordering::SeqCst)), (Vec::new(), 2));
    assert_eq!(gate(&db).await?, fresh);
    // A run that is alone waits for no one, not for its own steps either.
    db.sql("DELETE FROM platform.repeatables WHERE name = 'revoke'").await?;
    for _ in 0..5 {
        migrate_platform(&owner, &options, &listen).await?;
    }
    assert_eq!(told.load(Ordering::SeqCst), 2);
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
    db.sql(
        "CREATE FUNCTION platform.refuse() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'it stands in the way'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON platform.__diesel_schema_migrations
             FOR EACH ROW EXECUTE FUNCTION platform.refuse()",
    )
    .await?;
    let refused = revert_platform_once(&owner).await.err().context("it is refused")?.to_string();
    assert!(refused.contains("it stands in the way"), "{refused}");
    assert_eq!(gate(&db).await?, fresh);
    Ok(())
}
