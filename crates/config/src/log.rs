//! The log.

use clap::{Args, ValueEnum};

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    Json,
    /// Plain text, for people.
    Text,
}

/// What is logged and how.
#[derive(Clone, Debug, Args)]
pub struct Log {
    /// What is logged: a level, or directives like `info,bulkhead_db=debug`.
    #[arg(env = "BULKHEAD_LOG", default_value = "info", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub log: String,
    /// How lines are written: `json` or `text`.
    #[arg(env = "BULKHEAD_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}
