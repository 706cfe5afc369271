//! A process that serves, as far as usage is concerned: a flusher, and clients whose requests it records.

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Result, bail};
use bulkhead_domain::metering::{StatusClass, UsageKey};
use bulkhead_fixtures::{Login, TestDb, TestRedis, mac};
use bulkhead_usage::{Flusher, FlusherOptions, Outcome, Recorder, Stores, length};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{Oracle, ROUTES, busy_server, counted, metrics, noon, now, server, stats, tenant};

/// How long anything may take that must happen: a machine that runs tests may have much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// A flusher with little patience, so that a test sees in seconds what takes a minute in production.
pub(crate) fn options() -> FlusherOptions {
    FlusherOptions {
        node: "test".to_owned(),
        buffer_age: Duration::from_secs(4),
        resend_after: Duration::from_secs(1),
        confirm_every: Duration::from_millis(200),
        ..FlusherOptions::default()
    }
}

pub(crate) fn stores(db: &TestDb, redis: &TestRedis) -> Result<Stores> {
    Ok(Stores { db: db.db()?, postgres: db.connector(Login::Platform)?, redis: server(redis) })
}

/// What the clients know.
#[derive(Clone, Default)]
pub(crate) struct Load {
    pub(crate) recorded: Oracle,
    pub(crate) answered: Oracle,
    pub(crate) stored_answers: u64,
    pub(crate) late_answers: u64,
    pub(crate) unsafe_answers: u64,
}

impl Load {
    pub(crate) const fn answers(&self) -> u64 {
        self.stored_answers + self.late_answers + self.unsafe_answers
    }
}

pub(crate) struct Node {
    pub(crate) flusher: Flusher,
    load: Arc<Mutex<Load>>,
    clients: JoinSet<()>,
}

impl Node {
    pub(crate) fn start(db: &TestDb, redis: &TestRedis, options: FlusherOptions) -> Result<Self> {
        Self::start_with(stores(db, redis)?, options)
    }

    pub(crate) fn start_with(stores: Stores, options: FlusherOptions) -> Result<Self> {
        let flusher = Flusher::start(options, stores, mac(), metrics())?;
        Ok(Self { flusher, load: Arc::default(), clients: JoinSet::new() })
    }

    pub(crate) fn load(&self) -> Load {
        self.load.lock().clone()
    }

    /// One request, on whichever thread: record, wait, answer.
    pub(crate) fn request(&self, seed: u64) -> impl Future<Output = ()> + Send + 'static {
        serve(self.flusher.recorder(), Arc::clone(&self.load), seed)
    }

    /// Clients that send one request after the other until they are gone.
    pub(crate) fn clients(&mut self, count: u64) {
        for n in 0..count {
            let (recorder, load) = (self.flusher.recorder(), Arc::clone(&self.load));
            self.clients.spawn(async move {
                for request in 0.. {
                    serve(recorder.clone(), Arc::clone(&load), n << 32 | request).await;
                    sleep(Duration::from_millis(2)).await;
                }
            });
        }
    }

    /// Waits for so many more answers.
    pub(crate) async fn answers(&self, more: u64) -> Result<()> {
        let wanted = self.load.lock().answers() + more;
        until("so many answers", async || Ok(self.load.lock().answers() >= wanted)).await
    }

    /// The clients go away in the middle of whatever they do.
    pub(crate) async fn no_clients(&mut self) {
        self.clients.shutdown().await;
    }

    /// The clients go away, and the process ends in order.
    pub(crate) async fn end(mut self) -> Load {
        self.no_clients().await;
        assert_eq!(self.flusher.finish(PATIENCE).await, 0);
        self.load()
    }

    /// `kill -9`: nothing runs any more from one moment to the next.
    pub(crate) fn kill(mut self) -> Load {
        self.clients.abort_all();
        let load = self.load();
        // No client is polled before the flusher is gone, for nothing is awaited here.
        drop(self.flusher);
        load
    }
}

async fn serve(recorder: Recorder, load: Arc<Mutex<Load>>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (tenant, route, status) =
        (tenant(rng.random_range(1..6)), ROUTES[rng.random_range(0..3)], StatusClass::of(200));
    let at: DateTime<Utc> = noon() + TimeDelta::seconds(rng.random_range(0..90));
    let (stats, counted) = (stats(&mut rng), counted(&mut rng));
    let minute = u32::try_from(at.timestamp() / 60).unwrap();
    let key = UsageKey { tenant, route: route.to_owned(), status, minute };
    let ticket = {
        let mut load = load.lock();
        load.recorded.add(key.clone(), &stats, &counted);
        recorder.record(tenant, route, status, at, &stats, &counted)
    };
    let outcome = ticket.durable().await;
    let mut load = load.lock();
    load.answered.add(key, &stats, &counted);
    match outcome {
        Outcome::Stored => load.stored_answers += 1,
        Outcome::Late => load.late_answers += 1,
        Outcome::NotDurable => load.unsafe_answers += 1,
    }
}

/// Runs the worker's job over and over, on a thread of its own.
pub(crate) struct Worker {
    killed: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(db: &TestDb, redis: &TestRedis) -> Result<Self> {
        let (db, server) = (db.db()?, server(redis));
        let (killed, is_killed) = oneshot::channel();
        let work = async move || {
            let (metrics, mac, options) = (metrics(), mac(), bulkhead_usage::DrainOptions::default());
            loop {
                if let Ok(mut connection) = server.connect().await {
                    drop(bulkhead_usage::drain(&mut connection, &db, &metrics, &*mac, options, now()).await);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = work() => {}
                    _killed = is_killed => {}
                }
            });
        });
        Ok(Self { killed, thread })
    }

    /// `kill -9`, in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        drop(self.killed);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so().await? {
        if began.elapsed() > PATIENCE {
            bail!("still not so after {PATIENCE:?}: {what}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Entries in the stream.
pub(crate) async fn entries(redis: &TestRedis) -> Result<u64> {
    Ok(length(&mut busy_server(redis).connect().await?).await?)
}
