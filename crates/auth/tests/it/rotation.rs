//! Signing keys that are replaced and withdrawn, as nodes see it, against a real PostgreSQL.

use anyhow::{Context as _, Result, ensure};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bulkhead_auth::{
    AuthError, SigningKey,
    rotation::{PUBLISHED_AHEAD, PUBLISHED_BEHIND},
};
use bulkhead_db::{
    Authority, Db, DbError, DbResult, PlatformTx,
    platform::signing_keys::{self, NewSigningKey, Rotation, Withdrawal},
};
use bulkhead_domain::PlanName;
use bulkhead_fixtures::{Login, TestDb};
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::Value;
use tokio::task::LocalSet;

use crate::{
    forger::{self, gone, keyring, standby},
    node::Node,
};

/// Tests of this file wait for a PostgreSQL in the way that a process does.
async fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    LocalSet::new().run_until(Box::pin(test)).await
}

fn active() -> &'static str {
    forger::keys().active().unwrap().public().kid()
}

fn stored(key: &SigningKey) -> NewSigningKey {
    NewSigningKey {
        kid: key.public().kid().to_owned(),
        public_jwk: key.public().to_jwk(),
        sealed_private: key.sealed(&keyring()).unwrap(),
    }
}

async fn write<T>(db: &Db, work: impl AsyncFnOnce(&mut PlatformTx) -> DbResult<T>) -> DbResult<T> {
    db.platform_write(Authority::machinery(), work).await
}

async fn publish(db: &Db, key: &SigningKey) -> DbResult<bool> {
    write(db, async |tx| signing_keys::insert_standby(tx, &stored(key)).await).await
}

async fn rotate(db: &Db, from: &str) -> DbResult<Rotation> {
    write(db, async |tx| signing_keys::rotate(tx, from, PUBLISHED_AHEAD).await).await
}

async fn withdraw(db: &Db, kid: &str) -> DbResult<Withdrawal> {
    write(db, async |tx| signing_keys::withdraw(tx, kid, None).await).await
}

/// Makes the standby key as old as it must be.
async fn ripen(db: &TestDb) -> Result<()> {
    let seconds = PUBLISHED_AHEAD.num_seconds();
    db.sql(&format!(
        "UPDATE platform.signing_keys SET created_at = created_at - interval '{seconds} seconds' WHERE state = 'standby'"
    ))
    .await?;
    Ok(())
}

/// All keys, the active one first.
async fn states(db: &TestDb) -> Result<String> {
    db.value(
        "SELECT string_agg(state || ' ' || kid, ', ' ORDER BY state, created_at) FROM platform.signing_keys",
    )
    .await
}

/// By which key a token is signed.
fn signer(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

fn publishes(node: &Node, kid: &str) -> bool {
    node.authenticator.jwks().contains(kid)
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_until_its_last_token_has_expired() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let (first, second) = (active(), standby().public().kid());
        assert_eq!(rotate(&node.db, first).await?, Rotation::NoStandby);
        assert!(publish(&node.db, standby()).await? && !publish(&node.db, gone()).await?);
        node.read().await?;
        assert!(publishes(&node, first) && publishes(&node, second));
        let before = node.log_in(&tenant).await?.access.text;
        assert_eq!(signer(&before), first);
        let Rotation::TooEarly { from } = rotate(&node.db, first).await? else { panic!("it is not known yet") };
        let made = db.value("SELECT extract(epoch FROM created_at)::int8 FROM platform.signing_keys WHERE state = 'standby'");
        ensure!((from.timestamp() - made.await?.parse::<i64>()? - PUBLISHED_AHEAD.num_seconds()).abs() <= 1);

        ripen(&db).await?;
        assert_eq!(rotate(&node.db, first).await?, Rotation::Done { active: second.to_owned() });
        assert_eq!(rotate(&node.db, first).await?, Rotation::NotActive);
        node.read().await?;
        let after = node.log_in(&tenant).await?.access.text;
        assert_eq!(signer(&after), second);
        for token in [&before, &after] {
            node.let_in(token).await?;
        }
        // Nothing more can be signed with the first key, by a node that starts now or by a thief of the rows.
        let left = format!("SELECT length(sealed_private) FROM platform.signing_keys WHERE kid = '{first}'");
        assert_eq!(db.value(&left).await?, "0");
        let outlived = async |tx: &mut PlatformTx| signing_keys::delete_outlived(tx, PUBLISHED_BEHIND).await;
        for (age, is_there) in [(TimeDelta::seconds(-60), true), (TimeDelta::zero(), false)] {
            let seconds = (PUBLISHED_BEHIND + age).num_seconds();
            db.sql(&format!(
                "UPDATE platform.signing_keys SET retired_at = now() - interval '{seconds} seconds' WHERE kid = '{first}'"
            ))
            .await?;
            // A node takes it out of its document even where no worker runs.
            node.read().await?;
            assert_eq!(publishes(&node, first), is_there);
            assert_eq!(node.let_in(&before).await.is_ok(), is_there);
            let deleted = write(&node.db, outlived).await?;
            assert_eq!(deleted.is_empty(), is_there, "{deleted:?}");
        }
        assert_eq!(states(&db).await?, format!("active {second}"));
        node.let_in(&after).await?;
        Ok(())
    })
    .await
}

/// The longest life of a token, and what a client may keep of the document: the promises that the times are made of.
#[test]
fn the_times_cover_what_they_are_there_for() {
    assert!(PUBLISHED_AHEAD > TimeDelta::minutes(5) + TimeDelta::seconds(30));
    assert!(
        PUBLISHED_BEHIND
            > bulkhead_auth::jwt::MAX_LIFETIME + bulkhead_auth::jwt::LEEWAY + TimeDelta::seconds(30)
    );
}

#[tokio::test]
async fn a_standby_keys_tokens_are_refused_until_it_signs_and_a_node_that_lags_asks_once() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let (node, lags) = (Node::on(&db).await?, Node::on(&db).await?);
        publish(&node.db, standby()).await?;
        node.read().await?;
        lags.read().await?;
        // A thief has the standby key's private part, and everything else of a good token.
        let good = node.log_in(&tenant).await?.access.text;
        let claims = good.split('.').nth(1).context("claims")?;
        let header = serde_json::json!({ "typ": "at+jwt", "alg": "RS256", "kid": standby().public().kid() });
        let message = format!("{}.{claims}", forger::segment(header.to_string()));
        let signature = jsonwebtoken::crypto::sign(
            message.as_bytes(),
            &forger::stolen(standby()),
            jsonwebtoken::Algorithm::RS256,
        )?;
        let stolen = format!("{message}.{signature}");
        for node in [&node, &lags] {
            let refused = node.let_in(&stolen).await;
            assert!(matches!(refused, Err(AuthError::Lapsed)), "{refused:?}");
        }
        ripen(&db).await?;
        rotate(&node.db, active()).await?;
        node.read().await?;
        let fresh = node.log_in(&tenant).await?.access.text;
        assert_eq!(signer(&fresh), standby().public().kid());
        // It has not read the keys since.
        lags.let_in(&fresh).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_with_it_and_nobody_has_to_log_in() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let (one, mut other) = (Node::on(&db).await?, Node::on(&db).await?);
        publish(&one.db, standby()).await?;
        one.read().await?;
        other.read().await?;
        let tokens = one.log_in(&tenant).await?;
        let (_, key) = one.key(&tenant).await?;
        for node in [&one, &other] {
            // Twice: from then on it is remembered.
            node.let_in(&tokens.access.text).await?;
            node.let_in(&tokens.access.text).await?;
            node.let_in(&key).await?;
        }
        let done =
            Withdrawal::Done { was: "active".to_owned(), active: Some(standby().public().kid().to_owned()) };
        // It does not matter for how long the standby key was published.
        assert_eq!(withdraw(&one.db, active()).await?, done);
        assert_eq!(withdraw(&one.db, active()).await?, Withdrawal::Unknown);
        one.read().await?;
        assert!(!publishes(&one, active()) && publishes(&one, standby().public().kid()));
        let refused = one.let_in(&tokens.access.text).await;
        assert!(matches!(refused, Err(AuthError::Invalid | AuthError::Lapsed)), "{refused:?}");
        one.let_in(&key).await?;
        let refreshed = one.refresh(tokens.refresh.reveal()).await?;
        assert_eq!(signer(&refreshed.access.text), standby().public().kid());
        one.let_in(&refreshed.access.text).await?;
        // The other node cannot read its view, and is too old to judge by it: it asks about the one key.
        let lock = db.session(Login::Admin).await?;
        lock.batch_execute("BEGIN; LOCK TABLE platform.revocations").await?;
        other.skew = TimeDelta::seconds(6);
        let refused = other.let_in(&tokens.access.text).await;
        assert!(matches!(refused, Err(AuthError::Invalid | AuthError::Lapsed)), "{refused:?}");
        other.let_in(&key).await?;
        Ok(())
    })
    .await
}

/// A standby key and a retired one can be withdrawn, too; the one that signs goes on.
#[tokio::test]
async fn a_key_that_does_not_sign_is_withdrawn_alone() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        publish(&node.db, standby()).await?;
        let withdrawn = Withdrawal::Done { was: "standby".to_owned(), active: None };
        assert_eq!(withdraw(&node.db, standby().public().kid()).await?, withdrawn);
        assert_eq!(states(&db).await?, format!("active {}", active()));
        publish(&node.db, standby()).await?;
        ripen(&db).await?;
        rotate(&node.db, active()).await?;
        let withdrawn = Withdrawal::Done { was: "retired".to_owned(), active: None };
        assert_eq!(withdraw(&node.db, active()).await?, withdrawn);
        assert_eq!(states(&db).await?, format!("active {}", standby().public().kid()));
        // The last one: it stays until there is another to sign.
        assert_eq!(withdraw(&node.db, standby().public().kid()).await?, Withdrawal::NoSuccessor);
        let spare = stored(gone());
        let replace = async |tx: &mut PlatformTx| {
            signing_keys::withdraw(tx, standby().public().kid(), Some(&spare)).await
        };
        let done = Withdrawal::Done { was: "active".to_owned(), active: Some(spare.kid.clone()) };
        assert_eq!(write(&node.db, replace).await?, done);
        assert_eq!(states(&db).await?, format!("active {}", spare.kid));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_many_at_once_one_rotates_one_withdraws_and_one_publishes() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        let (first, second, third) = (active(), standby().public().kid(), gone().public().kid());
        for round in 0..20 {
            db.sql(&format!(
                "DELETE FROM platform.signing_keys WHERE kid <> '{first}'; UPDATE platform.signing_keys SET state = 'active', retired_at = NULL"
            ))
            .await?;
            let published = join_all([publish(&node.db, standby()), publish(&node.db, standby())]).await;
            assert_eq!(published.iter().filter(|one| matches!(one, Ok(true))).count(), 1, "{published:?}");
            ripen(&db).await?;
            let all = join_all((0..8).map(|_| rotate(&node.db, first))).await;
            let done = all.iter().filter(|one| matches!(one, Ok(Rotation::Done { .. }))).count();
            let late = all.iter().filter(|one| matches!(one, Ok(Rotation::NotActive))).count();
            assert_eq!((done, late), (1, 7), "round {round}: {all:?}");
            publish(&node.db, gone()).await?;
            // Withdrawals of one key beside a rotation from it: whichever comes first, one key signs.
            ripen(&db).await?;
            let (withdrawn, rotated) = tokio::join!(
                join_all((0..4).map(|_| withdraw(&node.db, second))),
                rotate(&node.db, second)
            );
            let done = withdrawn.iter().filter(|one| matches!(one, Ok(Withdrawal::Done { .. }))).count();
            assert_eq!(done, 1, "round {round}: {withdrawn:?}, {rotated:?}");
            assert_eq!(states(&db).await?, format!("active {third}, retired {first}"), "round {round}");
        }
        Ok(())
    })
    .await
}

/// Each step is one transaction: one that is broken off, after whichever statement, has changed nothing, and can be taken again.
#[tokio::test]
async fn a_step_that_is_broken_off_has_not_been_taken() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let node = Node::on(&db).await?;
        publish(&node.db, standby()).await?;
        ripen(&db).await?;
        let before = states(&db).await?;
        let broken = |error: DbError| assert!(matches!(error, DbError::Outdated), "{error:?}");
        let rotation = async |tx: &mut PlatformTx| {
            signing_keys::rotate(tx, active(), PUBLISHED_AHEAD).await?;
            Err::<(), _>(DbError::Outdated)
        };
        broken(write(&node.db, rotation).await.unwrap_err());
        let withdrawal = async |tx: &mut PlatformTx| {
            signing_keys::withdraw(tx, active(), None).await?;
            Err::<(), _>(DbError::Outdated)
        };
        broken(write(&node.db, withdrawal).await.unwrap_err());
        assert_eq!(states(&db).await?, before);
        // A process that is killed while it waits for the second row: PostgreSQL rolls back what it had done.
        let hold = db.session(Login::Admin).await?;
        hold.batch_execute("BEGIN; SELECT FROM platform.signing_keys WHERE state = 'standby' FOR UPDATE")
            .await?;
        let dropped =
            tokio::time::timeout(std::time::Duration::from_millis(50), rotate(&node.db, active())).await;
        assert!(dropped.is_err());
        hold.batch_execute("COMMIT").await?;
        assert_eq!(states(&db).await?, before);
        assert!(matches!(rotate(&node.db, active()).await?, Rotation::Done { .. }));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_node_that_cannot_read_the_keys_goes_on_with_the_last_it_has_read() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        let before = node.authenticator.jwks();
        let token = node.log_in(&tenant).await?.access.text;
        db.sql("ALTER TABLE platform.signing_keys RENAME TO elsewhere").await?;
        assert!(node.read().await.is_err());
        assert_eq!(node.authenticator.jwks(), before);
        node.let_in(&token).await?;
        assert_eq!(signer(&node.log_in(&tenant).await?.access.text), active());
        Ok(())
    })
    .await
}

/// Two rows whose private keys were exchanged in the database: a private key opens under its own name alone.
#[tokio::test]
async fn private_keys_that_were_swapped_sign_nothing() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let tenant = db.create_tenant("acme", PlanName::FREE).await?;
        let node = Node::on(&db).await?;
        publish(&node.db, standby()).await?;
        let swap = "UPDATE platform.signing_keys SET sealed_private = \
             (SELECT sealed_private FROM platform.signing_keys AS other WHERE other.kid <> signing_keys.kid)";
        db.sql(swap).await?;
        // A node that starts now refuses to; one that runs knows its key and goes on.
        let error = Node::on(&db).await.err().context("it has started")?.to_string();
        assert!(error.contains("no signing key can be used"), "{error}");
        node.read().await?;
        assert_eq!(signer(&node.log_in(&tenant).await?.access.text), active());
        // After a rotation to a swapped key it issues nothing, and verifies what is good.
        let token = node.log_in(&tenant).await?.access.text;
        ripen(&db).await?;
        rotate(&node.db, active()).await?;
        node.read().await?;
        assert!(matches!(node.log_in(&tenant).await, Err(AuthError::Internal(_))));
        node.let_in(&token).await?;
        // Put right, it goes on by itself.
        let sealed = STANDARD.encode(stored(standby()).sealed_private);
        db.sql(&format!("UPDATE platform.signing_keys SET sealed_private = decode('{sealed}', 'base64') WHERE state = 'active'"))
            .await?;
        node.read().await?;
        assert_eq!(signer(&node.log_in(&tenant).await?.access.text), standby().public().kid());
        Ok(())
    })
    .await
}

/// What an older program knows: the states and five columns. It reads a rotated platform, and its first key is taken.
#[tokio::test]
async fn an_older_program_goes_on_beside_newer_ones() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let sealed = STANDARD.encode(stored(forger::keys().active()?).sealed_private);
        let jwk = forger::keys().active()?.public().to_jwk();
        db.sql(&format!(
            "SET ROLE bulkhead_platform_rw; \
             INSERT INTO platform.signing_keys (kid, state, public_jwk, sealed_private, created_at) \
             VALUES ('{}', 'active', '{jwk}', decode('{sealed}', 'base64'), now()) ON CONFLICT DO NOTHING",
            active()
        ))
        .await?;
        let node = Node::on(&db).await?;
        publish(&node.db, standby()).await?;
        ripen(&db).await?;
        rotate(&node.db, active()).await?;
        let seen = "SELECT string_agg(state, ' ' ORDER BY state) FROM \
             (SELECT kid, state, public_jwk, sealed_private, created_at FROM platform.signing_keys) AS older \
             WHERE state IN ('standby', 'active', 'retired')";
        assert_eq!(db.value(seen).await?, "active retired");
        // It finds one active key whose private part opens.
        let kept = db
            .value(
                "SELECT encode(sealed_private, 'base64') FROM platform.signing_keys WHERE state = 'active'",
            )
            .await?;
        let kept = STANDARD.decode(kept.replace('\n', ""))?;
        assert!(SigningKey::unseal(standby().public().clone(), &kept, &keyring()).is_ok());
        Ok(())
    })
    .await
}
