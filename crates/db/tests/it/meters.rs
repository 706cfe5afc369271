//! Meters that programs declare, and those that they do not know.

use anyhow::Result;
use bigdecimal::BigDecimal;
use bulkhead_db::{
    Authority, DbError, PageRequest,
    fleet::meters,
    gate::usage::{self, MeterTotal},
    platform,
};
use bulkhead_domain::{PlanName, metering::MeterRegistry};
use bulkhead_fixtures::{TestDb, TestTenant};
use chrono::{DateTime, NaiveDate, Utc};

mod sending {
    bulkhead_domain::meters! {
        /// Invoices.
        pub(crate) SENT = "invoices_sent", "invoice";
        /// Paper.
        pub(crate) PAPER = "paper_used", "metre", Amount;
    }
}

mod sending_later {
    bulkhead_domain::meters! {
        /// Paper, counted otherwise.
        pub(crate) PAPER = "paper_used", "sheet";
    }
}

async fn declared(db: &TestDb) -> Result<Vec<String>> {
    let rows = db.sql("SELECT name || ' ' || unit || ' ' || kind FROM platform.meters ORDER BY name").await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

#[tokio::test]
async fn declared_meters_are_written_down_and_none_is_removed() -> Result<()> {
    let db = TestDb::new().await?;
    let core = [
        "api_requests request count",
        "compute_ms millisecond amount",
        "egress_bytes byte count",
        "ingress_bytes byte count",
    ];
    assert_eq!(declared(&db).await?, core);
    let owner = db.owner()?;
    let with = |list| MeterRegistry::new([("sending", list)]);
    for _ in 0..2 {
        meters::declare(&owner, &with(sending::METERS)?).await?;
        let more = ["invoices_sent invoice count", "paper_used metre amount"];
        assert_eq!(declared(&db).await?, [&core[..], &more[..]].concat());
    }
    // Another release, and after it one without the part.
    meters::declare(&owner, &with(sending_later::METERS)?).await?;
    meters::declare(&owner, &MeterRegistry::core()).await?;
    let more = ["invoices_sent invoice count", "paper_used sheet count"];
    assert_eq!(declared(&db).await?, [&core[..], &more[..]].concat());
    Ok(())
}

fn total(meter: &str, unit: &str, thousandths: i32) -> MeterTotal {
    let quantity = BigDecimal::new(thousandths.into(), 3);
    MeterTotal { meter: meter.to_owned(), unit: unit.to_owned(), quantity }
}

/// A tenant with usage of a meter that is declared, of one that only another program declares, and of two that none does, one
/// of them in a form that no program has written.
async fn with_unknown_meters(db: &TestDb) -> Result<TestTenant> {
    let tenant = db.create_tenant("acme", PlanName::FREE).await?;
    db.sql(&format!(
        "INSERT INTO platform.meters VALUES ('invoices_sent', 'invoice', 'count'); \
         INSERT INTO platform.usage_hours \
         SELECT '{0}', meter, '2020-02-03T04:00:00Z', quantity \
         FROM (VALUES ('api_requests', 2), ('invoices_sent', 3.5), ('nobodys', 4), ('=Not; a meter', 5)) \
             AS used (meter, quantity); \
         INSERT INTO platform.usage_days SELECT tenant_id, meter, '2020-02-03', quantity FROM platform.usage_hours",
        tenant.id.uuid()
    ))
    .await?;
    Ok(tenant)
}

fn shown() -> Vec<MeterTotal> {
    vec![
        total("=Not; a meter", "", 5_000),
        total("api_requests", "request", 2_000),
        total("invoices_sent", "invoice", 3_500),
        total("nobodys", "", 4_000),
    ]
}

fn sorted(mut totals: Vec<MeterTotal>) -> Vec<MeterTotal> {
    totals.sort_by(|a, b| a.meter.cmp(&b.meter));
    totals
}

#[tokio::test]
async fn a_tenant_sees_meters_that_no_program_knows() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = with_unknown_meters(&db).await?;
    let (first, until) =
        (NaiveDate::from_ymd_opt(2020, 2, 1).unwrap(), NaiveDate::from_ymd_opt(2020, 3, 1).unwrap());
    let pool = db.db()?;
    let totals = async |tx: &mut _| usage::totals(tx, first, until).await;
    assert_eq!(sorted(pool.read::<_, DbError>(tenant.proven(), totals).await?), shown());
    let midnight = |day: NaiveDate| -> DateTime<Utc> { day.and_time(chrono::NaiveTime::MIN).and_utc() };
    let hours = async |tx: &mut _| usage::hours(tx, None, midnight(first), midnight(until)).await;
    let hours = pool.read::<_, DbError>(tenant.proven(), hours).await?;
    assert!(hours.iter().all(|bucket| bucket.start.to_rfc3339() == "2020-02-03T04:00:00+00:00"));
    assert_eq!(sorted(hours.into_iter().map(|bucket| bucket.total).collect()), shown());
    let days = async |tx: &mut _| usage::days(tx, None, first, until).await;
    let days = pool.read::<_, DbError>(tenant.proven(), days).await?;
    assert_eq!(sorted(days.into_iter().map(|bucket| bucket.total).collect()), shown());
    let one = async |tx: &mut _| usage::days(tx, Some(sending::SENT), first, until).await;
    let one = pool.read::<_, DbError>(tenant.proven(), one).await?;
    assert_eq!(
        one.into_iter().map(|bucket| bucket.total).collect::<Vec<_>>(),
        [total("invoices_sent", "invoice", 3_500)]
    );
    Ok(())
}

#[tokio::test]
async fn operators_see_meters_that_no_program_knows() -> Result<()> {
    let db = TestDb::new().await?;
    let tenant = with_unknown_meters(&db).await?;
    let idle = db.sign_up("idle", PlanName::FREE).await?;
    let (first, until) =
        (NaiveDate::from_ymd_opt(2020, 2, 1).unwrap(), NaiveDate::from_ymd_opt(2020, 3, 1).unwrap());
    let read = async |tx: &mut _| {
        let one = platform::usage::totals(tx, tenant.id, first, until).await?;
        let page = PageRequest { after: None, limit: 10 };
        Ok::<_, DbError>((one, platform::usage::totals_of_all(tx, first, until, page).await?))
    };
    let (one, all) = db.db()?.platform_read(Authority::machinery(), read).await?;
    assert_eq!(sorted(one), shown());
    let all: Vec<_> = all.rows.into_iter().map(|row| (row.tenant, sorted(row.quantities))).collect();
    assert_eq!(all, [(tenant.id, shown()), (idle.id, vec![])]);
    Ok(())
}
