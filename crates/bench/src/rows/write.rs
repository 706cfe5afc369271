//! Goal 2: making a resource with everything on, beside pgbench doing the same two inserts in one transaction.

use anyhow::Result;

use super::Effort;
use crate::{
    mix::{Mix, Request, wrk_script},
    report::{Better, Row},
    slices::compare,
    stage::Stage,
    tools::{pgbench, script, wrk},
};

/// `2`: requests per second.
pub(crate) async fn write(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    let sequence = Mix::Zipf.sequence(stage.tenants.len());
    let full = script(stage.scratch(), "write.lua", &wrk_script(&stage.tenants, &sequence, Request::Write))?;
    let Some(tenant) = stage.tenants.first() else { return Ok(Vec::new()) };
    let schema = &tenant.schema;
    let inserts = format!(
        "BEGIN;\n\
         INSERT INTO {schema}.resources (id, name, kind, data, owner, created_at, updated_at) \
         VALUES (gen_random_uuid(), 'A resource', 'document', '{{\"pages\": 12}}', 'bench', now(), now()) \
         RETURNING id, name, kind, data, owner, version, created_at, updated_at;\n\
         INSERT INTO {schema}.audit_log (id, at, actor, action, target, request_id, changes) \
         VALUES (gen_random_uuid(), now(), 'bench', 'create_resource', 'bench', 'bench', '{{\"name\": \"A resource\"}}');\n\
         COMMIT;\n"
    );
    let limit = script(stage.scratch(), "write.sql", &inserts)?;
    let admin = stage.db.admin_url();
    let compared = compare(
        effort.pairs,
        async || Ok(wrk(&stage.url(), &full, effort.slice)?.per_second),
        async || Ok(pgbench(&admin, &limit, effort.slice)?.per_second),
    )
    .await?;
    let what = "full write (insert and audit row) / pgbench's two inserts in one transaction";
    Ok(vec![Row::compared("2", what, &compared, (Better::More, 0.30, 0.45), "requests/s")])
}
