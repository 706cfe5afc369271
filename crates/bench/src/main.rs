//! `make bench`: the product beside the limits of what it is made of.
//!
//! Every figure is a ratio from one run on one machine: what the product does, by what PostgreSQL, the HTTP library or
//! OpenSSL do alone with the same work. README.md has the goals and the record of what was tried. Refuses servers
//! that hold anything, so it can neither harm nor measure data that is not its own.

mod cpu;
mod crowd;
mod mix;
mod model;
mod report;
mod rows;
mod slices;
mod stage;
mod tools;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, anyhow, bail};
use clap::{Args, Parser, Subcommand};

use crate::{
    mix::{Mix, Request, wrk_script},
    model::Demand,
    report::Findings,
    rows::Effort,
    stage::{Given, Stage},
};

/// The smallest stage: what goal 3 begins with.
const FEWEST: usize = 10;

#[derive(Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure, and print the table.
    Run(Run),
    /// Put up the stage, warm, and say how to put load on it, until Enter is pressed: for profiles.
    Hold {
        /// Tenants on the stage.
        #[arg(long, default_value_t = 1_000)]
        tenants: usize,
        #[command(flatten)]
        given: Given,
    },
    /// Say what an installation needs, by the model in README.md.
    Size {
        /// How many tenants there are.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
        tenants: u64,
        /// Requests per second at the peak, of all tenants together; without it, one a minute of each.
        #[arg(long, value_parser = parse_amount)]
        requests: Option<f64>,
        /// The part of them that writes.
        #[arg(long, default_value = "0.1", value_parser = parse_part)]
        writes: f64,
        /// Rows and files of a tenant, in MB.
        #[arg(long, default_value = "10", value_parser = parse_amount)]
        data: f64,
    },
    /// Compare two runs.
    Compare {
        /// The earlier one's `latest.json`.
        before: PathBuf,
        /// The later one's.
        #[arg(default_value = "target/bench/latest.json")]
        after: PathBuf,
    },
    /// Add a column to every tenant: what goal 6 starts and kills.
    #[command(hide = true)]
    AddColumn {
        #[arg(long)]
        number: u32,
        #[arg(env = rows::PROVISIONER_URL, hide_env_values = true)]
        url: String,
    },
}

#[derive(Args)]
struct Run {
    /// A few short slices over 100 tenants: whether everything works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Tenants on the stage.
    #[arg(long)]
    tenants: Option<usize>,
    /// Pairs of slices for each comparison: fewer take less time and say less.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pairs: Option<u8>,
    /// Only these goals: 1 to 11 (12 is measured with 11).
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u8).range(1..=11))]
    only: Vec<u8>,
    /// A `bulkhead` that was built with `--cfg bulkhead_ablation`: for goal 7 and what each step costs.
    #[arg(long, value_parser = tools::built_for_ablation)]
    ablation: Option<PathBuf>,
    #[command(flatten)]
    given: Given,
    /// Where the results go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Compare { before, after } => print!("{}", report::compare(&before, &after)?),
        Command::Size { tenants, requests, writes, data } => {
            let requests = requests.unwrap_or(tenants as f64 / 60.0);
            let sized = model::size(Demand { tenants, requests, writes, data });
            print!("{}", sized.map_err(|why| anyhow!(why))?);
        }
        Command::Hold { tenants, given } => hold(tenants, &given).await?,
        Command::AddColumn { number, url } => rows::add_column_as_child(&url, number).await?,
        Command::Run(run) if cfg!(debug_assertions) && !run.quick => bail!(
            "figures of a debug build say nothing: run `make bench`, or add --quick to see whether it works"
        ),
        Command::Run(run) => {
            let findings = Box::pin(run.findings()).await?;
            findings.write(&run.out)?;
            print!("{}", findings.markdown());
            println!("\n{}", run.out.join("latest.md").display());
            let missed = findings.rows.iter().any(|row| row.met == Some(false));
            return Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_amount(text: &str) -> Result<f64, &'static str> {
    let amount = text.parse().ok().filter(|amount: &f64| (0.0..=1e9).contains(amount));
    amount.ok_or("must be a number from 0 to 1000000000")
}

fn parse_part(text: &str) -> Result<f64, &'static str> {
    parse_amount(text).ok().filter(|part| *part <= 1.0).ok_or("must be a number from 0 to 1")
}

async fn hold(tenants: usize, given: &Given) -> Result<()> {
    let tenants = tenants.max(FEWEST);
    let mut stage = Stage::build(tenants, given).await?;
    stage.serve().await?;
    stage.warm(Effort::FULL.slice)?;
    let mut loads =
        vec![("write".to_owned(), Request::Write, tenants), ("plain".to_owned(), Request::Plain, tenants)];
    loads.extend(rows::sizes(tenants).map(|size| (format!("read-{size}"), Request::Read, size)));
    for (name, request, size) in loads {
        let text = wrk_script(&stage.tenants, &Mix::Zipf.sequence(size), request);
        let path = tools::script(stage.scratch(), &format!("{name}.lua"), &text)?;
        println!("wrk -t1 -c{} -d10 -s {} {}", stage::CLIENTS, path.display(), stage.url());
    }
    println!("api {}, postgres {}", stage.api_pid(), stage.postgres_pid());
    std::io::stdin().read_line(&mut String::new())?;
    stage.leave().await
}

impl Run {
    fn effort(&self) -> Effort {
        let mut effort = if self.quick {
            Effort {
                pairs: 2,
                slice: Duration::from_secs(1),
                lead: Duration::ZERO,
                tenants: 100,
                requests: 20_000.0,
            }
        } else {
            Effort::FULL
        };
        effort.tenants = self.tenants.unwrap_or(effort.tenants).max(FEWEST);
        effort.pairs = self.pairs.map_or(effort.pairs, usize::from);
        effort
    }

    fn wants(&self, goal: u8) -> bool {
        self.only.is_empty() || self.only.contains(&goal)
    }

    async fn findings(&self) -> Result<Findings> {
        let effort = self.effort();
        let mut found = Findings::new(self.quick, effort.tenants)?;
        if self.wants(8) {
            found.rows.extend(rows::auth(effort).await?);
        }
        if self.only != [8] {
            let mut stage = Stage::build(effort.tenants, &self.given).await?;
            let measured = self.on(&mut stage, effort, &mut found).await;
            stage.leave().await?;
            measured?;
        }
        found.rows.sort_by_key(report::Row::place);
        if self.quick {
            for row in &mut found.rows {
                row.met = None;
            }
        }
        Ok(found)
    }

    async fn on(&self, stage: &mut Stage, effort: Effort, found: &mut Findings) -> Result<()> {
        if self.wants(9) {
            found.rows.extend(rows::process(stage, effort).await?);
        }
        stage.serve().await?;
        stage.warm(effort.slice)?;
        if self.wants(1) {
            found.rows.extend(rows::read(stage, effort).await?);
            found.limits = rows::limits(stage, effort)?;
        }
        if self.wants(10) && tools::has_oha() {
            found.rows.extend(rows::latency(stage, effort)?);
        } else if self.wants(10) {
            found.left_out.push("goal 10: oha is not installed (cargo install --locked oha)");
        }
        if self.wants(3) && rows::sizes(effort.tenants).nth(1).is_none() {
            found.left_out.push("goal 3: it takes two numbers of tenants, 10 and 100 at least");
        } else if self.wants(3) {
            found.rows.extend(rows::growth(stage, effort)?);
        }
        if self.wants(2) {
            found.rows.extend(rows::write(stage, effort).await?);
        }
        if let Some(program) = self.ablation.as_deref().filter(|_| self.wants(7)) {
            found.rows.extend(rows::metering(stage, effort, program).await?);
            found.prices = rows::steps(stage, effort, program).await?;
        } else if self.wants(7) {
            found
                .left_out
                .push("goal 7 and the steps' prices: they need a program built for it (--ablation)");
        }
        if self.wants(4) && stage.is_own() {
            found.rows.extend(rows::backends(stage, effort, stage::THREADS.into()).await?);
        }
        if !stage.is_own() {
            found.left_out.push("processor time of the servers and goal 4: they run elsewhere");
            found.rows.retain(|row| row.id != "1b");
        }
        stage.stop();
        // Six crowds take minutes, however short a slice is.
        if self.quick && self.only.is_empty() {
            found.left_out.push("goals 11 and 12: not part of a quick run (--only 11)");
        } else if self.wants(11) {
            found.rows.extend(rows::crowds(stage, effort).await?);
        }
        if self.wants(5) {
            let few = if stage.is_own() && effort.tenants > rows::FEW {
                Some(Stage::build(rows::FEW, &Given::default()).await?)
            } else {
                found.left_out.push("goal 5b: it takes private servers and more tenants");
                None
            };
            found.rows.extend(rows::provisioning(stage, few.as_ref(), effort).await?);
        }
        if self.wants(6) {
            found.rows.extend(rows::migrations(stage, effort).await?);
        }
        Ok(())
    }
}
