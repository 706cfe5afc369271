//! Redis is slow, dead, or comes and goes: limits hold, and answers come in time.

use std::time::{Duration, Instant};

use bulkhead_domain::{Clock, Limit, SystemClock};
use bulkhead_limits::{Limiter, Source};
use bulkhead_servers::Signal;
use bulkhead_telemetry::Metrics;
use futures::{FutureExt, future::join_all};
use tokio::time::timeout;

use crate::support::{
    PATIENCE, Server, admitted, ask, at_most, back_to_redis, burst, server as reached, tenant,
};

/// How often a limiter with these metrics had no answer from Redis.
fn failures(metrics: &Metrics) -> u32 {
    let text = metrics.render();
    let line =
        text.lines().find_map(|line| line.strip_prefix("bulkhead_redis_errors_total{use=\"limiter\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_frozen_redis_is_left_and_found_again() {
    let mut server = Server::start();
    let metrics = Metrics::new().unwrap();
    let limiter = Limiter::new(reached(&server.redis.url(), None), 4, metrics.clone());
    let (tenant, limit) = (tenant(), burst(100));
    assert_eq!(ask(&limiter, tenant, limit).await.source, Source::Redis);

    // From here on Redis answers no caller: a caller that comes back has stopped waiting.
    server.redis.kill(Signal::SIGSTOP).unwrap();
    let callers = (0..50).map(|_| {
        let limiter = limiter.clone();
        tokio::spawn(async move {
            let decision = timeout(PATIENCE, ask(&limiter, tenant, limit)).await.unwrap();
            assert_eq!(decision.source, Source::Local);
            assert_eq!(decision.limit, limit);
            decision.allowed
        })
    });
    let local = join_all(callers).await.into_iter().filter(|allowed| *allowed.as_ref().unwrap()).count();
    assert_eq!(local, 25, "one of four nodes grants a quarter of 100");

    // From now on no caller waits for Redis, not even one that finds that it is time to try again: each answer is
    // there at once.
    let attempts = failures(&metrics) + 3;
    let tried = async {
        while failures(&metrics) < attempts {
            assert!(ask(&limiter, tenant, limit).now_or_never().is_some(), "a caller waits for Redis");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, tried).await.unwrap();
    server.redis.kill(Signal::SIGCONT).unwrap();
    back_to_redis(&limiter).await;
}

#[tokio::test]
async fn a_killed_redis_comes_back_empty_and_costs_one_burst() {
    let mut server = Server::start();
    let limiter = server.limiter(1);
    let (tenant, limit) = (tenant(), burst(50));
    let start = Instant::now();
    let mut total = admitted(&limiter, tenant, limit, 100).await;
    assert_eq!(total, 50);

    server.redis.kill(Signal::SIGKILL).unwrap();
    assert_eq!(ask(&limiter, tenant, limit).await.source, Source::Local);
    // Redis had said that nothing was left, so there is nothing to grant alone either.
    total += admitted(&limiter, tenant, limit, 200).await;
    assert!(total <= at_most(limit, start) + 1, "{total}");

    server.redis.restart().unwrap();
    back_to_redis(&limiter).await;
    total += admitted(&limiter, tenant, limit, 200).await;
    assert!(total <= 50 + at_most(limit, start) + 1, "{total}");
}

#[tokio::test]
async fn what_was_left_is_what_a_node_may_grant_its_part_of() {
    let mut server = Server::start();
    let limiter = server.limiter(4);
    let (tenant, limit) = (tenant(), burst(100));
    assert_eq!(admitted(&limiter, tenant, limit, 60).await, 60);
    server.redis.kill(Signal::SIGKILL).unwrap();
    // 40 were left: a quarter of them. A tenant that this node has not seen may use its quarter of a full bucket.
    assert_eq!(admitted(&limiter, tenant, limit, 100).await, 10);
    assert_eq!(admitted(&limiter, crate::support::tenant(), limit, 100).await, 25);
    limiter.set_nodes(50);
    assert_eq!(admitted(&limiter, crate::support::tenant(), limit, 100).await, 2);
}

#[tokio::test]
async fn a_limit_holds_however_often_redis_comes_and_goes() {
    let mut server = Server::start();
    let nodes = [server.limiter(2), server.limiter(2)];
    let (tenant, limit) = (tenant(), Limit { per_minute: 600, burst: 40 });
    let start = Instant::now();
    let mut total = 0;
    for round in 0..12 {
        let (signal, expected) =
            [(Signal::SIGCONT, Source::Redis), (Signal::SIGSTOP, Source::Local)][round % 2];
        server.redis.kill(signal).unwrap();
        // Each node decides this way for a while before Redis changes again.
        let mut decided = [0; 2];
        let begun = Instant::now();
        while decided.iter().any(|decided| *decided < 30) {
            assert!(begun.elapsed() < PATIENCE, "round {round}: {decided:?}");
            for (node, decided) in nodes.iter().zip(&mut decided) {
                let decision = ask(node, tenant, limit).await;
                total += u32::from(decision.allowed);
                *decided += u32::from(decision.source == expected);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let fluid = at_most(limit, start);
    assert!(total <= 2 * fluid + 2, "{total} were admitted; twice the limit is {}", 2 * fluid);
    assert!(total > fluid / 2, "{total}");
}

#[tokio::test]
async fn a_process_that_starts_without_redis_enforces_its_share_and_finds_redis_later() {
    let mut server = Server::start();
    server.redis.stop().unwrap();
    let metrics = Metrics::new().unwrap();
    let limiter = Limiter::new(reached(&server.redis.url(), None), 2, metrics.clone());
    assert!(!limiter.connect().await);
    let limit = burst(10);
    assert_eq!(admitted(&limiter, tenant(), limit, 20).await, 5);
    let text = metrics.render();
    for line in [
        "bulkhead_redis_up 0",
        "bulkhead_limiter_decisions_total{kind=\"tenant\",outcome=\"admitted\",source=\"local\"} 5",
        "bulkhead_limiter_decisions_total{kind=\"tenant\",outcome=\"refused\",source=\"local\"} 15",
        "bulkhead_redis_errors_total{use=\"limiter\"} ",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    server.redis.restart().unwrap();
    back_to_redis(&limiter).await;
    assert_eq!(admitted(&limiter, tenant(), limit, 20).await, 10);
    assert!(metrics.render().contains("bulkhead_redis_up 1"));
    // Another thread has lost its connection and has nothing to ask: a sign of life here counts for the process.
    metrics.redis.up.set(0);
    assert!(limiter.connect().await);
    assert!(metrics.render().contains("bulkhead_redis_up 1"));
}

#[test]
fn threads_have_connections_of_their_own_and_share_the_local_buckets() {
    let mut server = Server::start();
    let limiter = server.limiter(1);
    let (tenant, limit) = (tenant(), burst(100));
    let on_threads = |expected: Source| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let limiter = limiter.for_thread();
                    scope.spawn(move || {
                        let runtime =
                            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                        runtime.block_on(async {
                            assert_eq!(ask(&limiter, tenant, limit).await.source, expected);
                            1 + admitted(&limiter, tenant, limit, 49).await
                        })
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u32>()
        })
    };
    let start = Instant::now();
    let together = on_threads(Source::Redis);
    assert!((97..=104).contains(&together), "{together}");
    server.redis.kill(Signal::SIGKILL).unwrap();
    let alone = on_threads(Source::Local);
    assert!(alone <= 4 + at_most(limit, start) - limit.burst, "{alone}");
}

#[tokio::test]
async fn a_probe_notices_both_the_end_and_the_return_of_redis() {
    let mut server = Server::start();
    let limiter = server.limiter(1);
    assert!(limiter.connect().await && limiter.connect().await);
    server.redis.kill(Signal::SIGSTOP).unwrap();
    assert!(!limiter.connect().await && !limiter.connect().await);
    server.redis.kill(Signal::SIGKILL).unwrap();
    assert!(!limiter.connect().await);
    server.redis.restart().unwrap();
    assert!(limiter.connect().await);
    assert_eq!(ask(&limiter, tenant(), burst(5)).await.source, Source::Redis);
}

#[tokio::test]
async fn an_error_of_redis_is_an_outage_too() {
    let server = Server::start();
    let limiter = server.limiter(1);
    assert_eq!(ask(&limiter, tenant(), burst(5)).await.source, Source::Redis);
    let mut connection = server.connection();
    let mut config = |name: &str, value: &str| {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).unwrap();
    };
    config("maxmemory", "1");
    let decision = limiter.check(tenant(), burst(5), 1, SystemClock.now()).await;
    assert_eq!((decision.source, decision.allowed), (Source::Local, true));
    config("maxmemory", "0");
    back_to_redis(&limiter).await;
}
