//! API keys of operators: looked up for each request.

use anyhow::{Context as _, Result};
use bulkhead_auth::{AuthError, OperatorKey};
use bulkhead_db::{
    Authority, DbError, PlatformTx,
    platform::operator_keys::{self, NewOperatorKey},
};
use bulkhead_domain::{Clock as _, OperatorId, OperatorKeyId, SystemClock};
use bulkhead_fixtures::TestDb;
use chrono::TimeDelta;
use tokio::task::LocalSet;

use crate::{forger, node::Node};

/// Adds an administrator and so many keys of theirs; `None` stands for each that is one too many.
async fn keys(db: &TestDb, node: &Node, number: i64) -> Result<Vec<Option<OperatorKey>>> {
    let operator = OperatorId::mint(SystemClock.now());
    db.sql(&format!(
        "INSERT INTO platform.operators VALUES ('{}', 'op@example.com', 'hash', 'admin', now())",
        operator.uuid()
    ))
    .await?;
    let mut made = Vec::new();
    for _ in 0..number {
        let at = SystemClock.now();
        let key = OperatorKey::issue(&forger::keyring(), OperatorKeyId::mint(at))?;
        let new = NewOperatorKey {
            id: key.id,
            operator,
            name: "a program",
            hint: key.hint(),
            mac: &key.mac(&forger::keyring()),
            scopes: &["read:tenants".to_owned()],
            at,
            expires_at: at + TimeDelta::days(1),
        };
        let insert = async |tx: &mut PlatformTx| operator_keys::insert(tx, &new).await;
        let row = node.db.platform_write::<_, DbError>(Authority::machinery(), insert).await?;
        made.push(row.map(|_| key));
    }
    Ok(made)
}

#[tokio::test]
async fn another_secret_that_we_have_signed_for_the_same_key_does_not_open_it() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let key = keys(&db, &node, 1).await?.pop().flatten().context("a key")?;
        node.let_in(key.reveal()).await?;
        let other = OperatorKey::issue(&forger::keyring(), key.id)?;
        let refused = node.let_in(other.reveal()).await;
        assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        node.let_in(key.reveal()).await?;
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_use_is_noted_once_a_minute() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let key = keys(&db, &node, 1).await?.pop().flatten().context("a key")?;
        let noted = "SELECT last_used_at FROM platform.operator_keys";
        node.let_in(key.reveal()).await?;
        let first = db.value(noted).await?;
        node.let_in(key.reveal()).await?;
        assert_eq!(db.value(noted).await?, first);
        db.sql("UPDATE platform.operator_keys SET last_used_at = last_used_at - interval '61 seconds'")
            .await?;
        node.let_in(key.reveal()).await?;
        assert!(db.value(noted).await? > first);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn an_operator_has_fifty_keys_that_work() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let made = keys(&db, &node, operator_keys::MOST + 1).await?;
        let (last, before) = made.split_last().context("keys")?;
        assert!(before.iter().all(Option::is_some) && last.is_none());
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
