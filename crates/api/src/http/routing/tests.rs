//! Operations of the tests' own behind the pipeline, before real servers.

use std::{sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse,
    http::StatusCode,
    test::{TestRequest, call_service, init_service},
};
use anyhow::Result;
use bulkhead_auth::{AccessTokens, Authenticator, Bounds, Keyring, MasterKey, PasswordHasher};
use bulkhead_db::{DbError, tenant::api_keys};
use bulkhead_domain::{
    AccessRegistry, ApiKeyId, Clock as _, PlanName, RoleName, SystemClock,
    metering::{MeterName, MeterRegistry, Quantity},
};
use bulkhead_fixtures::{Login, TestDb, TestRedis, mac};
use bulkhead_limits::{
    AddressLimiter, FailureBudget, InFlight, InFlightOptions, LargeRequests, Limiter, LimiterOptions,
};
use bulkhead_telemetry::Health;
use bulkhead_usage::{Flusher, FlusherOptions, RedisServer, Stores};
use chrono::TimeDelta;

use super::*;
use crate::http::{
    call::TenantCall,
    server::block_on,
    state::{ApiOptions, AppState, Shared},
};

const SECOND: Duration = Duration::from_secs(1);

/// What a process shares that answers from these servers.
fn shared(db: &TestDb, redis: &TestRedis) -> Result<Shared> {
    let metrics = Metrics::new()?;
    let keyring = Arc::new(Keyring::new(&MasterKey::from([1; 32]))?);
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
            body_limit: 1 << 20,
            data_limit: 1 << 18,
            request_timeout: Duration::from_secs(30),
            trusted_proxy_hops: 0,
            issuer: "test".to_owned(),
            public_url: "http://localhost".to_owned(),
            public_path: String::new(),
            cors_origins: vec![],
            environment: "test",
            tenant_grace: TimeDelta::days(1),
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
        limiter: Limiter::new(
            bulkhead_limits::client(&redis.url(), None)?,
            LimiterOptions { timeout: SECOND, nodes: 1 },
            metrics.clone(),
        ),
        usage: Arc::new(Flusher::start(FlusherOptions::default(), stores, mac(), metrics.clone())?),
        meters: MeterRegistry::core(),
        metrics,
    })
}

const PAGES: MeterName = MeterName::new("pages_printed");
const PAPER: MeterName = MeterName::new("paper_used");

/// Prints three pages, and answers with the status that it is asked for.
async fn print_pages(call: TenantCall, status: web::Path<u16>) -> HttpResponse {
    for pages in [1, 2] {
        call.count_request(PAGES, Quantity::whole(pages).unwrap());
    }
    call.count_request(PAPER, Quantity::thousandths(1).unwrap());
    HttpResponse::build(StatusCode::from_u16(*status).unwrap()).finish()
}

#[test]
fn what_a_request_counts_is_billed_when_the_request_is() {
    let test = async {
        let (db, redis) = (TestDb::new().await?, TestRedis::start().await?);
        let tenant = db.create_tenant("acme", PlanName::ENTERPRISE).await?;
        let shared = shared(&db, &redis)?;
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
            created_by: "a test",
            at,
            expires_at: None,
        };
        let insert = async |tx: &mut _| api_keys::insert(tx, &new).await;
        state.db.write::<_, DbError>(tenant.proven(), insert).await?;
        let operation = Operation {
            id: "print_pages",
            access: Access::AnyPrincipal,
            errors: Vec::new,
            weight: Weight::Small,
            handler: handler!(print_pages),
        };
        let entry = Entry { method: Method::POST, operation, needs: Needs::NOTHING, takes_query: false };
        let path = resource("/pages/{status}", &[entry]);
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
