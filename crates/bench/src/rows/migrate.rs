//! Goal 6: bringing every tenant to the next version.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bulkhead_db::{
    Connector, Owner, Pool,
    fleet::migrate::{CORE, MigrateOptions, Migration, MigrationSet, RESOURCES, Sets, migrate_tenants},
};
use bulkhead_fixtures::{TestDb, timeouts};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::Effort;
use crate::{
    report::{Better, Row},
    slices::{compare, quantile},
    stage::{Stage, binary},
    tools::{psql, script},
};

/// Tenants in a transaction, of the product and of psql alike.
const BATCH: usize = 20;
/// The variable in which a child finds the database.
pub(crate) const PROVISIONER_URL: &str = "BENCH_PROVISIONER_URL";
/// Kills, each at another moment.
const KILLS: u32 = 5;

/// `6a`: adding a column to every tenant, by psql's time for the same. `6b`: seconds for `bulkhead migrate` that finds nothing
/// to do, the process's start included. `6c`: batches done again after a kill.
pub(crate) async fn migrations(stage: &Stage, effort: Effort) -> Result<Vec<Row>> {
    let mut rows = vec![nothing_to_do(stage, effort)?];
    let owner = stage.db.owner()?;
    let admin = stage.db.admin_url();
    let schemas = stage.schemas().await?;
    let (mut ours, mut theirs) = (0, 0);
    let compared = compare(
        effort.pairs.div_ceil(2),
        async || {
            ours += 1;
            let begun = Instant::now();
            add_column(&owner, ours, "").await?;
            Ok(begun.elapsed().as_secs_f64())
        },
        async || {
            theirs += 1;
            let path = script(stage.scratch(), "columns.sql", &columns(&schemas, theirs))?;
            psql(&admin, &path)
        },
    )
    .await?;
    let what = format!(
        "a column for {} tenants / the same DDL by psql, {BATCH} in a transaction",
        stage.tenants.len()
    );
    rows.push(Row::compared("6a", &what, &compared, (Better::Less, 2.0, 1.3), "s"));
    rows.push(killed(stage, schemas.len(), ours, compared.ours).await?);
    forget_columns(stage).await?;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(rows)
}

fn nothing_to_do(stage: &Stage, effort: Effort) -> Result<Row> {
    let mut seconds = Vec::new();
    for _ in 0..effort.pairs {
        let begun = Instant::now();
        let output = Command::new(binary()?).arg("migrate").env_clear().envs(stage.settings()?).output()?;
        if !output.status.success() {
            bail!("migrate: {}", String::from_utf8_lossy(&output.stderr));
        }
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let figure = (quantile(&seconds, 0.5), quantile(&seconds, 0.05), quantile(&seconds, 0.95));
    let detail = format!("{} tenants", stage.tenants.len());
    Ok(Row::figure(
        "6b",
        "a migration with nothing to do, in seconds",
        figure,
        (Better::Less, 2.0, 0.5),
        detail,
    ))
}

/// One more migration: a column, and whatever else.
async fn add_column(owner: &Owner, number: u32, besides: &str) -> Result<()> {
    let up = format!("{besides} ALTER TABLE resources ADD COLUMN bench_{number} text;");
    let added = Migration::new(format!("9999-01-01-{number:06}_bench").leak(), up.leak());
    let set = RESOURCES;
    let all = [set.tenant(), &[added]].concat().leak();
    let sets = Sets::new([CORE, MigrationSet::new(set.name(), all)])?;
    let report = migrate_tenants(owner, &sets, &MigrateOptions::default(), &|_progress| {}).await?;
    match report.failed.first() {
        Some((tenant, error)) => bail!("{tenant}: {error}"),
        None => Ok(()),
    }
}

/// As if nothing had been added, for the rows that come next on this stage.
async fn forget_columns(stage: &Stage) -> Result<()> {
    let forget = "DELETE FROM platform.fleet_migrations WHERE starts_with(name, '9999-');
        UPDATE platform.fleet_target SET wanted = (SELECT range_agg(int4range(id, id + 1)) FROM platform.fleet_migrations);
        UPDATE platform.tenant_schema_versions SET applied = wanted FROM platform.fleet_target";
    stage.db.sql(forget).await?;
    Ok(())
}

fn columns(schemas: &[String], number: u32) -> String {
    let mut sql = String::new();
    for batch in schemas.chunks(BATCH) {
        sql.push_str("BEGIN;\n");
        for schema in batch {
            let _: std::fmt::Result = writeln!(
                sql,
                "SET LOCAL search_path = {schema}; ALTER TABLE resources ADD COLUMN psql_{number} text;"
            );
        }
        sql.push_str("COMMIT;\n");
    }
    sql
}

/// Counts, outside of every transaction, how many tenants were migrated: what is done again is counted again.
const COUNT: &str = "SELECT nextval('platform.bench_work');";

async fn killed(stage: &Stage, tenants: usize, first: u32, whole: f64) -> Result<Row> {
    stage
        .db
        .sql("CREATE SEQUENCE platform.bench_work; GRANT USAGE ON SEQUENCE platform.bench_work TO bulkhead_owner")
        .await?;
    // The same moments in every run.
    let mut random = StdRng::seed_from_u64(7);
    let mut redone = Vec::new();
    for number in (1..=KILLS).map(|kill| first + kill) {
        stage.db.sql("ALTER SEQUENCE platform.bench_work RESTART").await?;
        let moment = Duration::from_secs_f64(whole * random.random_range(0.1..0.9));
        let mut child = Command::new(std::env::current_exe()?)
            .args(["add-column", "--number", &number.to_string()])
            .env(PROVISIONER_URL, stage.db.urls().provisioner)
            .stdin(Stdio::null())
            .spawn()?;
        tokio::time::sleep(moment).await;
        child.kill().context("killing a migration")?;
        child.wait()?;
        add_column(&stage.db.owner()?, number, COUNT).await?;
        let done: f64 = stage.db.value("SELECT last_value FROM platform.bench_work").await?.parse()?;
        redone.push((done - tenants as f64) / BATCH as f64);
        // What the next run builds to try its migrations out counts, too.
        forget_columns(stage).await?;
    }
    stage.db.sql("DROP SEQUENCE platform.bench_work").await?;
    // Each of its transactions is a batch of its own.
    let side_by_side = MigrateOptions::default().connections as f64;
    let each: Vec<f64> = redone.iter().map(|batches| batches / side_by_side).collect();
    let worst = quantile(&each, 1.0);
    let figure = (worst, quantile(&each, 0.0), worst);
    let detail = format!("the worst of {KILLS} kills, {side_by_side} transactions side by side");
    let what = "batches done again after kill -9, for each transaction that was under way";
    Ok(Row::figure("6c", what, figure, (Better::Less, 1.0, 1.0), detail))
}

/// What the child does that is killed.
pub(crate) async fn add_column_as_child(url: &str, number: u32) -> Result<()> {
    let options = TestDb::pool_options(MigrateOptions::default().connections);
    let connector = Connector::new(url, None, Duration::from_secs(10))?;
    add_column(&Owner::new(Pool::new(connector, options), timeouts()), number, COUNT).await
}
