//! A server that is killed, frozen or restarted under the product.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bulkhead_db::{Connector, Db, DbError, DbResult, JsonText, Pool, PoolOptions, gate::profile};
use bulkhead_domain::{JsonObject, PlanName};
use bulkhead_fixtures::{Cluster, TestDb, TestTenant, timeouts};
use bulkhead_servers::Signal;
use futures::future::join_all;
use uuid::Uuid;

use crate::probe;

async fn insert(db: &Db, tenant: &TestTenant) -> DbResult<Uuid> {
    let data = JsonText::from(JsonObject::empty());
    db.write(tenant.proven(), async |tx| probe::insert(tx, "row", "k", &data).await).await
}

async fn read(db: &Db, tenant: &TestTenant) -> DbResult<bool> {
    let seen = db.read(tenant.proven(), async |tx| profile::find(tx).await).await?;
    Ok(seen.is_some_and(|profile| profile.id == tenant.id))
}

/// Tries until it works; how long that took.
async fn healed(db: &Db, tenant: &TestTenant) -> Result<Duration> {
    let began = Instant::now();
    loop {
        match read(db, tenant).await {
            Ok(right) => {
                assert!(right, "the right tenant");
                return Ok(began.elapsed());
            }
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(20), "it does not heal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_service_resumes() -> Result<()> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let database = TestDb::on_with(cluster.clone(), &probe::sets()?).await?;
    let tenants = [
        database.create_tenant("first", PlanName::FREE).await?,
        database.create_tenant("second", PlanName::FREE).await?,
    ];
    let db = database.db()?;
    let (acknowledged, failed, over) = (RefCell::new(Vec::new()), Cell::new(0), Cell::new(false));
    let load = join_all((0..6).map(async |worker: usize| {
        let tenant = &tenants[worker % 2];
        while !over.get() {
            match insert(&db, tenant).await {
                Ok(id) => acknowledged.borrow_mut().push((worker % 2, id)),
                Err(error) => {
                    assert!(error.is_transient(), "{error:?}");
                    failed.set(failed.get() + 1);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
    }));
    let some_more = async || {
        let wanted = acknowledged.borrow().len() + 50;
        while acknowledged.borrow().len() < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let fault = async {
        some_more().await;
        let server = cluster.clone();
        tokio::task::spawn_blocking(move || {
            let mut server = server.server().unwrap();
            server.kill(Signal::SIGKILL)?;
            server.restart()
        })
        .await??;
        healed(&db, &tenants[0]).await?;
        some_more().await;
        over.set(true);
        anyhow::Ok(())
    };
    let both = async { tokio::join!(load, fault) };
    let (_, survived) = tokio::time::timeout(Duration::from_mins(2), both).await?;
    survived?;
    let acknowledged = acknowledged.into_inner();
    assert!(failed.get() > 0, "the kill was not felt");
    for (index, tenant) in tenants.iter().enumerate() {
        let kept = database.sql(&format!("SELECT id FROM {}.things", tenant.schema())).await?;
        let kept: Vec<String> = kept.into_iter().flatten().flatten().collect();
        for (_, id) in acknowledged.iter().filter(|(owner, _)| *owner == index) {
            assert!(kept.contains(&id.to_string()), "an acknowledged row is gone");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_frozen_server_fails_requests_in_time_and_heals() -> Result<()> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let database = TestDb::on_with(cluster.clone(), &probe::sets()?).await?;
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    // Long beside what a busy machine adds, so that waiting once can be told from waiting twice.
    let answer = Duration::from_secs(3);
    let options = PoolOptions { answer, wait: Duration::from_millis(200), ..TestDb::pool_options(2) };
    // Requests that come after the pooled connections were given up have to connect anew, which a frozen server does
    // not answer either.
    let connector = |url: &str| Connector::new(url, None, answer);
    let pool = |url: &str| DbResult::Ok(Pool::new(connector(url)?, options));
    let urls = database.urls();
    let db = Db::new(pool(&urls.tenant)?, pool(&urls.platform)?, timeouts());
    for outcome in join_all((0..2).map(|_| read(&db, &tenant))).await {
        assert!(outcome?);
    }
    // Both connections are back in the pool when the server freezes.
    tokio::time::sleep(Duration::from_millis(100)).await;
    cluster.server().context("this cluster was given")?.freeze()?;

    let requests = join_all((0..8).map(async |_| {
        let began = Instant::now();
        (read(&db, &tenant).await, began.elapsed())
    }));
    // A write that has had no answer is not waited for a second time, to take it back.
    let write = async {
        let began = Instant::now();
        (insert(&db, &tenant).await.map(|_id| true), began.elapsed())
    };
    let both = async { futures::join!(write, requests) };
    let (write, mut outcomes) = tokio::time::timeout(Duration::from_secs(60), both).await?;
    assert!(matches!(write.0, Err(DbError::Timeout)), "{write:?}");
    outcomes.push(write);
    assert!(outcomes.iter().any(|(result, _)| matches!(result, Err(DbError::Timeout))), "{outcomes:?}");
    for (result, took) in outcomes {
        assert!(
            matches!(result, Err(DbError::Timeout | DbError::Busy | DbError::Unavailable(_))),
            "{result:?}"
        );
        assert!(took < 2 * answer, "{took:?}");
    }
    cluster.server().context("this cluster was given")?.thaw()?;
    healed(&db, &tenant).await?;
    // The frozen statements do not linger.
    let idle =
        "SELECT count(*) FROM pg_stat_activity WHERE usename = 'bulkhead_tenant' AND state LIKE 'idle in%'";
    assert_eq!(database.value(idle).await?, "0");
    Ok(())
}

#[tokio::test]
async fn connections_that_died_while_idle_cost_no_request() -> Result<()> {
    let cluster = Cluster::start(|_| {}, None).await?;
    let database = TestDb::on_with(cluster.clone(), &probe::sets()?).await?;
    let tenant = database.create_tenant("acme", PlanName::FREE).await?;
    let db = database.db()?;
    for _ in 0..2 {
        for outcome in join_all((0..4).map(|_| read(&db, &tenant))).await {
            assert!(outcome?);
        }
        let server = cluster.clone();
        tokio::task::spawn_blocking(move || server.server().unwrap().restart()).await??;
    }
    for outcome in join_all((0..4).map(|_| read(&db, &tenant))).await {
        assert!(outcome?, "the first request after a restart");
    }
    Ok(())
}
