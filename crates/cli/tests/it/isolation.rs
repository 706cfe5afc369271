//! No tenant reaches another, whatever the operation.
//!
//! Generated from the OpenAPI document: an operation that is added is tested here, or the tables below do not cover it
//! and the test says so.

use std::collections::BTreeSet;

use bulkhead_domain::{ApiKeyId, Clock, JobId, RoleName, SystemClock, TenantId, UserId};
use bulkhead_resources::ResourceId;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::{Answer, Caller, Operation, System, Tenant};

/// What an operation's `{id}` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    User,
    ApiKey,
    Resource,
    Job,
    Tenant,
}

/// For each operation with an `{id}`: what it names, and a body with which the operation would have an effect.
fn by_id() -> Vec<(&'static str, Kind, Option<Value>)> {
    vec![
        ("get_user", Kind::User, None),
        ("update_user", Kind::User, Some(json!({ "role": "read_only" }))),
        ("delete_user", Kind::User, None),
        ("get_api_key", Kind::ApiKey, None),
        ("delete_api_key", Kind::ApiKey, None),
        ("get_resource", Kind::Resource, None),
        ("update_resource", Kind::Resource, Some(json!({ "name": "mine now" }))),
        ("delete_resource", Kind::Resource, None),
        ("get_operation", Kind::Job, None),
        ("get_tenant", Kind::Tenant, None),
        ("update_tenant", Kind::Tenant, Some(json!({ "name": "mine now" }))),
        ("suspend_tenant", Kind::Tenant, None),
        ("activate_tenant", Kind::Tenant, None),
        ("delete_tenant", Kind::Tenant, None),
        ("restore_tenant", Kind::Tenant, None),
        ("retry_tenant", Kind::Tenant, None),
        ("get_tenant_usage_report", Kind::Tenant, None),
    ]
}

/// An operation that reads, its query, and what of the furnished tenant's own must be in the answer.
type Reader = (&'static str, String, fn(&Furnished<'_>) -> String);

/// Each operation without an `{id}` that reads a tenant's data: the query it needs, and the text of the tenant's own that
/// has to be in the answer.
fn readers() -> Vec<Reader> {
    let (month, hours) =
        (format!("?period={PERIOD}"), format!("?from={PERIOD}-01T00:00:00Z&until={PERIOD}-02T00:00:00Z"));
    vec![
        ("list_users", String::new(), |of| of.user.clone()),
        ("list_api_keys", String::new(), |of| of.key.clone()),
        ("list_resources", String::new(), |of| of.resource.clone()),
        ("list_jobs", String::new(), |of| of.tenant.operation.clone()),
        ("list_scaling_decisions", String::new(), |of| of.tenant.slug.clone()),
        ("get_me", String::new(), |of| of.tenant.slug.clone()),
        ("get_usage", hours, |of| of.usage.clone()),
        ("get_usage_report", month, |of| of.usage.clone()),
    ]
}

/// The month in which furnished tenants have used something. It is before any tenant existed, so it has no other
/// usage.
const PERIOD: &str = "2026-03";

/// Operations that make something, which is the caller's own by construction: what they make is looked for in the
/// other tenant's rows.
const MAKERS: [(&str, &str); 3] =
    [("create_user", "users"), ("create_api_key", "api_keys"), ("create_resource", "resources")];

/// A tenant that has two of everything that can be listed.
struct Furnished<'a> {
    tenant: Tenant<'a>,
    user: String,
    key: String,
    resource: String,
    /// How much it has used in [`PERIOD`]: a number that no other tenant's usage has.
    usage: String,
}

async fn furnished(system: &System) -> Furnished<'_> {
    let tenant = system.tenant().await;
    let (user, key) = (tenant.person(RoleName::READ_ONLY).await.id, tenant.key(RoleName::DEVELOPER).await.id);
    tenant.key(RoleName::DEVELOPER).await;
    let resource = tenant.resource(&format!("of {}", tenant.slug)).await;
    tenant.resource(&format!("also of {}", tenant.slug)).await;
    let id = tenant.id.parse::<TenantId>().unwrap().uuid();
    // The low half of the id is random.
    let usage = format!("{:09}", id.as_u64_pair().1 % 900_000_000 + 100_000_000);
    let mint = || JobId::mint(SystemClock.now()).uuid();
    let (job, first, second, slug) = (mint(), mint(), mint(), &tenant.slug);
    system.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, state, max_attempts, created_at, finished_at) \
         VALUES ('{job}', 'purge_expired', '{id}', '{{}}', 'succeeded', 1, now(), now()); \
         INSERT INTO platform.scaling_decisions VALUES \
         ('{first}', '{id}', '2026-11-01 00:00Z', 'hold', 2, 2, 0, NULL, 'of {slug}'), \
         ('{second}', '{id}', '2026-11-01 00:01Z', 'hold', 2, 2, 0, NULL, 'also of {slug}'); \
         INSERT INTO platform.usage_hours VALUES ('{id}', 'api_requests', '{PERIOD}-01 00:00Z', {usage}); \
         INSERT INTO platform.usage_days VALUES ('{id}', 'api_requests', '{PERIOD}-01', {usage})",
    ));
    Furnished { tenant, user, key, resource, usage }
}

impl Furnished<'_> {
    fn id(&self, kind: Kind) -> String {
        let id = match kind {
            Kind::User => &self.user,
            Kind::ApiKey => &self.key,
            Kind::Resource => &self.resource,
            Kind::Job => &self.tenant.operation,
            Kind::Tenant => &self.tenant.id,
        };
        id.clone()
    }

    /// Texts that no other tenant may be shown.
    fn marks(&self) -> [&str; 7] {
        let Self { tenant, user, key, resource, usage } = self;
        [&tenant.id, &tenant.slug, &tenant.operation, user, key, resource, usage]
    }
}

/// An id that exists nowhere.
fn nobodys(kind: Kind) -> String {
    let now = SystemClock.now();
    match kind {
        Kind::User => UserId::mint(now).to_string(),
        Kind::ApiKey => ApiKeyId::mint(now).to_string(),
        Kind::Resource => ResourceId::mint(now).to_string(),
        Kind::Job => JobId::mint(now).to_string(),
        Kind::Tenant => TenantId::mint(now).to_string(),
    }
}

async fn call(caller: &Caller<'_>, operation: &Operation, path: &str, body: Option<&Value>) -> Answer {
    let call = caller.call(&operation.method, path);
    match body {
        Some(body) => call.json(body).await,
        None => call.await,
    }
}

/// Headers that say something about the thing asked for.
fn telling(headers: &HeaderMap) -> Vec<(String, String)> {
    let differ_anyway = ["x-request-id", "date", "ratelimit"];
    let kept = headers.iter().filter(|(name, _)| !differ_anyway.contains(&name.as_str()));
    let mut kept: Vec<_> =
        kept.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    kept.sort();
    kept
}

#[tokio::test]
async fn every_operation_but_the_public_ones_wants_a_credential() {
    let system = System::shared().await;
    let mut asked = 0;
    for operation in system.contract.those(|operation| !operation.is_public()) {
        let path = operation.path_of("usr_01jd3e2x6m7k9v4q8t5b2n0c1c");
        let body = operation.takes_body().then(|| json!({}));
        let refused = call(&system.anonymous(), operation, &path, body.as_ref()).await;
        refused.refused(401, "missing-credentials");
        asked += 1;
    }
    assert!(asked > 20);
}

#[tokio::test]
async fn another_tenants_id_is_answered_like_one_that_exists_nowhere() {
    let system = System::shared().await;
    let (ours, theirs) = (furnished(system).await, furnished(system).await);
    let rows = theirs.tenant.rows();
    let of_platform = platform_rows(&theirs.tenant);
    let owner = &ours.tenant.owner.caller;
    let table = by_id();
    let covered: BTreeSet<&str> = table.iter().map(|(id, ..)| *id).collect();
    let documented: BTreeSet<&str> =
        system.contract.those(Operation::takes_id).map(|operation| operation.id.as_str()).collect();
    assert_eq!(covered, documented, "the table has to have a line for each operation with an {{id}}");

    for (id, kind, body) in &table {
        let operation = system.contract.operation(id);
        let path = |id: &str| {
            let query = if operation.takes("period") { "?period=2026-11" } else { "" };
            operation.path_of(id) + query
        };
        let foreign = call(owner, operation, &path(&theirs.id(*kind)), body.as_ref()).await;
        let nobodys = call(owner, operation, &path(&nobodys(*kind)), body.as_ref()).await;
        let (status, code) =
            if operation.is_for_operators() { (403, "insufficient-permission") } else { (404, "not-found") };
        let foreign = foreign.refused(status, code);
        assert_eq!(foreign.body_without_request_id(), nobodys.body_without_request_id(), "{id}");
        assert_eq!(telling(&foreign.headers), telling(&nobodys.headers), "{id}");
        // With our own id the same request is answered: the refusal is about whose it is.
        if operation.method == "GET" && !operation.is_for_operators() {
            call(owner, operation, &path(&ours.id(*kind)), None).await.expect(200);
        }
    }
    assert_eq!(theirs.tenant.rows(), rows);
    assert_eq!(platform_rows(&theirs.tenant), of_platform);
}

/// What the platform knows of a tenant and only an operator may change.
fn platform_rows(tenant: &Tenant<'_>) -> String {
    let id = tenant.id.parse::<TenantId>().unwrap().uuid();
    let of = |table: &str, column: &str| {
        tenant.system.sql(&format!("SELECT * FROM platform.{table} WHERE {column} = '{id}' ORDER BY 1"))
    };
    of("tenants", "id") + &of("jobs", "tenant_id") + &of("revocations", "tenant_id")
}

#[tokio::test]
async fn whatever_a_tenant_reads_is_its_own() {
    let system = System::shared().await;
    // Lists are in the order of time, upwards or downwards, so our rows lie between those of the two other tenants.
    let (before, ours, after) = (furnished(system).await, furnished(system).await, furnished(system).await);
    let table = readers();
    let covered: BTreeSet<&str> = table.iter().map(|(id, ..)| *id).collect();
    let documented: BTreeSet<&str> = system
        .contract
        .those(|operation| {
            operation.is_open_to_tenants() && operation.method == "GET" && !operation.takes_id()
        })
        .map(|operation| operation.id.as_str())
        .collect();
    assert_eq!(
        covered, documented,
        "the table has to have a line for each operation that reads without an {{id}}"
    );

    let mut lists = 0;
    for (id, query, own) in &table {
        let operation = system.contract.operation(id);
        let path = format!("{}{query}", operation.path);
        let seen = ours.tenant.owner.caller.get(&path).await.expect(200);
        // The answer shows our own text: without it, the absence of the others would prove nothing.
        assert!(seen.body.contains(&own(&ours)), "{id}: {}", seen.body);
        for mark in [&before, &after].iter().flat_map(|theirs| theirs.marks()) {
            assert!(!seen.body.contains(mark), "{id} shows {mark}: {}", seen.body);
        }
        if operation.takes("cursor") {
            assert!(query.is_empty(), "{id}: a cursor is asked for with no other parameters");
            at_their_place_in_the_order(operation, &path, own, &ours, [&before, &after]).await;
            lists += 1;
        }
    }
    assert!(lists >= 5, "{lists}");
}

/// A cursor of another tenant's list is a place in the order, and leads to nothing of theirs.
async fn at_their_place_in_the_order(
    operation: &Operation,
    path: &str,
    own: &fn(&Furnished<'_>) -> String,
    ours: &Furnished<'_>,
    others: [&Furnished<'_>; 2],
) {
    let mut shows_ours = false;
    for theirs in others {
        let first = theirs.tenant.owner.caller.get(&format!("{path}?limit=1")).await.expect(200);
        let cursor = first.at("/next_cursor");
        assert!(!cursor.is_empty(), "{}: {}", operation.id, first.body);
        let page = ours.tenant.owner.caller.get(&format!("{path}?cursor={cursor}")).await.expect(200);
        let data = page.at("/data");
        assert!(theirs.marks().iter().all(|mark| !data.contains(mark)), "{}: {data}", operation.id);
        shows_ours |= data.contains(&own(ours));
    }
    // From the place of one of the two other tenants, our own rows are to be seen.
    assert!(shows_ours, "{}", operation.id);
}

#[tokio::test]
async fn whatever_a_tenant_makes_is_its_own() {
    let system = System::shared().await;
    let (ours, theirs) = (system.tenant().await, system.tenant().await);
    let documented: BTreeSet<&str> = system
        .contract
        .those(|operation| operation.is_for_tenants() && operation.method == "POST" && !operation.takes_id())
        .map(|operation| operation.id.as_str())
        .collect();
    assert_eq!(MAKERS.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), documented);

    let rows = theirs.rows();
    for (id, table) in MAKERS {
        let body = match id {
            "create_user" => {
                json!({ "email": theirs.owner.email, "password": "correct horse", "role": "owner" })
            }
            "create_api_key" => json!({ "name": theirs.id, "role": "owner" }),
            _ => json!({ "name": theirs.id, "kind": "thing", "data": { "tenant": theirs.id } }),
        };
        let before = ours.count(table);
        ours.owner.caller.post(&system.contract.operation(id).path, &body).await.expect(201);
        assert_eq!(ours.count(table), before + 1);
    }
    assert_eq!(theirs.rows(), rows);
}

#[tokio::test]
async fn operators_and_tenants_do_not_stand_in_for_each_other() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (operator, owner) = (system.operator().await, &tenant.owner.caller);
    let (mut of_operators, mut of_tenants) = (0, 0);
    for operation in system.contract.operations() {
        let path = operation.path_of(&nobodys(Kind::Tenant));
        let body = operation.takes_body().then(|| json!({}));
        if operation.is_for_operators() {
            let answer = call(owner, operation, &path, body.as_ref()).await;
            answer.refused(403, "insufficient-permission");
            of_operators += 1;
        }
        if operation.is_for_tenants() {
            let answer = call(&operator, operation, &path, body.as_ref()).await;
            answer.refused(403, "insufficient-permission");
            of_tenants += 1;
        }
    }
    assert!(of_operators >= 8 && of_tenants >= 15, "{of_operators}, {of_tenants}");
}

#[tokio::test]
async fn a_tenant_named_beside_the_credential_can_only_be_its_own() {
    let system = System::shared().await;
    let (ours, theirs) = (system.tenant().await, system.tenant().await);
    let owner = &ours.owner.caller;
    let name = |tenant: &str| owner.get("/v1/me").header("x-tenant-id", tenant);
    name(&ours.id).await.expect(200);
    let refused = name(&theirs.id).await.refused(400, "tenant-mismatch");
    insta::assert_snapshot!(refused.show(), @r#"
    400
    content-type: application/problem+json
    {
      "code": "tenant-mismatch",
      "detail": "The request names another tenant than the credential belongs to.",
      "request_id": "req_…",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:bulkhead:problem:tenant-mismatch"
    }
    "#);
    for other in [
        nobodys(Kind::Tenant),
        ours.slug.clone(),
        ours.id.to_uppercase(),
        String::new(),
        "' OR 1=1 --".to_owned(),
    ] {
        let answer = name(&other).await;
        assert_eq!(answer.body_without_request_id(), refused.body_without_request_id(), "{other}");
        assert_eq!(telling(&answer.headers), telling(&refused.headers), "{other}");
    }
    let both = name(&ours.id).another("x-tenant-id", &theirs.id).await;
    assert_eq!(both.body_without_request_id(), refused.body_without_request_id());
    // In a body there is no room for a tenant at all.
    let body = json!({ "name": "a", "kind": "b", "tenant": theirs.id });
    owner.post("/v1/resources", &body).await.refused(422, "invalid-body");
}
