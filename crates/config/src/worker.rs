//! Background jobs.

use std::time::Duration;

use clap::Args;

use crate::{
    audit::{AnchorPlace, anchor_place},
    value::{millis, number, seconds},
};

/// How many jobs run, and how they are handed out.
#[derive(Clone, Debug, Args)]
pub struct Worker {
    /// Jobs that run at the same time in one process.
    #[arg(env = "BULKHEAD_WORKER_CONCURRENCY", default_value = "16", value_parser = number(1..=1024_u16))]
    pub worker_concurrency: u16,
    /// Jobs of one tenant that run at the same time in one process.
    #[arg(env = "BULKHEAD_WORKER_TENANT_CONCURRENCY", default_value = "4", value_parser = number(1..=1024_u16))]
    pub worker_tenant_concurrency: u16,
    /// How long a job may be silent before another process takes it over, in seconds.
    #[arg(env = "BULKHEAD_WORKER_LEASE_SECS", default_value = "30", value_parser = seconds(5..=3600))]
    pub worker_lease: Duration,
    /// How often an idle worker looks for work, in milliseconds.
    #[arg(env = "BULKHEAD_WORKER_POLL_MS", default_value = "50", value_parser = millis(10..=5000))]
    pub worker_poll: Duration,
    /// Jobs that wait in Redis at the same time; the rest wait in PostgreSQL. The queue's scripts fail at about 8,000.
    #[arg(env = "BULKHEAD_WORKER_OUTSTANDING", default_value = "1000", value_parser = number(1..=1000_u16))]
    pub worker_outstanding: u16,
    /// How often jobs that Redis has lost are looked for, in seconds.
    #[arg(env = "BULKHEAD_WORKER_SWEEP_SECS", default_value = "10", value_parser = seconds(1..=300))]
    pub worker_sweep: Duration,
    /// Schemas that are built ahead, so that a tenant that signs up finds one ready. The same for all workers; 0 builds
    /// each when it is asked for.
    #[arg(env = "BULKHEAD_SCHEMA_POOL", default_value = "8", value_parser = number(0..=1000_u16))]
    pub schema_pool: u16,
    /// Where the heads of the audit logs' hash chains are written once a day, so that a log that was forged with all rights is
    /// found out: `file:///var/lib/anchors`, a directory that is there, best on another machine and one that takes new files
    /// alone, or `s3://bucket/prefix`, which needs `AWS_REGION` and credentials of AWS. Left out, they are written nowhere.
    #[arg(env = "BULKHEAD_AUDIT_ANCHOR", value_parser = anchor_place)]
    pub audit_anchor: Option<AnchorPlace>,
}
