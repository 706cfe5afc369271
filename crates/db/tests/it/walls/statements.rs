//! Queries that are written outside of this crate, as an extension writes them.

use anyhow::Result;
use bulkhead_db::{Db, DbError, DbResult, TenantTx};
use bulkhead_domain::PlanName;
use bulkhead_fixtures::TestTenant;
use diesel::{dsl::sql, prelude::*, sql_types::Text};

use super::{marked_tenants, next_is_clean};
use crate::probe::{self, things};

/// A row of which only some columns are asked for.
#[derive(Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = things)]
struct Named {
    name: String,
    kind: String,
}

async fn of_kind(tx: &mut TenantTx, kind: &str) -> DbResult<Vec<Named>> {
    tx.load(things::table.filter(things::kind.eq(kind)).select(Named::as_select())).await
}

#[tokio::test]
async fn a_query_from_outside_runs_inside_the_walls() -> Result<()> {
    let db = probe::database().await?;
    let tenants = marked_tenants(&db, 2).await?;
    let pool = db.db()?;
    // From the third time on a statement is the tenant's own, and a read is one message.
    for _ in 0..4 {
        for tenant in &tenants {
            let rows = pool.read(tenant.proven(), async |tx| of_kind(tx, "canary").await).await?;
            let expected = Named { name: format!("of {}", tenant.id), kind: "canary".to_owned() };
            assert_eq!(rows, [expected]);
        }
    }
    let first = &tenants[0];
    pool.write::<_, DbError>(first.proven(), async |tx| {
        let renamed = diesel::update(things::table).set(things::kind.eq("renamed"));
        assert_eq!(tx.execute(renamed).await?, 1);
        let count: i64 = tx.one(things::table.count()).await?;
        assert_eq!(count, 1);
        let none: Option<String> =
            tx.first(things::table.filter(things::kind.eq("canary")).select(things::name)).await?;
        assert_eq!(none, None);
        Ok(())
    })
    .await?;
    next_is_clean(&pool, &tenants[1]).await
}

/// Runs a statement that must be refused before it is sent, and then looks whether its transaction keeps nothing.
async fn refused(
    pool: &Db,
    tenant: &TestTenant,
    what: &str,
    statement: impl AsyncFnOnce(&mut TenantTx) -> DbResult<()>,
) {
    let kept = pool
        .write::<_, DbError>(tenant.proven(), async |tx| {
            tx.execute(diesel::update(things::table).set(things::kind.eq(what))).await?;
            let ran = statement(tx).await;
            assert!(matches!(ran, Err(DbError::Setup(_))), "{what}: {ran:?}");
            Ok(())
        })
        .await;
    assert!(matches!(kept, Err(DbError::Aborted)), "{what} left a transaction that commits");
}

#[tokio::test]
async fn a_statement_that_changes_the_transaction_is_not_sent() -> Result<()> {
    let db = probe::database().await?;
    let tenants = marked_tenants(&db, 2).await?;
    let pool = db.db()?;
    let (tenant, other) = (&tenants[0], &tenants[1]);
    let texts = [
        "SET LOCAL ROLE bulkhead_tenant",
        "RESET ROLE",
        "COMMIT",
        "DO $$ BEGIN SET ROLE bulkhead_tenant; END $$",
        "SELECT set_config('role', 'bulkhead_tenant', true)",
    ];
    for text in texts {
        refused(&pool, tenant, text, async |tx| tx.execute(diesel::sql_query(text)).await.map(drop)).await;
    }
    let inside = async |tx: &mut TenantTx| {
        let query = diesel::select(sql::<Text>("set_config('role', 'bulkhead_tenant', true)"));
        tx.load::<_, String>(query).await.map(drop)
    };
    refused(&pool, tenant, "inside of a query", inside).await;
    next_is_clean(&pool, tenant).await?;
    next_is_clean(&pool, other).await
}

#[tokio::test]
async fn another_tenants_schema_is_out_of_reach_by_name() -> Result<()> {
    let db = probe::database().await?;
    let (here, there) =
        (db.create_tenant("here", PlanName::FREE).await?, db.create_tenant("there", PlanName::FREE).await?);
    let schema = bulkhead_domain::SchemaName::of(there.id);
    let query = diesel::sql_query(format!("SELECT count(*) FROM {schema}.things"));
    let pool = db.db()?;
    let read = pool.read::<_, DbError>(here.proven(), async |tx| tx.execute(query).await).await;
    assert!(matches!(read, Err(DbError::Denied(_))), "{read:?}");
    Ok(())
}
