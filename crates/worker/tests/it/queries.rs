//! The statements of the queue.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use bulkhead_db::{
    Authority, DbError, PageRequest,
    platform::queue::{
        self, JobFilter, JobState,
        dispatch::{self, Bounds, Depth, DueJob, Swept, Turn},
        lease,
    },
};
use bulkhead_domain::{Clock as _, SystemClock};
use bulkhead_fixtures::TestDb;
use bulkhead_jobs::ApplyRetention;

use crate::support::{Probe, database, enqueue, enqueue_many, job, tenant};

const LEASE: Duration = Duration::from_secs(30);
const KINDS: &[&str] = &["probe", "keep_house"];

async fn take(db: &TestDb, bounds: Bounds, turn: &mut Turn) -> Result<Vec<DueJob>> {
    let take = async |tx: &mut _| dispatch::take_due(tx, bounds, turn).await;
    Ok(db.db()?.platform_write(Authority::machinery(), take).await?)
}

fn by_lane(jobs: &[DueJob]) -> BTreeMap<&str, usize> {
    let mut lanes = BTreeMap::new();
    for job in jobs {
        *lanes.entry(job.lane.as_str()).or_default() += 1;
    }
    lanes
}

#[tokio::test]
async fn lanes_take_turns_within_all_bounds() -> Result<()> {
    let db = database().await?;
    for (n, count) in [(1, 500), (2, 3), (3, 40)] {
        enqueue_many(&db, tenant(n), &Probe::default(), count).await?;
    }
    enqueue(&db, None, &Probe::default()).await?;
    let lanes = [1, 2, 3].map(|n| tenant(n).uuid().to_string());
    let (mut turn, bounds) = (Turn::default(), Bounds { limit: 10, outstanding: 30, per_lane: 12 });
    let first = take(&db, bounds, &mut turn).await?;
    let expected = BTreeMap::from([(lanes[0].as_str(), 3), (&lanes[1], 3), (&lanes[2], 3), ("probe", 1)]);
    assert_eq!(by_lane(&first), expected);
    let second = take(&db, bounds, &mut turn).await?;
    assert_eq!(by_lane(&second), BTreeMap::from([(lanes[0].as_str(), 5), (&lanes[2], 5)]));
    // 20 of 30 are out; a lane may have 12.
    let third = take(&db, bounds, &mut turn).await?;
    assert_eq!(by_lane(&third), BTreeMap::from([(lanes[0].as_str(), 4), (&lanes[2], 4)]));
    assert_eq!(take(&db, bounds, &mut turn).await?, []);
    // One finishes, and its lane may have one more.
    let id = first.iter().find(|job| job.lane == lanes[0]).unwrap().id;
    let work = async |tx: &mut _| {
        let claimed = lease::claim(tx, id, KINDS, LEASE).await?.unwrap();
        lease::finish(tx, id, claimed.token, None).await
    };
    db.db()?.platform_write::<_, DbError>(Authority::machinery(), work).await?;
    assert_eq!(by_lane(&take(&db, bounds, &mut turn).await?), BTreeMap::from([(lanes[0].as_str(), 1)]));
    Ok(())
}

/// More lanes than one look visits: the circle goes round, whatever the first lanes hold.
#[tokio::test]
async fn no_lane_is_passed_over_for_ever() -> Result<()> {
    let db = database().await?;
    db.sql(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, max_attempts) \
         SELECT gen_random_uuid(), 'probe', lpad(lane::text, 32, '0')::uuid, '{}', 3 \
         FROM generate_series(1, 700) lane, generate_series(1, 3)",
    )
    .await?;
    let (mut turn, bounds) = (Turn::default(), Bounds { limit: 100, outstanding: 5_000, per_lane: 1 });
    let mut seen = BTreeMap::new();
    for _ in 0..12 {
        for due in take(&db, bounds, &mut turn).await? {
            *seen.entry(due.lane).or_insert(0) += 1;
        }
    }
    assert_eq!((seen.len(), seen.values().max()), (700, Some(&1)));
    Ok(())
}

#[tokio::test]
async fn two_relays_never_take_the_same_job() -> Result<()> {
    let db = database().await?;
    for n in 1..=20 {
        enqueue_many(&db, tenant(n), &Probe::default(), 30).await?;
    }
    let bounds = Bounds { limit: 50, outstanding: 1_000, per_lane: 1_000 };
    let relay = || async {
        let mut turn = Turn::default();
        let mut taken = vec![];
        // A look that finds everything taken by the others comes back with nothing, though there is more.
        for _ in 0..30 {
            taken.extend(take(&db, bounds, &mut turn).await?);
        }
        anyhow::Ok(taken)
    };
    let (a, b, c) = futures::try_join!(relay(), relay(), relay())?;
    let mut ids: Vec<_> = [a, b, c].concat().iter().map(|job| job.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((count, ids.len()), (600, 600));
    Ok(())
}

#[tokio::test]
async fn a_job_is_claimed_once_and_finished_only_under_its_lease() -> Result<()> {
    let db = database().await?;
    let id = enqueue(&db, Some(tenant(1)), &Probe::default()).await?;
    let claim = |lease| {
        let db = db.db().unwrap();
        async move {
            db.platform_write(Authority::machinery(), async |tx: &mut _| {
                lease::claim(tx, id, KINDS, lease).await
            })
            .await
        }
    };
    let (a, b) = futures::try_join!(claim(LEASE), claim(LEASE))?;
    assert!(a.is_some() != b.is_some());
    let first = a.or(b).unwrap();
    assert_eq!((first.attempts, first.tenant), (1, Some(tenant(1))));
    // It runs out, and another worker takes the job over.
    db.sql("UPDATE platform.jobs SET leased_until = now() - interval '1 second'").await?;
    let second = claim(LEASE).await?.unwrap();
    assert_eq!(second.attempts, 2);
    let machinery = db.db()?;
    let finish = async |token| {
        machinery
            .platform_write(Authority::machinery(), async |tx: &mut _| {
                lease::finish(tx, id, token, None).await
            })
            .await
    };
    assert!(matches!(finish(first.token).await, Err(DbError::Conflict)));
    finish(second.token).await?;
    assert_eq!(job(&db, id).await?.state, JobState::Succeeded);
    assert!(claim(LEASE).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_sweep_requeues_fails_and_takes_back() -> Result<()> {
    let db = database().await?;
    let mut ids = vec![];
    for _ in 0..4 {
        ids.push(enqueue(&db, None, &Probe::default()).await?);
    }
    let [lost, spent, unstarted, fresh] = ids[..] else { unreachable!() };
    for (id, set) in [
        (
            lost,
            "state = 'running', attempts = 2, leased_until = now() - interval '1 s', lease_token = gen_random_uuid()",
        ),
        (
            spent,
            "state = 'running', attempts = 3, leased_until = now() - interval '1 s', lease_token = gen_random_uuid()",
        ),
        (unstarted, "pushed_at = now() - interval '40 s'"),
        (fresh, "pushed_at = now() - interval '20 s'"),
    ] {
        db.sql(&format!("UPDATE platform.jobs SET {set} WHERE id = '{}'", id.uuid())).await?;
    }
    let sweep = async |tx: &mut _| dispatch::sweep(tx, LEASE, 100).await;
    let swept = db.db()?.platform_write::<_, DbError>(Authority::machinery(), sweep).await?;
    assert_eq!(swept, Swept { requeued: 1, failed: vec!["probe".to_owned()], taken_back: 1 });
    assert_eq!(job(&db, lost).await?.state, JobState::Queued);
    assert_eq!(job(&db, spent).await?.state, JobState::Failed);
    let handed_out =
        db.value("SELECT string_agg(id::text, ' ') FROM platform.jobs WHERE pushed_at IS NOT NULL").await?;
    assert_eq!(handed_out, fresh.uuid().to_string());
    Ok(())
}

#[tokio::test]
async fn the_depth_is_of_jobs_that_are_due_and_that_nobody_has_begun() -> Result<()> {
    let db = database().await?;
    let depth = async || {
        let depth = async |tx: &mut _| dispatch::depth(tx).await;
        db.db()?
            .platform_write::<_, DbError>(Authority::machinery(), depth)
            .await
            .map_err(anyhow::Error::from)
    };
    assert_eq!(depth().await?, Depth { due: 0, outstanding: 0, oldest_due_seconds: 0 });
    for set in [
        "run_at = now() - interval '30 s'",
        "run_at = now() - interval '30 s'",
        "run_at = now() + interval '1 hour'",
        "run_at = now() - interval '1 hour', pushed_at = now()",
        "run_at = now() - interval '2 hours', pushed_at = now(), state = 'running', attempts = 1, \
         leased_until = now() + interval '1 hour', lease_token = gen_random_uuid()",
    ] {
        let id = enqueue(&db, None, &Probe::default()).await?;
        db.sql(&format!("UPDATE platform.jobs SET {set} WHERE id = '{}'", id.uuid())).await?;
    }
    let Depth { due, outstanding, oldest_due_seconds } = depth().await?;
    assert_eq!((due, outstanding), (3, 2));
    assert!((3_600..3_660).contains(&oldest_due_seconds), "{oldest_due_seconds}");
    Ok(())
}

#[tokio::test]
async fn a_recurring_job_is_one_row_that_never_ends() -> Result<()> {
    let db = database().await?;
    let machinery = db.db()?;
    let ensure = async |every| {
        let ensure =
            async |tx: &mut _| queue::ensure_recurring::<ApplyRetention>(tx, every, SystemClock.now()).await;
        machinery.platform_write::<_, DbError>(Authority::machinery(), ensure).await
    };
    ensure(Duration::from_hours(1)).await?;
    ensure(Duration::from_hours(1)).await?;
    let filter = JobFilter { kind: Some("keep_house"), ..JobFilter::default() };
    let page = PageRequest { after: None, limit: 10 };
    let list = async |tx: &mut _| queue::list(tx, filter, page).await;
    let rows = machinery.platform_read(Authority::machinery(), list).await?.rows;
    assert_eq!(rows.len(), 1);
    let id = rows[0].id;
    for finishes in [true, false, true] {
        let run = async |tx: &mut _| {
            let claimed = lease::claim(tx, id, KINDS, LEASE).await?.unwrap();
            assert_eq!(claimed.attempts, 1);
            if finishes {
                return lease::finish(tx, id, claimed.token, None).await;
            }
            assert!(lease::fail(tx, id, claimed.token, "no").await?);
            Ok(())
        };
        machinery.platform_write::<_, DbError>(Authority::machinery(), run).await?;
        let row = job(&db, id).await?;
        assert_eq!((row.state, row.finished_at), (JobState::Queued, None));
        assert!(row.run_at > SystemClock.now() + chrono::TimeDelta::minutes(59));
        db.sql("UPDATE platform.jobs SET run_at = now()").await?;
    }
    // A rest is kept even when the period is shorter, and a shorter one changes nothing.
    for (rest, least) in [(Duration::from_hours(3), 179), (Duration::from_secs(1), 59)] {
        let run = async |tx: &mut _| {
            let claimed = lease::claim(tx, id, KINDS, LEASE).await?.unwrap();
            lease::finish(tx, id, claimed.token, None).await?;
            lease::rest(tx, id, rest).await
        };
        machinery.platform_write::<_, DbError>(Authority::machinery(), run).await?;
        assert!(job(&db, id).await?.run_at > SystemClock.now() + chrono::TimeDelta::minutes(least));
        db.sql("UPDATE platform.jobs SET run_at = now()").await?;
    }
    // A shorter period brings the next run forward.
    db.sql("UPDATE platform.jobs SET run_at = now() + interval '1 hour'").await?;
    ensure(Duration::from_secs(5)).await?;
    assert!(job(&db, id).await?.run_at < SystemClock.now() + chrono::TimeDelta::seconds(6));
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_used_names_the_same_job() -> Result<()> {
    let db = database().await?;
    let machinery = db.db()?;
    let ask = async |tenant, key: Option<&str>| {
        let ask =
            async |tx: &mut _| queue::enqueue(tx, &Probe::default(), tenant, key, SystemClock.now()).await;
        machinery.platform_write(Authority::machinery(), ask).await
    };
    let first = ask(None, Some("a")).await?;
    assert_eq!(ask(None, Some("a")).await?, first);
    let others =
        [ask(None, Some("b")).await?, ask(Some(tenant(1)), Some("a")).await?, ask(None, None).await?];
    assert!(!others.contains(&first));
    assert_eq!(db.value("SELECT count(*) FROM platform.jobs").await?, "4");
    Ok(())
}
