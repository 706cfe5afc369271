//! Where the root key comes from, and how the master key that opens it is changed, against a real PostgreSQL.

use std::sync::Arc;

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bulkhead_auth::{Keyring, MasterKey, MasterKeys, Purpose, RootKey, RootKeyError};
use bulkhead_db::{
    Authority, DbError,
    platform::{root_keys, signing_keys},
};
use bulkhead_domain::{Clock as _, PlanName, SystemClock};
use bulkhead_fixtures::TestDb;
use futures::future::join_all;
use tokio::task::LocalSet;

use crate::{forger, node};

fn master(byte: u8) -> MasterKey {
    // Not one byte repeated, which settings refuse.
    let mut bytes = [byte; 32];
    bytes[0] = 0;
    MasterKey::from(bytes)
}

fn only(byte: u8) -> MasterKeys {
    MasterKeys::only(master(byte))
}

fn both(current: u8, previous: u8) -> MasterKeys {
    MasterKeys { current: master(current), previous: Some(master(previous)) }
}

async fn open(db: &TestDb, keys: &MasterKeys) -> Result<Arc<Keyring>, RootKeyError> {
    keys.open(&db.db().unwrap(), SystemClock.now()).await
}

/// Two keyrings are the same when they agree about one keyed hash.
fn mark(keyring: &Keyring) -> [u8; 32] {
    keyring.mac(Purpose::Cursor, b"a mark")
}

fn of_older_programs(byte: u8) -> Keyring {
    Keyring::new(&RootKey::of_older_programs(&master(byte))).unwrap()
}

/// What a program from before there were root keys leaves behind: a signing key, sealed by its master key itself.
async fn older_program_starts(db: &TestDb, byte: u8) -> Result<()> {
    let key = forger::keys().active()?;
    let (kid, jwk, sealed) =
        (key.public().kid(), key.public().to_jwk(), key.sealed(&of_older_programs(byte))?);
    let insert =
        async |tx: &mut _| signing_keys::insert_first(tx, kid, &jwk, &sealed, SystemClock.now()).await;
    db.db()?.platform_write::<_, DbError>(Authority::machinery(), insert).await?;
    Ok(())
}

async fn rows(db: &TestDb) -> Result<String> {
    db.value("SELECT count(*) FROM platform.root_keys").await
}

#[track_caller]
fn assert_wrong(opened: Result<Arc<Keyring>, RootKeyError>) {
    let error = opened.expect_err("a wrong master key was taken");
    assert!(matches!(error, RootKeyError::WrongMasterKey), "{error:?}");
    assert!(error.to_string().starts_with("BULKHEAD_MASTER_KEY: ") && !error.to_string().contains('\n'));
}

/// Tests of this file wait for a PostgreSQL in the way that a process does.
async fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    LocalSet::new().run_until(Box::pin(test)).await
}

#[tokio::test]
async fn processes_that_start_at_once_on_a_new_database_have_one_random_root_key() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let opened = join_all((0..4).map(|_| async { open(&db, &only(7)).await })).await;
        let marks: Vec<_> = opened.into_iter().map(|keyring| mark(&keyring.unwrap())).collect();
        assert!(marks.iter().all(|one| *one == marks[0]), "they differ");
        assert_ne!(marks[0], mark(&of_older_programs(7)), "it is the master key's");
        assert_eq!(rows(&db).await?, "1");
        assert_eq!(db.value("SELECT count(*) FROM platform.signing_keys WHERE state = 'active'").await?, "1");
        // Another database has another one.
        let other = TestDb::new().await?;
        assert_ne!(mark(&*open(&other, &only(7)).await?), marks[0]);
        // A process whose configuration is wrong from the first day decides nothing.
        assert_wrong(open(&db, &only(8)).await);
        assert_eq!(rows(&db).await?, "1");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn processes_with_different_master_keys_do_not_both_found_a_database() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let (one, two) = (only(7), only(8));
        let opened = join_all([open(&db, &one), open(&db, &two)]).await;
        assert_eq!(opened.iter().filter(|one| one.is_ok()).count(), 1, "{opened:?}");
        opened.into_iter().filter(Result::is_err).for_each(assert_wrong);
        assert_eq!(rows(&db).await?, "1");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_database_of_an_older_release_keeps_what_its_master_key_has_derived() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        older_program_starts(&db, 7).await?;
        // Not a word is written by a process that cannot prove its key.
        assert_wrong(open(&db, &only(8)).await);
        assert_wrong(open(&db, &both(8, 9)).await);
        assert_eq!(rows(&db).await?, "0");
        for _ in 0..2 {
            assert_eq!(mark(&*open(&db, &only(7)).await?), mark(&of_older_programs(7)));
            assert_eq!(rows(&db).await?, "1");
        }
        // The older program goes on beside it: it reads the key that is there.
        let active = forger::keys().active()?;
        let sealed = db.value("SELECT encode(sealed_private, 'base64') FROM platform.signing_keys").await?;
        let sealed = STANDARD.decode(sealed.replace('\n', ""))?;
        assert!(of_older_programs(7).open(&sealed, active.public().kid()).is_ok());
        Ok(())
    })
    .await
}

/// A tenant, and no key that would prove anything: its API keys may have been derived from the master key.
#[tokio::test]
async fn a_database_with_tenants_and_no_signing_key_is_an_older_releases() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        db.create_tenant("acme", PlanName::FREE).await?;
        assert_eq!(mark(&*open(&db, &both(8, 7)).await?), mark(&of_older_programs(7)));
        assert_eq!(mark(&*open(&db, &only(8)).await?), mark(&of_older_programs(7)));
        Ok(())
    })
    .await
}

/// The older program has begun to store its first key, and not ended, when the newer one looks.
#[tokio::test]
async fn an_older_program_that_starts_at_the_same_moment_is_followed() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let key = forger::keys().active()?;
        let sealed = key.sealed(&of_older_programs(7))?;
        let sealed = STANDARD.encode(sealed);
        let insert = format!(
            "INSERT INTO platform.signing_keys (kid, state, public_jwk, sealed_private, created_at) \
             VALUES ('{}', 'active', '{}', decode('{sealed}', 'base64'), now())",
            key.public().kid(),
            key.public().to_jwk()
        );
        let keys = only(7);
        let opened = node::held(&db, &insert, 1, open(&db, &keys)).await?;
        assert_eq!(mark(&*opened?), mark(&of_older_programs(7)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_master_key_is_changed_by_two_deployments_and_the_old_one_opens_nothing_after_the_third()
-> Result<()> {
    run(async {
        for is_old in [false, true] {
            let db = TestDb::new().await?;
            if is_old {
                older_program_starts(&db, 7).await?;
            }
            let before = mark(&*open(&db, &only(7)).await?);
            // The first deployment: nodes of both configurations run beside each other.
            for keys in [both(8, 7), only(7), both(8, 7)] {
                assert_eq!(mark(&*open(&db, &keys).await?), before);
            }
            assert_eq!(rows(&db).await?, "2");
            // The second.
            assert_eq!(mark(&*open(&db, &only(8)).await?), before);
            assert_eq!(
                mark(&*open(&db, &only(7)).await?),
                before,
                "a node of the first one is started again"
            );
            // The end of the change.
            let kept = only(8).fingerprints()?;
            let drop = async |tx: &mut _| root_keys::delete_others(tx, &kept).await;
            let dropped = db.db()?.platform_write::<_, DbError>(Authority::machinery(), drop).await?;
            assert_eq!(dropped, only(7).fingerprints()?);
            assert_wrong(open(&db, &only(7)).await);
            assert_wrong(open(&db, &both(9, 7)).await);
            assert_eq!(mark(&*open(&db, &both(8, 7)).await?), before);
            assert_eq!(rows(&db).await?, "1");
        }
        Ok(())
    })
    .await
}

/// An update from a release without root keys, and a change of the master key, in one deployment.
#[tokio::test]
async fn the_first_start_may_have_a_new_master_key_beside_the_old_one() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        older_program_starts(&db, 7).await?;
        assert_eq!(mark(&*open(&db, &both(8, 7)).await?), mark(&of_older_programs(7)));
        assert_eq!(rows(&db).await?, "2");
        for byte in [7, 8] {
            assert_eq!(mark(&*open(&db, &only(byte)).await?), mark(&of_older_programs(7)));
        }
        Ok(())
    })
    .await
}

/// Rows that lie: sealed for another master key, cut, or nothing.
#[tokio::test]
async fn a_row_that_its_master_key_did_not_seal_is_refused() -> Result<()> {
    run(async {
        let db = TestDb::new().await?;
        let before = mark(&*open(&db, &both(8, 7)).await?);
        let row = |byte: u8| format!("fingerprint = '{}'", master(byte).fingerprint().unwrap());
        for damage in [
            format!("(SELECT sealed FROM platform.root_keys WHERE {})", row(8)),
            "substr(sealed, 2)".to_owned(),
            "''".to_owned(),
            "sealed || '\\x00'".to_owned(),
        ] {
            let kept = db.value(&format!("SELECT sealed FROM platform.root_keys WHERE {}", row(7))).await?;
            db.sql(&format!("UPDATE platform.root_keys SET sealed = {damage} WHERE {}", row(7))).await?;
            let refused = open(&db, &only(7)).await;
            assert!(matches!(refused, Err(RootKeyError::Damaged)), "{damage}: {refused:?}");
            assert_eq!(mark(&*open(&db, &only(8)).await?), before);
            db.sql(&format!("UPDATE platform.root_keys SET sealed = '{kept}' WHERE {}", row(7))).await?;
        }
        assert_eq!(mark(&*open(&db, &only(7)).await?), before);
        // A root key of an attacker's choice, sealed with what they have: another master key.
        let forged = master(9).seal(&RootKey::from([3; 32]))?;
        let forged = STANDARD.encode(forged);
        db.sql(&format!(
            "UPDATE platform.root_keys SET sealed = decode('{forged}', 'base64') WHERE {}",
            row(7)
        ))
        .await?;
        assert!(matches!(open(&db, &only(7)).await, Err(RootKeyError::Damaged)));
        Ok(())
    })
    .await
}
