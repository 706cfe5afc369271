//! What tenants used, added up for bills: of one, and of all page by page.

use bigdecimal::BigDecimal;
use bulkhead_domain::TenantId;
use chrono::NaiveDate;
use diesel::{
    dsl::sum,
    prelude::*,
    sql_types::{BigInt, Date, Nullable, Numeric, Text, Uuid as SqlUuid},
};
use uuid::Uuid;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    gate::usage::MeterTotal,
    schema::platform::{meters, usage_days},
};

/// What one tenant used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTotals {
    /// Its id.
    pub tenant: TenantId,
    /// The name it is known by outside, or was before it was purged.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// How much of what; a meter that was not used is missing.
    pub quantities: Vec<MeterTotal>,
}

#[derive(QueryableByName)]
struct UsageRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    meter: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    unit: Option<String>,
    #[diesel(sql_type = Nullable<Numeric>)]
    quantity: Option<BigDecimal>,
}

/// What a tenant used on the days from `from` up to, not including, `until`.
pub async fn totals(
    tx: &mut PlatformTx,
    tenant: TenantId,
    from: NaiveDate,
    until: NaiveDate,
) -> DbResult<Vec<MeterTotal>> {
    let query = usage_days::table
        .left_join(meters::table.on(meters::name.eq(usage_days::meter)))
        .filter(usage_days::tenant_id.eq(tenant.uuid()))
        .filter(usage_days::day.ge(from))
        .filter(usage_days::day.lt(until))
        .group_by((usage_days::meter, meters::unit))
        .order(usage_days::meter.asc())
        .select((usage_days::meter, meters::unit.nullable(), sum(usage_days::quantity)));
    Ok(tx.tx.load(query).await?.into_iter().map(MeterTotal::of).collect())
}

/// What every tenant used on the days from `from` up to, not including, `until`: one page of tenants, in the order of
/// their ids. A tenant that used nothing is listed without quantities. All usage is some tenant's in the list: the row of a
/// tenant is never removed, not even when the tenant is purged.
pub async fn totals_of_all(
    tx: &mut PlatformTx,
    from: NaiveDate,
    until: NaiveDate,
    page: PageRequest,
) -> DbResult<Page<TenantTotals>> {
    let query = diesel::sql_query(include_str!("totals_of_all.sql"))
        .bind::<SqlUuid, _>(page.after.unwrap_or(Uuid::nil()))
        .bind::<BigInt, _>(page.probe())
        .bind::<Date, _>(from)
        .bind::<Date, _>(until);
    Ok(Page::cut(grouped(tx.tx.load(query).await?), page))
}

/// Gathers the lines of each tenant; the rows come in the tenants' order.
fn grouped(rows: Vec<UsageRow>) -> Vec<TenantTotals> {
    let mut reports: Vec<TenantTotals> = Vec::new();
    for row in rows {
        let tenant = TenantId::from_uuid(row.id);
        if reports.last().is_none_or(|report| report.tenant != tenant) {
            reports.push(TenantTotals { tenant, slug: row.slug, name: row.name, quantities: Vec::new() });
        }
        if let (Some(report), Some(meter)) = (reports.last_mut(), row.meter) {
            report.quantities.push(MeterTotal::of((meter, row.unit, row.quantity)));
        }
    }
    reports
}
