//! No tenant reaches another, whatever the operation.

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use serde_json::json;

use super::{aim::query, bodies::places};
use crate::{Answer, App, Made, Operation, Tenant, reference, secrets::is_secret, unique};

/// A tenant that has three of everything.
pub(super) struct Furnished<'a> {
    pub(super) tenant: Tenant<'a>,
    /// By the path of their fixture, what was made last.
    made: BTreeMap<String, Made>,
}

pub(super) async fn furnished(app: &App) -> Furnished<'_> {
    let tenant = app.tenant().await;
    let mut made = BTreeMap::new();
    for operation in app.contract.those(|operation| !operation.is_public()) {
        let fixture = app.fixtures.of(operation);
        if !made.contains_key(fixture.path()) {
            for _ in 0..2 {
                fixture.make(&tenant).await;
            }
            made.insert(fixture.path().to_owned(), fixture.make(&tenant).await);
        }
    }
    tenant.at_rest().await;
    Furnished { tenant, made }
}

impl Furnished<'_> {
    pub(super) fn of(&self, operation: &Operation) -> &Made {
        &self.made[self.tenant.app.fixtures.of(operation).path()]
    }

    /// Texts that no other tenant may be shown.
    fn marks(&self) -> impl Iterator<Item = &str> {
        let made = self.made.values().flat_map(|made| [&made.id, &made.mark]);
        let own = [&self.tenant.id, &self.tenant.slug, &self.tenant.operation, &self.tenant.owner.id];
        made.chain(own).map(String::as_str)
    }
}

/// An id of the same type that exists nowhere.
fn unknown(id: &str) -> String {
    // The last digit has fewer bits than the others: it stays.
    let (kept, last) = id.split_at(id.len().saturating_sub(1));
    let kept = kept.get(..kept.len().saturating_sub(10)).unwrap_or_default();
    format!("{kept}{}{last}", &unique()[..10])
}

async fn call(tenant: &Tenant<'_>, operation: &Operation, id: &str) -> Answer {
    let path = operation.path_of(id) + &query(tenant.app, operation, "");
    let call = tenant.owner.caller.call(&operation.method, &path);
    if operation.takes_body() { call.json(&tenant.body(operation).await).await } else { call.await }
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

/// An operation with the id of another tenant's thing is answered as with an id that exists nowhere, to the last header but the
/// request's own, and changes nothing; with the tenant's own id the same request is not refused so.
pub async fn another_tenants_id_is_answered_like_one_that_exists_nowhere(app: &App) {
    let (ours, theirs) = (furnished(app).await, furnished(app).await);
    let (rows, of_platform) = (theirs.tenant.rows(), platform_rows(&theirs.tenant));
    // What needs no credential is of no tenant's: whoever knows the id may call it.
    for operation in app.contract.those(|operation| operation.takes_id() && !operation.is_public()) {
        let name = operation.shown();
        let their_id = &theirs.of(operation).id;
        let foreign = call(&ours.tenant, operation, their_id).await;
        let unknown = call(&ours.tenant, operation, &unknown(their_id)).await;
        let wanted =
            if operation.is_for_operators() { (403, "insufficient-permission") } else { (404, "not-found") };
        let got = (foreign.status, foreign.code());
        assert_eq!((got.0, got.1.as_str()), wanted, "{name} of another tenant: {}", foreign.show());
        assert_eq!(foreign.body_without_request_id(), unknown.body_without_request_id(), "{name}");
        assert_eq!(telling(&foreign.headers), telling(&unknown.headers), "{name}");
        if !operation.is_for_operators() {
            let own = app.fixtures.of(operation).make(&ours.tenant).await;
            let own = call(&ours.tenant, operation, &own.id).await;
            assert!(own.status != 404, "{name} refuses the tenant's own id alike: {}", own.show());
        }
    }
    assert_eq!(theirs.tenant.rows(), rows, "a row of another tenant has changed");
    assert_eq!(platform_rows(&theirs.tenant), of_platform, "a row of another tenant has changed");
}

/// What the platform knows of a tenant and only an operator may change.
fn platform_rows(tenant: &Tenant<'_>) -> String {
    let of = |table: &str, column: &str| {
        let id = &tenant.uuid;
        tenant.app.sql(&format!("SELECT * FROM platform.{table} WHERE {column} = '{id}' ORDER BY 1"))
    };
    of("tenants", "id") + &of("jobs", "tenant_id") + &of("revocations", "tenant_id")
}

/// What an operation without an id reads shows the tenant's own, and nothing of the tenants before and after it; so does a list
/// from the place in the order where another tenant's cursor points.
pub async fn whatever_a_tenant_reads_is_its_own(app: &App) {
    // Lists are in the order of time, upwards or downwards, so our rows lie between those of the two other tenants.
    let (before, ours, after) = (furnished(app).await, furnished(app).await, furnished(app).await);
    let is_reader = |operation: &Operation| {
        operation.is_open_to_tenants() && operation.is_read() && !operation.takes_id()
    };
    for operation in app.contract.those(is_reader) {
        let path = format!("{}{}", operation.path, query(app, operation, ""));
        let seen = ours.tenant.owner.caller.get(&path).await.expect(200);
        // The answer shows our own text: without it, the absence of the others would prove nothing.
        let own = &ours.of(operation).mark;
        assert!(seen.body.contains(own), "{} does not show {own}: {}", operation.shown(), seen.body);
        for mark in [&before, &after].iter().flat_map(|theirs| theirs.marks()) {
            assert!(!seen.body.contains(mark), "{} shows {mark}: {}", operation.shown(), seen.body);
        }
        if operation.takes("cursor") {
            at_their_place_in_the_order(operation, &ours, [&before, &after]).await;
        }
    }
}

/// A cursor of another tenant's list is a place in the order, and leads to nothing of theirs.
async fn at_their_place_in_the_order(
    operation: &Operation,
    ours: &Furnished<'_>,
    others: [&Furnished<'_>; 2],
) {
    let path = |other: &str| format!("{}{}", operation.path, query(ours.tenant.app, operation, other));
    let mut shows_ours = false;
    for theirs in others {
        let first = theirs.tenant.owner.caller.get(&path("limit=1")).await.expect(200);
        let cursor = first.at("/next_cursor");
        assert!(!cursor.is_empty(), "{}: {}", operation.shown(), first.body);
        let page = ours.tenant.owner.caller.get(&path(&format!("cursor={cursor}"))).await.expect(200);
        let data = page.at("/data");
        let foreign = theirs.marks().find(|mark| data.contains(mark));
        assert_eq!(foreign, None, "{} shows it from a foreign cursor: {data}", operation.shown());
        shows_ours |= data.contains(&ours.of(operation).mark);
    }
    // From the place of one of the two other tenants, our own rows are to be seen.
    assert!(shows_ours, "{} shows nothing of the tenant's own from a foreign cursor", operation.shown());
}

/// What an operation without an id makes or changes is in the tenant's own rows, and in no other tenant's, also when its body
/// names what another tenant has. A reference to another tenant's thing is answered like one to a thing that exists nowhere.
pub async fn whatever_a_tenant_makes_is_its_own(app: &App) {
    let (ours, theirs) = (furnished(app).await, furnished(app).await);
    let is_maker =
        |operation: &Operation| operation.is_for_tenants() && !operation.is_read() && !operation.takes_id();
    let (rows, of_platform) = (theirs.tenant.rows(), platform_rows(&theirs.tenant));
    let owner = &ours.tenant.owner.caller;
    for operation in app.contract.those(is_maker) {
        let all_rows = || ours.tenant.rows() + &platform_rows(&ours.tenant);
        let before = all_rows();
        let made = call(&ours.tenant, operation, "").await;
        assert!(made.status < 300, "{}: {}", operation.shown(), made.show());
        assert!(all_rows() != before, "{} has made nothing", operation.shown());
        if !operation.takes_body() {
            continue;
        }
        let path = format!("{}{}", operation.path, query(app, operation, ""));
        for mark in theirs.marks().chain([theirs.tenant.owner.email.as_str()]) {
            for (pointer, body) in places(&ours.tenant.body(operation).await, &json!(mark)) {
                // What is no secret would be looked for as one.
                if is_secret(pointer.rsplit('/').next().unwrap_or_default(), &app.fixtures) {
                    continue;
                }
                // Kept as a text like any other, or refused.
                owner.call(&operation.method, &path).json(&body).await;
            }
        }
        for (pointer, of) in reference::places(app, operation) {
            let foreign = &theirs.made[of].id;
            let mut answered = Vec::new();
            for id in [foreign, &unknown(foreign)] {
                let mut body = ours.tenant.body(operation).await;
                if let Some(place) = body.pointer_mut(&pointer) {
                    *place = json!(id);
                }
                let answer = owner.call(&operation.method, &path).json(&body).await;
                answered.push((answer.status, answer.code()));
            }
            assert_eq!(
                answered.first(),
                answered.last(),
                "{} with another tenant's {of} as {pointer}, and with one that exists nowhere",
                operation.shown()
            );
        }
    }
    assert_eq!(theirs.tenant.rows(), rows, "a row of another tenant has changed");
    assert_eq!(platform_rows(&theirs.tenant), of_platform, "a row of another tenant has changed");
}
