//! An answer is kept for a day.

use anyhow::Result;
use bulkhead_db::{
    Db, DbError,
    idempotency::{KEPT_FOR, Key, KeyState, LockId, StoredAnswer},
    tenant::idempotency,
};
use bulkhead_domain::{Clock as _, PlanName, SystemClock};
use bulkhead_fixtures::{ManualClock, TestDb, TestTenant};
use chrono::TimeDelta;

/// A request with this fingerprint, under the one key: what is known of the key when it claims it. When the key is unused, the
/// request is answered with this status.
async fn ask(
    (db, tenant, clock): (&Db, &TestTenant, &ManualClock),
    fingerprint: &[u8],
    status: u16,
) -> Result<KeyState> {
    let key =
        Key { principal: "usr_1", route: "create", key: "once", fingerprint, lock: LockId::of([7; 32]) };
    let answer = StoredAnswer { status, location: None, body: Some("{}".to_owned()) };
    let asked = db.write::<_, DbError>(tenant.proven(), async |tx| {
        let known = idempotency::claim(tx, &key, clock.now()).await?;
        if known == KeyState::Unused {
            idempotency::store(tx, &key, &answer, clock.now()).await?;
        }
        Ok(known)
    });
    Ok(asked.await?)
}

#[tokio::test]
async fn an_answer_is_replayed_for_a_day_and_its_key_is_unused_then() -> Result<()> {
    let database = TestDb::new().await?;
    let (db, tenant) = (database.db()?, database.create_tenant("acme", PlanName::FREE).await?);
    let clock = ManualClock::at(SystemClock.now());
    let on = (&db, &tenant, &clock);
    let answered =
        |status| KeyState::Answered(StoredAnswer { status, location: None, body: Some("{}".to_owned()) });
    assert_eq!(ask(on, b"one", 201).await?, KeyState::Unused);
    clock.advance(KEPT_FOR - TimeDelta::microseconds(1));
    assert_eq!(ask(on, b"one", 500).await?, answered(201));
    assert_eq!(ask(on, b"two", 500).await?, KeyState::Mismatch);
    // Another request may have the key now, and its own day begins.
    clock.advance(TimeDelta::microseconds(1));
    assert_eq!(ask(on, b"two", 202).await?, KeyState::Unused);
    clock.advance(KEPT_FOR - TimeDelta::microseconds(1));
    assert_eq!(ask(on, b"two", 500).await?, answered(202));
    assert_eq!(ask(on, b"one", 500).await?, KeyState::Mismatch);
    Ok(())
}
