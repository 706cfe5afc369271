//! `make bench`: the product beside the limits of what it is made of.
//!
//! Every figure is a ratio from one run on one machine: what the product does, by what PostgreSQL, the HTTP library or
//! OpenSSL do alone with the same work. README.md has the goals and the record of what was tried. Refuses to run against
//! servers that it has not started itself, so it cannot harm or measure anybody's data.

mod cpu;
mod mix;
mod report;
mod rows;
mod slices;
mod stage;
mod tools;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::{
    mix::{Mix, Request, wrk_script},
    report::Row,
    rows::Effort,
    stage::Stage,
};

#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print the table.
    Run {
        /// A few short slices over 100 tenants: whether everything works, not how fast.
        #[arg(long)]
        quick: bool,
        /// Tenants on the stage.
        #[arg(long)]
        tenants: Option<usize>,
        /// Only these goals: 1, 2, 3, 4, 6, 8, 9.
        #[arg(long, value_delimiter = ',')]
        only: Vec<u8>,
        /// Where the results go.
        #[arg(long, default_value = "target/bench")]
        out: PathBuf,
    },
    /// Put up the stage and say how to put load on it, until Enter is pressed: for profiles.
    Hold {
        /// Tenants on the stage.
        #[arg(long, default_value_t = 1_000)]
        tenants: usize,
    },
    /// Compare two runs.
    Compare {
        /// The earlier one's `latest.json`.
        before: PathBuf,
        /// The later one's.
        #[arg(default_value = "target/bench/latest.json")]
        after: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Compare { before, after } => {
            print!("{}", report::compare(&before, &after)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Hold { tenants } => {
            hold(tenants).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { quick: false, .. } if cfg!(debug_assertions) => {
            bail!(
                "figures of a debug build say nothing: run `make bench`, or add --quick to see whether it works"
            )
        }
        Command::Run { quick, tenants, only, out } => {
            let mut effort = if quick {
                Effort { pairs: 2, slice: Duration::from_secs(1), tenants: 100, requests: 20_000.0 }
            } else {
                Effort { pairs: 8, slice: Duration::from_secs(4), tenants: 1_000, requests: 1_000_000.0 }
            };
            effort.tenants = tenants.unwrap_or(effort.tenants).max(10);
            let rows = Box::pin(run(effort, &only)).await?;
            report::write(&rows, &out)?;
            print!("{}", report::table(&rows));
            println!("\n{}", out.join("latest.json").display());
            let missed = rows.iter().any(|row| row.met == Some(false));
            Ok(if missed && !quick { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

async fn hold(tenants: usize) -> Result<()> {
    let mut stage = Stage::build(tenants).await?;
    stage.serve(&[]).await?;
    for (name, request) in [("read", Request::Read), ("write", Request::Write), ("plain", Request::Plain)] {
        let text = wrk_script(&stage.tenants, &Mix::Zipf.sequence(tenants), request);
        let path = tools::script(stage.scratch(), &format!("{name}.lua"), &text)?;
        println!("wrk -t1 -c{} -d10 -s {} {}", stage::CONNECTIONS, path.display(), stage.url());
    }
    println!("api {}, postgres {}", stage.api_pid(), stage.postgres_pid());
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

async fn run(effort: Effort, only: &[u8]) -> Result<Vec<Row>> {
    let wanted = |goal: u8| only.is_empty() || only.contains(&goal);
    let mut rows = Vec::new();
    if wanted(8) {
        rows.extend(rows::auth(effort).await?);
    }
    if only == [8] {
        return Ok(rows);
    }
    let mut stage = Stage::build(effort.tenants).await?;
    if wanted(6) {
        rows.extend(rows::nothing_to_migrate(&stage, effort)?);
    }
    if wanted(9) {
        rows.extend(rows::process(&mut stage, effort).await?);
    }
    stage.serve(&[]).await?;
    if wanted(1) {
        rows.extend(rows::read(&stage, effort).await?);
    }
    if wanted(3) {
        rows.extend(rows::growth(&stage, effort)?);
    }
    if wanted(2) {
        rows.extend(rows::write(&stage, effort).await?);
    }
    if wanted(4) {
        rows.extend(rows::backends(&mut stage, effort, stage::THREADS.into()).await?);
    }
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(rows)
}
