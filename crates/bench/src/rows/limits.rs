//! What the parts do alone: the limits that the goals are held against, as figures of this machine.

use anyhow::Result;

use super::Effort;
use crate::{
    mix::{Request, wrk_script},
    report::Limit,
    stage::Stage,
    tools::{openssl_verify_micros, redis_benchmark, script, wrk},
};

/// The product's own script.
const BUCKETS: &str = include_str!("../../../limits/src/bucket.lua");

/// pgbench's is in the detail of goals 1 and 2.
pub(crate) fn limits(stage: &Stage, effort: Effort) -> Result<Vec<Limit>> {
    let plain = script(stage.scratch(), "plain.lua", &wrk_script(&stage.tenants, &[0], Request::Plain))?;
    let http = wrk(&stage.url(), &plain, effort.slice)?.per_second;
    // One bucket: 1,000,000 a minute, one token wanted, none ahead, nothing given back; leases of ten seconds.
    let bucket = ["1000000", "1000000", "1", "0", "0", "0", "0", "0", "0", "10000"];
    let redis = redis_benchmark(&stage.redis_url(), BUCKETS, &bucket)?;
    let rsa = 1e6 / openssl_verify_micros()?;
    let limit = |what, per_second| Limit { what, per_second };
    Ok(vec![
        limit("the plain HTTP route (/livez), under wrk", http),
        limit("the bucket script, called by redis-benchmark one by one", redis),
        limit("RSA-2048 verifications, by openssl speed on one core", rsa),
    ])
}
