//! The walls between tenants: what stands in the database, and that nothing the program does gets a query outside.

mod cancellation;
mod gate;
mod interleaving;
mod pipelines;
mod roles;
mod statements;

use anyhow::{Context as _, Result};
use bulkhead_db::{Db, DbError, DbResult, JsonText, TenantTx, gate::profile};
use bulkhead_domain::{JsonObject, PlanName, TenantId};
use bulkhead_fixtures::{TestDb, TestTenant};
use uuid::Uuid;

use crate::probe;

/// Tenants that each hold one row whose name tells whose it is.
async fn marked_tenants(db: &TestDb, count: usize) -> Result<Vec<TestTenant>> {
    let mut tenants = Vec::new();
    for number in 0..count {
        let tenant = db.create_tenant(&format!("tenant-{number}"), PlanName::FREE).await?;
        let pool = db.db()?;
        pool.write(tenant.proven(), async |tx| put(tx, tenant.id, "canary").await).await?;
        tenants.push(tenant);
    }
    Ok(tenants)
}

fn mark(tenant: TenantId) -> String {
    format!("of {tenant}")
}

/// Adds a row with the tenant's mark.
async fn put(tx: &mut TenantTx, tenant: TenantId, kind: &str) -> DbResult<Uuid> {
    probe::insert(tx, &mark(tenant), kind, &JsonText::from(JsonObject::empty())).await
}

/// What a transaction sees: the role in force, by the view that shows a tenant itself, and the schema in the path, by
/// the mark of every row in it.
async fn look(tx: &mut TenantTx, tenant: TenantId) -> DbResult<()> {
    let me = profile::find(tx).await?;
    assert_eq!(me.map(|profile| profile.id), Some(tenant), "another tenant's role is in force");
    see_own_rows(tx, tenant).await
}

async fn see_own_rows(tx: &mut TenantTx, tenant: TenantId) -> DbResult<()> {
    let names = probe::names(tx).await?;
    assert!(!names.is_empty(), "no row in sight");
    for name in names {
        assert_eq!(name, mark(tenant), "another tenant's row");
    }
    Ok(())
}

/// A later transaction of another tenant on the same pool is inside its own walls.
async fn next_is_clean(db: &Db, next: &TestTenant) -> Result<()> {
    db.read::<_, DbError>(next.proven(), async |tx| see_own_rows(tx, next.id).await)
        .await
        .context("the next transaction")?;
    db.snapshot::<_, DbError>(next.proven(), async |tx| look(tx, next.id).await)
        .await
        .context("the one after it")
}

/// Waits until no connection of the product is inside a transaction: what was dropped is gone on the server too.
async fn all_quiet(db: &TestDb) -> Result<()> {
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND usename LIKE 'bulkhead%' AND state <> 'idle'";
    for _ in 0..3_000 {
        if db.value(open).await? == "0" {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let what = "SELECT string_agg(state || ': ' || query, '; ') FROM pg_stat_activity
        WHERE datname = current_database() AND usename LIKE 'bulkhead%' AND state <> 'idle'";
    anyhow::bail!("still open: {}", db.value(what).await?)
}
