//! A worker process: everything built, run, and ended in order.

use std::{sync::Arc, time::Duration};

use bulkhead_auth::SigningKeyMaker;
use bulkhead_config::Extensions;
use bulkhead_db::{
    Authority, Db, DbError, Owner,
    platform::{
        nodes::{self, HEARTBEAT, Node, NodeKind},
        queue::{
            dispatch,
            lease::{self, LeaseToken},
        },
    },
};
use bulkhead_domain::{Clock, JobId, Mac};
use bulkhead_link::RedisServer;
use bulkhead_telemetry::{Health, Metrics};
use bulkhead_usage::Bound;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::{
    anchor::Anchoring,
    engine::{
        executor::{Executor, ExecutorOptions},
        queue::Queue,
        registry::Registry,
        relay::{Relay, RelayOptions},
        schedule::Recurring,
        sweeper,
    },
    environment::Environment,
    error::WorkerError,
    jobs::OutgoingMail,
    pools::Pools,
};

/// How a worker behaves.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The name of this node: 1 to 64 letters, digits, dots, underscores or hyphens. Two processes may share it.
    pub node: String,
    /// Jobs that run at the same time.
    pub concurrency: u16,
    /// Jobs of one tenant, or of one kind of the platform's own, that run at the same time.
    pub lane_concurrency: u16,
    /// How long a worker may be silent before another takes its jobs over.
    pub lease: Duration,
    /// How often the queue in Redis is asked for work.
    pub poll: Duration,
    /// Jobs that are handed out and unfinished at the same time, at most 1,000.
    pub outstanding: u16,
    /// How often losses are looked for.
    pub sweep: Duration,
    /// How long a job may be handed out without being started before it is handed out again.
    pub patience: Duration,
    /// How long Redis may be away before jobs are run without it.
    pub redis_grace: Duration,
    /// The pause after a job's first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// The pause before a job is due again that this program could not begin and another one may.
    pub postponement: Duration,
    /// How many schemas are kept ready for tenants to come.
    pub schema_pool: u16,
    /// How long running jobs are waited for when the process is to end. What is not done then is handed back.
    pub drain: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            node: "local".to_owned(),
            concurrency: 16,
            lane_concurrency: 4,
            lease: Duration::from_secs(30),
            poll: Duration::from_millis(50),
            outstanding: 1_000,
            sweep: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            redis_grace: Duration::from_secs(3),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(5),
            postponement: Duration::from_secs(5),
            schema_pool: 8,
            drain: Duration::from_secs(20),
        }
    }
}

/// What a worker works with. Pools are driven by the runtime that uses them, so every thread has its own.
pub struct Dependencies {
    /// One for each thread that jobs run on; at least one.
    pub threads: Vec<Db>,
    /// For the worker itself.
    pub own: Db,
    /// The owner of all schemas, for the jobs that build.
    pub owner: Owner,
    /// The same, for those that purge: a way of its own, so that however long a purge takes, customers can sign up.
    pub purger: Owner,
    /// The Redis of the queue and of the usage stream.
    pub redis: RedisServer,
    /// Recognises the entries of the usage stream.
    pub usage_mac: Arc<dyn Mac>,
    /// Signs what is put into the queue, and recognises it.
    pub queue_mac: Arc<dyn Mac>,
    /// Makes the keys that sign access tokens.
    pub signing_key_maker: SigningKeyMaker,
    /// Sends mails, where there is an SMTP server.
    pub mail: Option<OutgoingMail>,
    /// Where the heads of audit logs are written, if anywhere.
    pub anchoring: Option<Anchoring>,
    /// The pools in which people are made.
    pub pools: Pools,
    /// The metrics of the process.
    pub metrics: Metrics,
    /// Kept up to date: whether PostgreSQL and Redis answer.
    pub health: Arc<Health>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What the application's extensions are set to.
    pub extensions: Extensions,
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dependencies({} threads)", self.threads.len())
    }
}

/// How long the transaction may take in which a process that ends hands its jobs back.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Runs jobs until `shutdown` is cancelled; then takes no more, waits for those that run, hands back what is left and
/// returns, within [`WorkerOptions::drain`] and about 2 seconds. To be awaited where it was called (`block_on`): it is
/// not `Send`.
pub async fn run(
    options: WorkerOptions,
    mut dependencies: Dependencies,
    registry: Registry,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    if dependencies.threads.is_empty() {
        return Err(WorkerError::NoThreads);
    }
    for kind in registry.names() {
        dependencies.metrics.jobs.expect(kind);
    }
    let recurring = registry.recurring().to_vec();
    let environments = environments(&options, &mut dependencies, &registry);
    let Dependencies { own: db, redis, queue_mac, metrics, health, clock, .. } = dependencies;
    let outstanding = options.outstanding.clamp(1, 1_000);
    let executor = Executor::new(executor_options(&options), registry, environments);
    let queue = Arc::new(Queue::new(redis, queue_mac, options.poll, outstanding.into(), metrics.clone()));
    let relay = Relay::new(
        db.clone(),
        Arc::clone(&queue),
        executor.clone(),
        metrics.clone(),
        Arc::clone(&health),
        RelayOptions {
            outstanding,
            per_lane: options.lane_concurrency.saturating_mul(8).min(outstanding),
            grace: options.redis_grace,
            busy: Duration::from_millis(20),
            idle: Duration::from_millis(250),
        },
    );
    let node = node(&options, &*clock);
    let worker = supervised(Arc::clone(&queue), options.node.clone(), executor.clone());
    let work = async {
        tokio::join!(
            relay.run(),
            sweeper::sweep_for_ever(&db, options.sweep, options.patience, &metrics),
            sweeper::renew_for_ever(&db, &executor, options.lease),
            heartbeat(&db, &node, &health),
            ensure_schedules(&db, recurring, &*clock),
        )
    };
    tokio::select! {
        _ = work => {}
        () = shutdown.cancelled() => {}
    }
    drop(worker);
    end(&options, &db, &executor, node.id).await;
    Ok(())
}

/// What the jobs of each thread reach. Takes the threads' ways to the database.
fn environments(
    options: &WorkerOptions,
    dependencies: &mut Dependencies,
    registry: &Registry,
) -> Vec<Environment> {
    let threads = std::mem::take(&mut dependencies.threads);
    let each_tenant = registry.each_tenant().into();
    let counts = Arc::new(Bound::new(crate::jobs::MOST_COUNTS));
    let environment = |db| Environment {
        db,
        owner: dependencies.owner.clone(),
        purger: dependencies.purger.clone(),
        redis: dependencies.redis.clone(),
        usage_mac: Arc::clone(&dependencies.usage_mac),
        signing_key_maker: dependencies.signing_key_maker.clone(),
        mail: dependencies.mail.clone(),
        anchoring: dependencies.anchoring.clone(),
        pools: dependencies.pools.clone(),
        metrics: dependencies.metrics.clone(),
        clock: Arc::clone(&dependencies.clock),
        extensions: dependencies.extensions.clone(),
        schema_pool: options.schema_pool,
        counts: Arc::clone(&counts),
        each_tenant: Arc::clone(&each_tenant),
    };
    threads.into_iter().map(environment).collect()
}

/// What the other nodes know this process by.
fn node(options: &WorkerOptions, clock: &dyn Clock) -> Node {
    Node { id: Uuid::now_v7(), name: options.node.clone(), kind: NodeKind::Worker, started_at: clock.now() }
}

fn executor_options(options: &WorkerOptions) -> ExecutorOptions {
    ExecutorOptions {
        concurrency: options.concurrency.max(1).into(),
        lane_concurrency: options.lane_concurrency.max(1).into(),
        most_held: usize::from(options.outstanding) * 4,
        lease: options.lease,
        first_pause: options.first_pause,
        longest_pause: options.longest_pause,
        postponement: options.postponement,
    }
}

/// The queue's worker in a task of its own, for it is polled often.
fn supervised(queue: Arc<Queue>, node: String, executor: Executor) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::join!(queue.supervise(&node, executor), queue.trim_for_ever());
    }))
}

/// Writes that this process runs, every [`HEARTBEAT`], and learns by it whether the database answers.
async fn heartbeat(db: &Db, node: &Node, health: &Health) {
    loop {
        let beat = async |tx: &mut _| nodes::heartbeat(tx, node).await;
        let written = db.platform_write::<_, DbError>(Authority::machinery(), beat).await;
        health.set_database(written.is_ok());
        if let Err(error) = written {
            tracing::warn!(%error, "the heartbeat could not be written");
        }
        sleep(HEARTBEAT).await;
    }
}

/// Puts each recurring job into the queue, and tries until it is there. Each is tried by itself, so that a job does
/// not wait for another one whose kind is not declared yet because `migrate` of this release is still to run.
async fn ensure_schedules(db: &Db, recurring: Vec<Recurring>, clock: &dyn Clock) {
    let mut left = recurring;
    while !left.is_empty() {
        let mut failed = Vec::new();
        for job in left {
            let ensure = async |tx: &mut _| job.ensure(tx, clock.now()).await;
            let ensured = db.platform_write::<_, DbError>(Authority::machinery(), ensure).await;
            if let Err(error) = ensured {
                tracing::warn!(job.kind = job.kind, %error, "a recurring job could not be scheduled");
                failed.push(job);
            }
        }
        if !failed.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        left = failed;
    }
}

/// Takes no more jobs, waits for those that run, and hands back what is left.
async fn end(options: &WorkerOptions, db: &Db, executor: &Executor, node: Uuid) {
    let waiting = executor.close();
    tracing::info!(running = executor.leases().len(), waiting = waiting.len(), "ending; jobs are waited for");
    tokio::select! {
        () = executor.idle() => {}
        () = sweeper::renew_for_ever(db, executor, options.lease) => {}
        () = sleep(options.drain) => {}
    }
    let left = executor.leases();
    executor.stop(left.iter().copied());
    // Nothing here is needed for the jobs' sake: leases run out, and the sweeper finds the rest.
    if timeout(SHUTDOWN_GRACE, hand_back(db, &waiting, &left, node)).await.is_err() {
        tracing::warn!(jobs = left.len(), "jobs could not be handed back; their leases will run out");
    }
}

async fn hand_back(db: &Db, waiting: &[JobId], left: &[(JobId, LeaseToken)], node: Uuid) {
    let hand_back = async |tx: &mut _| {
        let released = lease::release(tx, left).await?;
        dispatch::take_back(tx, Some(waiting)).await?;
        nodes::leave(tx, node).await?;
        Ok::<_, DbError>(released)
    };
    match db.platform_write(Authority::machinery(), hand_back).await {
        Ok(released) if released > 0 => tracing::warn!(jobs = released, "running jobs were handed back"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "jobs could not be handed back; their leases will run out"),
    }
}
