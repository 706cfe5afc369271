//! Clients that ask without pause and remember what they were answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use super::world::{SETTLING, World};

/// Clients at the same time, spread over the tenants.
const CLIENTS: usize = 6;

/// What the clients have seen.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counted {
    /// Billable answers.
    pub(super) answered: u64,
    /// Requests whose answer never came: they may have been billed or not.
    pub(super) unknown: u64,
}

#[derive(Default)]
struct Counters {
    answered: AtomicU64,
    unknown: AtomicU64,
    /// Requests that were refused, or could not be sent.
    refused: AtomicU64,
    stop: AtomicBool,
}

impl Counters {
    /// Notes it, and does not ask again at once.
    async fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) struct Load {
    counters: Arc<Counters>,
    clients: JoinSet<()>,
}

impl Load {
    pub(super) fn start(world: &World) -> Self {
        let counters = Arc::new(Counters::default());
        let mut clients = JoinSet::new();
        for (client, key) in world.keys.iter().cycle().take(CLIENTS).enumerate() {
            clients.spawn(ask_for_ever(Arc::clone(&counters), world.url(""), key.clone(), client));
        }
        Self { counters, clients }
    }

    /// Waits for so many more billable answers.
    pub(super) async fn answers(&self, more: u64) {
        let answered = || self.counters.answered.load(Ordering::Relaxed);
        at_least(answered() + more, answered).await;
    }

    /// Waits until so many more requests have ended, however they did.
    pub(super) async fn ends(&self, more: u64) {
        let Counters { answered, unknown, refused, .. } = &*self.counters;
        let ended = || [answered, unknown, refused].iter().map(|count| count.load(Ordering::Relaxed)).sum();
        at_least(ended() + more, ended).await;
    }

    pub(super) async fn stop(mut self) -> Counted {
        self.counters.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        Counted {
            answered: self.counters.answered.load(Ordering::Relaxed),
            unknown: self.counters.unknown.load(Ordering::Relaxed),
        }
    }
}

async fn at_least(wanted: u64, count: impl Fn() -> u64) {
    let reached = async {
        while count() < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SETTLING, reached).await.expect("the load goes on");
}

async fn ask_for_ever(counters: Arc<Counters>, api: String, key: String, client: usize) {
    let http = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    for turn in client.. {
        if counters.stop.load(Ordering::Relaxed) {
            return;
        }
        let request = if turn % 2 == 0 {
            http.get(format!("{api}/v1/me"))
        } else {
            let name = format!("resource {turn}");
            http.post(format!("{api}/v1/resources")).json(&json!({ "name": name, "kind": "load" }))
        };
        match request.header("x-api-key", &key).send().await {
            Ok(answer) if is_billable(answer.status()) => {
                counters.answered.fetch_add(1, Ordering::Relaxed);
                // The head is the answer; a body that breaks off after it changes nothing.
                let _body = answer.bytes().await;
            }
            Ok(_refused) => counters.refused().await,
            // Never reached the server: not in flight.
            Err(error) if error.is_connect() => counters.refused().await,
            Err(_broken_off) => {
                counters.unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn is_billable(status: StatusCode) -> bool {
    !status.is_server_error()
        && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
}
