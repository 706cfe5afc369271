//! The servers that are measured: private ones, or given ones that are empty.

use anyhow::{Result, bail};
use bulkhead_fixtures::TestRedis;

use crate::tools::redis_cli;

/// Servers to use instead of private ones.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Given {
    /// An empty PostgreSQL server, with its superuser, as `postgres://user:password@host:port`, without TLS.
    #[arg(long, env = "BENCH_POSTGRES_URL", hide_env_values = true)]
    pub(super) postgres: Option<String>,
    /// An empty Redis database, as `redis://user:password@host:port/0`.
    #[arg(long, env = "BENCH_REDIS_URL", hide_env_values = true)]
    pub(super) redis: Option<String>,
}

/// The Redis that is used.
pub(super) enum Cache {
    Own(Box<TestRedis>),
    Given(String),
}

impl Cache {
    pub(super) async fn find(given: Option<&String>) -> Result<Self> {
        let Some(url) = given else {
            let own = TestRedis::start_with(|options| options.append_only = true).await?;
            return Ok(Self::Own(Box::new(own)));
        };
        let size = redis_cli(url, &["DBSIZE"])?;
        if size != "0" {
            bail!(
                "the Redis database has {size} keys, which no benchmark has made: give an empty one, or none"
            );
        }
        Ok(Self::Given(url.clone()))
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::Own(redis) => redis.url(),
            Self::Given(url) => url.clone(),
        }
    }

    /// Its process, where it is ours.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Own(redis) => redis.pid(),
            Self::Given(_) => None,
        }
    }
}
