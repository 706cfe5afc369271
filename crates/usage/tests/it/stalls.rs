//! Our own pace is not the servers' silence: threads that do not run make no answer unsafe.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;
use bulkhead_fixtures::{TestDb, TestRedis};
use futures::future::join_all;

use crate::{
    node::{Node, Worker, entries, options, until},
    support::drain_all,
};

/// How long a thread is busy with what one tenant has sent: longer than any time-out of Redis and of waiting used to be.
const BUSY: Duration = Duration::from_secs(3);

/// What a thread of the API is: a runtime of its own, and requests that take turns on it.
fn serve<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
    })
}

/// One thread is held up while requests on it wait for their records to be stored; another goes on serving.
#[tokio::test]
async fn a_serving_thread_that_is_blocked_makes_no_answer_unsafe() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let node = Arc::new(Node::start(&db, &redis, options())?);
    let worker = Worker::start(&db, &redis)?;
    let is_over = Arc::new(AtomicBool::new(false));

    let theirs = Arc::clone(&node);
    let blocked = serve(move || async move {
        for round in 0..2 {
            let requests = (0..30).map(|n| tokio::spawn(theirs.request(round << 8 | n)));
            let requests: Vec<_> = requests.collect();
            // All have put their records down and wait.
            tokio::task::yield_now().await;
            thread::sleep(BUSY / 2);
            // Whatever was due meanwhile is looked at now, and the thread is held up again.
            tokio::task::yield_now().await;
            thread::sleep(BUSY / 2);
            for request in join_all(requests).await {
                request.unwrap();
            }
        }
    });
    let (theirs, stop) = (Arc::clone(&node), Arc::clone(&is_over));
    let neighbour = serve(move || async move {
        for request in 1 << 32.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            join_all((0..5).map(|n| theirs.request(request << 8 | n))).await;
        }
    });
    tokio::task::spawn_blocking(move || blocked.join().unwrap()).await?;
    is_over.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || neighbour.join().unwrap()).await?;

    let node = Arc::into_inner(node).expect("the threads have ended");
    let load = node.kill();
    worker.kill().await;
    assert!(load.answers() > 100, "{}", load.answers());
    assert_eq!(load.unsafe_answers, 0, "Redis and PostgreSQL answered all the time");
    // All were answered, so all are billed, though the process is gone.
    drain_all(&db, &redis).await?;
    load.recorded.check(&db).await
}

/// The flusher stores what a thread has recorded although that thread does not run: nothing that a tenant makes us do
/// holds it up.
#[tokio::test]
async fn records_are_stored_while_their_thread_is_blocked() -> Result<()> {
    let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
    let node = Arc::new(Node::start(&db, &redis, options())?);
    let stored = Arc::new(AtomicBool::new(false));
    let (theirs, is_stored) = (Arc::clone(&node), Arc::clone(&stored));
    let blocked = serve(move || async move {
        let request = tokio::spawn(theirs.request(1));
        tokio::task::yield_now().await;
        // Held up until the test has seen the record outside this process.
        while !is_stored.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        request.await.unwrap();
    });
    until("the record is outside this process", async || {
        let applied = db.value("SELECT count(*) FROM platform.request_minutes").await?;
        Ok(applied == "1" || entries(&redis).await? == 1)
    })
    .await?;
    stored.store(true, Ordering::Relaxed);
    tokio::task::spawn_blocking(move || blocked.join().unwrap()).await?;
    let load = Arc::into_inner(node).expect("the thread has ended").end().await;
    assert_eq!((load.stored_answers, load.unsafe_answers), (1, 0));
    load.recorded.check(&db).await
}
