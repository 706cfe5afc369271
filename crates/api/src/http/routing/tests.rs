//! Operations of the tests' own behind the pipeline, before real servers.

use std::{error::Error as _, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse,
    http::StatusCode,
    test::{TestRequest, call_service, init_service},
};
use anyhow::Result;
use bulkhead_auth::{AccessTokens, Authenticator, Bounds, Keyring, PasswordHasher, PasswordRules, RootKey};
use bulkhead_config::Extensions;
use bulkhead_db::{DbError, tenant::api_keys};
use bulkhead_domain::{
    AccessRegistry, ApiKeyId, Clock as _, PlanName, RoleName, SystemClock,
    api_key::ApiKey,
    metering::{MeterDef, MeterKind, MeterName, MeterRegistry, Quantity},
};
use bulkhead_fixtures::{Login, TestDb, TestRedis, mac};
use bulkhead_limits::{AddressLimiter, FailureBudget, InFlight, InFlightOptions, LargeRequests, Limiter};
use bulkhead_link::RedisServer;
use bulkhead_telemetry::Health;
use bulkhead_usage::{Flusher, FlusherOptions, Stores};
use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::http::{
    about::About,
    answer::Answer,
    call::{TenantCall, Written},
    server::block_on,
    state::{ApiOptions, AppState, Shared},
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn paths_are_grouped_by_their_first_two_segments_unless_one_begins_with_a_parameter() {
    let paths =
        ["/", "/health", "/v1/me", "/v1/users", "/v1/users/{id}", "/v1/users/{id}/ban", "/v1/usersfoo"];
    let groups: Vec<_> = by_prefix(paths.into_iter()).into_iter().collect();
    let expected = [
        ("", vec!["/", "/health"]),
        ("/v1/me", vec!["/v1/me"]),
        ("/v1/users", vec!["/v1/users", "/v1/users/{id}", "/v1/users/{id}/ban"]),
        ("/v1/usersfoo", vec!["/v1/usersfoo"]),
    ];
    assert_eq!(groups, expected);
    let ambiguous = ["/v1/users", "/v1/{thing}/{id}"];
    assert_eq!(by_prefix(ambiguous.into_iter()).into_iter().collect::<Vec<_>>(), [("", ambiguous.to_vec())]);
}

/// What a process shares that answers from these servers.
fn shared(db: &TestDb, redis: &TestRedis) -> Result<Shared> {
    let metrics = Metrics::new()?;
    let keyring = Arc::new(Keyring::new(&RootKey::from([1; 32]))?);
    let passwords = PasswordHasher::new(1);
    let tokens = AccessTokens::new("test".to_owned(), "test".to_owned(), TimeDelta::minutes(1))?;
    let stores = Stores {
        db: db.db()?,
        postgres: db.connector(Login::Platform)?,
        redis: RedisServer::new(&redis.url(), None, SECOND, SECOND)?,
    };
    let most = InFlightOptions { requests: 100, share: 1 << 24, whole: 1 << 25, wait: SECOND };
    Ok(Shared {
        options: Arc::new(ApiOptions {
            about: About::default(),
            body_limit: 1 << 20,
            data_limit: 1 << 18,
            request_timeout: Duration::from_secs(30),
            trusted_proxy_hops: 0,
            issuer: "test".to_owned(),
            public_url: "http://localhost".to_owned(),
            public_path: String::new(),
            cors_origins: vec![],
            environment: "test",
            password_rules: PasswordRules::default(),
            tenant_grace: TimeDelta::days(1),
            mails_per_hour: None,
            sign_up: None,
        }),
        clock: Arc::new(SystemClock),
        authenticator: Arc::new(Authenticator::new(
            Arc::clone(&keyring),
            passwords.clone(),
            tokens,
            Arc::new(AccessRegistry::assemble(&[])?),
            TimeDelta::hours(1),
            Bounds::default(),
        )),
        keyring,
        passwords,
        in_flight: InFlight::new(most, metrics.clone()),
        large: LargeRequests::new(1, SECOND),
        addresses: Arc::new(AddressLimiter::new(1_000, metrics.clone())),
        failures: Arc::new(FailureBudget::new(1_000, metrics.clone())),
        health: Arc::new(Health::default()),
        limiter: Limiter::new(RedisServer::new(&redis.url(), None, SECOND, SECOND)?, 1, metrics.clone()),
        usage: Arc::new(Flusher::start(FlusherOptions::default(), stores, mac(), metrics.clone())?),
        meters: MeterRegistry::new([("printing", PRINTING)])?,
        extensions: Extensions::default(),
        metrics,
    })
}

const PAGES: MeterName = MeterName::new("pages_printed");
const PAPER: MeterName = MeterName::new("paper_used");
const PRINTING: &[MeterDef] = &[MeterDef::new(PAGES, "page", MeterKind::Count)];

/// Prints three pages, and answers with the status that it is asked for.
async fn print_pages(call: TenantCall, status: web::Path<u16>) -> HttpResponse {
    for pages in [1, 2] {
        call.count_request(PAGES, Quantity::whole(pages).unwrap()).unwrap();
    }
    // A part of a page does not count, and the handler may go on without it.
    let part = call.count_request(PAGES, Quantity::thousandths(1).unwrap()).unwrap_err();
    assert_eq!(part.source().unwrap().to_string(), "the meter pages_printed counts whole things, not 0.001");
    // A meter that this program has not declared takes anything.
    call.count_request(PAPER, Quantity::thousandths(1).unwrap()).unwrap();
    HttpResponse::build(StatusCode::from_u16(*status).unwrap()).finish()
}

/// The state of a thread, and the key of a program of a new tenant.
async fn caller(db: &TestDb, shared: &Shared) -> Result<(AppState, ApiKey)> {
    let tenant = db.create_tenant("acme", PlanName::ENTERPRISE).await?;
    let state = AppState::new(shared.clone(), db.db()?);
    let at = SystemClock.now();
    shared.authenticator.read_revocations(&state.db, at).await?;
    let id = ApiKeyId::mint(at);
    let (key, mac) = state.issue_api_key(tenant.id, id).unwrap();
    let new = api_keys::NewApiKey {
        id,
        name: "a printer",
        hint: "",
        mac: &mac,
        role: RoleName::READ_ONLY,
        grantor: api_keys::Grantor::User(tenant.owner_id),
        scopes: None,
        allowed_addresses: None,
        requests_per_minute: None,
        created_by: "a test",
        at,
        expires_at: None,
    };
    let insert = async |tx: &mut _| api_keys::insert(tx, &new).await;
    state.db.write::<_, DbError>(tenant.proven(), insert).await?;
    Ok((state, key))
}

/// An operation for any caller.
fn posted(id: &'static str, handler: Handler) -> Entry {
    let access = Access::AnyPrincipal;
    let operation = Operation { id, access, errors: Vec::new, weight: Weight::Small, handler };
    Entry { method: Method::POST, operation, needs: Needs::NOTHING, owner: CORE, takes_query: false }
}

/// Writes, fails to write a second time, and answers with the first write's answer.
async fn write_twice(call: TenantCall, fails: web::Path<bool>) -> Result<Answer, ApiError> {
    let write = async |target: &'static str, fails: bool| {
        let work = async |_: &mut _| {
            if fails {
                Err(ApiError::NotFound)
            } else {
                Ok(Written::changed(target, json!({}), Answer::no_content()))
            }
        };
        call.write(work).await
    };
    let first = write("first", *fails).await;
    let second = write("second", false).await.unwrap_err();
    assert_eq!(second.source().unwrap().to_string(), "write_twice writes twice in one request");
    first
}

#[test]
fn a_request_writes_once_with_a_key_and_without() {
    let test = async {
        let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
        let shared = shared(&db, &redis)?;
        let (state, key) = caller(&db, &shared).await?;
        let path = resource("/writes/{fails}", &[posted("write_twice", handler!(write_twice))]);
        let app = init_service(App::new().app_data(web::Data::new(state)).service(path)).await;
        for (fails, once, status) in
            [(false, None, 204), (false, Some("a"), 204), (true, Some("b"), 404), (false, Some("a"), 204)]
        {
            let request = TestRequest::post().uri(&format!("/writes/{fails}"));
            let request = request.insert_header(("x-api-key", key.reveal()));
            let request = match once {
                Some(once) => request.insert_header(("idempotency-key", once)),
                None => request,
            };
            assert_eq!(call_service(&app, request.to_request()).await.status().as_u16(), status);
        }
        let schema = db.value("SELECT role_name FROM platform.tenants").await?;
        let done =
            format!("SELECT string_agg(target, ' ') FROM {schema}.audit_log WHERE action = 'write_twice'");
        let done = db.value(&done).await?;
        assert_eq!(done, "first first");
        anyhow::Ok(())
    };
    block_on(test).unwrap();
}

#[test]
fn what_a_request_counts_is_billed_when_the_request_is() {
    let test = async {
        let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
        let shared = shared(&db, &redis)?;
        let (state, key) = caller(&db, &shared).await?;
        let path = resource("/pages/{status}", &[posted("print_pages", handler!(print_pages))]);
        let app = init_service(App::new().app_data(web::Data::new(state)).service(path)).await;
        for status in [200, 204, 401, 403, 404, 422, 429, 500, 503] {
            let request = TestRequest::post().uri(&format!("/pages/{status}"));
            let request = request.insert_header(("x-api-key", key.reveal())).to_request();
            assert_eq!(call_service(&app, request).await.status().as_u16(), status);
        }
        assert_eq!(shared.usage.finish(Duration::from_secs(30)).await, 0);
        let billed = async |meter: &str| {
            db.value(&format!("SELECT sum(quantity) FROM platform.usage_days WHERE meter = '{meter}'")).await
        };
        for (meter, quantity) in [("api_requests", "4"), ("pages_printed", "12"), ("paper_used", "0.004")] {
            assert_eq!(billed(meter).await?, quantity, "{meter}");
        }
        anyhow::Ok(())
    };
    block_on(test).unwrap();
}
