//! Secrets that work once, used by many at once: one use counts.
//!
//! Each round is 64 uses, as many at a time as there are connections. `BULKHEAD_RACE_ROUNDS` says how many rounds there are.

use anyhow::{Context as _, Result, ensure};
use bulkhead_auth::{
    AuthError, FactorError, LinkKind, LinkToken, ResetToken, SessionOwner, grants::lock_subject,
    second_factor,
};
use bulkhead_db::{
    Db, DbError,
    gate::revocations::{Revoked, revoke},
    tenant::{
        one_time_tokens::{self, NewMailed, NewReset, TokenPurpose},
        sessions, users,
    },
};
use bulkhead_domain::{Clock as _, OneTimeTokenId, PlanName, RoleName, SystemClock, UserId};
use bulkhead_fixtures::{TestDb, TestTenant};
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use tokio::task::LocalSet;

use crate::{forger, node::Node};

/// How many use a secret at once.
const USES: usize = 64;

#[expect(clippy::disallowed_methods, reason = "a setting of this test alone")]
fn rounds() -> usize {
    std::env::var("BULKHEAD_RACE_ROUNDS").map_or(25, |text| text.parse().unwrap())
}

struct Given {
    _db: TestDb,
    tenant: TestTenant,
    node: Node,
}

async fn given() -> Result<Given> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let node = Node::on(&db).await?;
    Ok(Given { _db: db, tenant, node })
}

/// What each of 64 has got who do the same at once.
async fn at_once<T>(work: impl AsyncFn(usize) -> T) -> Vec<T> {
    join_all((0..USES).map(|number| Box::pin(work(number)))).await
}

/// A refresh token that is sent again while its successor was never used is answered with that one. So all are answered, with one
/// and the same, and the token is exchanged once.
#[tokio::test]
async fn a_refresh_token_has_one_successor() -> Result<()> {
    LocalSet::new()
        .run_until(Box::pin(async {
            let Given { tenant, node, _db } = given().await?;
            let mut token = node.log_in(&tenant).await?.refresh.reveal().to_owned();
            for round in 0..rounds() {
                let answers = at_once(async |_| {
                    node.refresh(&token).await.map(|tokens| tokens.refresh.reveal().to_owned())
                })
                .await;
                let mut successors = answers.into_iter().collect::<Result<Vec<_>, AuthError>>()?;
                successors.sort_unstable();
                successors.dedup();
                ensure!(successors.len() == 1, "round {round}: {} successors", successors.len());
                token = successors.pop().context("none")?;
            }
            // What was exchanged twenty-five times is one session with one token in force.
            let next = node.refresh(&token).await?.refresh.reveal().to_owned();
            node.refresh(&next).await?;
            ensure!(
                matches!(node.refresh(&token).await, Err(AuthError::Lapsed)),
                "a used one ends the session"
            );
            Ok(())
        }))
        .await
}

/// What the API does with a token for a new password.
async fn reset(
    db: &Db,
    tenant: &TestTenant,
    user: UserId,
    token: &ResetToken,
    number: usize,
) -> Result<bool, DbError> {
    let mac = token.mac(&forger::keyring());
    let set = async |tx: &mut _| {
        revoke(tx, Revoked::User(user)).await?;
        if one_time_tokens::spend_reset(tx, token.id, &mac).await? != Some(user) {
            return Ok(false);
        }
        users::set_password_hash(tx, user, None, &number.to_string(), SystemClock.now()).await?;
        sessions::end_others(tx, user, None).await?;
        Ok(true)
    };
    db.write(tenant.proven(), set).await
}

#[tokio::test]
async fn a_reset_token_sets_one_password() -> Result<()> {
    LocalSet::new()
        .run_until(Box::pin(async {
            let Given { tenant, node, _db } = given().await?;
            let keyring = forger::keyring();
            for round in 0..rounds() {
                let id = OneTimeTokenId::mint(SystemClock.now());
                let token = ResetToken::issue(&keyring, tenant.id, id)?;
                let mac = token.mac(&keyring);
                let new = NewReset { id, user: tenant.owner_id, mac: &mac, created_by: "usr_", seconds: 60 };
                let make = async |tx: &mut _| one_time_tokens::insert_reset(tx, &new).await;
                node.db.write::<_, DbError>(tenant.proven(), make).await?;
                let answers =
                    at_once(async |number| reset(&node.db, &tenant, tenant.owner_id, &token, number).await)
                        .await;
                let done = answers.into_iter().collect::<Result<Vec<_>, DbError>>()?;
                let winners = done.iter().filter(|is_set| **is_set).count();
                ensure!(winners == 1, "round {round}: {winners} winners");
            }
            Ok(())
        }))
        .await
}

/// What the API does with an invitation.
async fn accept(db: &Db, tenant: &TestTenant, token: &LinkToken, email: &str) -> Result<bool, DbError> {
    let mac = token.mac(&forger::keyring());
    let accept = async |tx: &mut _| {
        lock_subject(tx, &tenant.owner_id.to_string()).await?;
        let purpose = TokenPurpose::Invitation;
        let Some(pending) = one_time_tokens::spend_pending(tx, purpose, token.id, &mac).await? else {
            return Ok(false);
        };
        let at = SystemClock.now();
        users::insert(tx, UserId::mint(at), &pending.email, "hash", RoleName::DEVELOPER, at).await?;
        Ok(pending.email == email)
    };
    db.write(tenant.proven(), accept).await
}

#[tokio::test]
async fn an_invitation_lets_one_in() -> Result<()> {
    LocalSet::new()
        .run_until(Box::pin(async {
            let Given { tenant, node, _db } = given().await?;
            let keyring = forger::keyring();
            let expires_at = DateTime::from_timestamp(SystemClock.now().timestamp(), 0).context("now")?
                + TimeDelta::days(1);
            for round in 0..rounds() {
                let id = OneTimeTokenId::mint(SystemClock.now());
                let token = LinkToken::of(
                    &keyring,
                    LinkKind::Invitation,
                    SessionOwner::Tenant(tenant.id),
                    id,
                    expires_at,
                );
                let (mac, email, by) =
                    (token.mac(&keyring), format!("{round}@example.com"), tenant.owner_id.to_string());
                let new = NewMailed {
                    id,
                    purpose: TokenPurpose::Invitation,
                    user: None,
                    email: Some(&email),
                    role: Some(RoleName::DEVELOPER),
                    password_hash: None,
                    mac: &mac,
                    created_by: &by,
                    at: SystemClock.now(),
                    expires_at,
                };
                let make = async |tx: &mut _| one_time_tokens::insert_mailed(tx, &new).await;
                node.db.write::<_, DbError>(tenant.proven(), make).await?;
                let answers = at_once(async |_| accept(&node.db, &tenant, &token, &email).await).await;
                // Nobody is refused because of an account that is there: only one has come so far.
                let done = answers.into_iter().collect::<Result<Vec<_>, DbError>>()?;
                let winners = done.iter().filter(|is_in| **is_in).count();
                ensure!(winners == 1, "round {round}: {winners} winners");
            }
            Ok(())
        }))
        .await
}

/// How many of 64 who show the same code at this moment are let in.
async fn winners(given: &Given, code: &str, at: DateTime<Utc>) -> Result<usize> {
    let (keyring, user) = (forger::keyring(), given.tenant.owner_id);
    let answers = at_once(async |_| {
        let spend = async |tx: &mut _| second_factor::spend(tx, &keyring, user, code, at).await;
        given.node.db.write::<_, FactorError>(given.tenant.proven(), spend).await
    })
    .await;
    let used = answers.into_iter().collect::<Result<Vec<_>, FactorError>>()?;
    Ok(used.iter().flatten().count())
}

#[tokio::test]
async fn a_code_of_a_phone_and_a_recovery_code_count_once() -> Result<()> {
    LocalSet::new()
        .run_until(Box::pin(async {
            let given = given().await?;
            let (keyring, user, mut at) = (forger::keyring(), given.tenant.owner_id, SystemClock.now());
            let (db, tenant) = (&given.node.db, given.tenant.proven());
            let begin = async |tx: &mut _| second_factor::begin(tx, &keyring, user, at).await;
            let secret = db.write::<_, FactorError>(tenant, begin).await?.context("there is one")?;
            let code = secret.code_at(at);
            let confirm = async |tx: &mut _| second_factor::confirm(tx, &keyring, user, &code, at).await;
            let confirmed = db.write::<_, FactorError>(tenant, confirm).await?;
            let mut recovery = confirmed.context("it is not confirmed")?.reveal().to_vec();
            for round in 0..rounds() {
                at += TimeDelta::seconds(30);
                let won = Box::pin(winners(&given, &secret.code_at(at), at)).await?;
                ensure!(won == 1, "round {round}: {won} winners with the code of a phone");
                if recovery.is_empty() {
                    at += TimeDelta::seconds(30);
                    let code = secret.code_at(at);
                    let renew =
                        async |tx: &mut _| second_factor::renew_recovery(tx, &keyring, user, &code, at).await;
                    let renewed = db.write::<_, FactorError>(tenant, renew).await?;
                    recovery = renewed.context("they are not renewed")?.reveal().to_vec();
                }
                let code = recovery.pop().context("there are no recovery codes")?;
                let won = Box::pin(winners(&given, &code, at)).await?;
                ensure!(won == 1, "round {round}: {won} winners with a recovery code");
            }
            Ok(())
        }))
        .await
}
