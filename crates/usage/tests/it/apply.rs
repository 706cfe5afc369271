//! Batches are applied exactly once, however they are sent.

use anyhow::Result;
use bulkhead_db::{Authority, Db, DbError, platform::usage};
use bulkhead_domain::metering::{MeterName, UsageBatch};
use bulkhead_fixtures::TestDb;
use futures::future::join_all;
use rand::{RngExt as _, SeedableRng, rngs::StdRng, seq::SliceRandom};
use uuid::Uuid;

use crate::support::{Oracle, batch};

async fn apply(db: &Db, batches: &[&UsageBatch]) -> Result<usage::Applied, DbError> {
    let work = async |tx: &mut _| usage::apply(tx, batches.iter().copied()).await;
    db.platform_write(Authority::machinery(), work).await
}

/// Appliers that send everything several times, cut and ordered at random, some of them cut off in the middle.
#[tokio::test]
async fn any_interleaving_of_appliers_comes_to_the_same_totals() -> Result<()> {
    for seed in 0..6 {
        let db = TestDb::new().await?;
        let mut rng = StdRng::seed_from_u64(seed);
        let recorders: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
        let batches: Vec<UsageBatch> = recorders
            .iter()
            .flat_map(|recorder| (1..=25).map(|seq| (*recorder, seq)))
            .map(|(b, s)| batch(&mut rng, b, s))
            .collect();
        let applier = |mut rng: StdRng| {
            let (db, batches) = (db.db().unwrap(), &batches);
            async move {
                let mut fresh = 0;
                let mut all: Vec<&UsageBatch> = batches.iter().chain(batches).collect();
                all.shuffle(&mut rng);
                let mut rest = all.as_slice();
                while !rest.is_empty() {
                    let (chunk, others) = rest.split_at(rng.random_range(1..=rest.len().min(20)));
                    rest = others;
                    if rng.random_bool(0.2) {
                        let patience = std::time::Duration::from_micros(rng.random_range(0..6_000));
                        // Whether it was applied is not known, and need not be.
                        drop(tokio::time::timeout(patience, apply(&db, chunk)).await);
                    } else {
                        fresh += apply(&db, chunk).await.unwrap().fresh;
                    }
                }
                fresh
            }
        };
        let told: usize =
            join_all((0..4).map(|n| applier(StdRng::seed_from_u64(seed * 10 + n)))).await.into_iter().sum();
        let left = apply(&db.db()?, &batches.iter().collect::<Vec<_>>()).await?;
        assert!(told + left.fresh <= batches.len(), "seed {seed}: {told} + {left:?}");
        Oracle::of(&batches).check(&db).await?;
        let ranges = db
            .value("SELECT count(*) FILTER (WHERE applied = '{[1,26)}') FROM platform.usage_batches")
            .await?;
        assert_eq!(ranges, "4", "seed {seed}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_applied_is_confirmed_and_what_is_not_is_not() -> Result<()> {
    let db = TestDb::new().await?;
    let mut rng = StdRng::seed_from_u64(1);
    let recorder = Uuid::now_v7();
    let batches: Vec<UsageBatch> = (1..=9).map(|seq| batch(&mut rng, recorder, seq)).collect();
    let odd: Vec<&UsageBatch> = batches.iter().step_by(2).collect();
    assert_eq!(apply(&db.db()?, &odd).await?, usage::Applied { fresh: 5, duplicate: 0 });
    assert_eq!(
        apply(&db.db()?, &[odd[0], odd[0], &batches[1]]).await?,
        usage::Applied { fresh: 1, duplicate: 2 }
    );
    let of = async |first: usize, last: u64| {
        let ask = async |tx: &mut _| usage::confirmed(tx, batches[first].id, last).await;
        db.db()?.platform_read::<_, DbError>(Authority::machinery(), ask).await.map_err(anyhow::Error::from)
    };
    assert_eq!(of(0, 9).await?, [1..=3, 5..=5, 7..=7, 9..=9]);
    assert_eq!(of(1, 6).await?, [2..=3, 5..=5]);
    assert_eq!(of(3, 4).await?, []);
    assert_eq!(of(8, 9_000).await?, [9..=9]);
    Ok(())
}

/// The rollups' neighbours in a report: quantities with thousandths, tenants without usage, days outside.
#[tokio::test]
async fn reports_add_up_to_the_rollups() -> Result<()> {
    use bigdecimal::BigDecimal;
    use bulkhead_db::PageRequest;
    use bulkhead_domain::{
        PlanName,
        metering::requests::{API_REQUESTS, COMPUTE_MS},
    };

    let db = TestDb::new().await?;
    let busy = db.sign_up("busy", PlanName::FREE).await?;
    let idle = db.sign_up("idle", PlanName::FREE).await?;
    let mut rng = StdRng::seed_from_u64(2);
    let mut batch = batch(&mut rng, Uuid::now_v7(), 1);
    for (key, stats) in &mut batch.entries {
        key.tenant = busy.id;
        stats.compute_micros = 1_001;
    }
    batch.quantities.clear();
    let days: std::collections::BTreeSet<u32> =
        batch.entries.iter().map(|(key, _)| key.minute / 1_440).collect();
    apply(&db.db()?, &[&batch]).await?;
    let first =
        chrono::DateTime::from_timestamp(i64::from(*days.first().unwrap()) * 86_400, 0).unwrap().date_naive();
    let until = first + chrono::TimeDelta::days(2);
    let read = async |tx: &mut _| {
        let totals = usage::totals(tx, busy.id, first, until).await?;
        let page = PageRequest { after: None, limit: 10 };
        Ok::<_, DbError>((totals, usage::totals_of_all(tx, first, until, page).await?))
    };
    let (totals, all) = db.db()?.platform_read(Authority::machinery(), read).await?;
    let of =
        |meter: MeterName| totals.iter().find(|line| line.meter == meter.as_str()).unwrap().quantity.clone();
    let expected = BigDecimal::new((1_001 * batch.entries.len()).into(), 3);
    assert_eq!(of(COMPUTE_MS), expected);
    assert_eq!(of(API_REQUESTS), BigDecimal::from(batch.entries.len() as u64));
    assert_eq!(all.rows.iter().map(|row| row.tenant).collect::<Vec<_>>(), [busy.id, idle.id]);
    assert_eq!((all.rows[0].quantities.clone(), all.rows[1].quantities.len(), all.more), (totals, 0, false));
    Ok(())
}
