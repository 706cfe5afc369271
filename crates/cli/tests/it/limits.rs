//! Limits hold, with Redis and without.
//!
//! On systems of their own, side by side: addresses may send little there, and one system loses its Redis.

use std::time::{Duration, Instant};

use bulkhead_domain::{AccessRegistry, Clock, Evidence, Proven, RoleName, SessionId, SystemClock};
use bulkhead_fixtures::auth::{AccessTokens, Issue, Principal};
use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    hostile::credentials::stolen_keys,
    shares::ADMITTED,
    support::{Answer, Call, Options, Raw, System, Tenant, create_tenant, eventually},
};

/// Requests without a credential that one address may send in a minute here.
const BY_ADDRESS: u32 = 150;

/// Credentials of one address that may turn out to be no good in a minute here.
const FAILURES: u32 = 20;

/// The same where each of them is held up for as long as a request may take.
const FEW_FAILURES: u32 = 4;

/// Requests that one tenant may have in flight here.
const IN_FLIGHT: usize = 10;

/// How long a request may take here.
const TIMEOUT: Duration = Duration::from_secs(8);

/// What a bucket of this size, refilled once a minute, can have given since `start`.
fn at_most(size: u32, start: Instant) -> u128 {
    u128::from(size) + start.elapsed().as_millis() * u128::from(size) / 60_000 + 1
}

/// What the headers say is left.
fn remaining(answer: &Answer) -> u32 {
    let left = answer.header("ratelimit").strip_prefix("\"tenant\";r=").unwrap();
    left.split(';').next().unwrap().parse().unwrap()
}

/// Sends requests eight at a time. Returns how many were let in, and the last answer to one that was not.
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

/// A request that is refused, of a bucket that was empty a moment ago. Several are sent, because the more slowly the
/// machine works, the more tokens have flowed in.
async fn refused_soon<'a>(call: impl Fn() -> Call<'a>) -> Answer {
    let (admitted, refused) = flood(40, call).await;
    refused.unwrap_or_else(|| panic!("{admitted} were let in")).refused(429, "rate-limited")
}

async fn start(database: &str, failures: u32) -> System {
    let api = vec![
        ("BULKHEAD_IP_REQUESTS_PER_MINUTE", BY_ADDRESS.to_string()),
        ("BULKHEAD_IP_FAILED_CREDENTIALS_PER_MINUTE", failures.to_string()),
        ("BULKHEAD_TENANT_CONCURRENCY", IN_FLIGHT.to_string()),
        ("BULKHEAD_REQUEST_TIMEOUT_MS", TIMEOUT.as_millis().to_string()),
    ];
    System::start(database, Options { api, ..Options::default() }).await
}

#[tokio::test]
async fn requests_of_an_address_and_of_a_tenant_are_counted() {
    let system = start("requests", FAILURES).await;
    one_address(&system).await;
    a_tenants_bucket(&system).await;
    system.assert_sound();
}

#[tokio::test]
async fn credentials_that_turn_out_to_be_no_good_are_counted() {
    let system = start("credentials", FAILURES).await;
    guesses(&system).await;
    guesses_of_one_who_hangs_up(&system).await;
    what_is_no_guess(&system).await;
    system.assert_sound();
}

#[tokio::test]
async fn what_is_under_way_is_bounded_and_all_of_it_holds_without_redis() {
    let system = start("limits", FEW_FAILURES).await;
    what_a_plan_allows(&system).await;
    what_is_not_hashed(&system).await;
    requests_in_flight(&system).await;
    system.assert_sound();
    our_own_slowness(&system).await;
    without_redis(&system).await;
    system.assert_alive();
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
    // The pages cost more than most operations, and are read by the same machines.
    for page in [
        "/docs",
        "/docs/",
        "/docs/swagger-ui-bundle.js",
        "/redoc",
        "/redoc/redoc.standalone.js",
        "/openapi.json",
    ] {
        let refused = refused_soon(|| flooder.get(page).unchecked()).await.refused(429, "rate-limited");
        assert_eq!(refused.header("ratelimit"), "", "{page}");
        assert!(other.get(page).unchecked().await.status < 400, "{page}");
    }
    // What a caller writes further left is its own word, and changes nothing.
    let forged = format!("203.0.113.7, {}", flooder.address);
    refused_soon(|| flooder.get("/livez").header("x-forwarded-for", &forged)).await;
    // An address is the same caller in every form in which the proxy writes it. Other addresses, and words in place
    // of an address, are other callers, and none of them is counted in the proxy's own bucket.
    for same in ["{}:40001", "{},", "::ffff:{}"].map(|form| form.replace("{}", &flooder.address)) {
        refused_soon(|| flooder.get("/livez").header("x-forwarded-for", &same)).await;
    }
    for another in [format!("{}:40001", other.address), "[2001:db8::1]:443".to_owned(), "unknown".to_owned()]
    {
        flooder.get("/livez").header("x-forwarded-for", &another).await.expect(200);
    }
    // No credential is none, and a header that holds none is not looked at twice.
    refused_soon(|| flooder.get("/v1/me")).await;
    refused_soon(|| flooder.get("/v1/me").header("authorization", "Basic x")).await;
    // Nor does a log-in show one whose body cannot be read. An address that has not used up its budget is told what
    // is wrong with the body.
    for path in ["/v1/auth/login", "/v1/auth/refresh", "/v1/auth/logout"] {
        refused_soon(|| flooder.post(path, &json!({ "no": "credential" }))).await;
        other.post(path, &json!({ "no": "credential" })).await.refused(422, "invalid-body");
    }
    // A client that shows a good credential is bounded by the tenant's limit alone.
    let tenant = create_tenant(system, "enterprise").await;
    let owner = flooder.with_token(&tenant.owner.access_token);
    let (admitted, refused) = flood(BY_ADDRESS as usize + 40, || owner.get("/v1/me")).await;
    assert!(admitted > u128::from(BY_ADDRESS) && refused.is_none(), "{refused:?}");
}

async fn guesses(system: &System) {
    let (guesser, tenant) = (system.anonymous(), create_tenant(system, "free").await);
    let (key, unmet) = (tenant.key(RoleName::DEVELOPER).await, tenant.key(RoleName::DEVELOPER).await);
    let other = create_tenant(system, "free").await;
    guesser.post("/v1/auth/login", &login(&tenant)).await.expect(200);
    guesser.with_key(&key.text).get("/v1/me").await.expect(200);
    let start = Instant::now();
    // Many more than are let through: the address owes what is over, and pays it back for a minute.
    let (admitted, refused) =
        flood(3 * FAILURES as usize, || guesser.with_key("bh_test_guess").get("/v1/me")).await;
    assert!(u128::from(FAILURES) <= admitted && admitted <= at_most(FAILURES, start), "{admitted}");
    assert_eq!(refused.unwrap().code(), "rate-limited");
    // From here on no credential is looked up of which nothing good is known.
    let guess = json!({ "refresh_token": "a guess" });
    guesser.post("/v1/auth/refresh", &guess).await.refused(429, "rate-limited");
    guesser.post("/v1/auth/logout", &guess).await.refused(429, "rate-limited");
    guesser.post("/v1/auth/login", &login(&other)).await.refused(429, "rate-limited");
    guesser.with_key(&unmet.text).get("/v1/me").await.refused(429, "rate-limited");
    // What this node has verified before, or what its own signature or tag proves, is no guess. Nor is the log-in of
    // a user who has logged in from this address before.
    guesser.with_token(&tenant.owner.access_token).get("/v1/me").await.expect(200);
    guesser.with_key(&key.text).get("/v1/me").await.expect(200);
    guesser.post("/v1/auth/login", &login(&tenant)).await.expect(200);
    let body = json!({ "refresh_token": tenant.owner.refresh_token });
    guesser.post("/v1/auth/refresh", &body).await.expect(200);
    guesser.post("/v1/auth/logout", &body).await.expect(204);
    guesser.post("/v1/auth/refresh", &body).await.refused(401, "invalid-credentials");
    guesser.get("/livez").await.expect(200);
}

/// Guesses whose sender does not wait for the answer are paid for like any other.
async fn guesses_of_one_who_hangs_up(system: &System) {
    const REFUSED: &str = r#"bulkhead_auth_total{credential="password",outcome="refused"}"#;
    let (guesser, tenant) = (system.anonymous(), create_tenant(system, "free").await);
    let (before, start) = (system.metric(REFUSED).await, Instant::now());
    for number in 0..FAILURES {
        let email = format!("{number}@example.com");
        let body = json!({ "tenant": tenant.slug, "email": email, "password": "a guess" }).to_string();
        let request = format!(
            "POST /v1/auth/login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            guesser.address,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", system.api_port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
        system.await_metric(REFUSED, |refused| refused > before + f64::from(number)).await;
    }
    let body = json!({ "refresh_token": "a guess" });
    let (admitted, _) = flood(FAILURES as usize, || guesser.post("/v1/auth/refresh", &body)).await;
    assert!(admitted + u128::from(FAILURES) <= at_most(FAILURES, start), "{admitted}");
}

/// Log-ins that the API breaks off because the database hangs are not charged as guesses.
async fn our_own_slowness(system: &System) {
    let (company, tenant) = (system.anonymous(), create_tenant(system, "enterprise").await);
    let table = format!("{}.users", tenant.schema());
    let lock = system.session(&format!("BEGIN; LOCK TABLE {table}"));
    let log_in = |number| {
        let body =
            json!({ "tenant": tenant.slug, "email": format!("{number}@example.com"), "password": "a guess" });
        company.post("/v1/auth/login", &body).unchecked().into_future()
    };
    // As many as an address may have at a time, and more than may fail.
    assert!(IN_FLIGHT > FEW_FAILURES as usize);
    for answer in join_all((0..IN_FLIGHT).map(log_in)).await {
        answer.refused(503, "unavailable");
    }
    drop(lock);
    company.post("/v1/auth/login", &login(&tenant)).await.expect(200);
    // All of the budget is left.
    for _ in 0..FEW_FAILURES {
        let body = json!({ "refresh_token": "a guess" });
        company.post("/v1/auth/refresh", &body).await.refused(401, "invalid-credentials");
    }
}

fn login(tenant: &Tenant<'_>) -> serde_json::Value {
    let (email, password) = (&tenant.owner.email, &tenant.owner.password);
    json!({ "tenant": tenant.slug, "email": email, "password": password })
}

/// A token of ours whose time was over a minute ago.
fn expired(system: &System, tenant: &Tenant<'_>) -> String {
    let life = TimeDelta::minutes(1);
    let tokens =
        AccessTokens::new("https://api.example.com".to_owned(), "bulkhead".to_owned(), life).unwrap();
    let principal = Principal::User {
        tenant: Proven::on(Evidence::Fixture, tenant.id.parse().unwrap()),
        id: tenant.owner.id.parse().unwrap(),
        role: AccessRegistry::assemble(&[]).unwrap().tenants().role(RoleName::OWNER),
        session: SessionId::mint(SystemClock.now()),
        acting: None,
    };
    let proven_at = SystemClock.now() - TimeDelta::minutes(2);
    let issue = Issue { principal, proven_at, credential_expires_at: None };
    tokens.issue(&stolen_keys(system), &issue).unwrap().text
}

async fn what_is_no_guess(system: &System) {
    let (company, tenant) = (system.anonymous(), create_tenant(system, "enterprise").await);
    // The programs and people of a deleted tenant go on using credentials that were good once: those are no guesses.
    let deleted = create_tenant(system, "enterprise").await;
    let key = deleted.key(RoleName::DEVELOPER).await;
    system.operator().await.delete(&format!("/v1/admin/tenants/{}", deleted.id)).await.expect(200);
    let dead = json!({ "refresh_token": deleted.owner.refresh_token });
    let gone = async || company.with_key(&key.text).get("/v1/me").await;
    eventually(gone, |answer| answer.status != 200).await.refused(401, "invalid-credentials");
    for _ in 0..2 * FAILURES {
        company.with_key(&key.text).get("/v1/me").await.refused(401, "invalid-credentials");
        company.post("/v1/auth/refresh", &dead).await.refused(401, "invalid-credentials");
        company.post("/v1/auth/logout", &dead).await.expect(204);
    }
    let late = company.with_token(&expired(system, &tenant));
    let mut refresh_token = tenant.owner.refresh_token.clone();
    for _ in 0..2 * FAILURES {
        late.get("/v1/me").await.refused(401, "invalid-credentials");
        let body = json!({ "refresh_token": refresh_token });
        refresh_token = company.post("/v1/auth/refresh", &body).await.expect(200).at("/refresh_token");
    }
    for _ in 0..FAILURES {
        company.post("/v1/auth/login", &login(&tenant)).await.expect(200);
    }
    // All of the budget is left.
    for _ in 0..FAILURES {
        let body = json!({ "refresh_token": "a guess" });
        company.post("/v1/auth/refresh", &body).await.refused(401, "invalid-credentials");
    }
}

async fn what_a_plan_allows(system: &System) {
    system.sql("UPDATE platform.plans SET max_users = 2, max_api_keys = 2 WHERE name = 'free'");
    let tenant = create_tenant(system, "free").await;
    let owner = &tenant.owner.caller;
    tenant.person(RoleName::DEVELOPER).await;
    let user = json!({ "email": "one.more@example.com", "password": "correct horse", "role": "admin" });
    insta::assert_snapshot!(owner.post("/v1/users", &user).await.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "plan-limit-reached",
      "detail": "The plan allows 2 users, and there are as many. Remove one, or have the plan changed.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:plan-limit-reached"
    }
    "#);
    let first = tenant.key(RoleName::DEVELOPER).await;
    tenant.key(RoleName::DEVELOPER).await;
    let key = json!({ "name": "one more", "role": "developer" });
    insta::assert_snapshot!(owner.post("/v1/api-keys", &key).await.show(), @r#"
    409
    content-type: application/problem+json
    {
      "code": "plan-limit-reached",
      "detail": "The plan allows 2 API keys that work, and there are as many. Remove one, or have the plan changed.",
      "request_id": "req_…",
      "status": 409,
      "title": "Conflict",
      "type": "urn:bulkhead:problem:plan-limit-reached"
    }
    "#);
    owner.delete(&format!("/v1/api-keys/{}", first.id)).await.expect(204);
    owner.post("/v1/api-keys", &key).await.expect(201);
    let path = format!("/v1/admin/tenants/{}", tenant.id);
    system.operator().await.patch(&path, &json!({ "plan": "pro" })).await.expect(200);
    owner.post("/v1/users", &user).await.expect(201);
    owner.post("/v1/api-keys", &key).await.expect(201);
    system.sql("UPDATE platform.plans SET max_users = 100, max_api_keys = 50 WHERE name = 'free'");
}

/// A password is hashed for what is going to be stored, and for nothing that is known without it.
async fn what_is_not_hashed(system: &System) {
    let hashed = async || {
        let metrics = system.metrics().await;
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("bulkhead_auth_stored_passwords_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let (tenant, operator) = (create_tenant(system, "free").await, system.operator().await);
    let owner = &tenant.owner.caller;
    let user = json!({ "email": "grace@example.com", "password": "correct horse", "role": "admin" });
    let before = hashed().await;
    let add = || owner.post("/v1/users", &user).header("idempotency-key", "once");
    let added = add().await.expect(201);
    assert_eq!(hashed().await, before + 1);
    assert_eq!(add().await.expect(201).body, added.body);
    owner.post("/v1/users", &user).await.refused(409, "already-taken");
    let other = json!({ "email": "ada@example.com", "password": "correct horse", "role": "admin" });
    let reused = owner.post("/v1/users", &other).header("idempotency-key", "once").await;
    reused.refused(422, "idempotency-key-reused");
    system.sql("UPDATE platform.plans SET max_users = 2 WHERE name = 'free'");
    owner.post("/v1/users", &other).await.refused(409, "plan-limit-reached");
    system.sql("UPDATE platform.plans SET max_users = 100 WHERE name = 'free'");

    let slug = format!("{}-again", tenant.slug);
    let person = json!({ "email": "owner@example.com", "password": "correct horse" });
    let order = json!({ "slug": slug, "name": "Acme", "plan": "free", "owner": person });
    let sign_up = || operator.post("/v1/admin/tenants", &order).header("idempotency-key", &slug);
    let accepted = sign_up().await.expect(202);
    assert_eq!(sign_up().await.expect(202).body, accepted.body);
    operator.post("/v1/admin/tenants", &order).await.refused(409, "already-taken");
    assert_eq!(hashed().await, before + 2);
    let path = accepted.header("location").to_owned();
    eventually(async || operator.get(&path).await, |answer| answer.at("/done") == "true").await;
}

async fn a_tenants_bucket(system: &System) {
    let (tenant, neighbour) = (create_tenant(system, "free").await, create_tenant(system, "free").await);
    let owner = &tenant.owner.caller;
    let start = Instant::now();
    // Logging in counts as a request, and has asked for /v1/me once.
    let first = owner.get("/v1/me").await.expect(200);
    assert_eq!(first.header("ratelimit-policy"), "\"tenant\";q=100;w=60");
    // Some may have flowed in again since.
    assert!((97..=99).contains(&remaining(&first)), "{first:?}");
    let (admitted, refused) = flood(112, || owner.get("/v1/me")).await;
    assert!(97 <= admitted && admitted <= at_most(100, start) - 2, "{admitted}");
    let refused = refused.unwrap();
    let wait = refused.header("retry-after").to_owned();
    assert!(wait == "1", "{refused:?}");
    assert_eq!(refused.header("ratelimit"), "\"tenant\";r=0;t=1");
    insta::assert_snapshot!(refused.show(), @r#"
    429
    content-type: application/problem+json
    retry-after: 1
    {
      "code": "rate-limited",
      "detail": "The request limit is used up. Wait as long as Retry-After says.",
      "request_id": "req_…",
      "status": 429,
      "title": "Too Many Requests",
      "type": "https://iana.org/assignments/http-problem-types#quota-exceeded"
    }
    "#);
    // From elsewhere, with another credential, for another operation: it is the tenant's bucket.
    let elsewhere = tenant.owner.caller.elsewhere();
    let (_, refused) = flood(16, || elsewhere.get("/v1/resources")).await;
    assert_eq!(refused.unwrap().code(), "rate-limited");
    // A request that names another tenant than its credential's is refused, and counts like any other request.
    refused_soon(|| owner.get("/v1/me").header("x-tenant-id", &neighbour.id)).await;
    neighbour.owner.caller.get("/v1/me").await.expect(200);
    // The good credential of a suspended tenant is refused, and counts too.
    let neighbours = &neighbour.owner.caller;
    let suspend = format!("/v1/admin/tenants/{}/suspend", neighbour.id);
    system.operator().await.post_nothing(&suspend).await.expect(200);
    eventually(async || neighbours.get("/v1/me").await, |answer| answer.code() == "tenant-suspended").await;
    let (refused, limited) = flood(200, || neighbours.get("/v1/me")).await;
    assert!(refused <= at_most(100, start), "{refused}");
    assert_eq!(limited.unwrap().code(), "rate-limited");
}

/// Bodies that do not come hold their requests open, until their time is over.
async fn requests_in_flight(system: &System) {
    let (tenant, neighbour) = (create_tenant(system, "pro").await, create_tenant(system, "free").await);
    let head = format!(
        "POST /v1/resources HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        tenant.owner.caller.authorization()
    );
    let hang = || Raw::send_and_wait(system, head.as_bytes(), 2 * TIMEOUT);
    let before = system.metric(ADMITTED).await;
    let look = async || {
        // A request that is sent too early would take the place of one that is to hang.
        system.await_metric(ADMITTED, |admitted| admitted >= before + IN_FLIGHT as f64).await;
        let me = async || tenant.owner.caller.get("/v1/me").await;
        let refused = eventually(me, |answer| answer.status != 200).await;
        insta::assert_snapshot!(refused.show(), @r#"
        429
        content-type: application/problem+json
        retry-after: 1
        {
          "code": "too-many-in-flight",
          "detail": "Too many requests of yours, or too large ones, are being answered at once. Wait for some of them.",
          "request_id": "req_…",
          "status": 429,
          "title": "Too Many Requests",
          "type": "urn:bulkhead:problem:too-many-in-flight"
        }
        "#);
        neighbour.owner.caller.get("/v1/me").await.expect(200);
        eventually(me, |answer| answer.status == 200).await;
    };
    let two = async || <[Raw; 2]>::from(tokio::join!(hang(), hang()));
    let four = async || <[[Raw; 2]; 2]>::from(tokio::join!(two(), two())).into_iter().flatten();
    let (one, other, more, ()) = tokio::join!(four(), four(), four(), look());
    let hung: Vec<Raw> = one.chain(other).chain(more).collect();
    let in_time = hung.iter().filter(|raw| raw.statuses() == [408]).count();
    let refused = hung.iter().filter(|raw| raw.statuses() == [429]).count();
    assert_eq!((in_time, refused), (IN_FLIGHT, hung.len() - IN_FLIGHT), "{hung:?}");
    let told = |raw: &Raw| raw.text.contains("\"code\":\"request-timeout\"");
    assert_eq!(hung.iter().filter(|raw| told(raw)).count(), IN_FLIGHT);
    assert_eq!(tenant.count("resources"), 0);
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
    let told = eventually(async || system.readiness().await, |told| told["redis"] == false).await;
    assert_eq!(told, json!({ "status": "ready", "database": true, "redis": false }));
    // The node serves, so the public does not learn that anything is away.
    for path in ["/readyz", "/health"] {
        let public = system.anonymous().get(path).await.expect(200);
        assert_eq!(public.json(), json!({ "status": "ready" }), "{path}");
    }

    system.redis.lock().unwrap().restart().unwrap();
    eventually(async || system.readiness().await, |told| told["redis"] == true).await;
    tenants[1].owner.caller.get("/v1/me").await.expect(200);
}
