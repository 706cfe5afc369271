//! Goals 4 and 9: what tenants cost in memory.

use anyhow::Result;
use bulkhead_db::{DbError, PoolOptions, tenant::credentials};
use bulkhead_domain::{Evidence, Proven, api_key::ApiKey};
use bulkhead_fixtures::{TestDb, timeouts};
use bulkhead_resources::{ResourceId, store};

use super::Effort;
use crate::{
    cpu,
    mix::{Mix, Request, wrk_script},
    report::{Better, Row},
    stage::{STATEMENTS, Stage, progress},
    tools::{script, wrk},
};

/// How often each tenant is read: often enough for its own statements to be prepared everywhere it goes.
const USES: usize = 5;

/// `4`: how much PostgreSQL grows, by what one backend grows that does the same for every thread of the API.
pub(crate) async fn backends(stage: &mut Stage, effort: Effort, threads: f64) -> Result<Vec<Row>> {
    stage.serve().await?;
    let tenants = stage.tenants.len().min(2_000);
    // In turns: a tenant that is asked for several times at once is given several backends, which is not what is
    // measured here.
    let sequence: Vec<usize> = (0..USES).flat_map(|_| 0..tenants).collect();
    let path = script(stage.scratch(), "sweep.lua", &wrk_script(&stage.tenants, &sequence, Request::Read))?;
    let anonymous = |stage: &Stage| cpu::anonymous_mb(stage.postgres_pid(), "postgres: bulkhead_tenant");
    // Connections are opened by the first requests.
    wrk(
        &stage.url(),
        &script(stage.scratch(), "first.lua", &wrk_script(&stage.tenants, &[0], Request::Read))?,
        effort.slice,
    )?;
    let before = anonymous(stage);
    let mut left = (sequence.len() * 4) as f64;
    while left > 0.0 {
        left -= wrk(&stage.url(), &path, effort.slice)?.requests;
    }
    let grown = anonymous(stage) - before;
    // The product's own backends end here, so the backend below is the only one.
    stage.stop();
    let options = PoolOptions { statements: STATEMENTS as usize, ..TestDb::pool_options(1) };
    let one = stage.db.db_with(options, timeouts())?;
    read_each(&one, stage, 1).await?;
    let before = anonymous(stage);
    read_each(&one, stage, tenants).await?;
    let limit = anonymous(stage) - before;
    let figure = grown / (threads * limit);
    let detail = format!("{grown:.0} MB beside {threads} x {limit:.0} MB over {tenants} tenants");
    let what =
        "growth of PostgreSQL's backends / (threads x growth of one backend touching the same tenants)";
    Ok(vec![Row::figure("4", what, (figure, figure, figure), (Better::Less, 1.3, 1.1), detail)])
}

/// What the API has PostgreSQL do: it looks at the key once.
async fn read_each(db: &bulkhead_db::Db, stage: &Stage, tenants: usize) -> Result<()> {
    for tenant in stage.tenants.iter().take(tenants) {
        let id: ResourceId = tenant.path.trim_start_matches("/v1/resources/").parse()?;
        let proven = Proven::on(Evidence::Fixture, tenant.id);
        let key = ApiKey::parse(&tenant.key)?;
        db.credentials::<_, DbError>(tenant.id, async |tx| credentials::find_api_key(tx, key.id).await)
            .await?;
        for _ in 0..USES {
            db.read::<_, DbError>(proven, async |tx| store::find(tx, id).await).await?;
        }
    }
    Ok(())
}

/// `9a` the API's memory when it has just started, `9b` after many requests over all tenants.
pub(crate) async fn process(stage: &mut Stage, effort: Effort) -> Result<Vec<Row>> {
    stage.serve().await?;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    let idle = cpu::resident_mb(stage.api_pid());
    let sequence = Mix::Uniform.sequence(stage.tenants.len());
    let path = script(stage.scratch(), "all.lua", &wrk_script(&stage.tenants, &sequence, Request::Read))?;
    let bar = progress("requests (thousands)", 1);
    bar.set_length(thousands(effort.requests));
    let mut done = 0.0;
    while done < effort.requests {
        done += wrk(&stage.url(), &path, effort.slice * 2)?.requests;
        bar.set_position(thousands(done));
    }
    bar.finish_and_clear();
    let used = cpu::resident_mb(stage.api_pid());
    let tenants = stage.tenants.len();
    Ok(vec![
        Row::figure(
            "9a",
            "the API's memory when idle, in MB",
            (idle, idle, idle),
            (Better::Less, 60.0, 40.0),
            String::new(),
        ),
        Row::figure(
            "9b",
            "the API's memory after many requests, in MB",
            (used, used, used),
            (Better::Less, 200.0, 120.0),
            format!("{done:.0} requests over {tenants} tenants"),
        ),
    ])
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bar on a screen")]
fn thousands(requests: f64) -> u64 {
    (requests / 1_000.0) as u64
}
