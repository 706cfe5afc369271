//! Sending several messages at once: how it goes wrong, and that ours does not.
//!
//! The first half is there for its own sake: it shows the leak that the program's order of messages prevents, so that
//! no reader takes that order for ceremony. A pipelined COMMIT overtakes a query that is still being prepared, or whose
//! task has spent its cooperative budget, and the query then runs with what the session has, outside of the walls.

use std::{future::poll_fn, task::Poll};

use anyhow::Result;
use bulkhead_db::{Db, DbError, PoolOptions};
use bulkhead_fixtures::{TestDb, TestTenant};
use diesel::{QueryDsl as _, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use tokio::task::coop;

use super::{look, mark, marked_tenants, next_is_clean, put, see_own_rows};
use crate::probe::{self, things};

/// Spends what the running task may still do before it has to yield.
async fn spend_budget() {
    poll_fn(|context| {
        while coop::has_budget_remaining() {
            if let Poll::Ready(spent) = coop::poll_proceed(context) {
                spent.made_progress();
            }
        }
        Poll::Ready(())
    })
    .await;
}

async fn connect(db: &TestDb) -> Result<AsyncPgConnection> {
    let (client, connection) = tokio_postgres::connect(&db.urls().tenant, tokio_postgres::NoTls).await?;
    Ok(AsyncPgConnection::try_from_client_and_connection(client, connection).await?)
}

/// BEGIN with its walls, a query and COMMIT, all sent at once.
async fn naive(connection: &AsyncPgConnection, tenant: &TestTenant, spent: bool) -> QueryResult<Vec<String>> {
    let begin = format!("BEGIN; SET LOCAL ROLE {0}; SET LOCAL search_path = {0}", tenant.schema());
    let (mut first, mut second, mut third) = (connection, connection, connection);
    if spent {
        spend_budget().await;
    }
    let ((), rows, ()) = futures::try_join!(
        first.batch_execute(&begin),
        things::table.select(things::name).load::<String>(&mut second),
        third.batch_execute("COMMIT"),
    )?;
    Ok(rows)
}

#[tokio::test]
async fn a_naive_pipeline_runs_its_query_outside_of_the_walls() -> Result<()> {
    let db = probe::database().await?;
    let [a, b] = &marked_tenants(&db, 2).await?[..] else { anyhow::bail!("two tenants") };
    let lost = |outcome: QueryResult<Vec<String>>| matches!(outcome, Err(error) if error.to_string().contains("relation \"things\" does not exist"));

    let connection = connect(&db).await?;
    assert!(lost(naive(&connection, a, false).await), "cold: the login role's empty path saves it");
    assert_eq!(naive(&connection, a, false).await?, [mark(a.id)], "warm: it happens to work");
    assert!(lost(naive(&connection, a, true).await), "warm, with the budget spent");

    // With a role and a path that outlive a transaction, nothing saves it: A is shown B's row.
    let session = format!("SET ROLE {0}; SET search_path = {0}", b.schema());
    let connection = connect(&db).await?;
    (&connection).batch_execute(&session).await?;
    assert_eq!(naive(&connection, a, false).await?, [mark(b.id)], "cold");
    assert_eq!(naive(&connection, a, false).await?, [mark(a.id)], "warm");
    assert_eq!(naive(&connection, a, true).await?, [mark(b.id)], "warm, with the budget spent");
    Ok(())
}

/// Reads and writes whose very first query, which carries BEGIN, is the one under test.
async fn ours(db: &Db, tenant: &TestTenant, spent: bool) -> Result<(), DbError> {
    let prepare = async || {
        if spent {
            spend_budget().await;
        }
    };
    let id = tenant.id;
    db.read::<_, DbError>(tenant.proven(), async |tx| {
        prepare().await;
        see_own_rows(tx, id).await
    })
    .await?;
    db.snapshot::<_, DbError>(tenant.proven(), async |tx| {
        prepare().await;
        look(tx, id).await
    })
    .await?;
    let row = db
        .write::<_, DbError>(tenant.proven(), async |tx| {
            prepare().await;
            let row = put(tx, id, "written").await?;
            prepare().await;
            look(tx, id).await?;
            prepare().await;
            Ok(row)
        })
        .await?;
    let kept = db
        .read::<_, DbError>(tenant.proven(), async |tx| {
            prepare().await;
            probe::name(tx, row).await
        })
        .await?;
    assert_eq!(kept, Some(mark(id)));
    Ok(())
}

#[tokio::test]
async fn a_read_of_one_statement_is_refused_a_second_one() -> Result<()> {
    let database = probe::database().await?;
    let [a, b] = &marked_tenants(&database, 2).await?[..] else { anyhow::bail!("two tenants") };
    let db = database.db_with(TestDb::pool_options(1), bulkhead_fixtures::timeouts())?;
    // Cold, where the transaction is still open, as well as warm, where it is over.
    for _ in 0..4 {
        let twice = async |tx: &mut _| {
            see_own_rows(tx, a.id).await?;
            see_own_rows(tx, a.id).await
        };
        let refused = db.read::<_, DbError>(a.proven(), twice).await;
        assert!(matches!(refused, Err(DbError::Setup(_))), "{refused:?}");
        next_is_clean(&db, b).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_migration_under_prepared_statements_costs_one_retry() -> Result<()> {
    let database = probe::database().await?;
    let [a, _] = &marked_tenants(&database, 2).await?[..] else { anyhow::bail!("two tenants") };
    let db = database.db_with(TestDb::pool_options(1), bulkhead_fixtures::timeouts())?;
    let read = async || db.read::<_, DbError>(a.proven(), async |tx| see_own_rows(tx, a.id).await).await;
    for _ in 0..5 {
        read().await?;
    }
    database.sql(&format!("ALTER TABLE {}.things ALTER COLUMN name TYPE varchar(300)", a.schema())).await?;
    let first = read().await;
    assert!(first.as_ref().is_ok() || first.as_ref().is_err_and(DbError::is_transient), "{first:?}");
    read().await?;
    Ok(())
}

#[tokio::test]
async fn our_transactions_stay_inside_cold_warm_and_with_the_budget_spent() -> Result<()> {
    let database = probe::database().await?;
    let tenants = marked_tenants(&database, 3).await?;
    // Every statement is cold once, warm, once more cold as the tenant's own, and warm; where a connection may hold only two,
    // it forgets them in between.
    for (spent, statements) in [(false, 1_000), (true, 1_000), (false, 2), (true, 2)] {
        // One connection, so that every tenant follows another.
        let options = PoolOptions { statements, ..TestDb::pool_options(1) };
        let db = database.db_with(options, bulkhead_fixtures::timeouts())?;
        for round in 0..6 {
            for tenant in &tenants {
                ours(&db, tenant, spent).await?;
            }
            next_is_clean(&db, &tenants[round % 3]).await?;
        }
    }
    // And as they come on a busy node: many at once, over few connections.
    let db = database.db_with(TestDb::pool_options(2), bulkhead_fixtures::timeouts())?;
    let all = (0..24).map(async |turn: usize| ours(&db, &tenants[turn % 3], turn.is_multiple_of(2)).await);
    for outcome in futures::future::join_all(all).await {
        outcome?;
    }
    // The helper does what it says; otherwise nothing above would mean anything.
    spend_budget().await;
    assert!(!coop::has_budget_remaining());
    Ok(())
}
