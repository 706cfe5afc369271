//! A node that cannot read what was revoked.

use std::time::Duration;

use anyhow::Result;
use bulkhead_auth::{AuthError, Bounds};
use bulkhead_db::{Db, Pool};
use bulkhead_domain::{PlanName, RoleName};
use bulkhead_fixtures::{Login, OWNER_PASSWORD, TestDb, timeouts};
use bulkhead_telemetry::Metrics;
use chrono::TimeDelta;
use futures::future::join_all;
use tokio::task::LocalSet;

use crate::node::{Node, role_of};

/// The table of revocations is locked, as by a migration that went wrong: each credential is looked up by itself.
#[tokio::test]
async fn each_credential_is_looked_up_by_itself_and_refused_when_it_was_revoked() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let hash = db.value(&format!("SELECT password_hash FROM {}.users", tenant.schema())).await?;
        db.sql(&format!(
            "INSERT INTO platform.operators VALUES (gen_random_uuid(), 'op@example.com', '{hash}', 'admin', now())"
        ))
        .await?;
        let mut node = Node::on(&db).await?;
        let (stays, ends) = (node.log_in(&tenant).await?, node.log_in(&tenant).await?);
        let operator = node.try_login(None, "op@example.com", OWNER_PASSWORD).await?;
        let out = node.try_login(None, "op@example.com", OWNER_PASSWORD).await?;
        let ((_, key), (gone, gone_key)) = (node.key(&tenant).await?, node.key(&tenant).await?);
        let (own, others) = (&operator.access.text, &out.access.text);
        let all = [&stays.access.text, &ends.access.text, own, others, &key, &gone_key];
        for credential in all {
            node.let_in(credential).await?;
        }
        let (schema, gone, session) = (tenant.schema(), gone.uuid(), ends.refresh.session.uuid());
        let of_operator = out.refresh.session.uuid();
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute("BEGIN; LOCK TABLE platform.revocations").await?;
        db.sql(&format!(
            "UPDATE {schema}.api_keys SET revoked_at = now() WHERE id = '{gone}'; \
             UPDATE {schema}.sessions SET revoked_at = now() WHERE id = '{session}'; \
             UPDATE platform.operator_sessions SET revoked_at = now() WHERE id = '{of_operator}'"
        ))
        .await?;
        // Too old to trust what is cached.
        node.skew = TimeDelta::seconds(6);
        for good in [&stays.access.text, own, &key] {
            node.let_in(good).await?;
        }
        for bad in [&ends.access.text, others, &gone_key] {
            let refused = node.let_in(bad).await;
            assert!(matches!(refused, Err(AuthError::Invalid | AuthError::Lapsed)), "{refused:?}");
        }
        db.sql(&format!("UPDATE {schema}.users SET role = 'read_only'")).await?;
        db.sql("UPDATE platform.operators SET role = 'support'").await?;
        for changed in [&stays.access.text, own] {
            assert!(node.let_in(changed).await.is_err(), "the role is not what the token says");
        }
        // The tenant's state is not taken from memory either.
        db.sql("UPDATE platform.tenants SET status = 'suspended'").await?;
        let closed = node.let_in(&key).await;
        assert!(matches!(closed, Err(AuthError::Suspended(_))), "{closed:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// How many transactions a pool has begun.
pub(crate) fn transactions(metrics: &Metrics, pool: &str) -> u64 {
    let text = metrics.render();
    let line = format!("bulkhead_db_wait_seconds_count{{pool=\"{pool}\"}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap()
}

#[tokio::test]
async fn however_many_find_the_view_too_old_it_is_read_once_and_a_tenant_too() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let metrics = Metrics::new()?;
        let pool = |login, name| {
            let options = TestDb::pool_options(4);
            anyhow::Ok(Pool::measured(db.connector(login)?, options, metrics.database.pool(name)))
        };
        let own = Db::new(pool(Login::Tenant, "tenant")?, pool(Login::Platform, "platform")?, timeouts());
        let mut node = Node::with(own, Bounds::default()).await?;
        let tokens = node.log_in(&tenant).await?;
        assert_eq!(role_of(&node.let_in(&tokens.access.text).await?), Some(RoleName::OWNER));
        let before = (transactions(&metrics, "platform"), transactions(&metrics, "tenant"));
        node.skew = TimeDelta::seconds(6);
        let all = join_all((0..50).map(|_| node.let_in(&tokens.access.text))).await;
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 50);
        let after = (transactions(&metrics, "platform"), transactions(&metrics, "tenant"));
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 0));
        // After a minute what is remembered of the tenant is too old as well.
        node.skew = TimeDelta::seconds(66);
        let all = join_all((0..50).map(|_| node.let_in(&tokens.access.text))).await;
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 50);
        let last = (transactions(&metrics, "platform"), transactions(&metrics, "tenant"));
        assert_eq!((last.0 - after.0, last.1 - after.1), (2, 0));
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A frozen server: a request that waits for the view does not wait for as long as for a connection, and requests do
/// not wait in turn.
#[tokio::test]
async fn who_waits_for_the_view_waits_for_a_moment_and_shares_the_failure() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let mut node = Node::on(&db).await?;
        let tokens = node.log_in(&tenant).await?;
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute("BEGIN; LOCK TABLE platform.revocations").await?;
        node.skew = TimeDelta::seconds(6);
        // Far more than there are connections of the platform; in turn, each with its lock time-out, it would be minutes.
        let all = join_all((0..50).map(|_| node.let_in(&tokens.access.text)));
        let all = tokio::time::timeout(Duration::from_secs(30), all).await?;
        assert_eq!(all.iter().filter(|one| one.is_ok()).count(), 50);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
