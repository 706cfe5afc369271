//! Goal 10: how evenly people are served.

use anyhow::Result;

use super::{Effort, read::limit};
use crate::{
    report::{Better, Row},
    slices::quantile,
    stage::Stage,
    tools::{oha, pgbench, pgbench_latency},
};

/// The part of the most that it can do.
const LOAD: f64 = 0.6;

/// `10`: the slowest hundredth by the median, at a fixed rate.
pub(crate) fn latency(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    let Some(tenant) = stage.tenants.first() else { return Ok(Vec::new()) };
    let url = stage.url() + &tenant.path;
    // The tool shares the machine, so the most is what this tool can get.
    let most = oha(&url, &tenant.key, None, effort.slice * 2)?.per_second;
    let slices = (0..effort.pairs)
        .map(|_| oha(&url, &tenant.key, Some(most * LOAD), effort.slice * 2))
        .collect::<Result<Vec<_>>>()?;
    // The same of PostgreSQL alone: how much of the slow answers is the doing of this machine, whichever server gives
    // them.
    let (admin, read) = (stage.db.admin_url(), limit(stage)?);
    let bare_most = pgbench(&admin, &read, effort.slice)?.per_second;
    let bare = (0..effort.pairs)
        .map(|_| pgbench_latency(&admin, &read, bare_most * LOAD, effort.slice * 2, stage.scratch()))
        .collect::<Result<Vec<_>>>()?;
    let bare: Vec<f64> = bare.iter().map(|slice| slice.p99 / slice.p50).collect();
    let plain = oha(&(stage.url() + "/livez"), &tenant.key, Some(most * LOAD), effort.slice * 2)?;
    let ratios: Vec<f64> = slices.iter().map(|slice| slice.p99 / slice.p50).collect();
    let of =
        |pick: fn(&crate::tools::Latency) -> f64| quantile(&slices.iter().map(pick).collect::<Vec<_>>(), 0.5);
    let detail = format!(
        "p50 {:.2} ms, p99 {:.2} ms at {:.0} of {most:.0} requests/s; the plain HTTP route at that rate: {:.1}; \
         pgbench's read alone at 60 % of its own maximum: {:.1}",
        of(|slice| slice.p50),
        of(|slice| slice.p99),
        most * LOAD,
        plain.p99 / plain.p50,
        quantile(&bare, 0.5)
    );
    let figure = (quantile(&ratios, 0.5), quantile(&ratios, 0.05), quantile(&ratios, 0.95));
    let what = "p99 / p50 at 60 % of its own maximum, open loop";
    Ok(vec![Row::figure("10", what, figure, (Better::Less, 5.0, 3.0), detail)])
}
