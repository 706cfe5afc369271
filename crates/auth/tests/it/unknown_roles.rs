//! Roles that this program does not know, as a newer version may write them into rows while this one still runs.

use anyhow::Result;
use bulkhead_auth::AuthError;
use bulkhead_domain::{PermissionSet, PlanName, RoleName};
use bulkhead_fixtures::{Login, OWNER_PASSWORD, TestDb};
use chrono::TimeDelta;
use tokio::task::LocalSet;

use crate::node::Node;

#[tokio::test]
async fn who_has_one_is_let_in_under_its_name_and_holds_nothing() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let schema = tenant.schema();
        let hash = db.value(&format!("SELECT password_hash FROM {schema}.users")).await?;
        let mut node = Node::on(&db).await?;
        let (_, key) = node.key(&tenant).await?;
        db.sql(&format!(
            "UPDATE {schema}.users SET role = 'auditor'; UPDATE {schema}.api_keys SET role = 'auditor'; \
             INSERT INTO platform.operators (id, email, password_hash, role, created_at) VALUES (gen_random_uuid(), 'op@example.com', '{hash}', 'auditor', now())"
        ))
        .await?;
        let person = node.log_in(&tenant).await?;
        let operator = node.try_login(None, "op@example.com", OWNER_PASSWORD).await?;
        let refreshed = node.refresh(person.refresh.reveal()).await?;
        let operator_refreshed = node.refresh(operator.refresh.reveal()).await?;
        let auditor: RoleName = "auditor".parse()?;
        let tokens =
            [&person, &operator, &refreshed, &operator_refreshed].map(|pair| pair.access.text.clone());
        for credential in tokens.iter().chain([&key]) {
            let role = *node.let_in(credential).await?.principal.role();
            assert_eq!((role.name(), role.permissions()), (auditor, PermissionSet::EMPTY));
        }
        // When the node cannot tell by itself, what the token says is compared with the row: by name, whatever is known of it.
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute("BEGIN; LOCK TABLE platform.revocations").await?;
        node.skew = TimeDelta::seconds(6);
        for token in &tokens {
            node.let_in(token).await?;
        }
        db.sql(&format!(
            "UPDATE {schema}.users SET role = 'reviewer'; UPDATE platform.operators SET role = 'reviewer'"
        ))
        .await?;
        for token in &tokens {
            let refused = node.let_in(token).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
