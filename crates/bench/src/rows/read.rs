//! Goal 1: reading one resource with everything on, beside pgbench reading the same.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::Effort;
use crate::{
    cpu::costed,
    mix::{Mix, Request, wrk_script},
    report::{Better, Row},
    slices::{Compared, compare, quantile},
    stage::Stage,
    tools::{pgbench, script, wrk},
};

/// `1a` requests per second, `1b` processor time for each.
pub(crate) async fn read(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    let sequence = Mix::Zipf.sequence(stage.tenants.len());
    let full = script(stage.scratch(), "read.lua", &wrk_script(&stage.tenants, &sequence, Request::Read))?;
    let plain = script(stage.scratch(), "plain.lua", &wrk_script(&stage.tenants, &[0], Request::Plain))?;
    let fixed = limit(stage)?;
    let admin = stage.db.admin_url();

    let servers = stage.servers(stage.api_pid());
    let (mut ours_cpu, mut limit_cpu) = (Vec::new(), Vec::new());
    let compared = compare(
        effort.pairs,
        async || {
            let (load, micros) = costed(&servers, || wrk(&stage.url(), &full, effort.slice))?;
            ours_cpu.push(micros);
            Ok(load.per_second)
        },
        async || {
            let (load, micros) = costed(&servers, || pgbench(&admin, &fixed, effort.slice))?;
            limit_cpu.push(micros);
            Ok(load.per_second)
        },
    )
    .await?;
    let (_, plain_micros) = costed(&servers, || wrk(&stage.url(), &plain, effort.slice))?;
    let (ours, database) = (quantile(&ours_cpu, 0.5), quantile(&limit_cpu, 0.5));
    let floor = plain_micros + database;
    let ratios: Vec<f64> = ours_cpu.iter().map(|micros| micros / floor).collect();
    Ok(vec![
        row(&compared),
        Row::figure(
            "1b",
            "processor time of a full read / (plain HTTP route + pgbench read)",
            (ours / floor, quantile(&ratios, 0.05), quantile(&ratios, 0.95)),
            (Better::Less, 3.0, 1.8),
            format!("{ours:.0} µs beside {plain_micros:.0} + {database:.0} µs"),
        ),
    ])
}

/// What pgbench does in place of the product: the read of one tenant's resource, for as long as it runs.
pub(super) fn limit(stage: &Stage) -> Result<PathBuf> {
    let tenant = stage.tenants.first().context("there is no tenant to read from")?;
    let select = format!(
        "SELECT id, name, kind, data, owner, version, created_at, updated_at FROM {}.resources WHERE id = '{}';\n",
        tenant.schema, tenant.resource
    );
    script(stage.scratch(), "read.sql", &select)
}

fn row(compared: &Compared) -> Row {
    let what = "full read / pgbench's prepared read, same connections, Zipf";
    Row::compared("1a", what, compared, (Better::More, 0.20, 0.30), "requests/s")
}
