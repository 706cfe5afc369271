//! One's own password: what it takes the place of.

use anyhow::{Context as _, Result};
use bulkhead_auth::SessionTx as _;
use bulkhead_db::{
    Authority, DbError, DbResult, PlatformTx, TenantTx,
    platform::operators::{self, NewToken},
};
use bulkhead_domain::{Clock as _, OperatorId, PlanName, SystemClock};
use bulkhead_fixtures::TestDb;
use tokio::task::LocalSet;

use crate::node::Node;

/// Who has shown a password does not replace another one, which was set while theirs was checked.
#[tokio::test]
async fn a_password_that_was_changed_meanwhile_is_not_replaced() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let at = SystemClock.now();
        let owner = tenant.owner_id;
        let stored = format!("SELECT password_hash FROM {}.users", tenant.schema());
        let shown = db.value(&stored).await?;
        let set = async |shown: &str| {
            let set = async |tx: &mut TenantTx| tx.set_password_hash(owner, shown, "new", at).await;
            node.db.write::<_, DbError>(tenant.proven(), set).await
        };
        assert!(!set("an earlier one").await?);
        assert_eq!(db.value(&stored).await?, shown);
        assert!(set(&shown).await?);
        assert_eq!(db.value(&stored).await?, "new");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// The same for an operator. A token that somebody has handed out for them opens nothing once they have set a password themselves.
#[tokio::test]
async fn an_operators_new_password_takes_their_token_back() -> Result<()> {
    async fn of_platform<T>(
        node: &Node,
        work: impl AsyncFnOnce(&mut PlatformTx) -> DbResult<T>,
    ) -> Result<T> {
        Ok(node.db.platform_write::<_, DbError>(Authority::machinery(), work).await?)
    }
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let at = SystemClock.now();
        let id = OperatorId::mint(at);
        let row = format!("('{}', 'op@example.com', 'old', 'admin', now())", id.uuid());
        db.sql(&format!("INSERT INTO platform.operators VALUES {row}")).await?;
        let new = NewToken { operator: id, mac: &[7; 32], created_by: "opr_", seconds: 60 };
        of_platform(&node, async |tx| operators::keep_token(tx, &new).await).await?.context("a token")?;
        let is_waiting =
            async || of_platform(&node, async |tx| operators::find_token(tx, id, &[7; 32]).await).await;
        let set = async |shown: &str| {
            of_platform(&node, async |tx| tx.set_password_hash(id, shown, "new", at).await).await
        };
        assert!(!set("an earlier one").await?);
        assert!(is_waiting().await?.is_some());
        assert!(set("old").await?);
        assert!(is_waiting().await?.is_none());
        assert_eq!(db.value("SELECT password_hash FROM platform.operators").await?, "new");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// An operator who was invited has no password, and an empty one does not match it.
#[tokio::test]
async fn who_has_set_no_password_has_nothing_to_be_compared_with() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let row = format!(
            "('{}', 'op@example.com', '', 'admin', now())",
            OperatorId::mint(SystemClock.now()).uuid()
        );
        db.sql(&format!("INSERT INTO platform.operators VALUES {row}")).await?;
        let read = async || {
            let find = async |tx: &mut PlatformTx| operators::find_credential(tx, "op@example.com").await;
            node.db.platform_read::<_, DbError>(Authority::logins(), find).await
        };
        assert!(read().await?.is_none());
        db.sql("UPDATE platform.operators SET password_hash = 'hash'").await?;
        assert!(read().await?.is_some());
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
