//! How much is kept of what was revoked, in the database and on nodes, and from where it is read.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bulkhead_auth::{AuthError, Bounds};
use bulkhead_domain::{PlanName, RoleName};
use bulkhead_fixtures::{Cluster, Login, OWNER_PASSWORD, TestDb, TestTenant};
use tokio::task::LocalSet;

use crate::node::{Node, WAITING, until};

/// Makes the database keep so few revocations of each group.
async fn keep(db: &TestDb, count: u32) -> Result<()> {
    db.sql(&format!(
        "CREATE OR REPLACE FUNCTION platform.revocations_kept() RETURNS integer LANGUAGE sql IMMUTABLE RETURN {count}"
    ))
    .await?;
    Ok(())
}

async fn kept(db: &TestDb, tenant: &TestTenant) -> Result<usize> {
    let sql = format!("SELECT count(*) FROM platform.revocations WHERE tenant_id = '{}'", tenant.id.uuid());
    Ok(db.value(&sql).await?.parse()?)
}

/// Two tenants, room for ten revocations each.
#[tokio::test]
async fn one_tenants_surplus_costs_no_other_tenant_a_refusal_or_a_login() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        keep(&db, 10).await?;
        let (loud, quiet) = (
            db.create_tenant("loud", PlanName::FREE).await?,
            db.create_tenant("quiet", PlanName::FREE).await?,
        );
        let node = Node::with(db.db()?, Bounds { group: 10, total: 20 }).await?;
        let (loud_tokens, quiet_tokens) = (node.log_in(&loud).await?, node.log_in(&quiet).await?);
        let (_, loud_key) = node.key(&loud).await?;
        let (_, quiet_key) = node.key(&quiet).await?;
        node.let_in(&loud_key).await?;
        for _ in 0..25 {
            node.revoke_another(&loud).await?;
            node.read().await?;
            assert!(kept(&db, &loud).await? <= 11, "ten, or one for all and up to ten after it");
            node.let_in(&quiet_tokens.access.text).await?;
            node.let_in(&quiet_key).await?;
            // A key is looked up anew, and is as good as before.
            node.let_in(&loud_key).await?;
        }
        // What was coarsened takes the tenant's older tokens with it, and nothing else.
        let refused = node.let_in(&loud_tokens.access.text).await;
        assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        let refreshed = node.refresh(loud_tokens.refresh.reveal()).await?;
        node.let_in(&refreshed.access.text).await?;
        // A node that begins now knows the same.
        let fresh = Node::on(&db).await?;
        assert!(fresh.let_in(&loud_tokens.access.text).await.is_err());
        for good in [&refreshed.access.text, &quiet_tokens.access.text, &loud_key, &quiet_key] {
            fresh.let_in(good).await?;
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn what_was_revoked_before_the_surplus_stays_revoked_after_it() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        keep(&db, 3).await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let tokens = node.log_in(&tenant).await?;
        node.let_in(&tokens.access.text).await?;
        node.set_role(&tenant, tenant.owner_id, RoleName::DEVELOPER).await?;
        for _ in 0..10 {
            node.revoke_another(&tenant).await?;
        }
        node.read().await?;
        assert!(node.let_in(&tokens.access.text).await.is_err());
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// Operators are a group of their own, with the same bound.
#[tokio::test]
async fn operators_surplus_is_their_own() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        keep(&db, 10).await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let tokens = node.log_in(&tenant).await?;
        let hash = db.value(&format!("SELECT password_hash FROM {}.users", tenant.schema())).await?;
        db.sql(&format!(
            "INSERT INTO platform.operators VALUES (gen_random_uuid(), 'op@example.com', '{hash}', 'admin', now())"
        ))
        .await?;
        let operator = node.try_login(None, "op@example.com", OWNER_PASSWORD).await?;
        node.let_in(&operator.access.text).await?;
        db.sql("SELECT platform.revoke(NULL, 'session', gen_random_uuid()) FROM generate_series(1, 30)")
            .await?;
        let count = "SELECT count(*) FROM platform.revocations WHERE tenant_id IS NULL";
        assert!(db.value(count).await?.parse::<u32>()? <= 11);
        node.read().await?;
        assert!(node.let_in(&operator.access.text).await.is_err());
        node.let_in(&tokens.access.text).await?;
        let again = node.refresh(operator.refresh.reveal()).await?;
        node.let_in(&again.access.text).await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// One that coarsens waits for another that does; what is committed meanwhile must not be taken for covered.
#[tokio::test]
async fn what_is_committed_while_somebody_coarsens_is_not_lost() -> Result<()> {
    let db = TestDb::new().await?;
    keep(&db, 1).await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let id = tenant.id.uuid();
    let revoke = format!("SELECT platform.revoke('{id}', 'user', gen_random_uuid())");
    db.sql(&revoke).await?;
    let (one, two) = (db.session(Login::Admin).await?, db.session(Login::Admin).await?);
    one.batch_execute(&format!("BEGIN; {revoke}")).await?;
    let release = async {
        until(&db, WAITING, "1").await?;
        // A program of the version before, which counts nothing.
        db.sql(&format!(
            "INSERT INTO platform.revocations (tenant_id, subject, subject_id) VALUES ('{id}', 'user', '{id}')"
        ))
        .await?;
        one.batch_execute("COMMIT").await?;
        anyhow::Ok(())
    };
    let (waited, released) = tokio::join!(two.batch_execute(&revoke), release);
    waited?;
    released?;
    let rows = db
        .sql(&format!(
            "SELECT subject, subject_id = '{id}' FROM platform.revocations WHERE tenant_id = '{id}' ORDER BY subject"
        ))
        .await?;
    let rows: Vec<String> =
        rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(rows, ["everything t", "user t"]);
    Ok(())
}

/// A transaction that began first and commits last is found, and nothing is found twice.
#[tokio::test]
async fn a_slow_commit_is_not_passed_over_and_nothing_is_read_twice() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let tokens = node.log_in(&tenant).await?;
        node.let_in(&tokens.access.text).await?;
        let slow = db.session(Login::Admin).await?;
        let (id, user) = (tenant.id.uuid(), tenant.owner_id.uuid());
        slow.batch_execute(&format!("BEGIN; SELECT platform.revoke('{id}', 'user', '{user}')")).await?;
        let (_, key) = node.key(&tenant).await?;
        for _ in 0..3 {
            node.revoke_another(&tenant).await?;
            node.read().await?;
            node.let_in(&tokens.access.text).await?;
            node.let_in(&key).await?;
        }
        slow.batch_execute("COMMIT").await?;
        node.read().await?;
        assert!(node.let_in(&tokens.access.text).await.is_err());
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// The stand-by, copy or restored backup that takes a server's place may be behind it in transactions.
#[tokio::test]
async fn a_server_that_takes_anothers_place_is_read_from_the_beginning() -> Result<()> {
    let test = async {
        let first = TestDb::new().await?;
        // Far ahead of any server that has just been made.
        first
            .sql("DO $$BEGIN FOR i IN 1..5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END$$")
            .await?;
        let other = Cluster::start(|options| options.max_connections = 50, None).await?;
        let second = TestDb::on(Arc::clone(&other)).await?;
        let xid = "SELECT pg_current_xact_id()::text";
        let (ahead, behind) = (first.value(xid).await?, second.value(xid).await?);
        anyhow::ensure!(ahead.parse::<u64>()? > behind.parse::<u64>()?, "{ahead} is not after {behind}");

        let mut node = Node::on(&first).await?;
        let tenant = second.create_tenant("acme", PlanName::FREE).await?;
        let at_second = Node::on(&second).await?;
        let tokens = at_second.log_in(&tenant).await?;
        node.db = second.db()?;
        node.let_in(&tokens.access.text).await?;
        at_second.set_role(&tenant, tenant.owner_id, RoleName::DEVELOPER).await?;
        node.read().await?;
        assert!(node.let_in(&tokens.access.text).await.is_err(), "it was read on from {ahead}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await.context("two servers")
}
