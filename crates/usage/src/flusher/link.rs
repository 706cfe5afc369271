//! The flusher's connection to Redis, and what is known about the stream behind it.
//!
//! Owns when Redis counts as away: after an error, or when it has been silent for too many of the flusher's looks
//! (`patience.rs`). Refuses to reconnect by itself: the flusher's loops ask for it.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Duration,
};

use bulkhead_domain::{Mac, metering::UsageBatch};
use bulkhead_link::{Backoff, RedisServer};
use bulkhead_telemetry::{Metrics, metrics::RedisUse};
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::{sync::Notify, time::Instant};

use crate::{patience, stream};

pub(super) struct Link {
    server: RedisServer,
    mac: Arc<dyn Mac>,
    metrics: Metrics,
    /// `None` while Redis is away.
    connection: RefCell<Option<MultiplexedConnection>>,
    pause: RefCell<Backoff>,
    /// Entries in the stream when it was last heard of.
    length: Cell<u64>,
    /// Notified when Redis goes away: batches that only Redis and this process had must go to PostgreSQL now.
    pub(super) lost: Notify,
}

impl Link {
    pub(super) fn new(server: RedisServer, mac: Arc<dyn Mac>, metrics: Metrics) -> Self {
        let pause = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        Self {
            server,
            mac,
            metrics,
            connection: RefCell::new(None),
            pause: RefCell::new(pause),
            length: Cell::new(0),
            lost: Notify::new(),
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.connection.borrow().is_some()
    }

    /// Entries in the stream, as far as is known.
    pub(super) const fn length(&self) -> u64 {
        self.length.get()
    }

    /// When it is time to connect again; `None` while connected.
    pub(super) fn next_try(&self) -> Option<Instant> {
        if self.is_there() { None } else { self.pause.borrow().until() }
    }

    /// Connects when Redis is away and its pause is over, and asks how long the stream is: that is also how a server that
    /// has frozen is noticed before an answer depends on it.
    pub(super) async fn mend(&self) {
        if self.is_there() || self.pause.borrow().is_over() {
            self.look().await;
        }
    }

    /// Connects if need be, pause or not, and asks how long the stream is. Returns whether Redis has answered.
    pub(super) async fn look(&self) -> bool {
        let connected = self.connection.borrow().clone();
        let connected = match connected {
            Some(connection) => Some(connection),
            None => self.answered(self.server.connect_timeout(), self.server.connect_untimed()).await,
        };
        let Some(mut connection) = connected else { return false };
        let Some(length) = self.answered(self.answer(), stream::length(&mut connection)).await else {
            return false;
        };
        self.length.set(length);
        self.metrics.usage.stream_length.set(i64::try_from(length).unwrap_or(i64::MAX));
        self.pause.borrow_mut().succeeded();
        *self.connection.borrow_mut() = Some(connection);
        true
    }

    /// Appends batches. Returns the ids of their entries, or `None` when it is not known that they were appended.
    pub(super) async fn append(&self, batches: &[impl AsRef<UsageBatch>]) -> Option<Vec<String>> {
        let mut connection = self.connection.borrow().clone()?;
        let entries =
            self.answered(self.answer(), stream::append(&mut connection, &*self.mac, batches)).await?;
        // Asked for now and then how long the stream is; until then each batch counts.
        self.length.set(self.length.get() + entries.len() as u64);
        Some(entries)
    }

    /// Which of these entries the stream does not hold, by their place in the list; `None` when Redis does not say.
    pub(super) async fn missing(&self, entries: &[String]) -> Option<Vec<usize>> {
        let mut connection = self.connection.borrow().clone()?;
        self.answered(self.answer(), stream::missing(&mut connection, entries)).await
    }

    /// Deletes entries that are in the rollups, so that the stream stays short without a worker. If it fails, the worker
    /// will find them applied.
    pub(super) async fn delete(&self, entries: &[String]) {
        let connection = self.connection.borrow().clone();
        if let Some(mut connection) = connection.filter(|_| !entries.is_empty()) {
            self.answered(self.answer(), stream::delete(&mut connection, entries)).await;
        }
    }

    /// What Redis answers; `None` after an error or too long a silence, and then Redis is away.
    async fn answered<T>(
        &self,
        silence: Duration,
        asking: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        match patience::within(silence, asking).await {
            Some(Ok(answer)) => return Some(answer),
            Some(Err(error)) => self.failed(&error),
            None => self.failed(&"it does not answer"),
        }
        None
    }

    const fn answer(&self) -> Duration {
        self.server.answer_timeout()
    }

    fn failed(&self, reason: &dyn std::fmt::Display) {
        self.metrics.redis.failed(RedisUse::Usage);
        let was_there = self.connection.borrow_mut().take().is_some();
        self.pause.borrow_mut().failed();
        if was_there {
            tracing::warn!(%reason, "Redis does not take usage; it goes to PostgreSQL until Redis is back");
            self.lost.notify_one();
        }
    }
}
