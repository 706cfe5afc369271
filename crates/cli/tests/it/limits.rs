//! Limits hold, with Redis and without.
//!
//! On a system of its own: its Redis is killed, and its addresses may send little.

use std::time::Instant;

use serde_json::json;

use crate::support::{Answer, Call, Options, System, create_tenant, eventually};

/// Requests that one address may send in a minute here.
const BY_ADDRESS: u32 = 150;

/// What a bucket of this size, refilled once a minute, can have given since `start`.
fn at_most(size: u32, start: Instant) -> u128 {
    u128::from(size) + start.elapsed().as_millis() * u128::from(size) / 60_000 + 1
}

/// Sends requests eight at a time; those that were let in, and one that was not.
async fn flood<'a>(requests: usize, call: impl Fn() -> Call<'a>) -> (u128, Option<Answer>) {
    let (mut admitted, mut refused) = (0, None);
    for _ in 0..requests.div_ceil(8) {
        let next = || call().into_future();
        let (a, b, c, d) = tokio::join!(next(), next(), next(), next());
        let (e, f, g, h) = tokio::join!(next(), next(), next(), next());
        for answer in [a, b, c, d, e, f, g, h] {
            if answer.status == 429 {
                refused = Some(answer);
            } else {
                admitted += 1;
            }
        }
    }
    (admitted, refused)
}

#[tokio::test]
async fn with_redis_and_without() {
    let options = Options { api: vec![("BULKHEAD_IP_REQUESTS_PER_MINUTE", BY_ADDRESS.to_string())] };
    let system = System::start("limits", options).await;
    one_address(&system).await;
    attempts_to_log_in(&system).await;
    a_tenants_bucket(&system).await;
    without_redis(&system).await;
    system.assert_sound();
}

async fn one_address(system: &System) {
    let (flooder, other) = (system.anonymous(), system.anonymous());
    let start = Instant::now();
    let (admitted, refused) = flood(BY_ADDRESS as usize + 40, || flooder.get("/livez")).await;
    assert!(u128::from(BY_ADDRESS) <= admitted && admitted <= at_most(BY_ADDRESS, start), "{admitted}");
    let refused = refused.unwrap();
    assert_eq!((refused.code().as_str(), refused.header("ratelimit")), ("rate-limited", ""));
    flooder.get("/v1/nothing").await.refused(429, "rate-limited");
    other.get("/livez").await.expect(200);
    // What a caller writes further left is its own word, and changes nothing.
    let forged = format!("203.0.113.7, {}", flooder.address);
    flooder.get("/livez").header("x-forwarded-for", forged).await.refused(429, "rate-limited");
}

async fn attempts_to_log_in(system: &System) {
    let guesser = system.anonymous();
    let body = json!({ "refresh_token": "a guess" });
    let start = Instant::now();
    let (admitted, refused) = flood(80, || guesser.post("/v1/auth/refresh", &body)).await;
    assert!(60 <= admitted && admitted <= at_most(60, start), "{admitted}");
    assert_eq!(refused.unwrap().code(), "rate-limited");
    // A wrong key is a guess like a wrong password; whoever does not guess is not held up.
    guesser.with_key("bh_test_guess").get("/v1/me").await.refused(429, "rate-limited");
    guesser.get("/livez").await.expect(200);
}

async fn a_tenants_bucket(system: &System) {
    let (tenant, neighbour) = (create_tenant(system, "free").await, create_tenant(system, "free").await);
    let owner = &tenant.owner.caller;
    let start = Instant::now();
    // Signing in has asked for /v1/me once.
    let first = owner.get("/v1/me").await.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"tenant\";q=100;w=60");
    assert!(["\"tenant\";r=98;t=2", "\"tenant\";r=99;t=1"].contains(&first.header("ratelimit")), "{first:?}");
    let (admitted, refused) = flood(112, || owner.get("/v1/me")).await;
    assert!(98 <= admitted && admitted <= at_most(100, start) - 2, "{admitted}");
    let refused = refused.unwrap();
    let wait = refused.header("retry-after").to_owned();
    assert!(wait == "1", "{refused:?}");
    assert_eq!(refused.header("ratelimit"), "\"tenant\";r=0;t=1");
    insta::assert_snapshot!(refused.show(), @"");
    // From elsewhere, with another credential, for another operation: it is the tenant's bucket.
    let elsewhere = tenant.owner.caller.from_elsewhere();
    let (_, refused) = flood(16, || elsewhere.get("/v1/resources")).await;
    assert_eq!(refused.unwrap().code(), "rate-limited");
    neighbour.owner.caller.get("/v1/me").await.expect(200);
}

async fn without_redis(system: &System) {
    let tenants = [create_tenant(system, "free").await, create_tenant(system, "free").await];
    system.redis.lock().unwrap().stop().unwrap();
    let owner = &tenants[0].owner.caller;
    let start = Instant::now();
    let first = owner.get("/v1/me").await.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"tenant\";q=100;w=60");
    let (admitted, refused) = flood(112, || owner.get("/v1/me")).await;
    assert!(90 <= admitted && admitted <= at_most(100, start), "{admitted}");
    assert_eq!(refused.unwrap().code(), "rate-limited");
    // The other tenant is served all the same, and writes are kept.
    let body = json!({ "name": "without Redis", "kind": "thing" });
    tenants[1].owner.caller.post("/v1/resources", &body).await.expect(201);
    let anybody = system.anonymous();
    let away =
        eventually(async || anybody.get("/readyz").await, |answer| answer.at("/redis") == "false").await;
    assert_eq!(away.at("/status"), "ready");

    system.redis.lock().unwrap().restart().unwrap();
    eventually(async || anybody.get("/readyz").await, |answer| answer.at("/redis") == "true").await;
    tenants[1].owner.caller.get("/v1/me").await.expect(200);
}
