//! Tokens of operators who act as a tenant's people.

use anyhow::{Context as _, Result};
use bulkhead_auth::{
    AccessToken, AuthError,
    impersonation::{Impersonator, LIFETIME},
};
use bulkhead_db::{Authority, DbError, PlatformTx, platform::revocations};
use bulkhead_domain::{Clock as _, OperatorId, PlanName, SessionId, SystemClock};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use chrono::TimeDelta;
use tokio::task::LocalSet;

use crate::node::{Node, REQUEST};

/// An operator, whose rows nobody asks for here, acts as the tenant's owner in a session that ends then.
async fn act(
    node: &Node,
    tenant: &TestTenant,
    (operator, session): (OperatorId, SessionId),
    ends_in: TimeDelta,
) -> Result<AccessToken> {
    let at = SystemClock.now();
    let by = Impersonator { operator, reason: "Ticket 4711", request: REQUEST, action: "impersonate", at };
    let announced = node.authenticator.announce_impersonation(&node.db, tenant.id, tenant.owner_id, &by);
    let person = announced.await?.context("the owner is there")?;
    Ok(node.authenticator.impersonate(&person, operator, session, at + ends_in)?)
}

fn somebody() -> (OperatorId, SessionId) {
    (OperatorId::mint(SystemClock.now()), SessionId::mint(SystemClock.now()))
}

#[tokio::test]
async fn it_lasts_a_quarter_of_an_hour_at_most_and_no_longer_than_the_operators_session() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::lasting(&db).await?;
        let token = act(&node, &tenant, somebody(), TimeDelta::days(1)).await?;
        assert_eq!(token.expires_in, LIFETIME.num_seconds());
        let token = act(&node, &tenant, somebody(), TimeDelta::seconds(60)).await?;
        assert!((1..=60).contains(&token.expires_in), "{token:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn it_ends_with_the_person_the_operator_and_the_operators_session() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        for what in ["person", "operator", "session"] {
            let (operator, session) = somebody();
            let token = act(&node, &tenant, (operator, session), TimeDelta::days(1)).await?;
            let other = act(&node, &tenant, somebody(), TimeDelta::days(1)).await?;
            node.let_in(&token.text).await?;
            if what == "person" {
                node.revoke_person(&tenant, tenant.owner_id).await?;
            } else {
                let revoke = async |tx: &mut PlatformTx| match what {
                    "operator" => revocations::revoke_operator(tx, operator).await,
                    _ => revocations::revoke_operator_session(tx, session).await,
                };
                node.db.platform_write::<_, DbError>(Authority::machinery(), revoke).await?;
            }
            node.read().await?;
            let refused = node.let_in(&token.text).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{what}: {refused:?}");
            assert_eq!(node.let_in(&other.text).await.is_ok(), what != "person", "{what}");
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// A node that cannot read what was revoked looks a person's own session up. Somebody else's word for them is not enough then.
#[tokio::test]
async fn a_node_that_cannot_tell_what_was_revoked_lets_nobody_act_as_somebody() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let mut node = Node::on(&db).await?;
        let own = node.log_in(&tenant).await?;
        let acting = act(&node, &tenant, somebody(), TimeDelta::days(1)).await?;
        for token in [&own.access.text, &acting.text] {
            node.let_in(token).await?;
        }
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute("BEGIN; LOCK TABLE platform.revocations").await?;
        node.skew = TimeDelta::seconds(6);
        node.let_in(&own.access.text).await?;
        let refused = node.let_in(&acting.text).await;
        assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
