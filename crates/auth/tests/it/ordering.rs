//! Proofs and revocations meet: whichever comes first in the database is first for every node, whatever their clocks say.

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bulkhead_auth::{AuthError, RefreshToken, Tokens};
use bulkhead_domain::{PlanName, RoleName};
use bulkhead_fixtures::{Login, OWNER_PASSWORD, TestDb, TestTenant};
use chrono::TimeDelta;
use tokio::task::LocalSet;

use crate::{
    forger,
    node::{Node, WAITING, held, meanwhile, role_of, until},
};

async fn given() -> Result<(TestDb, TestTenant, Node, Tokens)> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let node = Node::on(&db).await?;
    let tokens = node.log_in(&tenant).await?;
    Ok((db, tenant, node, tokens))
}

fn demote(tenant: &TestTenant) -> String {
    let id = tenant.owner_id.uuid();
    format!(
        "UPDATE users SET role = 'read_only', version = version + 1 WHERE id = '{id}'; SELECT gate.revoke('user', '{id}')"
    )
}

fn delete(tenant: &TestTenant) -> String {
    let id = tenant.owner_id.uuid();
    format!("DELETE FROM users WHERE id = '{id}'; SELECT gate.revoke('user', '{id}')")
}

fn end(tokens: &Tokens) -> String {
    let id = tokens.refresh.session.uuid();
    format!(
        "UPDATE sessions SET revoked_at = clock_timestamp() WHERE id = '{id}'; SELECT gate.revoke('session', '{id}')"
    )
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: &Result<T, AuthError>) {
    assert!(matches!(result, Err(AuthError::Invalid | AuthError::Lapsed)), "{result:?}");
}

#[tokio::test]
async fn a_refresh_inside_an_open_demotion_gets_the_new_role() -> Result<()> {
    let test = async {
        let (db, tenant, node, tokens) = given().await?;
        let refreshed =
            meanwhile(&db, &tenant, &demote(&tenant), node.refresh(tokens.refresh.reveal())).await??;
        node.read().await?;
        let let_in = node.let_in(&refreshed.access.text).await?;
        assert_eq!(role_of(&let_in), Some(RoleName::READ_ONLY));
        assert_refused(&node.let_in(&tokens.access.text).await);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_repeated_refresh_inside_an_open_demotion_gets_the_new_role_too() -> Result<()> {
    let test = async {
        let (db, tenant, node, tokens) = given().await?;
        node.refresh(tokens.refresh.reveal()).await?;
        // The token is spent; as its successor was never used, it gets that one, and rotates nothing.
        let repeated =
            meanwhile(&db, &tenant, &demote(&tenant), node.refresh(tokens.refresh.reveal())).await??;
        node.read().await?;
        assert_eq!(role_of(&node.let_in(&repeated.access.text).await?), Some(RoleName::READ_ONLY));
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// The other way round: who revokes waits for a proof that is being made, and hits it.
#[tokio::test]
async fn a_revocation_waits_for_a_proof_that_is_being_made_and_takes_its_time_then() -> Result<()> {
    let test = async {
        let (db, tenant, node, _) = given().await?;
        let prover = db.session(Login::Admin).await?;
        prover.batch_execute(&format!("BEGIN; SELECT FROM {}.users FOR SHARE", tenant.schema())).await?;
        let prove = async {
            until(&db, WAITING, "1").await?;
            let proven_at = db.value("SELECT clock_timestamp()").await?;
            prover.batch_execute("COMMIT").await?;
            anyhow::Ok(proven_at)
        };
        let (revoked, proven_at) =
            tokio::join!(node.revoke_person(&tenant, tenant.owner_id), Box::pin(prove));
        revoked?;
        let hits = format!("SELECT at > '{}' FROM platform.revocations", proven_at?);
        assert_eq!(db.value(&hits).await?, "t");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_refresh_inside_an_open_deletion_or_logout_is_refused() -> Result<()> {
    let test = async {
        let (db, tenant, node, tokens) = given().await?;
        let other = node.log_in(&tenant).await?;
        let out = meanwhile(&db, &tenant, &end(&tokens), node.refresh(tokens.refresh.reveal())).await?;
        assert_refused(&out);
        // One that is sent again gets its successor once more only while the session is alive.
        let third = node.log_in(&tenant).await?;
        node.refresh(third.refresh.reveal()).await?;
        let again = meanwhile(&db, &tenant, &end(&third), node.refresh(third.refresh.reveal())).await?;
        assert_refused(&again);
        let gone = meanwhile(&db, &tenant, &delete(&tenant), node.refresh(other.refresh.reveal())).await?;
        assert_refused(&gone);
        node.read().await?;
        for tokens in [tokens, other, third] {
            assert_refused(&node.let_in(&tokens.access.text).await);
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_login_inside_an_open_demotion_gets_the_new_role_and_inside_a_deletion_nothing() -> Result<()> {
    let test = async {
        let (db, tenant, node, _) = given().await?;
        let late = meanwhile(&db, &tenant, &demote(&tenant), node.log_in(&tenant)).await??;
        node.read().await?;
        assert_eq!(role_of(&node.let_in(&late.access.text).await?), Some(RoleName::READ_ONLY));
        let gone = meanwhile(&db, &tenant, &delete(&tenant), node.log_in(&tenant)).await?;
        assert_refused(&gone);
        assert_eq!(db.value(&format!("SELECT count(*) FROM {}.sessions", tenant.schema())).await?, "0");
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_login_inside_an_open_change_of_password_needs_the_new_one() -> Result<()> {
    let test = async {
        let (db, tenant, node, _) = given().await?;
        // Of "correct horse battery staple", by Argon2id with less memory and fewer passes than today.
        let former = "$argon2id$v=19$m=8192,t=1,p=1$kwqrrKO2INdid8nle4m+tg$1KX29kKkw8yyDg8V5dKlRhhB3n9gEC/w8m1UWbXxe64";
        let same = format!("UPDATE users SET password_hash = '{former}'");
        // Another hash of the same password: checked again, and let in.
        meanwhile(&db, &tenant, &same, node.log_in(&tenant)).await??;
        let other = "UPDATE users SET password_hash = \
            '$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGFsbC4uLg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'";
        assert_refused(&meanwhile(&db, &tenant, other, node.log_in(&tenant)).await?);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn an_operators_refresh_and_login_wait_for_what_changes_them() -> Result<()> {
    let test = async {
        let (db, tenant, node, _) = given().await?;
        let hash = db.value(&format!("SELECT password_hash FROM {}.users", tenant.schema())).await?;
        db.sql(&format!(
            "INSERT INTO platform.operators VALUES (gen_random_uuid(), 'op@example.com', '{hash}', 'admin', now())"
        ))
        .await?;
        let log_in = || node.try_login(None, "op@example.com", OWNER_PASSWORD);
        let tokens = log_in().await?;
        let change = |sql: &str| format!("RESET ROLE; SET LOCAL search_path = platform; {sql}");
        let demote = change(
            "UPDATE operators SET role = 'billing'; SELECT revoke(NULL, 'operator', id) FROM operators",
        );
        let refreshed = meanwhile(&db, &tenant, &demote, node.refresh(tokens.refresh.reveal())).await??;
        node.read().await?;
        assert_refused(&node.let_in(&tokens.access.text).await);
        let let_in = node.let_in(&refreshed.access.text).await?;
        assert_eq!(let_in.principal.role().name(), RoleName::BILLING);
        // A session that is being ended is not refreshed, with its token in force or with the one before.
        for token in [&refreshed.refresh, &tokens.refresh] {
            let end = change("UPDATE operator_sessions SET revoked_at = now()");
            assert_refused(&meanwhile(&db, &tenant, &end, node.refresh(token.reveal())).await?);
            db.sql("UPDATE platform.operator_sessions SET revoked_at = NULL").await?;
        }
        let spent = node.refresh(refreshed.refresh.reveal()).await?;
        assert_refused(&node.refresh(tokens.refresh.reveal()).await);
        assert_refused(&node.refresh(spent.refresh.reveal()).await);
        node.read().await?;
        assert_refused(&node.let_in(&spent.access.text).await);
        let remove = change("DELETE FROM operators");
        assert_refused(&meanwhile(&db, &tenant, &remove, log_in()).await?);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// The transaction that revokes is open while the key is looked up, on nodes whose clocks go wrong.
#[tokio::test]
async fn a_key_that_is_verified_inside_an_open_revocation_is_refused_once_that_is_read() -> Result<()> {
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        for skew in [-5, 0, 5] {
            let node = Node::skewed(&db, TimeDelta::seconds(skew)).await?;
            let (id, key) = node.key(&tenant).await?;
            let open = db.session(Login::Admin).await?;
            let (schema, id) = (tenant.schema(), id.uuid());
            open.batch_execute(&format!(
                "BEGIN; SET LOCAL ROLE {schema}; SET LOCAL search_path = {schema};
                 UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = '{id}'; SELECT gate.revoke('api_key', '{id}')"
            ))
            .await?;
            // A read in between learns nothing of it, and must not count for it.
            node.read().await?;
            node.let_in(&key).await?;
            node.read().await?;
            node.let_in(&key).await?;
            open.batch_execute("COMMIT").await?;
            node.read().await?;
            assert_refused(&node.let_in(&key).await);
        }
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_clock_that_goes_wrong_by_five_seconds_lets_no_old_token_in_and_keeps_no_new_one_out() -> Result<()>
{
    let test = async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let right = Node::on(&db).await?;
        for skew in [-5, 5] {
            let wrong = Node::skewed(&db, TimeDelta::seconds(skew)).await?;
            let nodes = [&right, &wrong];
            let mut old = Vec::new();
            for node in nodes {
                old.push(node.log_in(&tenant).await?);
            }
            for node in nodes {
                for tokens in &old {
                    node.let_in(&tokens.access.text).await?;
                }
            }
            right.set_role(&tenant, tenant.owner_id, RoleName::DEVELOPER).await?;
            let mut new = Vec::new();
            for (node, tokens) in nodes.into_iter().zip(&old) {
                node.read().await?;
                new.push(node.log_in(&tenant).await?);
                new.push(node.refresh(tokens.refresh.reveal()).await?);
                // Its successor was not used yet.
                new.push(node.refresh(tokens.refresh.reveal()).await?);
            }
            for node in nodes {
                node.read().await?;
                for tokens in &old {
                    assert_refused(&node.let_in(&tokens.access.text).await);
                }
                for tokens in &new {
                    assert_eq!(role_of(&node.let_in(&tokens.access.text).await?), Some(RoleName::DEVELOPER));
                }
            }
            right.set_role(&tenant, tenant.owner_id, RoleName::OWNER).await?;
        }
        Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn logging_out_with_a_spent_token_ends_the_session() -> Result<()> {
    let test = async {
        let (_db, _tenant, node, first) = given().await?;
        let mut latest = node.refresh(first.refresh.reveal()).await?;
        for _ in 0..3 {
            latest = node.refresh(latest.refresh.reveal()).await?;
        }
        node.log_out(first.refresh.reveal()).await?;
        assert_refused(&node.refresh(latest.refresh.reveal()).await);
        node.read().await?;
        assert_refused(&node.let_in(&latest.access.text).await);
        assert_refused(&node.log_out(first.refresh.reveal()).await);
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

/// However often a session's token was replaced: a thief who keeps on refreshing gets rid of neither.
#[tokio::test]
async fn the_first_token_of_eleven_hundred_ends_its_session_by_logging_out_and_by_being_used_again()
-> Result<()> {
    let test = async {
        let (db, tenant, node, _) = given().await?;
        let keyring = forger::keyring();
        for logs_out in [true, false] {
            let first = node.log_in(&tenant).await?.refresh;
            let (mut previous, mut current) = (first.clone(), first.successor(&keyring));
            for _ in 1..1_100 {
                let next = current.successor(&keyring);
                previous = std::mem::replace(&mut current, next);
            }
            let mac = |token: &RefreshToken| STANDARD.encode(token.mac(&keyring));
            db.sql(&format!(
                "UPDATE {}.sessions SET token_mac = decode('{}', 'base64'), \
                 previous_mac = decode('{}', 'base64') WHERE id = '{}'",
                tenant.schema(),
                mac(&current),
                mac(&previous),
                first.session.uuid()
            ))
            .await?;
            let thief = node.refresh(current.reveal()).await?;
            if logs_out {
                node.log_out(first.reveal()).await?;
            } else {
                assert_refused(&node.refresh(first.reveal()).await);
            }
            assert_refused(&node.refresh(thief.refresh.reveal()).await);
            node.read().await?;
            assert_refused(&node.let_in(&thief.access.text).await);
        }
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn a_logout_beside_a_refresh_ends_the_session_whichever_is_first() -> Result<()> {
    let test = async {
        let (db, tenant, node, _) = given().await?;
        let alive = format!("SELECT count(*) FROM {}.sessions WHERE revoked_at IS NULL", tenant.schema());
        let before: usize = db.value(&alive).await?.parse()?;
        for round in 0..10 {
            let tokens = node.log_in(&tenant).await?;
            let token = tokens.refresh.reveal();
            let session = tokens.refresh.session.uuid();
            // Both have looked when the row is let go.
            let hold = format!("SELECT FROM {}.sessions WHERE id = '{session}' FOR UPDATE", tenant.schema());
            let both = async {
                if round % 2 == 0 {
                    tokio::join!(node.refresh(token), node.log_out(token))
                } else {
                    let (out, refreshed) = tokio::join!(node.log_out(token), node.refresh(token));
                    (refreshed, out)
                }
            };
            let (refreshed, out) = held(&db, &hold, 2, both).await?;
            out?;
            if let Ok(tokens) = &refreshed {
                assert_refused(&node.refresh(tokens.refresh.reveal()).await);
                node.read().await?;
                assert_refused(&node.let_in(&tokens.access.text).await);
            }
        }
        assert_eq!(db.value(&alive).await?, before.to_string());
        anyhow::Ok(())
    };
    LocalSet::new().run_until(Box::pin(test)).await
}
