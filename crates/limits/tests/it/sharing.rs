//! Redis answers: every process sees one bucket.

use std::{collections::BTreeMap, time::Instant};

use bulkhead_domain::{Clock, Limit, SystemClock, TenantId};
use bulkhead_limits::{Demand, Limiter, Prefetch, Source, TENANT};
use futures::future::join_all;

use crate::support::{Server, admitted, ask, at_most, back_to_redis, burst, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_callers_on_four_nodes_get_what_one_bucket_holds() {
    let server = Server::start();
    let nodes: Vec<_> = (0..4).map(|_| server.limiter(4)).collect();
    for node in &nodes {
        assert!(node.connect().await);
    }
    let (tenant, limit) = (tenant(), Limit { per_minute: 6000, burst: 300 });
    let start = Instant::now();
    let callers = (0..50).map(|caller| {
        let node = nodes[caller % nodes.len()].clone();
        tokio::spawn(async move {
            let mut admitted = 0;
            while start.elapsed().as_secs() < 2 {
                let decision = ask(&node, tenant, limit).await;
                assert_eq!(decision.source, Source::Redis);
                admitted += u32::from(decision.allowed);
            }
            admitted
        })
    });
    let total: u32 = join_all(callers).await.into_iter().map(Result::unwrap).sum();
    let most = at_most(limit, start);
    assert!(total <= most, "{total} were admitted, {most} may be");
    assert!(total >= 300 + 195, "only {total} were admitted, the bucket lost tokens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tokens_taken_ahead_save_round_trips_and_admit_not_one_more() {
    let server = Server::start();
    let nodes: Vec<_> = (0..3).map(|_| server.limiter(3)).collect();
    for node in &nodes {
        assert!(node.connect().await);
    }
    // Each node takes up to 16 ahead. The bucket is drained, refills, and is drained again.
    let (tenant, limit) = (tenant(), Limit { per_minute: 60_000, burst: 5_000 });
    let mut connection = server.connection();
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut connection).unwrap();
    let start = Instant::now();
    let (mut total, mut leased) = (0, 0);
    for round in 0..2 {
        let callers = (0..12).map(|caller| {
            let node = nodes[caller % nodes.len()].clone();
            tokio::spawn(async move {
                let (mut admitted, mut leased) = (0, 0);
                for _ in 0..1_000 {
                    let decision = node.check(tenant, limit, 1, SystemClock.now()).await;
                    admitted += u32::from(decision.allowed);
                    leased += u32::from(decision.allowed && decision.source == Source::Lease);
                }
                (admitted, leased)
            })
        });
        for outcome in join_all(callers).await {
            let (admitted, by_lease) = outcome.unwrap();
            total += admitted;
            leased += by_lease;
        }
        let most = at_most(limit, start);
        assert!(total <= most, "round {round}: {total} were admitted, {most} may be");
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    assert!(total >= 5_000, "only {total} were admitted");
    assert!(leased > total / 2, "{leased} of {total} cost no round trip");
}

#[tokio::test]
async fn a_decision_is_one_round_trip() {
    let server = Server::start();
    let limiter = server.limiter(1);
    let limit = burst(50);
    ask(&limiter, tenant(), limit).await;
    let mut connection = server.connection();
    redis::cmd("CONFIG").arg("RESETSTAT").exec(&mut connection).unwrap();
    let tenant = tenant();
    assert_eq!(admitted(&limiter, tenant, limit, 100).await, 50);
    let demands =
        ["tenant", "writes"].map(|bucket| Demand { bucket, limit, cost: 1, prefetch: Prefetch::default() });
    limiter.check_all(tenant, demands, SystemClock.now()).await;
    let text: String = redis::cmd("INFO").arg("commandstats").query(&mut connection).unwrap();
    let calls: BTreeMap<&str, u32> = text
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(command, rest)| (command, rest.split(',').next().unwrap().parse().unwrap()))
        .collect();
    // The script's own commands are counted too; they cost no round trip.
    let ours = BTreeMap::from([("evalsha", 101), ("time", 101), ("get", 102), ("set", 50)]);
    assert_eq!(
        calls.into_iter().filter(|(command, _)| !command.starts_with("config")).collect::<BTreeMap<_, _>>(),
        ours
    );
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back_and_then_lets_in() {
    let server = Server::start();
    let limiter = server.limiter(1);
    let (tenant, limit) = (tenant(), Limit { per_minute: 240, burst: 5 });
    assert_eq!(admitted(&limiter, tenant, limit, 5).await, 5);
    let refused = ask(&limiter, tenant, limit).await;
    assert!(!refused.allowed && refused.remaining == 0 && refused.limit == limit);
    assert!((1..=250).contains(&refused.retry_after.as_millis()), "{refused:?}");
    assert!((1000..=1250).contains(&refused.reset_after.as_millis()), "{refused:?}");
    tokio::time::sleep(refused.retry_after).await;
    let next = ask(&limiter, tenant, limit).await;
    assert!(next.allowed && next.retry_after.is_zero(), "{next:?}");
}

#[tokio::test]
async fn a_changed_plan_is_in_force_with_the_next_request_and_grants_no_second_burst() {
    let server = Server::start();
    let limiter = server.limiter(1);
    let tenant = tenant();
    // A smaller burst cuts what is left.
    assert_eq!(ask(&limiter, tenant, burst(1000)).await.remaining, 999);
    assert_eq!(admitted(&limiter, tenant, burst(10), 20).await, 10);
    // A larger one adds nothing, but the new rate counts at once.
    assert_eq!(admitted(&limiter, tenant, burst(1000), 20).await, 0);
    let pro = Limit { per_minute: 60_000, burst: 1000 };
    assert!(ask(&limiter, tenant, pro).await.retry_after.as_millis() <= 1);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let start = Instant::now();
    let granted = admitted(&limiter, tenant, pro, 60).await;
    // What flowed in while sleeping is more than the 20 ms asked for on a busy machine, never as much as a burst.
    assert!(granted >= 19 && granted <= 200 + at_most(pro, start) - pro.burst, "{granted}");
}

/// Whether the node lets a request in, as the API asks; and who says so.
async fn check(node: &Limiter, tenant: TenantId, limit: Limit) -> (bool, Source) {
    let decision = node.check(tenant, limit, 1, SystemClock.now()).await;
    (decision.allowed, decision.source)
}

/// How many of 150 requests Redis lets in.
async fn let_in(node: &Limiter, tenant: TenantId, limit: Limit) -> u32 {
    let mut let_in = 0;
    for _ in 0..150 {
        let_in += u32::from(check(node, tenant, limit).await == (true, Source::Redis));
    }
    let_in
}

#[tokio::test]
async fn a_smaller_plan_owes_nothing_for_what_was_lent_under_a_larger_one() {
    let server = Server::start();
    let large = Limit { per_minute: 10_000, burst: 10_000 };
    let small = Limit { per_minute: 100, burst: 100 };
    let nodes = [server.limiter(2), server.limiter(2)];
    // The node that holds tokens of the larger plan, and another one.
    for after in [0, 1] {
        let tenant = tenant();
        assert_eq!(check(&nodes[0], tenant, large).await, (true, Source::Redis));
        assert_eq!(check(&nodes[0], tenant, large).await, (true, Source::Lease));
        let start = Instant::now();
        let admitted = let_in(&nodes[after], tenant, small).await;
        assert!((100..=at_most(small, start)).contains(&admitted), "{admitted}");
    }
    // The same, when the connection is cut before the lease could be given back.
    let (tenant, node) = (tenant(), &nodes[0]);
    check(node, tenant, large).await;
    redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .exec(&mut server.connection())
        .unwrap();
    let start = Instant::now();
    assert_eq!(check(node, tenant, small).await.1, Source::Local);
    back_to_redis(node).await;
    let admitted = let_in(node, tenant, small).await;
    assert!((100..=at_most(small, start)).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn a_lease_that_redis_was_not_asked_to_take_back_is_given_back_when_it_is_found_again() {
    let server = Server::start();
    let (node, tenant, limit) = (server.limiter(1), tenant(), burst(10_000));
    let take = async |cost| node.check(tenant, limit, cost, SystemClock.now()).await;
    assert_eq!(take(1).await.remaining, 9_999);
    redis::cmd("CLIENT")
        .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
        .exec(&mut server.connection())
        .unwrap();
    // A request of another tenant finds out. Then there is no connection, and more is wanted than was taken ahead.
    assert_eq!(ask(&node, crate::support::tenant(), limit).await.source, Source::Local);
    assert_eq!(take(150).await.source, Source::Local);
    back_to_redis(&node).await;
    let found = take(150).await;
    // None of the hundred that were taken ahead is lost.
    assert_eq!((found.source, found.remaining), (Source::Redis, 9_849));
}

#[tokio::test]
async fn tenants_and_buckets_are_apart_and_a_request_takes_from_all_its_buckets_or_none() {
    let server = Server::start();
    let limiter = server.limiter(1);
    let (one, other) = (tenant(), tenant());
    assert_eq!(admitted(&limiter, one, burst(5), 10).await, 5);
    assert_eq!(admitted(&limiter, other, burst(5), 10).await, 5);
    let third = tenant();
    let both = [
        Demand { bucket: TENANT, limit: burst(5), cost: 1, prefetch: Prefetch::default() },
        Demand { bucket: "writes", limit: burst(2), cost: 1, prefetch: Prefetch::default() },
    ];
    let mut seen = Vec::new();
    for _ in 0..3 {
        let decisions = limiter.check_all(third, both, SystemClock.now()).await;
        seen.push(decisions.map(|decision| (decision.bucket, decision.allowed, decision.remaining)));
    }
    assert_eq!(
        seen,
        [
            [("tenant", true, 4), ("writes", true, 1)],
            [("tenant", true, 3), ("writes", true, 0)],
            [("tenant", true, 3), ("writes", false, 0)],
        ]
    );
}

#[tokio::test]
async fn a_dropped_request_does_not_shift_answers_to_others() {
    let server = Server::start();
    let limiter = server.limiter(1);
    assert!(limiter.connect().await);
    let (small, large) = (tenant(), tenant());
    for turns in (0..4).cycle().take(200) {
        // Given up at different points on the way: before it is written, before the answer is there, after.
        let mut asking = Box::pin(ask(&limiter, small, burst(10)));
        for _ in 0..turns {
            let _: std::task::Poll<_> = futures::poll!(&mut asking);
            tokio::task::yield_now().await;
        }
        drop(asking);
        let decision = ask(&limiter, large, burst(1_000_000)).await;
        assert!(decision.allowed && decision.remaining > 900_000, "{decision:?}");
    }
    assert!(!ask(&limiter, small, burst(10)).await.allowed, "the dropped requests were not sent");
}

#[tokio::test]
async fn what_redis_forgets_costs_one_burst_and_a_lost_script_costs_nothing() {
    let server = Server::start();
    let limiter = server.limiter(1);
    let (tenant, limit) = (tenant(), burst(20));
    let mut connection = server.connection();
    let start = Instant::now();
    let mut total = admitted(&limiter, tenant, limit, 50).await;
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection).unwrap();
    let decision = ask(&limiter, tenant, limit).await;
    assert_eq!((decision.source, decision.allowed), (Source::Redis, false));
    assert_eq!(total, 20);
    redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    total += admitted(&limiter, tenant, limit, 50).await;
    assert!(total <= 20 + at_most(limit, start), "{total}");
}

#[tokio::test]
async fn every_key_belongs_to_a_tenant_and_expires() {
    let server = Server::start();
    let limiter = server.limiter(1);
    for _ in 0..20 {
        let demands = ["tenant", "writes"].map(|bucket| Demand {
            bucket,
            limit: burst(5),
            cost: 1,
            prefetch: Prefetch::default(),
        });
        limiter.check_all(tenant(), demands, SystemClock.now()).await;
    }
    let mut connection = server.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    assert_eq!(keys.len(), 40);
    for key in keys {
        assert!(
            key.starts_with("bh:{") && (key.ends_with("}:tb2") || key.ends_with("}:tb2:writes")),
            "{key}"
        );
        let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
        assert!((1..=60_000).contains(&left), "{key}: {left}");
    }
}
