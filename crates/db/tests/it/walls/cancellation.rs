//! Transactions that are dropped, fail or lie about having failed.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use anyhow::Result;
use bulkhead_db::{
    Authority, Db, DbError, Timeouts,
    platform::tenants,
    tenant::{credentials, users},
};
use bulkhead_domain::{Clock as _, RoleName, SystemClock, UserId};
use bulkhead_fixtures::{TestDb, TestTenant, timeouts};

use super::{all_quiet, look, marked_tenants, next_is_clean, put, see_own_rows};

/// Polls a future whenever it asks for it, `polls` times at most, and then drops it; `None` when it was not done.
async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops `work` after its first poll, then, anew, after its second, and so on until it gets through; after each, the
/// next transaction on the only connection is another tenant's and must be clean.
async fn cut_everywhere<T>(
    database: &TestDb,
    next: &TestTenant,
    work: impl AsyncFn(&Db) -> Result<T, DbError>,
    check: impl AsyncFn(usize) -> Result<()>,
) -> Result<()> {
    let db = database.db_with(TestDb::pool_options(1), timeouts())?;
    for polls in 1..200 {
        let outcome = dropped_after(polls, work(&db)).await;
        next_is_clean(&db, next).await?;
        all_quiet(database).await?;
        check(polls).await?;
        if let Some(done) = outcome {
            done?;
            assert!(polls > 1, "it has not been cut at all");
            return Ok(());
        }
    }
    anyhow::bail!("it never gets through")
}

#[tokio::test]
async fn a_write_that_is_dropped_anywhere_keeps_nothing_and_leaks_nothing() -> Result<()> {
    let database = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&database, 2).await?[..] else { anyhow::bail!("two tenants") };
    let (attempt, closing) = (Cell::new(0), Cell::new(false));
    let work = async |db: &Db| {
        attempt.set(attempt.get() + 1);
        closing.set(false);
        let kind = format!("attempt-{}", attempt.get());
        db.write(a.proven(), async |tx| {
            put(tx, a.id, &kind).await?;
            look(tx, a.id).await?;
            put(tx, a.id, &kind).await?;
            closing.set(true);
            Ok(())
        })
        .await
    };
    let check = async |polls| {
        let count =
            format!("SELECT count(*) FROM {}.things WHERE kind = 'attempt-{}'", a.schema(), attempt.get());
        let kept = database.value(&count).await?;
        // Once COMMIT is on its way either may have happened, but never half of it.
        let allowed: &[&str] = if closing.get() { &["0", "2"] } else { &["0"] };
        assert!(allowed.contains(&kept.as_str()), "after {polls} polls: {kept} rows");
        Ok(())
    };
    cut_everywhere(&database, b, work, check).await?;
    let last = format!("SELECT count(*) FROM {}.things WHERE kind = 'attempt-{}'", a.schema(), attempt.get());
    assert_eq!(database.value(&last).await?, "2", "the one that got through is kept");
    Ok(())
}

#[tokio::test]
async fn reads_and_lookups_that_are_dropped_anywhere_leak_nothing() -> Result<()> {
    let database = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&database, 2).await?[..] else { anyhow::bail!("two tenants") };
    let nothing = async |_| Ok(());
    // Often enough to be cut as the tenant's first ones, as those that prepare its own statements, and as single messages.
    let read = async |db: &Db| {
        for _ in 0..5 {
            db.read(a.proven(), async |tx| see_own_rows(tx, a.id).await).await?;
        }
        Ok(())
    };
    cut_everywhere(&database, b, read, nothing).await?;
    let snapshot = async |db: &Db| db.snapshot(a.proven(), async |tx| look(tx, a.id).await).await;
    cut_everywhere(&database, b, snapshot, nothing).await?;
    let lookup = async |db: &Db| {
        db.credentials::<_, DbError>(a.id, async |tx| {
            let found = credentials::find_user(tx, &a.owner_email).await?;
            assert_eq!(found.map(|user| user.id), Some(a.owner_id));
            Ok(())
        })
        .await
    };
    cut_everywhere(&database, b, lookup, nothing).await?;
    let platform = async |db: &Db| {
        db.platform_read::<_, DbError>(Authority::machinery(), async |tx| {
            assert!(tenants::find(tx, a.id).await?.is_some());
            Ok(())
        })
        .await
    };
    cut_everywhere(&database, b, platform, nothing).await
}

#[tokio::test]
async fn a_dropped_statement_stops_running_on_the_server() -> Result<()> {
    let database = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&database, 2).await?[..] else { anyhow::bail!("two tenants") };
    // Nothing but us would stop the statement in time.
    let minutes = Timeouts { statement_ms: 600_000, lock_ms: 600_000, idle_ms: 600_000 };
    let db = database.db_with(TestDb::pool_options(1), minutes)?;
    let blocker = database.session(bulkhead_fixtures::Login::Admin).await?;
    blocker.batch_execute(&format!("BEGIN; LOCK TABLE {}.things", a.schema())).await?;
    let waiting = db.read::<_, DbError>(a.proven(), async |tx| see_own_rows(tx, a.id).await);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(300), waiting).await.is_err());
    // Its statement would wait for as long as the table is locked; the lease has told the server to stop it.
    next_is_clean(&db, b).await?;
    all_quiet(&database).await?;
    blocker.batch_execute("ROLLBACK").await?;
    Ok(())
}

#[tokio::test]
async fn a_swallowed_error_is_never_told_as_a_success() -> Result<()> {
    let database = crate::probe::database().await?;
    let [a, b] = &marked_tenants(&database, 2).await?[..] else { anyhow::bail!("two tenants") };
    let db = database.db_with(TestDb::pool_options(1), timeouts())?;
    let at = SystemClock.now();
    let outcome = db
        .write::<_, DbError>(a.proven(), async |tx| {
            put(tx, a.id, "before").await?;
            let taken = users::insert(tx, UserId::mint(at), &a.owner_email, "x", RoleName::ADMIN, at).await;
            assert!(matches!(taken, Err(DbError::AlreadyExists { .. })), "{taken:?}");
            // Swallowed; PostgreSQL would answer COMMIT with success now, and keep nothing.
            let later = put(tx, a.id, "after").await;
            assert!(matches!(later, Err(DbError::Aborted)), "{later:?}");
            Ok(())
        })
        .await;
    assert!(matches!(outcome, Err(DbError::Aborted)), "{outcome:?}");
    let kept = format!("SELECT count(*) FROM {}.things WHERE kind <> 'canary'", a.schema());
    assert_eq!(database.value(&kept).await?, "0");

    // The work's own error is told as it is, and undone as well.
    let outcome = db
        .write::<(), DbError>(a.proven(), async |tx| {
            put(tx, a.id, "before").await?;
            Err(DbError::Conflict)
        })
        .await;
    assert!(matches!(outcome, Err(DbError::Conflict)), "{outcome:?}");
    assert_eq!(database.value(&kept).await?, "0");
    // A read refuses to write, whatever the caller's role could do.
    let outcome =
        db.read::<_, DbError>(a.proven(), async |tx| put(tx, a.id, "written").await.map(drop)).await;
    assert!(matches!(outcome, Err(DbError::Denied(_))), "{outcome:?}");
    next_is_clean(&db, b).await?;
    all_quiet(&database).await
}

#[tokio::test]
async fn a_tenant_that_does_not_exist_is_an_error_and_harms_nobody() -> Result<()> {
    let database = crate::probe::database().await?;
    let [a, ..] = &marked_tenants(&database, 1).await?[..] else { anyhow::bail!("a tenant") };
    let unbuilt = database.sign_up("unbuilt", bulkhead_domain::PlanName::FREE).await?;
    let db = database.db_with(TestDb::pool_options(1), timeouts())?;
    for _ in 0..2 {
        let outcome =
            db.credentials(unbuilt.id, async |tx| credentials::find_user(tx, "a@b.example").await).await;
        assert!(
            matches!(&outcome, Err(DbError::Query(error)) if error.to_string().contains("role")),
            "{outcome:?}"
        );
        next_is_clean(&db, a).await?;
    }
    Ok(())
}
