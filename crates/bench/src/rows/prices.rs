//! Goal 7, and what each step of a request costs: the same route with and without it, side by side.

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::Effort;
use crate::{
    cpu::costed,
    mix::{Mix, Request, wrk_script},
    report::{Better, Price, Row},
    slices::compare,
    stage::{Api, Program, QUIET, Stage},
    tools::{script, wrk},
};

/// `7`: requests per second with and without metering, the answer waiting for the flush. `program` is a build that can leave
/// it out.
pub(crate) async fn metering(stage: &Stage, effort: Effort, program: &Path) -> Result<Vec<Row>> {
    let on = stage.serve_beside(Program { path: program, without: "", log: QUIET }).await?;
    let off = stage.serve_beside(Program { path: program, without: "metering", log: QUIET }).await?;
    let order = Mix::Zipf.sequence(stage.tenants.len());
    let path = script(stage.scratch(), "metering.lua", &wrk_script(&stage.tenants, &order, Request::Read))?;
    for api in [&on, &off] {
        wrk(&api.url(), &path, effort.slice * 2)?;
    }
    let rate = |url: String| Ok(wrk(&url, &path, effort.slice)?.per_second);
    let compared = compare(effort.pairs, async || rate(on.url()), async || rate(off.url())).await?;
    let what = "metering on / off";
    Ok(vec![Row::compared("7", what, &compared, (Better::More, 0.80, 0.90), "requests/s")])
}

/// What each step costs, of one tenant's reads.
pub(crate) async fn steps(stage: &Stage, effort: Effort, program: &Path) -> Result<Vec<Price>> {
    let Some(tenant) = stage.tenants.first() else { return Ok(Vec::new()) };
    let path = script(stage.scratch(), "one.lua", &wrk_script(&stage.tenants, &[0], Request::Read))?;
    let usual = Program { path: program, without: "", log: QUIET };
    let mut prices = Vec::new();
    for step in ["authentication", "admission", "metering"] {
        prices.push(price(stage, effort, &path, step, usual, Program { without: step, ..usual }).await?);
    }
    let logging = Program { log: "info", ..usual };
    prices.push(price(stage, effort, &path, "a line in the log", logging, usual).await?);
    // A program that opens no walls has to be in this tenant's role and schema from the start of the session.
    let schema = &tenant.schema;
    let inside = format!(
        "ALTER ROLE bulkhead_tenant SET role = {schema}; ALTER ROLE bulkhead_tenant SET search_path = {schema}"
    );
    stage.db.sql(&inside).await?;
    prices.push(price(stage, effort, &path, "walls", usual, Program { without: "walls", ..usual }).await?);
    stage
        .db
        .sql("ALTER ROLE bulkhead_tenant RESET role; ALTER ROLE bulkhead_tenant RESET search_path")
        .await?;
    Ok(prices)
}

async fn price(
    stage: &Stage,
    effort: Effort,
    path: &Path,
    step: &'static str,
    with: Program<'_>,
    without: Program<'_>,
) -> Result<Price> {
    let (with, without) = (stage.serve_beside(with).await?, stage.serve_beside(without).await?);
    // Many short pairs: a step costs a few microseconds, and the machine drifts by more than that in a few seconds.
    let slice = (effort.slice / 2).max(Duration::from_secs(1));
    let measure = |api: &Api| Ok(costed(&stage.servers(api.pid()), || wrk(&api.url(), path, slice))?.1);
    let compared = compare(effort.pairs * 2, async || measure(&with), async || measure(&without)).await?;
    let part = |ratio: f64| 1.0 - 1.0 / ratio;
    Ok(Price {
        step,
        micros: compared.ours * part(compared.ratio),
        part: part(compared.ratio),
        low: part(compared.low),
        high: part(compared.high),
    })
}
