//! A test's own Redis server: channels and stream groups are not kept apart by database numbers, and it may be killed.

use std::ops::{Deref, DerefMut};

use anyhow::Result;
use bulkhead_servers::{Binaries, Redis, RedisOptions, Scratch};

/// A Redis server; gone when dropped. Everything else it can do is in [`Redis`].
#[derive(Debug)]
pub struct TestRedis {
    // Before the directory that it lives in.
    redis: Redis,
    _scratch: Scratch,
}

impl TestRedis {
    /// A server that forgets everything when it stops.
    pub async fn start() -> Result<Self> {
        Self::start_with(|options| options.append_only = false).await
    }

    /// The same, with other options.
    pub async fn start_with(adjust: impl FnOnce(&mut RedisOptions) + Send + 'static) -> Result<Self> {
        tokio::task::spawn_blocking(|| {
            let scratch = Scratch::new()?;
            let mut options = RedisOptions::new(scratch.path().join("redis"));
            adjust(&mut options);
            Ok(Self { redis: Redis::start(&Binaries::find()?, options)?, _scratch: scratch })
        })
        .await?
    }
}

impl Deref for TestRedis {
    type Target = Redis;

    fn deref(&self) -> &Redis {
        &self.redis
    }
}

impl DerefMut for TestRedis {
    fn deref_mut(&mut self) -> &mut Redis {
        &mut self.redis
    }
}
