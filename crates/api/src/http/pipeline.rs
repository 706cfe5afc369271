//! What every request goes through, in this order.
//!
//! 1. Its id and trace; where no credential is shown, its address's bucket (no I/O).
//! 2. Authentication: the credential is verified. Before anything is looked up for it, the failure budget of its
//!    address is asked; a credential that is no good is charged to that budget.
//! 3. Admission, in this order: the bucket of an API key with a limit of its own; the tenant's bucket; a check that the
//!    request names no other tenant than the credential's; a place among the tenant's requests in flight, and room for
//!    the bytes that the request will hold; where a large answer is expected, a place among the tenant's large requests.
//!    A request that writes takes that last place when its body has come (`extract/body.rs`). For a request without a
//!    credential the address has the places and the room.
//! 4. Permission, as the operation's line in the route table declares it; then a check that an operation without
//!    query parameters was sent none.
//! 5. The handler; a panic becomes a problem.
//! 6. Usage is recorded and stored outside this process. Only then is the answer given.
//! 7. The answer counts among the tenant's bytes until it is written.
//!
//! On its way out an answer gets the headers that all answers have. The addresses in those headers are paths of the
//! API. Where clients reach the API below a public path, that path is written in front of them.
//!
//! Steps 1 to 5 share one deadline, which runs from the moment when the request's head is there; the head has a limit of its
//! own (`wire.rs`). A request that misses it is answered 408 when most of the time went into waiting for its body,
//! which is the client's fault, and otherwise 503, which is ours.
//!
//! Refuses to know what the operation does.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    body::{BodySize, MessageBody as _},
    dev::Payload,
    http::{
        ConnectionType, Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::Data,
};
use bulkhead_ablation::{self as ablation, Step};
use bulkhead_auth::{Authenticated, Principal};
use bulkhead_db::platform::tenants::DirectoryEntry;
use bulkhead_domain::{
    ApiKeyId, Limit,
    metering::{LatencyHistogram, RequestStats, StatusClass},
};
use bulkhead_limits::{Decision, Entered, LargePlace, Party, Size, rate_limit, rate_limit_policy};
use bulkhead_telemetry::{Metrics, Phase};
use bulkhead_usage::{Expected, Outcome};
use futures::FutureExt;
use tracing::Instrument;

use crate::http::{
    context::{self, Context},
    cors, discovery,
    error::ApiError,
    extract,
    operation::Access,
    paced::{self, Held},
    problem,
    routing::Served,
    state::AppState,
    wire::Line,
};

/// A request that may go on.
#[derive(Default)]
struct Admitted {
    principal: Option<Principal>,
    tenant: Option<DirectoryEntry>,
    decision: Option<Decision>,
    /// About the limit of the key itself, if it has one.
    own_decision: Option<Decision>,
    /// Its place among the requests in flight, until the context takes it over.
    entered: Option<Entered>,
    /// Its place among its tenant's large requests, until the context takes it over.
    large: Option<LargePlace>,
    /// Tells the recorder of usage that there will be a record.
    expected: Option<Expected>,
    /// Since when it is.
    at: Option<Instant>,
}

/// Takes a request through the pipeline.
pub(crate) async fn run(served: Rc<Served>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let Some(state) = request.app_data::<Data<AppState>>().cloned() else {
        return problem::respond(&ApiError::internal("no state"), "");
    };
    let operation = &served.operation;
    let client = state.client(&request);
    let context = Rc::new(Context::new(&request, client, operation, state.clock.now()));
    request.extensions_mut().insert(Rc::clone(&context));
    let span = tracing::info_span!(
        "http",
        "otel.name" = operation.id,
        request_id = %context.id,
        trace_id = context::trace_id(request.headers()),
        client.address = %context.client,
        principal.id = tracing::field::Empty,
        principal.act = tracing::field::Empty,
        tenant.id = tracing::field::Empty,
    );
    let _active = state.metrics.http.request_started();
    // Pinned where it lies: whatever wraps it would otherwise move some kilobytes.
    pin!(answer(&served, &state, &context, &request, payload)).instrument(span).await
}

async fn answer(
    served: &Served,
    state: &AppState,
    context: &Context,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let started = Instant::now();
    let id = context.id.as_str();
    let line = request.conn_data::<Rc<Line>>();
    if let Some(line) = line {
        line.begin(extract::body::announced(request.headers()), changes_protocol(request));
    }
    let mut admitted = Admitted::default();
    let deadline = tokio::time::Instant::from_std(started + state.options.request_timeout);
    let mut response = {
        let work = pin!(admit_and_handle(served, state, context, request, payload, &mut admitted));
        match tokio::time::timeout_at(deadline, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(response)) => response,
            // The panic's message has been written to standard error by the panic hook.
            Ok(Err(_panic)) => problem::respond(&ApiError::internal("the handler panicked"), id),
            Err(_elapsed) => problem::respond(&too_late(context, state.options.request_timeout), id),
        }
    };
    let mut held = Held::new(context.leave(), line.cloned());
    held.answered(response.body().size());
    finish_head(served, state, context, &admitted, request, &mut response);
    let status = response.status();
    let body = if *request.method() == Method::HEAD { BodySize::None } else { response.body().size() };
    if let (Some(tenant), BodySize::Sized(bytes)) = (admitted.tenant, body) {
        state.large.answered(tenant.id, usize::try_from(bytes).unwrap_or(usize::MAX));
    }
    let is_metered = is_billable(status) && ablation::is_taken(Step::Metering);
    admitted.expected = None;
    if let Some(tenant) = admitted.tenant.filter(|_| is_metered) {
        let now = Instant::now();
        let waited = context.has_waited(now);
        let worked = admitted.at.map_or(Duration::ZERO, |at| (now - at).saturating_sub(waited));
        let stats = stats(worked, context.ingress.get(), body);
        let (class, counted) = (StatusClass::of(status.as_u16()), context.take_counted());
        let (id, at) = (served.operation.id, context.started_at);
        let ticket = state.recorder.record(tenant.id, id, class, at, &stats, &counted);
        note(ticket.durable().await, &state.metrics);
    }
    served.series(&state.metrics).finished(status.as_u16(), started.elapsed());
    tracing::info!(
        method = %request.method(),
        route = served.operation.id,
        status = status.as_u16(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "request"
    );
    if let Some(line) = line {
        line.answered();
    }
    response.map_body(|_, body| paced::pace(body, held))
}

/// Writes the headers that an answer gets on its way out.
fn finish_head(
    served: &Served,
    state: &AppState,
    context: &Context,
    admitted: &Admitted,
    request: &HttpRequest,
    response: &mut HttpResponse,
) {
    describe(response.headers_mut(), state, admitted, context.id.as_str());
    place_below(&state.options.public_path, response.headers_mut());
    discovery::describe_challenge(&state.options.public_url, response.headers_mut());
    cors::describe(&state.options.cors_origins, request.headers(), response.headers_mut());
    let is_last = request.conn_data::<Rc<Line>>().is_some_and(|line| line.is_last());
    if is_last || state.health.phase() == Phase::Draining {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(allow) = HeaderValue::from_str(&served.allow)
    {
        response.headers_mut().insert(header::ALLOW, allow);
    }
}

/// Counts an answer that goes out although its usage may be in this process alone.
fn note(outcome: Outcome, metrics: &Metrics) {
    match outcome {
        Outcome::Stored => {}
        Outcome::Late => {
            metrics.usage.late_answers.inc();
            tracing::warn!("an answer does not wait any longer for its usage to be stored");
        }
        Outcome::NotDurable => {
            metrics.usage.unsafe_answers.inc();
            tracing::warn!("usage is kept by this process alone: neither Redis nor PostgreSQL takes it");
        }
    }
}

/// Steps 1 to 5.
async fn admit_and_handle(
    served: &Served,
    state: &AppState,
    context: &Context,
    request: &HttpRequest,
    payload: Payload,
    admitted: &mut Admitted,
) -> HttpResponse {
    if let Err(error) = pin!(admit(served, state, request, admitted)).await {
        return problem::respond(&error, context.id.as_str());
    }
    if let Some(answer) = cors::preflight(&state.options.cors_origins, request, &served.allow) {
        return answer;
    }
    context.principal.set(admitted.principal);
    context.entered.replace(admitted.entered.take());
    context.large.replace(admitted.large.take());
    let response = (served.operation.handler)(request.clone(), payload).await;
    // A problem's body is written here, so that its size counts in usage like any other answer's.
    problem::render(response, context.id.as_str())
}

/// Whether the HTTP library takes all that follows a request for its body: it does when the client wants to change the
/// protocol, which nothing here does.
fn changes_protocol(request: &HttpRequest) -> bool {
    let mut upgrades = request.headers().get_all(header::UPGRADE).filter_map(|value| value.to_str().ok());
    request.method() == Method::CONNECT || upgrades.any(|to| to.trim().eq_ignore_ascii_case("websocket"))
}

/// Whose fault it is that a request has not been answered by its deadline: the client's when most of the time was spent
/// waiting for its body.
fn too_late(context: &Context, timeout: Duration) -> ApiError {
    if context.waited_for_body(Instant::now()) >= timeout / 2 {
        ApiError::RequestTimeout
    } else {
        ApiError::Unavailable("the answer was not ready by the request's deadline".into())
    }
}

/// Steps 1 to 4. What was learnt on the way stays in `admitted`, so that refusals carry limit headers too.
async fn admit(
    served: &Served,
    state: &AppState,
    request: &HttpRequest,
    admitted: &mut Admitted,
) -> Result<(), ApiError> {
    let operation = &served.operation;
    let body = state.body_length(request);
    let bytes = operation.weight.bytes(state.options.data_limit) + extract::body::COPIES * body;
    if let Access::Public | Access::Session = operation.access {
        if operation.access == Access::Public {
            state.admit_address(request)?;
        }
        admitted.entered = Some(state.enter(state.party_of_address(request), bytes).await?);
        return Ok(());
    }
    let credential = match credential(request.headers()) {
        Ok(credential) => credential,
        Err(error) => {
            state.admit_address(request)?;
            return Err(error);
        }
    };
    let verification = pin!(state.authenticate(request, credential));
    let Authenticated { principal, tenant, limit } =
        ablation::authentication(credential, verification).await?;
    tracing::Span::current().record("principal.id", tracing::field::display(principal.subject()));
    if let Some(operator) = principal.act() {
        tracing::Span::current().record("principal.act", tracing::field::display(operator));
    }
    if let Some(tenant) = tenant {
        tracing::Span::current().record("tenant.id", tracing::field::display(tenant.id));
        if ablation::is_taken(Step::Admission) {
            take_tokens(state, &tenant, limit.zip(principal.api_key()), admitted).await?;
        }
        // Behind the bucket, so that naming other tenants is bounded too; it is not billed.
        refuse_other_tenant(request.headers(), &tenant)?;
        admitted.tenant = Some(tenant);
    }
    let party = tenant.map_or(Party::Operators, |tenant| Party::Tenant(tenant.id));
    admitted.entered = Some(state.enter(party, bytes).await?);
    let reads_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if let Some(tenant) = tenant.filter(|_| !reads_body) {
        let size = Size { body: 0, answers_content: operation.weight.is_of_content() };
        admitted.large = state.large.enter(tenant.id, size).await?;
    }
    admitted.at = Some(Instant::now());
    admitted.expected = tenant.map(|_| state.recorder.expect());
    if let Some(permission) = served.needs.missing(&principal) {
        return Err(ApiError::Forbidden { needs: permission });
    }
    if operation.access == Access::Person && principal.session().is_none() {
        return Err(ApiError::PersonRequired);
    }
    if !served.takes_query && !request.query_string().is_empty() {
        return Err(extract::no_parameters(request.query_string()));
    }
    admitted.principal = Some(principal);
    Ok(())
}

/// Takes a token from the key's own bucket, if it has one, then from the tenant's.
async fn take_tokens(
    state: &AppState,
    tenant: &DirectoryEntry,
    own: Option<(Limit, ApiKeyId)>,
    admitted: &mut Admitted,
) -> Result<(), ApiError> {
    let refused = |decision: Decision| ApiError::RateLimited { retry_after: decision.retry_after };
    if let Some((limit, key)) = own {
        let decision = state.limiter.check_key(key, limit, 1, state.clock.now()).await;
        admitted.own_decision = Some(decision);
        if !decision.allowed {
            return Err(refused(decision));
        }
    }
    let decision = state.limiter.check(tenant.id, tenant.limit, 1, state.clock.now()).await;
    admitted.decision = Some(decision);
    if decision.allowed { Ok(()) } else { Err(refused(decision)) }
}

/// The one credential of a request. A request with two is refused: it does not say which of them counts.
fn credential(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut found = None;
    for value in headers.get_all("authorization") {
        let text = value.to_str().map_err(|_not_ascii| ApiError::InvalidCredentials)?;
        let (scheme, token) = text.split_once(' ').ok_or(ApiError::InvalidCredentials)?;
        if !scheme.eq_ignore_ascii_case("bearer") || found.replace(token.trim_matches(' ')).is_some() {
            return Err(ApiError::InvalidCredentials);
        }
    }
    for value in headers.get_all("x-api-key") {
        let text = value.to_str().map_err(|_not_ascii| ApiError::InvalidCredentials)?;
        if found.replace(text.trim_matches(' ')).is_some() {
            return Err(ApiError::InvalidCredentials);
        }
    }
    found.ok_or(ApiError::MissingCredentials)
}

/// A tenant named in a header may only be the credential's own, whether or not the other one exists.
fn refuse_other_tenant(headers: &HeaderMap, tenant: &DirectoryEntry) -> Result<(), ApiError> {
    let mut named = headers.get_all(&TENANT_ID).peekable();
    if named.peek().is_none() {
        return Ok(());
    }
    let own = tenant.id.to_string();
    if named.all(|value| value.as_bytes() == own.as_bytes()) { Ok(()) } else { Err(ApiError::TenantMismatch) }
}

/// Billable: authenticated and admitted (or the tenant would not be known here), and answered by us with anything but
/// a refusal or a failure of ours.
fn is_billable(status: StatusCode) -> bool {
    status.as_u16() < 500
        && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
}

fn stats(took: Duration, ingress_bytes: u64, body: BodySize) -> RequestStats {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let egress_bytes = if let BodySize::Sized(bytes) = body { bytes } else { 0 };
    let mut latency = LatencyHistogram::default();
    latency.record(micros);
    RequestStats { requests: 1, compute_micros: micros, ingress_bytes, egress_bytes, latency }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// The headers that every answer carries.
fn describe(headers: &mut HeaderMap, state: &AppState, admitted: &Admitted, id: &str) {
    let mut set = |name: &HeaderName, value: Option<HeaderValue>| {
        if let (Some(value), false) = (value, headers.contains_key(name)) {
            headers.insert(name.clone(), value);
        }
    };
    set(&REQUEST_ID, HeaderValue::from_str(id).ok());
    set(&header::X_CONTENT_TYPE_OPTIONS, Some(HeaderValue::from_static("nosniff")));
    set(&header::CACHE_CONTROL, Some(HeaderValue::from_static("no-store")));
    if let (Some(decision), None) = (&admitted.decision, admitted.own_decision) {
        set(&RATE_LIMIT_POLICY, state.policies.of(decision));
        set(&RATE_LIMIT, HeaderValue::try_from(rate_limit(&[*decision])).ok());
    } else if let Some(own) = admitted.own_decision {
        let both: Vec<Decision> = admitted.decision.into_iter().chain([own]).collect();
        set(&RATE_LIMIT_POLICY, HeaderValue::try_from(rate_limit_policy(&both)).ok());
        set(&RATE_LIMIT, HeaderValue::try_from(rate_limit(&both)).ok());
    }
}

/// Writes the path below which clients reach the API in front of addresses that are paths of ours.
fn place_below(public_path: &str, headers: &mut HeaderMap) {
    if public_path.is_empty() {
        return;
    }
    // A target in angle brackets, and one without.
    for (name, before) in [(header::LINK, "<"), (header::LOCATION, "")] {
        let own = headers.get(&name).and_then(|value| value.to_str().ok()?.strip_prefix(before));
        let own = own.filter(|rest| rest.starts_with('/')).map(|rest| format!("{before}{public_path}{rest}"));
        if let Some(Ok(placed)) = own.map(HeaderValue::try_from) {
            headers.insert(name, placed);
        }
    }
}
