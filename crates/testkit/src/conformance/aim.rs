//! A tenant that requests are aimed at which must have no effect.

use std::collections::BTreeMap;

use crate::{App, Call, Caller, Made, Operation, Tenant, unique};

/// A tenant that has one of everything, and a mark on every request of a test.
#[doc(hidden)]
pub struct Aim<'a> {
    /// The tenant.
    pub tenant: Tenant<'a>,
    operator: Caller<'a>,
    made: BTreeMap<String, Made>,
    rows: String,
    mark: String,
}

impl<'a> Aim<'a> {
    /// Makes the tenant.
    pub async fn take(app: &'a App) -> Self {
        let tenant = app.tenant().await;
        let mut made = BTreeMap::new();
        for operation in app.operations().iter().filter(|operation| operation.takes_id()) {
            let fixture = app.fixtures.of(operation);
            if !made.contains_key(fixture.path()) {
                made.insert(fixture.path().to_owned(), fixture.make(&tenant).await);
            }
        }
        tenant.at_rest().await;
        let (operator, rows) = (app.operator().await, tenant.rows());
        Self { tenant, operator, made, rows, mark: format!("hostile-{}", unique()) }
    }

    /// Who may call an operation.
    pub fn caller(&self, operation: &Operation) -> Caller<'a> {
        match operation {
            public if public.is_public() => self.tenant.app.anonymous(),
            theirs if theirs.is_for_operators() => self.operator.clone(),
            _ => self.tenant.owner.caller.clone(),
        }
    }

    /// The id of something that the operation could work on.
    pub fn id(&self, operation: &Operation) -> &str {
        let id = &self.made[self.tenant.app.fixtures.of(operation).path()].id;
        // As many as the path has places for.
        let places = operation.path.matches('{').count().max(1);
        id.match_indices('/').nth(places - 1).map_or(id, |(end, _)| &id[..end])
    }

    /// The operation's path on something that is there, without a query.
    pub fn path(&self, operation: &Operation) -> String {
        if operation.takes_id() { operation.path_of(self.id(operation)) } else { operation.path.clone() }
    }

    /// A marked request.
    pub fn call(&self, operation: &Operation, path: &str) -> Call<'a> {
        self.caller(operation).call(&operation.method, path).header("x-request-id", &self.mark)
    }

    /// A marked request with a body that the operation takes, if it takes any.
    pub fn sound_call(&self, operation: &Operation, path: &str) -> Call<'a> {
        let call = self.call(operation, path);
        if operation.takes_body() { call.json(&self.tenant.app.body(operation)) } else { call }
    }

    /// Fails when anything has come of the requests.
    pub fn assert_missed(&self) {
        let app = self.tenant.app;
        assert_eq!(self.tenant.rows(), self.rows, "a refused request has changed a row");
        let audited = format!("SELECT * FROM platform.audit_log WHERE request_id = '{}'", self.mark);
        assert_eq!(app.sql(&audited), "");
        app.assert_sound_in(&self.mark);
    }

    /// Fails when the program has ended, panicked or reported an error of its own because of the requests.
    pub fn assert_sound(&self) {
        self.tenant.app.assert_sound_in(&self.mark);
    }
}

/// The query that an operation needs, in front of another one.
pub(crate) fn query(app: &App, operation: &Operation, other: &str) -> String {
    let needed = app.fixtures.find(operation).map(|fixture| fixture.query(operation)).unwrap_or_default();
    match (needed.is_empty(), other.is_empty()) {
        (true, true) => String::new(),
        (false, false) => format!("?{needed}&{other}"),
        _ => format!("?{needed}{other}"),
    }
}
