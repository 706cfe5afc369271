//! The thread that stores what a process has recorded.
//!
//! One thread for all recorders of a process, with a runtime, a connection to Redis and connections to PostgreSQL of its
//! own: no request runs on it, so none can stall it. What it does is in `work.rs`. Refuses to let any other part of
//! the process say that a record is unsafe.

mod ledger;
mod linger;
mod link;
mod rollups;
mod work;

use std::{fmt, io, sync::Arc, thread::JoinHandle, time::Duration};

use bulkhead_db::{Connector, Db};
use bulkhead_domain::Mac;
use bulkhead_link::RedisServer;
use bulkhead_telemetry::Metrics;
use tokio::{sync::watch, time::Instant};

use crate::{
    patience,
    recorder::{Desk, Recorder},
};
use work::Work;

/// How a flusher behaves.
#[derive(Clone, Debug)]
pub struct FlusherOptions {
    /// The name of this node, for people who look into the tables: 1 to 64 visible ASCII characters.
    pub node: String,
    /// How long an answer waits to hear from the flusher what became of its record; then the outcome is
    /// [`Outcome::Late`]. With Redis there the wait is a matter of milliseconds, and with neither server of a few
    /// seconds; it is long when Redis is away and PostgreSQL is slow.
    ///
    /// [`Outcome::Late`]: crate::Outcome::Late
    pub longest_wait: Duration,
    /// Entries in the stream beyond which batches go to PostgreSQL directly.
    pub stream_max: u64,
    /// Unconfirmed bytes beyond which batches are applied directly, and made less often.
    pub buffer_bytes: usize,
    /// Age beyond which an unconfirmed batch is applied directly.
    pub buffer_age: Duration,
    /// Age beyond which an unconfirmed batch is looked for in the stream, and appended again when it is not there.
    pub resend_after: Duration,
    /// How often PostgreSQL is asked what it has applied.
    pub confirm_every: Duration,
    /// How long PostgreSQL may be silent until it is asked whether it still answers, and how long it then has.
    pub postgres_silence: Duration,
}

impl Default for FlusherOptions {
    fn default() -> Self {
        Self {
            node: "local".to_owned(),
            longest_wait: Duration::from_secs(10),
            stream_max: 100_000,
            buffer_bytes: 16 << 20,
            buffer_age: Duration::from_secs(30),
            resend_after: Duration::from_secs(10),
            confirm_every: Duration::from_millis(1_500),
            postgres_silence: Duration::from_secs(1),
        }
    }
}

/// Where a flusher stores usage. All of it is used by the flusher's thread alone.
#[derive(Clone, Debug)]
pub struct Stores {
    /// For the rollups: at least two connections for the platform's own data.
    pub db: Db,
    /// To ask whether PostgreSQL answers at all, apart from the connections in use.
    pub postgres: Connector,
    /// For the stream.
    pub redis: RedisServer,
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug)]
enum Order {
    Work,
    /// Apply everything until then, and end.
    Finish(Instant),
    /// End, and leave everything where it is.
    Abandon,
}

/// A running flusher. Dropping it ends the thread and leaves what is not confirmed to Redis, as a crash would: call
/// [`Self::finish`] first.
pub struct Flusher {
    desk: Arc<Desk>,
    longest_wait: Duration,
    order: watch::Sender<Order>,
    /// Batches that were not applied when the thread ended.
    left: watch::Receiver<Option<usize>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// Starts the thread. `mac` signs what goes into the stream. Fails when the system refuses a thread.
    pub fn start(
        options: FlusherOptions,
        stores: Stores,
        mac: Arc<dyn Mac>,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let desk = Arc::<Desk>::default();
        let (order, mut orders) = watch::channel(Order::Work);
        let (tell, left) = watch::channel(None);
        let longest_wait = options.longest_wait;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let theirs = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("usage".to_owned()).spawn(move || {
            let left = runtime.block_on(async {
                // Made here, for it never leaves this thread.
                Box::pin(Work::new(theirs, options, stores, mac, metrics).run(&mut orders)).await
            });
            tell.send_replace(Some(left));
            // A look-up of a name that hangs must not hold up the end of the process.
            runtime.shutdown_background();
        })?;
        Ok(Self { desk, longest_wait, order, left, thread: Some(thread) })
    }

    /// A recorder whose records this flusher stores.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(Arc::clone(&self.desk), self.longest_wait)
    }

    /// Ends when the thread has ended, in order or by a panic: from then on nothing is stored, so a process that was not told
    /// to end must not go on answering.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut left = self.left.clone();
        async move {
            // An error means that the thread has panicked, which drops its end.
            let _left = left.wait_for(Option::is_some).await;
        }
    }

    /// Stores everything of all recorders in PostgreSQL, for at most `limit`, and ends the thread. Returns how many
    /// batches could not be stored. Call it when the last request has been answered: what is recorded later is
    /// [`Outcome::NotDurable`], and lost.
    ///
    /// [`Outcome::NotDurable`]: crate::Outcome::NotDurable
    pub async fn finish(&self, limit: Duration) -> usize {
        self.order.send_replace(Order::Finish(Instant::now() + limit));
        let mut left = self.left.clone();
        // The thread keeps the deadline. The wait is a little longer, so that its result can arrive.
        let told = patience::within(limit + limit / 2, left.wait_for(Option::is_some)).await;
        // No result means that the thread has failed: what it held is in this process alone, which ends now.
        told.and_then(Result::ok).and_then(|left| *left).unwrap_or(1)
    }
}

impl fmt::Debug for Flusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flusher({:?})", *self.order.borrow())
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.order.send_if_modified(|order| {
            let is_working = matches!(order, Order::Work);
            if is_working {
                *order = Order::Abandon;
            }
            is_working
        });
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been written to standard error, and all requests that waited for it have been
            // told.
            let _ended = thread.join();
        }
    }
}
