//! The API dies while one tenant keeps its threads busy: what was answered is billed, the neighbours' requests and its own.
//!
//! The process is also frozen now and then and goes on, as a machine without processor time does: our own pace must not be
//! taken for the silence of Redis and PostgreSQL, which answer all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode};
use tokio::{task::JoinSet, time::sleep};

use super::world::World;

/// Says how many rounds there are; without it a few.
const ROUNDS: &str = "FAULT_ROUNDS";
const FEW: u32 = 3;

/// Requests at the same time of the tenant that sends large writes, and of each of its neighbours.
const WRITERS: usize = 24;
const NEIGHBOURS: usize = 3;

/// Answers that a round waits for, and waits for again after the process was frozen.
const ANSWERS: u64 = 30;

/// What the API says when an answer goes out before its usage is anywhere else.
const UNSAFE: &str = "usage is kept by this process alone";

/// How long the process is frozen: longer than Redis is waited for.
const FROZEN: Duration = Duration::from_millis(1_500);

/// What the clients of one tenant have seen.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    /// Their answer never came: they may be billed or not.
    unknown: AtomicU64,
}

struct Load {
    seen: Vec<Arc<Seen>>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(world: &World) -> Self {
        let (mut seen, mut clients) = (Vec::new(), JoinSet::new());
        let body = large_write();
        for (tenant, key) in world.keys.iter().enumerate() {
            let theirs = Arc::<Seen>::default();
            for _ in 0..if tenant == 0 { WRITERS } else { NEIGHBOURS } {
                let body = (tenant == 0).then(|| body.clone());
                clients.spawn(ask_until_it_dies(Arc::clone(&theirs), world.url(""), key.clone(), body));
            }
            seen.push(theirs);
        }
        Self { seen, clients }
    }

    fn answered(&self) -> u64 {
        self.seen.iter().map(|seen| seen.answered.load(Ordering::Relaxed)).sum()
    }

    /// Waits for so many more answers.
    async fn answers(&self, more: u64) {
        let wanted = self.answered() + more;
        while self.answered() < wanted {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until every client has noticed that the API is gone; for each tenant the answers, and what else may be billed.
    async fn end(mut self) -> Vec<(u64, u64)> {
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let counts =
            |seen: &Arc<Seen>| (seen.answered.load(Ordering::Relaxed), seen.unknown.load(Ordering::Relaxed));
        self.seen.iter().map(counts).collect()
    }
}

/// A member that appears twice, which the API only knows when it has looked at all of the content: a refusal that keeps a
/// processor busy, and is billed.
fn large_write() -> String {
    let numbers = vec!["1"; 125_000].join(",");
    format!(r#"{{"name":"large","kind":"load","data":{{"numbers":[{numbers}],"last":1,"last":1}}}}"#)
}

async fn ask_until_it_dies(seen: Arc<Seen>, api: String, key: String, body: Option<String>) {
    let http = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    loop {
        let request = match &body {
            Some(body) => http
                .post(format!("{api}/v1/resources"))
                .header("content-type", "application/json")
                .body(body.clone()),
            None => http.get(format!("{api}/v1/me")),
        };
        match request.header("x-api-key", &key).send().await {
            Ok(answer) if matches!(answer.status(), StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY) => {
                seen.answered.fetch_add(1, Ordering::Relaxed);
                let _body = answer.bytes().await;
            }
            Ok(answer) => {
                let status = answer.status();
                assert!(
                    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE),
                    "{status}: {}",
                    answer.text().await.unwrap_or_default()
                );
                sleep(Duration::from_millis(20)).await;
            }
            // Never reached the server: not in flight.
            Err(error) if error.is_connect() => return,
            Err(_broken_off) => {
                seen.unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_dies_under_large_writes_has_billed_every_answer() {
    let rounds = std::env::var_os(ROUNDS).map_or(FEW, |rounds| rounds.to_str().unwrap().parse().unwrap());
    let mut world = World::start().await;
    world.await_billed("the start").await;
    let mut answers = 0;
    for round in 1..=rounds {
        let before = world.billed_by_tenant().await;
        let load = Load::start(&world);
        load.answers(ANSWERS).await;
        if round % 3 > 0 {
            world.signal_api(Signal::SIGSTOP);
            sleep(FROZEN).await;
            world.signal_api(Signal::SIGCONT);
            // What was under way is answered now.
            load.answers(ANSWERS).await;
        }
        // At another moment in each round.
        sleep(Duration::from_millis(u64::from(round) * 37 % 100)).await;
        let log = world.kill_api();
        let counts = load.end().await;
        assert!(!log.contains(UNSAFE), "round {round}: an answer was unsafe");
        world.await_drained().await;
        world.start_api();
        world.wait_until_ready().await;
        let after = world.billed_by_tenant().await;
        for (tenant, (answered, unknown)) in counts.iter().enumerate() {
            let billed = after[tenant] - before[tenant];
            assert!(
                (*answered..=answered + unknown).contains(&billed),
                "round {round}, tenant {tenant}: {billed} billed of {answered} answered and {unknown} unknown"
            );
        }
        let answered: u64 = counts.iter().map(|(answered, _)| answered).sum();
        let unknown: u64 = counts.iter().map(|(_, unknown)| unknown).sum();
        let billed = after.iter().sum::<u64>() - before.iter().sum::<u64>();
        eprintln!("round {round}: {answered} answered, {unknown} unknown, {billed} billed, 0 unsafe");
        answers += answered;
    }
    eprintln!("{rounds} rounds: {answers} answers, 0 lost, 0 unsafe");
}
