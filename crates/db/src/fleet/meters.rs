//! The meters that programs declare, as the database knows them.
//!
//! Owns the rows of `platform.meters`, from which every program reads the units of meters that it does not declare itself.
//! Refuses to remove any: what was counted is billed under its name for as long as it is kept.

use bulkhead_domain::metering::{MeterDef, MeterRegistry};
use diesel::sql_types::{Array, Text};

use crate::engine::{
    error::DbResult,
    scope::{Owner, OwnerTx},
};

/// Writes down the meters of a program, and changes unit and kind of those that are there. Doing it again changes nothing.
/// The platform's set must have been migrated.
pub async fn declare(owner: &Owner, meters: &MeterRegistry) -> DbResult<()> {
    let mut meters: Vec<&MeterDef> = meters.all().iter().collect();
    // Two programs that declare at once lock rows in the same order.
    meters.sort_unstable_by_key(|meter| meter.name());
    let (names, rest): (Vec<&str>, Vec<(&str, &str)>) = meters
        .into_iter()
        .map(|meter| (meter.name().as_str(), (meter.unit(), meter.kind().as_str())))
        .unzip();
    let (units, kinds): (Vec<&str>, Vec<&str>) = rest.into_iter().unzip();
    let write = async |tx: &mut OwnerTx| {
        let statement = diesel::sql_query(
            "INSERT INTO meters AS old (name, unit, kind) SELECT * FROM unnest($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET unit = excluded.unit, kind = excluded.kind \
             WHERE (old.unit, old.kind) <> (excluded.unit, excluded.kind)",
        )
        .bind::<Array<Text>, _>(names)
        .bind::<Array<Text>, _>(units)
        .bind::<Array<Text>, _>(kinds);
        tx.tx.execute(statement).await
    };
    owner.write(write).await.map(drop)
}
