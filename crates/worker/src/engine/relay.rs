//! Moves jobs from the rows into the queue.
//!
//! The relay takes due jobs, in turns of the lanes, and hands their ids to Redis. When Redis has been away for a while it
//! hands them to this process's own executor instead: a Redis that is lost costs a delay, never a job. Whatever gets lost
//! on the way, the sweeper takes back, and it comes by here again.

use std::{sync::Arc, time::Duration};

use bulkhead_db::{
    Authority, Db, DbError,
    platform::queue::dispatch::{self, Bounds, DueJob, Turn},
};
use bulkhead_domain::JobId;
use bulkhead_link::Backoff;
use bulkhead_telemetry::{Health, Metrics, metrics::RedisUse};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep, timeout};

use crate::engine::{executor::Executor, queue::Queue};

/// How the relay behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayOptions {
    /// Jobs handed out and unfinished, at most.
    pub(crate) outstanding: u16,
    /// Of them, of one lane.
    pub(crate) per_lane: u16,
    /// How long Redis may be away before jobs are run without it.
    pub(crate) grace: Duration,
    /// The pause between two polls while there is work, and while there is none.
    pub(crate) busy: Duration,
    pub(crate) idle: Duration,
}

/// Jobs taken in one poll.
const LIMIT: u16 = 256;

pub(crate) struct Relay {
    db: Db,
    queue: Arc<Queue>,
    executor: Executor,
    metrics: Metrics,
    health: Arc<Health>,
    options: RelayOptions,
    turn: Turn,
    connection: Option<MultiplexedConnection>,
    redis_pause: Backoff,
    /// Since when handing over has failed.
    failing_since: Option<Instant>,
    postgres_pause: Backoff,
    generation: u64,
}

/// Where the relay can hand jobs to now.
enum Route {
    Redis(MultiplexedConnection, u16),
    Executor,
    Nowhere,
}

impl Relay {
    pub(crate) fn new(
        db: Db,
        queue: Arc<Queue>,
        executor: Executor,
        metrics: Metrics,
        health: Arc<Health>,
        options: RelayOptions,
    ) -> Self {
        let pause = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        Self {
            db,
            queue,
            executor,
            metrics,
            health,
            options,
            turn: Turn::default(),
            connection: None,
            redis_pause: pause.clone(),
            failing_since: None,
            postgres_pause: pause,
            generation: 0,
        }
    }

    /// Hands jobs over for as long as the process lives.
    pub(crate) async fn run(mut self) {
        loop {
            match self.poll().await {
                Ok(0) => {
                    self.postgres_pause.succeeded();
                    // A job that leaves makes room for another of its lane.
                    drop(timeout(self.options.idle, self.executor.one_left()).await);
                    sleep(self.options.busy).await;
                }
                Ok(_) => {
                    self.postgres_pause.succeeded();
                    sleep(self.options.busy).await;
                }
                Err(error) => {
                    let pause = self.postgres_pause.next_pause();
                    tracing::warn!(%error, ?pause, "due jobs could not be taken");
                    sleep(pause).await;
                }
            }
        }
    }

    /// Hands over what is due. Returns the number of jobs.
    async fn poll(&mut self) -> Result<usize, DbError> {
        self.forget_what_a_worker_has_lost().await?;
        match self.route().await {
            Route::Redis(connection, room) => {
                let jobs = self.take(room).await?;
                if !jobs.is_empty()
                    && let Err(error) = self.queue.push(&connection, &jobs).await
                {
                    self.redis_failed(&*error);
                    self.take_back(Some(&jobs.iter().map(|job| job.id).collect::<Vec<_>>())).await?;
                    return Ok(0);
                }
                self.redis_pause.succeeded();
                self.failing_since = None;
                Ok(jobs.len())
            }
            Route::Executor => {
                let jobs = self.take(LIMIT).await?;
                let count = jobs.len();
                for job in jobs {
                    let executor = self.executor.clone();
                    tokio::spawn(async move { executor.deliver(job).await });
                }
                Ok(count)
            }
            Route::Nowhere => Ok(0),
        }
    }

    /// When the queue has a new worker, takes back all jobs that are handed out and not started: the worker before may
    /// have held jobs that it will not deliver any more.
    async fn forget_what_a_worker_has_lost(&mut self) -> Result<(), DbError> {
        let generation = self.queue.generation();
        if self.generation != generation {
            if self.generation > 0 {
                let lost = self.take_back(None).await?;
                tracing::info!(jobs = lost, "jobs that the queue may have lost are handed out again");
            }
            self.generation = generation;
        }
        Ok(())
    }

    async fn route(&mut self) -> Route {
        let worker_down_for = self.queue.down_for();
        if worker_down_for.is_none() && self.redis_pause.is_over() {
            match self.ask_for_room().await {
                Ok((connection, room)) => return Route::Redis(connection, room),
                Err(error) => self.redis_failed(&error),
            }
        }
        let failing_for = self.failing_since.map(|since| since.elapsed());
        if worker_down_for.max(failing_for).is_some_and(|away| away >= self.options.grace) {
            Route::Executor
        } else {
            Route::Nowhere
        }
    }

    async fn ask_for_room(&mut self) -> redis::RedisResult<(MultiplexedConnection, u16)> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.queue.connect().await?,
        };
        let room = self.queue.room(&mut connection, self.options.outstanding).await?;
        self.connection = Some(connection.clone());
        self.redis_is(true);
        Ok((connection, room))
    }

    fn redis_failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.connection = None;
        self.redis_is(false);
        self.metrics.redis.failed(RedisUse::Queue);
        self.redis_pause.failed();
        if self.failing_since.is_none() {
            tracing::warn!(%error, "jobs cannot be handed to Redis");
            self.failing_since = Some(Instant::now());
        }
    }

    fn redis_is(&self, up: bool) {
        self.health.set_redis(up);
        self.metrics.redis.up.set(up.into());
    }

    async fn take(&mut self, room: u16) -> Result<Vec<DueJob>, DbError> {
        let RelayOptions { outstanding, per_lane, .. } = self.options;
        let bounds = Bounds { limit: room.min(LIMIT), outstanding, per_lane };
        if bounds.limit == 0 {
            return Ok(Vec::new());
        }
        let turn = &mut self.turn;
        let take = async |tx: &mut _| dispatch::take_due(tx, bounds, turn).await;
        self.db.platform_write(Authority::machinery(), take).await
    }

    async fn take_back(&self, jobs: Option<&[JobId]>) -> Result<usize, DbError> {
        let take_back = async |tx: &mut _| dispatch::take_back(tx, jobs).await;
        self.db.platform_write(Authority::machinery(), take_back).await
    }
}
