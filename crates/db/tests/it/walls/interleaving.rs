//! Whatever happens to transactions on shared connections, in whatever order: no tenant ever sees another's row.

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, time::Duration};

use anyhow::{Context as _, Result};
use bulkhead_db::{Db, DbError, tenant::users};
use bulkhead_domain::{Clock as _, RoleName, SystemClock, UserId};
use bulkhead_fixtures::{TestDb, TestTenant, timeouts};
use futures::FutureExt as _;
use proptest::{prelude::*, test_runner::TestRunner};

use super::{all_quiet, look, marked_tenants, next_is_clean, put, see_own_rows};

/// What happens to one transaction.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Read,
    Write,
    /// The work fails after it has written.
    Fail,
    /// A statement fails and the work carries on as if nothing were.
    Swallow,
    Panic,
    /// Dropped after so many polls.
    Drop(usize),
    /// Dropped after so many microseconds.
    Timeout(u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Read),
        3 => Just(Fate::Write),
        1 => Just(Fate::Fail),
        1 => Just(Fate::Swallow),
        1 => Just(Fate::Panic),
        3 => (1_usize..24).prop_map(Fate::Drop),
        2 => (50_u64..8_000).prop_map(Fate::Timeout),
    ]
}

/// Each step is a group of transactions that run at once: of which tenant, and what happens to it.
type Steps = Vec<Vec<(usize, Fate)>>;

fn steps() -> impl Strategy<Value = (usize, Steps)> {
    (1_usize..=2, proptest::collection::vec(proptest::collection::vec((0_usize..5, fate()), 1..5), 2..8))
}

async fn write(db: &Db, tenant: &TestTenant) -> Result<(), DbError> {
    db.write(tenant.proven(), async |tx| {
        put(tx, tenant.id, "kept").await?;
        look(tx, tenant.id).await
    })
    .await
}

async fn undergo(db: &Db, tenant: &TestTenant, fate: Fate) {
    let id = tenant.id;
    match fate {
        Fate::Read => {
            let read = db.read(tenant.proven(), async |tx| see_own_rows(tx, id).await).await;
            assert!(read.is_ok(), "{read:?}");
        }
        Fate::Write => {
            let written = write(db, tenant).await;
            assert!(written.is_ok(), "{written:?}");
        }
        Fate::Fail => {
            let failed = db
                .write::<(), DbError>(tenant.proven(), async |tx| {
                    put(tx, id, "lost").await?;
                    Err(DbError::Busy)
                })
                .await;
            assert!(matches!(failed, Err(DbError::Busy)), "{failed:?}");
        }
        Fate::Swallow => {
            let swallowed = db
                .write::<_, DbError>(tenant.proven(), async |tx| {
                    put(tx, id, "lost").await?;
                    let at = SystemClock.now();
                    let _taken =
                        users::insert(tx, UserId::mint(at), &tenant.owner_email, "x", RoleName::ADMIN, at)
                            .await;
                    Ok(())
                })
                .await;
            assert!(matches!(swallowed, Err(DbError::Aborted)), "{swallowed:?}");
        }
        Fate::Panic => {
            let work = db.write::<(), DbError>(tenant.proven(), async |tx| {
                put(tx, id, "lost").await?;
                std::panic::resume_unwind(Box::new("planned"));
            });
            assert!(AssertUnwindSafe(work).catch_unwind().await.is_err());
        }
        Fate::Drop(polls) => {
            let mut work = pin!(write(db, tenant));
            for _ in 0..polls {
                if futures::poll!(&mut work).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Fate::Timeout(micros) => {
            let work = write(db, tenant);
            drop(tokio::time::timeout(Duration::from_micros(micros), work).await);
        }
    }
}

/// Everything about one case; panics when a wall has a hole.
async fn run(database: &TestDb, tenants: &[TestTenant], connections: usize, steps: Steps) -> Result<()> {
    let db = database.db_with(TestDb::pool_options(connections), timeouts())?;
    for group in steps {
        let mut running = Vec::new();
        for (index, fate) in group {
            running.push(undergo(&db, tenants.get(index).context("a tenant")?, fate));
        }
        futures::future::join_all(running).await;
        for tenant in tenants {
            next_is_clean(&db, tenant).await?;
        }
    }
    all_quiet(database).await?;
    for tenant in tenants {
        let lost = format!("SELECT count(*) FROM {}.things WHERE kind = 'lost'", tenant.schema());
        assert_eq!(database.value(&lost).await?, "0", "what was undone is there");
    }
    Ok(())
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

#[test]
fn no_interleaving_shows_a_tenant_another_tenants_row() -> Result<()> {
    let (database, tenants) = block_on(async {
        let database = crate::probe::database().await?;
        let tenants = marked_tenants(&database, 5).await?;
        Ok((database, tenants))
    })?;
    let config = ProptestConfig {
        cases: 24,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |(connections, steps)| {
        block_on(run(&database, &tenants, connections, steps))
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    outcome.map_err(|failure| anyhow::anyhow!("{failure}"))
}
