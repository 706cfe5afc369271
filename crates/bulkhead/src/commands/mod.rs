//! The commands of an application. Each is a file; settings come from the environment.

mod api;
mod audit;
mod dev;
mod doctor;
mod keys;
mod migrate;
mod new;
mod operator;
mod schema;
mod worker;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use bulkhead_api::About;
use bulkhead_config::{Needed, Settings};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{app::Parts, out, wiring};

/// The backend of a multi-tenant service. Settings are environment variables; `settings --markdown` prints them.
#[derive(Parser)]
#[command(name = "bulkhead", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API.
    Api {
        /// Stop, as on SIGTERM, when standard input ends.
        #[arg(long, hide = true)]
        stop_with_stdin: bool,
    },
    /// Run background jobs.
    Worker {
        /// Stop, as on SIGTERM, when standard input ends.
        #[arg(long, hide = true)]
        stop_with_stdin: bool,
    },
    /// Print what is pending, and bring the platform and every tenant up to date.
    Migrate {
        /// Transactions side by side.
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
        connections: u16,
        /// Only print what is pending.
        #[arg(long, conflicts_with = "revert")]
        plan: bool,
        /// Take a set out of what tenants are built with: an extension's that was removed. Tenants keep its tables.
        #[arg(long, value_name = "SET", conflicts_with_all = ["plan", "revert"])]
        forget: Option<String>,
        /// Take a migration that no tenant has, and that is not in this program any more, out of what tenants are built with.
        #[arg(long, value_name = "SET/NAME", conflicts_with_all = ["plan", "revert", "forget"])]
        withdraw: Option<String>,
        /// Take the newest migration of the platform back instead.
        #[arg(long)]
        revert: bool,
    },
    /// Run everything on this machine, with private servers and demo data under .bulkhead/.
    Dev,
    /// Manage the people who run the platform.
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Manage the keys that sign access tokens, and end a change of the master key.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Verify audit logs and what was exported from them.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Write the repository of a product that is built on this version: one extension to copy, tests, an image, CI.
    New {
        /// Where: a directory that is empty or does not exist. Its name becomes the program's.
        directory: PathBuf,
        #[command(flatten)]
        source: new::Source,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Print every operation with the built-in roles that are admitted to it.
    Roles {
        /// As tables in Markdown.
        #[arg(long, required = true)]
        markdown: bool,
    },
    /// Print every setting with its default and its meaning.
    Settings {
        /// As a table in Markdown.
        #[arg(long, required = true)]
        markdown: bool,
    },
    /// Print the migrations of tenants' schemas, set by set in the order in which a tenant gets them, with their SQL.
    #[command(hide = true)]
    Schema {
        /// As JSON.
        #[arg(long, required = true)]
        json: bool,
    },
    /// Check that a live system is built as it should be.
    Doctor {
        /// Only ask the process on this machine whether it is alive.
        #[arg(long)]
        live: bool,
        /// Check what `bulkhead dev` runs in this directory.
        #[arg(long, conflicts_with = "live")]
        dev: bool,
    },
}

impl Command {
    /// The settings without which the command cannot do its work.
    const fn needs(&self) -> &'static [Needed] {
        use Needed::{
            Extensions, LimitsRedis, MasterKey, PlatformLogin, ProvisionerLogin, QueueRedis, TenantLogin,
        };
        match self {
            Self::Api { .. } => &[TenantLogin, PlatformLogin, LimitsRedis, QueueRedis, MasterKey, Extensions],
            Self::Worker { .. } => {
                &[TenantLogin, PlatformLogin, ProvisionerLogin, QueueRedis, MasterKey, Extensions]
            }
            Self::Migrate { .. } | Self::Doctor { live: false, .. } => &[ProvisionerLogin],
            Self::Keys(_) | Self::Audit(audit::AuditCommand::Anchor) => {
                &[TenantLogin, PlatformLogin, MasterKey]
            }
            Self::Audit(audit::AuditCommand::Verify { .. }) => {
                &[TenantLogin, PlatformLogin, ProvisionerLogin]
            }
            Self::Operator(_) | Self::Audit(_) => &[TenantLogin, PlatformLogin],
            Self::Doctor { live: true, .. }
            | Self::Dev
            | Self::New { .. }
            | Self::Openapi
            | Self::Roles { .. }
            | Self::Settings { .. }
            | Self::Schema { .. } => &[],
        }
    }
}

/// Parses the command line, puts the application together, and runs the command.
pub(crate) fn run(about: About, assemble: impl FnOnce() -> Result<Parts>) -> ExitCode {
    let name = about.name;
    let mut cli = Cli::command().name(name).version(about.version);
    let parsed =
        cli.try_get_matches_from_mut(std::env::args_os()).and_then(|matches| Cli::from_arg_matches(&matches));
    let command = parsed.unwrap_or_else(|error| error.format(&mut cli).exit()).command;
    match assemble().and_then(|parts| run_with(command, &parts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: the causes in order, outermost first.
            out::note(format_args!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run_with(command: Command, parts: &Parts) -> Result<()> {
    match command {
        Command::Openapi => {
            let document = bulkhead_api::openapi::document(&parts.catalog)?;
            Ok(out::line(serde_json::to_string_pretty(&document)?)?)
        }
        Command::Roles { .. } => Ok(out::line(bulkhead_api::matrix(&parts.catalog).trim_end())?),
        Command::Settings { .. } => Ok(out::line(bulkhead_config::table(&parts.sections).trim_end())?),
        Command::Schema { .. } => schema::print(&parts.sets),
        Command::Dev => dev::run(parts),
        Command::Doctor { dev: true, .. } => run_as_set(command, parts, &dev::settings()?),
        Command::Audit(audit::AuditCommand::VerifyExport { file, keys }) => {
            audit::verify_export(&file, &keys)
        }
        Command::New { directory, source } => new::run(&directory, &source),
        command => run_as_set(command, parts, &Settings::from_env(&parts.sections)?),
    }
}

/// Runs a command that has settings.
fn run_as_set(command: Command, parts: &Parts, settings: &Settings) -> Result<()> {
    bulkhead_auth::self_test()?;
    settings.require(command.needs())?;
    match command {
        Command::Doctor { live: true, .. } => doctor::live(settings),
        Command::Api { stop_with_stdin } => {
            wiring::log(settings)?;
            api::run(parts, settings, stop_with_stdin)
        }
        Command::Worker { stop_with_stdin } => {
            wiring::log(settings)?;
            worker::run(parts, settings, stop_with_stdin)
        }
        command => {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(async {
                match command {
                    Command::Migrate { revert: true, .. } => migrate::revert(settings).await,
                    Command::Migrate { plan: true, .. } => migrate::show_plan(settings, &parts.sets).await,
                    Command::Migrate { forget: Some(name), .. } => {
                        migrate::forget_set(settings, &parts.sets, &name).await
                    }
                    Command::Migrate { withdraw: Some(title), .. } => {
                        migrate::withdraw_one(settings, &parts.sets, &title).await
                    }
                    Command::Migrate { connections, .. } => migrate::run(parts, settings, connections).await,
                    Command::Operator(command) => operator::run(&command, parts, settings).await,
                    Command::Keys(command) => keys::run(&command, parts, settings).await,
                    Command::Audit(command) => audit::run(&command, parts, settings).await,
                    Command::Doctor { .. } => doctor::run(settings, &parts.sets).await,
                    Command::Api { .. }
                    | Command::Worker { .. }
                    | Command::Dev
                    | Command::New { .. }
                    | Command::Openapi
                    | Command::Roles { .. }
                    | Command::Settings { .. }
                    | Command::Schema { .. } => Ok(()),
                }
            })
        }
    }
}
