//! Usage on its way to PostgreSQL.

use std::{fs, time::Duration};

use clap::Args;

use crate::value::{name, number, seconds};

/// Where usage batches wait, and how many may.
#[derive(Clone, Debug, Args)]
pub struct Usage {
    /// Name of this node in usage batches and logs; unset, the host's name.
    #[arg(env = "BULKHEAD_NODE_NAME", value_parser = name)]
    node_name: Option<String>,
    /// Batches in the Redis stream beyond which a process writes to PostgreSQL itself.
    #[arg(env = "BULKHEAD_USAGE_STREAM_MAX", default_value = "100000", value_parser = number(100..=10_000_000_u32))]
    pub usage_stream_max: u32,
    /// Unconfirmed usage, in bytes, beyond which a process writes to PostgreSQL itself.
    #[arg(
        env = "BULKHEAD_USAGE_BUFFER_BYTES",
        default_value = "16777216",
        value_parser = number(65_536..=1_073_741_824_usize)
    )]
    pub usage_buffer_bytes: usize,
    /// Age of unconfirmed usage, in seconds, beyond which a process writes to PostgreSQL itself.
    #[arg(env = "BULKHEAD_USAGE_BUFFER_SECS", default_value = "30", value_parser = seconds(1..=300))]
    pub usage_buffer_age: Duration,
    /// How long a batch waits for PostgreSQL's confirmation before it is sent again, in seconds.
    #[arg(env = "BULKHEAD_USAGE_RESEND_SECS", default_value = "10", value_parser = seconds(1..=300))]
    pub usage_resend: Duration,
}

impl Usage {
    /// The name of this node. Not unique: two processes of one host share it.
    pub fn node_name(&self) -> String {
        self.node_name.clone().or_else(host_name).unwrap_or_else(|| "local".to_owned())
    }
}

/// The host's name, when it has one that can be used.
fn host_name() -> Option<String> {
    let text =
        fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
    text.ok().and_then(|text| name(text.trim()).ok())
}
