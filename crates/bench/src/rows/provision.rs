//! Goal 5: what a new tenant costs.

use std::fmt::Write as _;

use anyhow::Result;
use bulkhead_db::fleet::migrate::{CORE, RESOURCES};
use bulkhead_domain::{Clock as _, SchemaName, SystemClock, TenantId};

use super::Effort;
use crate::{
    report::{Better, Row},
    slices::{compare, quantile},
    stage::Stage,
    tools::{psql, script},
};

/// Tenants built in a slice.
const AT_ONCE: usize = 25;
/// Tenants that there are where the first ones are built.
pub(crate) const FEW: usize = 100;
/// Sign-ups for each pair of slices.
const SIGN_UPS: usize = 25;

/// `5a`: building schemas, beside the same statements by psql. `5b`: whether it takes longer where there are many than on a stage
/// with [`FEW`], in turns: the machine changes more while thousands are built than what is looked for.
/// `5c`: what a sign-up costs when nothing has to be built. The job's way through the queue is not in it.
pub(crate) async fn provisioning(stage: &Stage, few: Option<&Stage>, effort: Effort) -> Result<Vec<Row>> {
    let admin = stage.db.admin_url();
    let dir = stage.scratch().to_owned();
    let compared = compare(
        effort.pairs,
        async || Ok(stage.build_more(AT_ONCE).await? / AT_ONCE as f64 * 1e3),
        async || {
            let path = script(&dir, "schemas.sql", &statements(AT_ONCE))?;
            Ok(psql(&admin, &path)? / AT_ONCE as f64 * 1e3)
        },
    )
    .await?;
    let what = "building a tenant / the same DDL by psql";
    let mut rows = vec![Row::compared("5a", what, &compared, (Better::Less, 1.3, 1.1), "ms")];
    if let Some(few) = few {
        let of = async |stage: &Stage| Ok(stage.build_more(AT_ONCE).await? / AT_ONCE as f64 * 1e3);
        let compared = compare(effort.pairs, async || of(stage).await, async || of(few).await).await?;
        let what = format!("building a tenant beside {} others / beside {FEW}", stage.tenants.len());
        rows.push(Row::compared("5b", &what, &compared, (Better::Less, 1.3, 1.15), "ms"));
    }
    let seconds = stage.sign_up(SIGN_UPS * effort.pairs).await?;
    let [median, slow] = [0.5, 0.99].map(|part| quantile(&seconds, part) * 1e3);
    let detail = format!("median {median:.1} ms, of {} sign-ups", seconds.len());
    let what = "p99 of a sign-up for a schema that was built ahead, in ms";
    rows.push(Row::figure("5c", what, (slow, slow, slow), (Better::Less, 50.0, 20.0), detail));
    Ok(rows)
}

/// Schemas that belong to no tenant, as statements for psql: a role, a schema, what is in it, one transaction each.
fn statements(schemas: usize) -> String {
    let mut sql = String::new();
    for _ in 0..schemas {
        let name = SchemaName::of(TenantId::mint(SystemClock.now()));
        let _: std::fmt::Result = writeln!(
            sql,
            "BEGIN; CREATE ROLE {name} NOLOGIN; GRANT bulkhead_tenants TO {name}; GRANT {name} TO bulkhead_tenant; \
             CREATE SCHEMA {name} AUTHORIZATION bulkhead_owner; GRANT USAGE ON SCHEMA {name} TO {name}; \
             SET LOCAL ROLE bulkhead_owner; SET LOCAL search_path = {name};"
        );
        for migration in CORE.tenant().iter().chain(RESOURCES.tenant()) {
            sql.push_str(&migration.up().replace(":\"tenant\"", name.as_str()));
        }
        sql.push_str("\nCOMMIT;\n");
    }
    sql
}
