//! Repository chores, run as `cargo xtask <task>`: what a check needs that no ready-made tool knows.
//! Owns no product code and is linked into none.

use std::process::ExitCode;

use clap::Parser;

mod features;
mod generated;
mod graph;
mod paths;
mod proofs;
mod rust_version;
mod sources;
mod surface;
mod unused;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Check which crate depends on what and with which features, that it uses what it names, who may say that something is
    /// proven, and that every file names the same Rust.
    Graph,
    /// Write `openapi/v1.json` and `openapi/roles.md` from the code.
    Openapi {
        /// Only check that it is up to date.
        #[arg(long)]
        check: bool,
    },
    /// Check that the files which comments and documents name exist.
    Paths,
    /// Write the table of settings in `crates/config/README.md` from the code.
    Settings {
        /// Only check that it is up to date.
        #[arg(long)]
        check: bool,
    },
    /// Write `crates/bulkhead/public-api.txt`, the listing of what the library promises, from the code.
    Surface {
        /// Only check that it is up to date.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Task::parse() {
        Task::Graph => graph::run(),
        Task::Openapi { check } => generated::openapi(check),
        Task::Paths => paths::run(),
        Task::Settings { check } => generated::settings(check),
        Task::Surface { check } => surface::run(check),
    }
}
