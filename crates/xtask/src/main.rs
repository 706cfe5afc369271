//! Repository chores, run as `cargo xtask <task>`: what a check needs that no ready-made tool knows.
//! Owns no product code and is linked into none.

use std::process::ExitCode;

use clap::Parser;

mod graph;
mod rust_version;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Check which crate depends on what, and that every file names the same Rust.
    Graph,
}

fn main() -> anyhow::Result<ExitCode> {
    match Task::parse() {
        Task::Graph => graph::run(),
    }
}
