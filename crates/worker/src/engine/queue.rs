//! apalis on Redis, as a dispatcher that may be lost at any moment.
//!
//! It carries ids, spread over the worker processes, and nothing else: what a job is, whether it is to run, and what
//! came of it, stands in PostgreSQL. What is put in carries a tag, and what comes out without the right one is dropped
//! before it costs a look-up or a place: a process that can write to Redis can delay jobs, but not have one run, nor
//! fill a tenant's lane. A genuine task that is written again is an id delivered twice, and the job's row says whether
//! there is anything to run. That makes the faults of apalis-redis 1.0.0 harmless, and these are the ones we step
//! around:
//!
//! - Its scripts fail for good when about 8,000 tasks are due: [`Queue::room`] keeps the queue far below that.
//! - Any error of Redis ends its worker: [`Queue::supervise`] builds another, with a connection of its own.
//! - A worker name that was in use is refused for a while: every worker gets a new one.
//! - An idle worker looks for work every 30 s, and its own interval falls asleep when an answer takes longer than the
//!   interval: [`EverySoOften`] polls.
//! - Its retries ignore the number of attempts: a delivery always succeeds; attempts are counted in the job's row.
//! - Its leases and events cost round trips, and their renewal script is broken: they are switched off.
//! - What is finished stays in Redis: [`Queue::trim_for_ever`] deletes it.
//! - An idempotency key without a time to live does not work: one is set, though no task has a key.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use apalis::prelude::{Data, EventListenerExt as _, TaskSink as _, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::{
    backend::ext::{
        BackendExt as _,
        poll_strategy::{PollSnapshot, PollStrategy},
    },
    worker::{context::WorkerContext, event::Event},
};
use apalis_redis::{Config, RedisStorage};
use bulkhead_db::platform::queue::dispatch::DueJob;
use bulkhead_domain::{JobId, Mac};
use bulkhead_link::{Backoff, RedisServer};
use bulkhead_telemetry::{Metrics, metrics::RedisUse};
use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use redis::{RedisResult, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use crate::engine::executor::Executor;

/// The queue's name, which begins all its keys.
const QUEUE: &str = "bh:jobs";

/// Tasks fetched at a time.
const BATCH: usize = 100;

/// How long a worker waits for an answer of Redis.
const ANSWER: Duration = Duration::from_secs(2);

/// Finished tasks deleted at a time.
const TRIM: usize = 500;

/// What travels: the id of a job, and the lane in which it waits. The lane is only for taking turns; the worker reads
/// from the row which tenant the job belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    job: JobId,
    lane: String,
    /// The tag of both, in hexadecimal. A release that knew none left it out; the sweeper hands such a job out again.
    #[serde(default)]
    tag: String,
}

impl Task {
    fn signed(due: &DueJob, mac: &dyn Mac) -> Self {
        let tag = HEXLOWER.encode(&mac.sign(&Self::covered(due)));
        Self { job: due.id, lane: due.lane.clone(), tag }
    }

    /// The job to deliver, if we have put it in.
    fn verified(self, mac: &dyn Mac) -> Option<DueJob> {
        let due = DueJob { id: self.job, lane: self.lane };
        let tag = HEXLOWER.decode(self.tag.as_bytes()).ok()?;
        mac.verify(&Self::covered(&due), &tag).then_some(due)
    }

    /// The id has a fixed length, so nothing else reads the same.
    fn covered(due: &DueJob) -> Vec<u8> {
        [due.id.uuid().as_bytes().as_slice(), due.lane.as_bytes()].concat()
    }
}

/// The queue in Redis.
pub(crate) struct Queue {
    server: RedisServer,
    mac: Arc<dyn Mac>,
    config: Config,
    poll: Duration,
    /// Tasks that one worker holds at a time.
    concurrency: usize,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when no worker has been able to fetch; `None` while one is.
    down_since: Option<Instant>,
    /// How many workers have been up.
    generation: u64,
}

impl Queue {
    pub(crate) fn new(
        server: RedisServer,
        mac: Arc<dyn Mac>,
        poll: Duration,
        concurrency: usize,
        metrics: Metrics,
    ) -> Self {
        // An orphaned task is only a second delivery of a job that the sweeper delivers again anyway.
        let config = Config::default()
            .queue(QUEUE)
            .batch_size(BATCH)
            .heartbeat_interval(Duration::from_secs(5))
            .missed_heartbeats(12)
            .lock_tasks(false)
            .emit_events(false)
            .idempotency_ttl(Some(Duration::from_mins(1)));
        let state = State { down_since: Some(Instant::now()), generation: 0 };
        Self { server, mac, config, poll, concurrency, metrics, state: Mutex::new(state) }
    }

    /// For how long no worker of this process has been able to fetch; `None` while one is.
    pub(crate) fn down_for(&self) -> Option<Duration> {
        self.state.lock().down_since.map(|since| since.elapsed())
    }

    /// Changes whenever a worker has been replaced: what the last one held is to be handed out again.
    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    fn is_up(&self) {
        let mut state = self.state.lock();
        if state.down_since.take().is_some() {
            state.generation += 1;
        }
    }

    fn is_down(&self) {
        self.state.lock().down_since.get_or_insert_with(Instant::now);
    }

    /// A connection for handing jobs over.
    pub(crate) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.server.connect().await
    }

    /// How many more jobs may be put into Redis while it holds at most `most`.
    pub(crate) async fn room(&self, connection: &mut MultiplexedConnection, most: u16) -> RedisResult<u16> {
        let (scheduled, active): (u64, u64) = redis::pipe()
            .cmd("ZCARD")
            .arg(self.config.scheduled_jobs_set())
            .cmd("LLEN")
            .arg(self.config.active_jobs_list())
            .query_async(connection)
            .await?;
        let held = u16::try_from(scheduled.saturating_add(active)).unwrap_or(u16::MAX);
        Ok(most.saturating_sub(held))
    }

    /// Hands jobs over. After an error they may or may not be in Redis.
    pub(crate) async fn push(
        &self,
        connection: &MultiplexedConnection,
        jobs: &[DueJob],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let tasks = jobs.iter().map(|due| Task::signed(due, &*self.mac)).collect();
        let mut storage = RedisStorage::<Task, _>::new(connection.clone()).with_config(self.config.clone());
        Ok(storage.push_bulk(tasks).await?)
    }

    /// Keeps a worker running: whenever one ends, another is built.
    pub(crate) async fn supervise(&self, node: &str, executor: Executor) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            let name = format!("{node}-{}", Uuid::now_v7().simple());
            let began = Instant::now();
            let ended = self.run_worker(&name, executor.clone()).await;
            self.is_down();
            self.metrics.redis.failed(RedisUse::Queue);
            if began.elapsed() > Duration::from_secs(10) {
                backoff.succeeded();
            }
            let pause = backoff.next_pause();
            tracing::warn!(reason = ended, ?pause, "the queue's worker ended; another one is built");
            sleep(pause).await;
            self.forget_worker(&name).await;
        }
    }

    /// Runs one worker until it ends, and says why it did.
    async fn run_worker(&self, name: &str, executor: Executor) -> String {
        // More patient than the relay: an answer that comes late is no reason to build another worker.
        let server = self.server.clone().with_answer_timeout(ANSWER);
        let connection = match server.connect().await {
            Ok(connection) => connection,
            Err(error) => return error.to_string(),
        };
        let storage = RedisStorage::<Task, _>::new(connection).with_config(self.config.clone());
        let (up, is_up) = tokio::sync::watch::channel(false);
        let heard = move |_: &WorkerContext, event: &Event| {
            if matches!(event, Event::HeartBeat) {
                up.send_replace(true);
            }
        };
        let worker = WorkerBuilder::new(name)
            .backend(storage.poll_with_strategy(EverySoOften::new(self.poll)))
            .data(Arrivals { executor, mac: Arc::clone(&self.mac), metrics: self.metrics.clone() })
            .concurrency(self.concurrency)
            .on_event(heard)
            .build(deliver);
        let notice = async {
            let mut is_up = is_up;
            if is_up.wait_for(|up| *up).await.is_ok() {
                self.is_up();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = worker.run() => ended.map_or_else(|error| error.to_string(), |()| "it stopped".to_owned()),
            () = notice => String::new(),
        }
    }

    /// Deletes what a worker that has ended leaves in Redis. Its tasks are delivered again from their rows; if this
    /// fails, the next worker finds them orphaned.
    async fn forget_worker(&self, name: &str) {
        let forget = async {
            let mut connection = self.server.connect().await?;
            let context = WorkerContext::new(name);
            let held = self.config.inflight_set_for(&context);
            let tasks: Vec<String> = redis::cmd("SMEMBERS").arg(&held).query_async(&mut connection).await?;
            self.delete_tasks(&mut connection, &held, &tasks).await?;
            redis::pipe()
                .cmd("ZREM")
                .arg(self.config.workers_set())
                .arg(name)
                .cmd("UNLINK")
                .arg(held)
                .arg(self.config.worker_metadata_key(&context))
                .exec_async(&mut connection)
                .await
        };
        if let Err(error) = forget.await {
            tracing::debug!(%error, "what an ended worker has left in Redis could not be deleted");
        }
    }

    /// Deletes finished tasks, which apalis keeps.
    pub(crate) async fn trim_for_ever(&self) {
        loop {
            sleep(Duration::from_secs(5)).await;
            if self.down_for().is_none()
                && let Err(error) = self.trim().await
            {
                tracing::debug!(%error, "finished tasks could not be deleted");
            }
        }
    }

    async fn trim(&self) -> RedisResult<()> {
        let mut connection = self.server.connect().await?;
        for set in [self.config.done_jobs_set(), self.config.dead_jobs_set()] {
            loop {
                let tasks: Vec<String> =
                    redis::cmd("SRANDMEMBER").arg(&set).arg(TRIM).query_async(&mut connection).await?;
                self.delete_tasks(&mut connection, &set, &tasks).await?;
                if tasks.len() < TRIM {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes tasks: their data, what is known about them, and last their mention in `set`, so that what is cut off in
    /// between is found again.
    async fn delete_tasks(
        &self,
        connection: &mut MultiplexedConnection,
        set: &str,
        tasks: &[String],
    ) -> RedisResult<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        let about = self.config.job_meta_hash();
        let about: Vec<String> = tasks.iter().map(|task| format!("{about}:{task}")).collect();
        redis::pipe()
            .cmd("HDEL")
            .arg(self.config.job_data_hash())
            .arg(tasks)
            .cmd("UNLINK")
            .arg(about)
            .cmd("SREM")
            .arg(set)
            .arg(tasks)
            .exec_async(connection)
            .await
    }
}

/// Wakes the worker at an interval. Polled until it is pending, so that there is always a next time: apalis' own interval
/// leaves its next time unarmed when it is polled late.
struct EverySoOften(Interval);

impl EverySoOften {
    fn new(period: Duration) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(interval)
    }
}

impl PollStrategy for EverySoOften {
    fn poll_drive(&mut self, context: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        let mut is_time = false;
        while self.0.poll_tick(context).is_ready() {
            is_time = true;
        }
        if is_time { Poll::Ready(Some(())) } else { Poll::Pending }
    }
}

/// What the queue's worker hands its tasks to.
#[derive(Clone)]
struct Arrivals {
    executor: Executor,
    mac: Arc<dyn Mac>,
    metrics: Metrics,
}

/// Resolves when the job has left the executor, which is what bounds the tasks that a worker takes. Never fails: apalis
/// must not try again by itself.
async fn deliver(task: Task, arrivals: Data<Arrivals>) {
    let job = task.job;
    let Some(due) = task.verified(&*arrivals.mac) else {
        arrivals.metrics.jobs.forged.inc();
        tracing::error!(job.id = %job, "the queue held an id that no release with this master key has put in");
        return;
    };
    arrivals.executor.deliver(due).await;
}

#[cfg(test)]
mod tests {
    use bulkhead_fixtures::mac;

    use super::*;

    #[test]
    fn a_task_is_believed_only_as_it_was_signed() {
        let mac = mac();
        let due = DueJob { id: JobId::from_uuid(Uuid::from_u128(7)), lane: "lane".to_owned() };
        let good = Task::signed(&due, &*mac);
        let read = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Task>(&read).unwrap().verified(&*mac), Some(due));
        let forged = [
            Task { job: JobId::from_uuid(Uuid::from_u128(8)), ..good.clone() },
            Task { lane: "another".to_owned(), ..good.clone() },
            Task { tag: String::new(), ..good.clone() },
            Task { tag: good.tag[2..].to_owned(), ..good.clone() },
            Task { tag: good.tag.to_uppercase(), ..good.clone() },
            Task { tag: format!("{}00", good.tag), ..good },
        ];
        for task in forged {
            assert_eq!(task.clone().verified(&*mac), None, "{task:?}");
        }
    }
}
