//! `bulkhead api`.

use std::sync::Arc;

use anyhow::Result;
use bulkhead_api::{ApiOptions, AppState, ServerOptions, Shared, SignUpOptions, block_on, serve};
use bulkhead_auth::{
    AccessTokens, Authenticator, Bounds, Federation, Keyring, PasswordHasher, PasswordRules, Purpose,
    SecondFactorRule,
};
use bulkhead_config::{PLATFORM_URL, Settings, TENANT_URL};
use bulkhead_db::{Db, Shares, platform::nodes::NodeKind};
use bulkhead_domain::SystemClock;
use bulkhead_limits::{AddressLimiter, FailureBudget, InFlight, InFlightOptions, LargeRequests, Limiter};
use bulkhead_telemetry::{
    Health, Metrics,
    health::probes::{Pace, Probes},
};
use bulkhead_usage::Flusher;
use chrono::TimeDelta;

use super::migrate;
use crate::{app::Parts, stop, wiring};

/// Serves until it is told to stop.
pub(crate) fn run(parts: &Parts, settings: &Settings, stop_with_stdin: bool) -> Result<()> {
    block_on(async {
        let stop = stop::signal_of(stop_with_stdin)?;
        let probes = parts.probes(&settings.extensions)?;
        let metrics = parts.metrics()?;
        let databases = wiring::databases(settings, &metrics, Shares::PerSide)?;
        let node = wiring::node(settings, NodeKind::Api);
        let threads = wiring::threads(settings);
        let options = ServerOptions {
            api: (settings.http.bind, settings.http.port).into(),
            metrics: (settings.http.metrics_bind, settings.http.metrics_port).into(),
            threads,
            database_connections: settings.database.connections_of_api(threads),
            keep_alive: settings.http.keep_alive,
            connections: settings.http.connections,
            connections_per_address: (settings.http.trusted_proxy_hops == 0)
                .then_some(settings.http.connections_per_address),
            write_timeout: settings.http.write_timeout,
            drain_delay: settings.http.drain_delay,
            shutdown: settings.http.shutdown,
        };
        let database = &settings.database;
        let logins = [(TENANT_URL, database.require_tenant()?), (PLATFORM_URL, database.require_platform()?)];
        wiring::try_logins(database, &logins).await?;
        let db = databases();
        migrate::require_migrated(&db, &parts.sets).await?;
        let keyring = wiring::keyring(settings, &db).await?;
        let shared = shared(parts, settings, &probes, keyring, metrics)?;
        let state = thread_state(&shared, databases);
        let _watching = probes.watch(&shared.health, Pace::default())?;
        let served = serve(options, shared, Arc::clone(&parts.catalog), state, db, node, stop).await;
        served.map_err(|error| wiring::name_port(error, settings))
    })
}

/// What may be in flight.
fn in_flight(settings: &Settings) -> InFlightOptions {
    let limits = &settings.limits;
    InFlightOptions {
        requests: limits.tenant_concurrency,
        share: limits.tenant_bytes_in_flight,
        whole: limits.bytes_in_flight,
        wait: settings.database.wait_timeout,
    }
}

/// How many passwords are hashed at once: of the processors no more than half, so that log-ins leave the others to requests.
fn hash_threads(settings: &Settings) -> usize {
    match settings.auth.password_hash_threads {
        0 => (wiring::threads(settings) / 2).max(1),
        threads => usize::from(threads),
    }
}

/// What all threads share.
fn shared(
    parts: &Parts,
    settings: &Settings,
    probes: &Probes,
    keyring: Arc<Keyring>,
    metrics: Metrics,
) -> Result<Shared> {
    let (http, auth) = (&settings.http, &settings.auth);
    let passwords = PasswordHasher::new(hash_threads(settings));
    let tokens = AccessTokens::new(
        settings.issuer().to_owned(),
        auth.audience.clone(),
        TimeDelta::from_std(auth.access_token_life)?,
    )?;
    let session_life = TimeDelta::from_std(auth.refresh_token_life)?;
    let authenticator = Authenticator::new(
        Arc::clone(&keyring),
        passwords.clone(),
        tokens,
        Arc::clone(&parts.access),
        session_life,
        Bounds::default(),
    );
    let federation = Federation::new(Arc::new(wiring::issuers(settings, &metrics)?));
    let second_factor = SecondFactorRule {
        operators: auth.second_factor_required.of_operators(),
        owners: auth.second_factor_required.of_owners(),
    };
    Ok(Shared {
        options: Arc::new(ApiOptions {
            about: parts.about,
            body_limit: http.body_limit_bytes,
            data_limit: http.data_limit_bytes,
            request_timeout: http.request_timeout,
            trusted_proxy_hops: http.trusted_proxy_hops,
            issuer: settings.issuer().to_owned(),
            public_url: http.public_url.as_str().to_owned(),
            public_path: http.public_url.path().to_owned(),
            cors_origins: http.cors_origins.iter().map(|origin| origin.as_str().to_owned()).collect(),
            environment: auth.environment.as_str(),
            password_rules: PasswordRules::new(auth.password_min_length),
            tenant_grace: TimeDelta::from_std(settings.tenants.tenant_grace)?,
            mails_per_hour: settings.mail.is_on().then_some(settings.mail.mails_per_tenant_per_hour),
            sign_up: sign_up(settings),
        }),
        clock: Arc::new(SystemClock),
        authenticator: Arc::new(authenticator.requiring(second_factor).with_federation(federation)),
        passwords,
        in_flight: InFlight::new(in_flight(settings), metrics.clone()),
        // Half of the threads: a tenant's share of the processors. What waits is in the way of its own tenant alone.
        large: LargeRequests::new(wiring::threads(settings) / 2, http.request_timeout / 2),
        addresses: Arc::new(AddressLimiter::new(http.ip_requests_per_minute, metrics.clone())),
        failures: Arc::new(FailureBudget::new(http.ip_failed_credentials_per_minute, metrics.clone())),
        // The heartbeat tells how many nodes there are before the first request is answered.
        limiter: Limiter::new(wiring::cache_redis(settings)?, 1, metrics.clone()),
        health: Arc::new(Health::with_probes(probes)),
        usage: Arc::new(flusher(settings, &keyring, &metrics)?),
        meters: parts.meters.clone(),
        extensions: settings.extensions.clone(),
        keyring,
        metrics,
    })
}

/// How tenants sign themselves up, if they do.
fn sign_up(settings: &Settings) -> Option<SignUpOptions> {
    let tenants = &settings.tenants;
    let options = || SignUpOptions { plan: tenants.signup_plan.clone(), per_hour: tenants.signups_per_hour };
    tenants.self_service_signup.then(options)
}

/// Starts what stores usage.
fn flusher(settings: &Settings, keyring: &Arc<Keyring>, metrics: &Metrics) -> Result<Flusher> {
    let stores = wiring::usage_stores(settings, metrics)?;
    let mac = keyring.for_purpose(Purpose::UsageEntry);
    Ok(Flusher::start(wiring::flusher_options(settings), stores, mac, metrics.clone())?)
}

/// Makes a thread's state, on that thread.
fn thread_state(
    shared: &Shared,
    databases: impl Fn() -> Db + Clone + Send + 'static,
) -> impl Fn() -> AppState + Clone + Send + 'static {
    let shared = shared.clone();
    move || AppState::new(shared.clone(), databases())
}
