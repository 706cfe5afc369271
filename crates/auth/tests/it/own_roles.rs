//! Roles that a tenant has defined: what they hold is what the tenant's rows say now, whatever credentials were issued.

use anyhow::{Context as _, Result};
use bulkhead_auth::{Authenticated, Bounds, Tokens};
use bulkhead_db::{
    Db, DbError, Pool,
    tenant::roles::{self, NewRole},
};
use bulkhead_domain::{Clock as _, PlanName, RoleName, SystemClock};
use bulkhead_fixtures::{Login, TestDb, TestTenant, timeouts};
use bulkhead_telemetry::Metrics;
use chrono::TimeDelta;
use futures::future::join_all;
use tokio::task::LocalSet;

use crate::{forger, node::Node, stale::transactions};

fn clerk() -> RoleName {
    "clerk".parse().unwrap()
}

fn held(authenticated: &Authenticated) -> Vec<&'static str> {
    let access = forger::access();
    access.tenants().names(authenticated.principal.role().permissions()).collect()
}

fn entries(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Makes the role, changes it, or removes it, as the API does.
pub(crate) async fn define(
    db: &Db,
    tenant: &TestTenant,
    name: RoleName,
    holds: Option<&[&str]>,
) -> Result<()> {
    let at = SystemClock.now();
    let permissions = entries(holds.unwrap_or_default());
    let new = NewRole { name, description: "", permissions: &permissions, created_by: "usr_", at };
    let define = async |tx: &mut _| {
        match holds {
            None => drop(roles::delete(tx, name).await?),
            Some(_) if roles::find(tx, name).await?.is_some() => {
                roles::update(tx, name, "", &permissions, at).await?;
            }
            Some(_) => drop(roles::insert(tx, &new).await?),
        }
        roles::announce(tx).await
    };
    Ok(db.write::<_, DbError>(tenant.proven(), define).await?)
}

/// A tenant whose owner has become a clerk and logged in, and a key of a clerk.
async fn given(db: &TestDb, node: &Node, slug: &str) -> Result<(TestTenant, Tokens, String)> {
    let tenant = db.create_tenant(slug, PlanName::FREE).await?;
    let (_, key) = node.key(&tenant).await?;
    db.sql(&format!(
        "UPDATE {0}.users SET role = 'clerk'; UPDATE {0}.api_keys SET role = 'clerk'",
        tenant.schema()
    ))
    .await?;
    let tokens = node.log_in(&tenant).await?;
    Ok((tenant, tokens, key))
}

#[tokio::test]
async fn what_a_role_holds_now_counts_for_credentials_of_any_age_on_every_node() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let nodes = [Node::on(&db).await?, Node::on(&db).await?];
        let (tenant, tokens, key) = given(&db, &nodes[0], "acme").await?;
        let credentials = [&tokens.access.text, &key];
        let all = async |wanted: &[&str]| {
            for node in &nodes {
                for credential in credentials {
                    let let_in = node.let_in(credential).await?;
                    anyhow::ensure!(let_in.principal.role().name() == clerk());
                    anyhow::ensure!(held(&let_in) == wanted, "{:?}, not {wanted:?}", held(&let_in));
                }
            }
            Ok(())
        };
        // The role does not exist yet, which is remembered.
        all(&[]).await?;
        for holds in [&["read:users"][..], &["*:users", "read:invoices"], &["read:jobs", "no entry"], &[]] {
            define(&nodes[0].db, &tenant, clerk(), Some(holds)).await?;
            for node in &nodes {
                node.read().await?;
            }
            let access = forger::access();
            let role = access.own_role(clerk(), holds);
            all(&access.tenants().names(role.permissions()).collect::<Vec<_>>()).await?;
        }
        define(&nodes[1].db, &tenant, clerk(), Some(&["*:*"])).await?;
        for node in &nodes {
            node.read().await?;
        }
        all(&forger::access()
            .tenants()
            .names(forger::role(RoleName::OWNER).permissions())
            .collect::<Vec<_>>())
        .await?;
        define(&nodes[1].db, &tenant, clerk(), None).await?;
        for node in &nodes {
            node.read().await?;
        }
        all(&[]).await
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_role_of_the_same_name_in_another_tenant_opens_nothing() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let (ours, our_tokens, our_key) = given(&db, &node, "acme").await?;
        let (theirs, their_tokens, _) = given(&db, &node, "other").await?;
        define(&node.db, &theirs, clerk(), Some(&["*:*"])).await?;
        node.read().await?;
        assert!(!held(&node.let_in(&their_tokens.access.text).await?).is_empty());
        for credential in [&our_tokens.access.text, &our_key] {
            assert_eq!(held(&node.let_in(credential).await?), [""; 0]);
        }
        define(&node.db, &ours, clerk(), Some(&["read:jobs"])).await?;
        node.read().await?;
        assert_eq!(held(&node.let_in(&our_tokens.access.text).await?), ["read:jobs"]);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A node that cannot read announcements believes nothing that it remembers of a role.
#[tokio::test]
async fn a_node_that_cannot_read_what_has_changed_asks_for_each_request() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let mut node = Node::on(&db).await?;
        let (tenant, tokens, _) = given(&db, &node, "acme").await?;
        define(&node.db, &tenant, clerk(), Some(&["read:users"])).await?;
        node.read().await?;
        assert_eq!(held(&node.let_in(&tokens.access.text).await?), ["read:users"]);
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute("BEGIN; LOCK TABLE platform.revocations").await?;
        db.sql(&format!("UPDATE {}.roles SET permissions = '{{read:jobs}}'", tenant.schema())).await?;
        assert_eq!(held(&node.let_in(&tokens.access.text).await?), ["read:users"], "it is fresh still");
        node.skew = TimeDelta::seconds(6);
        assert_eq!(held(&node.let_in(&tokens.access.text).await?), ["read:jobs"]);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// What a change of one tenant's roles costs: one look-up for all that wait, and no neighbour anything.
#[tokio::test]
async fn a_role_is_read_once_for_all_who_wait_and_no_other_tenant_is_read_anew() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let metrics = Metrics::new()?;
        let pool = |login, name| {
            let options = TestDb::pool_options(4);
            anyhow::Ok(Pool::measured(db.connector(login)?, options, metrics.database.pool(name)))
        };
        let own = Db::new(pool(Login::Tenant, "tenant")?, pool(Login::Platform, "platform")?, timeouts());
        let (node, changer) = (Node::with(own, Bounds::default()).await?, db.db()?);
        let (loud, loud_tokens, _) = given(&db, &node, "loud").await?;
        let mut quiet = given(&db, &node, "quiet").await?;
        // One neighbour in some thousand shares the count of changes.
        let place = |tenant: &TestTenant| tenant.id.uuid().as_u64_pair().1 % 4_096;
        for number in 0.. {
            if place(&quiet.0) != place(&loud) {
                break;
            }
            quiet = given(&db, &node, &format!("quiet-{number}")).await?;
        }
        let (quiet, quiet_tokens, _) = quiet;
        define(&changer, &quiet, clerk(), Some(&["read:jobs"])).await?;
        node.read().await?;
        for token in [&loud_tokens, &quiet_tokens] {
            node.let_in(&token.access.text).await?;
        }
        define(&changer, &loud, clerk(), Some(&["read:users"])).await?;
        node.read().await?;
        let spent = || (transactions(&metrics, "platform"), transactions(&metrics, "tenant"));
        let before = spent();
        for _ in 0..10 {
            assert_eq!(held(&node.let_in(&quiet_tokens.access.text).await?), ["read:jobs"]);
        }
        assert_eq!(spent(), before, "a neighbour's change has made the node read");
        let all = join_all((0..50).map(|_| node.let_in(&loud_tokens.access.text))).await;
        for one in all {
            assert_eq!(held(&one.context("refused")?), ["read:users"]);
        }
        assert_eq!(spent(), (before.0 + 1, before.1 + 1), "the tenant and the role, once each");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
