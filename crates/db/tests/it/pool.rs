//! Who waits for whose connection.

use std::time::Duration;

use anyhow::Result;
use bulkhead_db::{DbError, tenant::users};
use bulkhead_domain::Plan;
use bulkhead_testkit::{TestDb, TestTenant, timeouts};
use tokio::{sync::oneshot, time::timeout};

/// Of two connections, tenants whose own is the first.
async fn neighbours(database: &TestDb) -> Result<[TestTenant; 2]> {
    let mut found = Vec::new();
    for number in 0..64 {
        let tenant = database.create_tenant(&format!("tenant-{number}"), Plan::Free).await?;
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
