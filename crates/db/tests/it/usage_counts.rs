//! What tenants' transactions count is billed exactly once, and only when they are committed.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use bulkhead_db::{
    Authority, Db, DbError, TenantTx,
    gate::usage::count,
    platform::usage::{apply, fold_counts},
};
use bulkhead_domain::{
    Clock as _, PlanName, SystemClock, TenantId,
    metering::{BatchId, MeterKey, MeterName, Quantity, UsageBatch},
};
use bulkhead_fixtures::{Login, TestDb, TestTenant};
use futures::future::{join_all, join3};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::oneshot;
use tokio_postgres::Client;
use uuid::Uuid;

const SENT: MeterName = MeterName::new("invoices_sent");
const PAPER: MeterName = MeterName::new("paper_used");

async fn fold(db: &Db, limit: usize) -> Result<usize, DbError> {
    db.platform_write(Authority::machinery(), async |tx: &mut _| fold_counts(tx, limit).await).await
}

/// A connection that was cut off holds what it had taken until the server has noticed.
async fn fold_everything(db: &TestDb) -> Result<usize> {
    let (pool, mut folded) = (db.db()?, 0);
    let all = async {
        while waiting(db).await? != "0" {
            folded += fold(&pool, 1_000).await?;
        }
        anyhow::Ok(folded)
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.context("counts are left")?
}

async fn counted(db: &Db, tenant: &TestTenant, meter: MeterName, quantity: Quantity) -> Result<(), DbError> {
    db.write(tenant.proven(), async |tx: &mut TenantTx| count(tx, meter, quantity).await).await
}

/// By tenant and meter, in thousandths; the same by hours and by days.
async fn billed(db: &TestDb) -> Result<BTreeMap<(TenantId, String), u128>> {
    let by = async |table: &str| -> Result<BTreeMap<(TenantId, String), u128>> {
        let sql = format!(
            "SELECT tenant_id, meter, (sum(quantity) * 1000)::bigint FROM platform.{table} GROUP BY 1, 2"
        );
        let mut sums = BTreeMap::new();
        for row in db.sql(&sql).await? {
            let [Some(tenant), Some(meter), Some(milli)] = row.as_slice() else { anyhow::bail!("{row:?}") };
            sums.insert((TenantId::from_uuid(tenant.parse::<Uuid>()?), meter.clone()), milli.parse()?);
        }
        Ok(sums)
    };
    let (hours, days) = (by("usage_hours").await?, by("usage_days").await?);
    assert_eq!(hours, days);
    Ok(hours)
}

async fn waiting(db: &TestDb) -> Result<String> {
    db.value("SELECT count(*) FROM platform.usage_counts").await
}

#[tokio::test]
async fn what_is_committed_is_billed_once_and_what_is_rolled_back_is_not() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let pool = db.db()?;
    let [two, hundred] = [2, 100].map(|units| Quantity::whole(units).unwrap());
    counted(&pool, &tenant, SENT, two).await?;
    counted(&pool, &tenant, SENT, Quantity::ONE).await?;
    counted(&pool, &tenant, PAPER, Quantity::thousandths(1)?).await?;
    let given_up = pool
        .write::<(), DbError>(tenant.proven(), async |tx: &mut TenantTx| {
            count(tx, SENT, hundred).await?;
            Err(DbError::Aborted)
        })
        .await;
    assert!(matches!(given_up, Err(DbError::Aborted)));
    let read =
        pool.read::<_, DbError>(tenant.proven(), async |tx: &mut TenantTx| count(tx, SENT, hundred).await);
    assert!(matches!(read.await, Err(DbError::Denied(_))), "a transaction that reads counts nothing");
    assert_eq!((waiting(&db).await?.as_str(), billed(&db).await?.len()), ("3", 0));

    // A fold that is rolled back, and one whose worker dies before it has committed.
    let undone = pool
        .platform_write::<(), DbError>(Authority::machinery(), async |tx: &mut _| {
            assert_eq!(fold_counts(tx, 100).await?, 3);
            Err(DbError::Aborted)
        })
        .await;
    assert!(matches!(undone, Err(DbError::Aborted)));
    let dies = pool.platform_write::<(), DbError>(Authority::machinery(), async |tx: &mut _| {
        fold_counts(tx, 100).await?;
        std::future::pending().await
    });
    assert!(tokio::time::timeout(Duration::from_millis(500), dies).await.is_err());
    assert_eq!(billed(&db).await?.len(), 0);

    assert_eq!(fold_everything(&db).await?, 3);
    let sums = [((tenant.id, "invoices_sent".to_owned()), 3_000), ((tenant.id, "paper_used".to_owned()), 1)];
    assert_eq!(billed(&db).await?, BTreeMap::from(sums.clone()));
    assert_eq!(fold_everything(&db).await?, 0);
    assert_eq!(billed(&db).await?, BTreeMap::from(sums));
    Ok(())
}

/// Waits until a statement of this database waits for a lock.
async fn somebody_waits(db: &TestDb) -> Result<()> {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting = async {
        while db.value(waits).await? != "1" {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.context("no transaction waits")?
}

/// The second takes what the first has not taken, and adds it when the first has ended, whichever way.
#[tokio::test]
async fn two_folds_at_once_move_different_counts() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    let pool = db.db()?;
    for (first_commits, left) in [(true, 0), (false, 4)] {
        for _ in 0..10 {
            counted(&pool, &tenant, SENT, Quantity::ONE).await?;
        }
        let ((tell, told), (allow, allowed)) = (oneshot::channel(), oneshot::channel());
        let first = async {
            let work = async |tx: &mut _| {
                let moved = fold_counts(tx, 4).await?;
                tell.send(()).unwrap();
                allowed.await.unwrap();
                if first_commits { Ok(moved) } else { Err(DbError::Aborted) }
            };
            pool.platform_write(Authority::machinery(), work).await
        };
        let other = db.db()?;
        let second = async {
            told.await.unwrap();
            fold(&other, 100).await
        };
        let judge = async {
            somebody_waits(&db).await?;
            allow.send(()).unwrap();
            anyhow::Ok(())
        };
        let (first, second, judged) = join3(first, second, judge).await;
        judged?;
        assert_eq!((first.ok(), second?), (first_commits.then_some(4), 6));
        assert_eq!(fold_everything(&db).await?, left);
    }
    assert_eq!(billed(&db).await?, BTreeMap::from([((tenant.id, SENT.to_string()), 20_000)]));
    Ok(())
}

fn either<T>(rng: &mut StdRng, one: T, other: T) -> T {
    if rng.random_bool(0.5) { one } else { other }
}

/// One batch of requests' quantities, of the same tenants, meters and hours.
fn batch(rng: &mut StdRng, a: &TestTenant, b: &TestTenant, minute: u32) -> UsageBatch {
    let quantity = |rng: &mut StdRng| {
        let (tenant, meter) = (either(rng, a, b).id, either(rng, SENT, PAPER).into());
        (MeterKey { tenant, meter, minute }, rng.random_range(1..5_000))
    };
    let quantities = (0..rng.random_range(1..6)).map(|_| quantity(rng)).collect::<BTreeMap<_, _>>();
    let id = BatchId { recorder_id: Uuid::now_v7(), seq: 1 };
    UsageBatch { id, node: "n".to_owned(), entries: vec![], quantities: quantities.into_iter().collect() }
}

/// Folds of any size, some of which are cut off.
async fn fold_at_random(pool: &Db, rng: &mut StdRng) -> Result<(), DbError> {
    for _ in 0..40 {
        let limit = rng.random_range(1..20);
        if rng.random_bool(0.3) {
            // Whether it was moved is not known, and need not be.
            let patience = Duration::from_micros(rng.random_range(0..6_000));
            drop(tokio::time::timeout(patience, fold(pool, limit)).await);
        } else {
            fold(pool, limit).await?;
        }
    }
    Ok(())
}

/// Transactions that count, some of which are rolled back; folds of any size, some of which are cut off; batches of nodes.
#[tokio::test]
async fn any_interleaving_comes_to_what_was_committed() -> Result<()> {
    for seed in 0..4 {
        let db = TestDb::new().await?;
        let a = db.create_tenant("alpha", PlanName::FREE).await?;
        let b = db.create_tenant("beta", PlanName::FREE).await?;
        let minute = u32::try_from(SystemClock.now().timestamp() / 60)?;
        let expected = RefCell::new(BTreeMap::<(TenantId, String), u128>::new());
        let expect = |tenant: TenantId, meter: &str, milli: u128| {
            *expected.borrow_mut().entry((tenant, meter.to_owned())).or_default() += milli;
        };
        let counter = |n: u64| {
            let (pool, mut rng) = (db.db().unwrap(), StdRng::seed_from_u64(seed * 100 + n));
            let (a, b, expect) = (&a, &b, &expect);
            async move {
                for _ in 0..40 {
                    let (tenant, meter) = (either(&mut rng, a, b), either(&mut rng, SENT, PAPER));
                    let milli = rng.random_range(1..5) * if meter == SENT { 1_000 } else { 1 };
                    let commits = rng.random_bool(0.7);
                    let work = async |tx: &mut TenantTx| {
                        count(tx, meter, Quantity::thousandths(milli).unwrap()).await?;
                        if commits { Ok(()) } else { Err(DbError::Aborted) }
                    };
                    let outcome: Result<(), DbError> = pool.write(tenant.proven(), work).await;
                    assert_eq!(outcome.is_ok(), commits);
                    if commits {
                        expect(tenant.id, meter.as_str(), milli.into());
                    }
                }
            }
        };
        let folder = |n: u64| {
            let (pool, mut rng) = (db.db().unwrap(), StdRng::seed_from_u64(seed * 100 + 10 + n));
            async move { fold_at_random(&pool, &mut rng).await.unwrap() }
        };
        let node = async {
            let (pool, mut rng) = (db.db().unwrap(), StdRng::seed_from_u64(seed * 100 + 20));
            for _ in 0..40 {
                let batch = batch(&mut rng, &a, &b, minute);
                let work = async |tx: &mut _| apply(tx, [&batch]).await;
                pool.platform_write::<_, DbError>(Authority::machinery(), work).await.unwrap();
                for (key, milli) in &batch.quantities {
                    expect(key.tenant, key.meter.as_str(), *milli);
                }
            }
        };
        let (counters, folders) = (join_all((0..3).map(counter)), join_all((0..2).map(folder)));
        join3(counters, folders, node).await;
        fold_everything(&db).await?;
        assert_eq!(billed(&db).await?, expected.into_inner(), "seed {seed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_count_is_billed_in_the_hour_and_on_the_day_of_its_transaction() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    db.sql(&format!(
        "INSERT INTO platform.usage_counts (tenant_id, meter, at, quantity) \
         SELECT '{}', 'invoices_sent', at::timestamptz, 1 FROM unnest(ARRAY[ \
             '2026-11-27T22:59:59.999999Z', '2026-11-27T23:00:00Z', '2026-11-27T23:59:59.999999Z', '2026-11-28T00:00:00Z']) AS at",
        tenant.id.uuid()
    ))
    .await?;
    counted(&db.db()?, &tenant, SENT, Quantity::ONE).await?;
    assert_eq!(fold_everything(&db).await?, 5);
    let rows = async |sql: &str| -> Result<Vec<String>> {
        Ok(db.sql(&format!("SET TimeZone = 'UTC'; {sql}")).await?.into_iter().flatten().flatten().collect())
    };
    let old = "FROM platform.usage_";
    let hours = format!(
        "SELECT to_char(hour, 'DD HH24') || ' ' || quantity {old}hours WHERE hour < '2026-11-28T01:00:00Z' ORDER BY hour"
    );
    assert_eq!(rows(&hours).await?, ["27 22 1", "27 23 2", "28 00 1"]);
    let days = format!("SELECT to_char(day, 'DD') || ' ' || quantity {old}days WHERE day = '2026-11-27'");
    assert_eq!(rows(&days).await?, ["27 3"]);
    // Today's hour is that of the database's clock.
    let now = db.value(
        "SELECT count(*) FROM platform.usage_hours WHERE hour > now() - interval '2 hours' AND hour <= now()",
    );
    assert_eq!(now.await?, "1");
    Ok(())
}

async fn refusal(client: &Client, sql: &str) -> Result<String> {
    let error = client.batch_execute(sql).await.err().with_context(|| format!("{sql} was allowed"))?;
    Ok(error.as_db_error().context("refused by the server")?.message().to_owned())
}

#[tokio::test]
async fn the_database_refuses_what_is_no_meter_and_no_quantity() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    db.sql("INSERT INTO platform.meters VALUES ('invoices_sent', 'invoice', 'count')").await?;
    let client = db.session(Login::Tenant).await?;
    client.batch_execute(&format!("SET ROLE {0}; SET search_path = {0}", tenant.schema())).await?;
    let quantity = "a quantity is more than 0 and at most 1000000000000, to the thousandth";
    for bad in [
        "0",
        "-1",
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "1000000000000.001",
        "1e40",
        "0.0001",
        "1.5005",
        "NULL",
    ] {
        let call = format!("SELECT gate.count_usage('nobodys', {bad})");
        assert_eq!(refusal(&client, &call).await?, quantity, "{bad}");
    }
    let name = "a meter's name is a to z, then a to z, 0 to 9 and _, at most 63 in all";
    let long = format!("'{}'", "a".repeat(64));
    for bad in ["''", "'A'", "'1a'", "'a b'", "E'a\\n'", "'é'", "NULL", long.as_str()] {
        assert_eq!(refusal(&client, &format!("SELECT gate.count_usage({bad}, 1)")).await?, name, "{bad}");
    }
    let half = "SELECT gate.count_usage('invoices_sent', 1.5)";
    assert_eq!(refusal(&client, half).await?, "the meter invoices_sent counts whole things");
    // The same through the front door.
    let refused = counted(&db.db()?, &tenant, SENT, Quantity::thousandths(1_500)?).await;
    assert!(
        matches!(&refused, Err(DbError::Query(error)) if error.to_string().contains("whole things")),
        "{refused:?}"
    );
    assert_eq!(waiting(&db).await?, "0");
    for good in ["1000000000000", "0.001", "1.500"] {
        client.batch_execute(&format!("SELECT gate.count_usage('{}', {good})", "a".repeat(63))).await?;
    }
    client.batch_execute("SELECT gate.count_usage('invoices_sent', 2.000)").await?;
    assert_eq!(waiting(&db).await?, "4");

    // No role writes a count but through the gate, and a tenant reads none.
    let insert =
        "INSERT INTO platform.usage_counts (tenant_id, meter, quantity) VALUES (gen_random_uuid(), 'm', 1)";
    assert!(refusal(&client, insert).await?.starts_with("permission denied"));
    assert!(refusal(&client, "SELECT FROM platform.usage_counts").await?.starts_with("permission denied"));
    let platform = db.session(Login::Platform).await?;
    platform.batch_execute("SET ROLE bulkhead_platform_rw").await?;
    assert!(refusal(&platform, insert).await?.starts_with("permission denied"));
    let more = "UPDATE platform.usage_counts SET quantity = 2";
    assert!(refusal(&platform, more).await?.starts_with("permission denied"));
    // Not even its owner writes one that could not be added up.
    for bad in ["'m', 'NaN'", "'m', 0", "'m', 0.0001", "'M', 1"] {
        let insert = format!(
            "INSERT INTO platform.usage_counts (tenant_id, meter, quantity) VALUES (gen_random_uuid(), {bad})"
        );
        assert!(db.sql(&insert).await.is_err(), "{bad}");
    }
    Ok(())
}

/// What comes before the migration would never add up what is waiting.
#[tokio::test]
async fn counts_that_wait_are_not_taken_back() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    counted(&db.db()?, &tenant, SENT, Quantity::ONE).await?;
    let down = include_str!("../../../../migrations/platform/2026-11-28-000005_meters/down.sql");
    // The way back of a program drops all of gate first.
    let down = format!("SET ROLE bulkhead_owner; SET search_path = platform; DROP VIEW gate.meters; {down}");
    let owner = db.session(Login::Admin).await?;
    assert!(refusal(&owner, &down).await?.starts_with("usage was counted that is not in the rollups yet"));
    assert_eq!(fold_everything(&db).await?, 1);
    db.session(Login::Admin).await?.batch_execute(&down).await?;
    Ok(())
}

/// The largest sums that a fold can meet.
#[tokio::test]
async fn as_many_as_fit_of_the_largest_add_up() -> Result<()> {
    let db = TestDb::new().await?;
    db.sql(
        "INSERT INTO platform.usage_counts (tenant_id, meter, quantity) \
         SELECT '00000000-0000-0000-0000-000000000001', 'm', 1000000000000 FROM generate_series(1, 20000)",
    )
    .await?;
    assert_eq!(fold(&db.db()?, 20_000).await?, 20_000);
    assert_eq!(db.value("SELECT quantity FROM platform.usage_days").await?, "20000000000000000");
    Ok(())
}
