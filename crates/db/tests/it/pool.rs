//! Who waits for whose connection.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::{Db, DbError, PoolOptions, Shares, tenant::users};
use bulkhead_domain::PlanName;
use bulkhead_fixtures::{TestDb, TestTenant, timeouts};
use futures::future::join_all;
use tokio::{
    sync::oneshot,
    task::{JoinSet, LocalSet},
    time::timeout,
};

/// Of two connections, tenants whose own is the first.
async fn neighbours(database: &TestDb) -> Result<[TestTenant; 2]> {
    let mut found = Vec::new();
    for number in 0..64 {
        let tenant = database.create_tenant(&format!("tenant-{number}"), PlanName::FREE).await?;
        let (_time, affinity) = tenant.id.uuid().as_u64_pair();
        if affinity % 2 == 0 {
            found.push(tenant);
        }
        if let [_, _] = found[..] {
            break;
        }
    }
    found.try_into().map_err(|few| anyhow::anyhow!("{few:?}"))
}

#[tokio::test]
async fn nobody_waits_for_one_connection_while_another_is_free() -> Result<()> {
    let database = TestDb::new().await?;
    let [slow, neighbour] = neighbours(&database).await?;
    let db = database.db_with(TestDb::pool_options(2), timeouts())?;
    for tenant in [&slow, &neighbour] {
        let (begun, has_begun) = oneshot::channel();
        let (end, may_end) = oneshot::channel::<()>();
        let long = db.read::<_, DbError>(slow.proven(), async move |tx| {
            let found = users::find(tx, slow.owner_id).await?;
            let _told = (begun.send(()), may_end.await);
            Ok(found)
        });
        let short = async {
            has_begun.await?;
            let find = async |tx: &mut _| users::find(tx, tenant.owner_id).await;
            let found =
                timeout(Duration::from_secs(5), db.read::<_, DbError>(tenant.proven(), find)).await??;
            assert!(found.is_some());
            let _sent = end.send(());
            anyhow::Ok(())
        };
        let (long, short) = tokio::join!(long, short);
        short?;
        assert!(long?.is_some());
    }
    Ok(())
}

/// Reads that hold their connection until they are let go.
struct Holders {
    end: Vec<oneshot::Sender<()>>,
    reads: JoinSet<Result<(), DbError>>,
}

impl Holders {
    /// As many of a tenant's reads as `count` are under way when this returns.
    async fn take(db: &Db, tenant: &TestTenant, count: usize) -> Result<Self> {
        let mut holders = Self { end: Vec::new(), reads: JoinSet::new() };
        for _ in 0..count {
            let ((begun, has_begun), (end, may_end)) = (oneshot::channel(), oneshot::channel::<()>());
            let (db, tenant, owner) = (db.clone(), tenant.proven(), tenant.owner_id);
            holders.reads.spawn_local(async move {
                db.read(tenant, async move |tx| {
                    users::find(tx, owner).await?;
                    let _told = (begun.send(()), may_end.await);
                    Ok(())
                })
                .await
            });
            has_begun.await?;
            holders.end.push(end);
        }
        Ok(holders)
    }
}

#[tokio::test]
async fn a_tenant_with_more_requests_than_there_are_connections_has_half_of_them() -> Result<()> {
    LocalSet::new().run_until(Box::pin(a_crowd_and_its_neighbour())).await
}

async fn a_crowd_and_its_neighbour() -> Result<()> {
    let database = TestDb::new().await?;
    let [crowd, neighbour] = neighbours(&database).await?;
    let wait = Duration::from_secs(2);
    let options = PoolOptions { shares: Shares::HalfPerTenant, wait, ..TestDb::pool_options(4) };
    let db = database.db_with(options, timeouts())?;
    let held = Holders::take(&db, &crowd, 2).await?;
    let find = |tenant: &TestTenant| {
        let (tenant, owner) = (tenant.proven(), tenant.owner_id);
        let db = db.clone();
        async move { db.read(tenant, async |tx| users::find(tx, owner).await).await }
    };
    // However many more it asks for, it is the one that waits.
    let surplus = join_all((0..30).map(|_| find(&crowd)));
    let served = join_all((0..30).map(|_| find(&neighbour)));
    let (surplus, served) = tokio::join!(surplus, served);
    assert!(surplus.iter().all(|read| matches!(read, Err(DbError::OverShare))), "{surplus:?}");
    assert!(served.iter().all(|read| matches!(read, Ok(Some(_)))), "{served:?}");
    // It is served again as soon as its own come back.
    let again = find(&crowd);
    let Holders { end, mut reads } = held;
    drop(end);
    assert!(again.await?.is_some());
    while let Some(read) = reads.join_next().await {
        read??;
    }
    Ok(())
}
