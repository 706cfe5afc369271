//! What the kit has to be told of a resource: how a tenant comes to have one.
//!
//! Operations are taken from the OpenAPI document. The one whose path is `/v1/invoices` or lies below it belongs to the fixture
//! with that path, and to the one with the longest path where several fit. Bodies are made from the schemas and examples of the
//! document, unless the fixture has one of its own.

use std::{future::Future, pin::Pin};

use serde_json::{Value, json};

use crate::{Operation, Tenant, built_in, unique};

/// A resource of the application under test.
pub trait Fixture: Sync {
    /// The path that its operations begin with, like `/v1/invoices`.
    fn path(&self) -> &'static str;

    /// Makes one more in this tenant, as its owner. What is made differs each time: its mark is in every answer that lists or
    /// shows it, and in none that shows another one.
    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a>;

    /// A body that the operation takes: `body`, which is made from the document, with what the document does not tell by its
    /// examples. Texts that may exist once have to differ each time.
    fn body(&self, operation: &Operation, body: Value) -> Value {
        let _ = operation;
        body
    }

    /// A body that the operation takes in this tenant: what [`Fixture::body`] has made, with references to what the tenant has.
    /// Where it refers to nothing, it stays as it is.
    fn refer<'a>(&'a self, tenant: &'a Tenant<'a>, body: Value) -> Referring<'a> {
        let _ = tenant;
        Box::pin(std::future::ready(body))
    }

    /// The query without which the operation is refused, or shows nothing of what was made: `period=2026-11`. None if empty.
    fn query(&self, operation: &Operation) -> String {
        let _ = operation;
        String::new()
    }

    /// Settings that the program needs for it: `BULKHEAD_…` and the value.
    fn settings(&self) -> &[(&'static str, &'static str)] {
        &[]
    }

    /// Members of bodies whose values are secrets, besides the passwords, tokens and keys of every application. They may be
    /// found in no table, no log and no metric.
    fn secrets(&self) -> &[&'static str] {
        &[]
    }

    /// Members of bodies that only sound like secrets, like `cache_key`. A member that sounds like one and is in neither list
    /// fails the tests.
    fn harmless(&self) -> &[&'static str] {
        &[]
    }
}

/// Something that is being made.
pub type Making<'a> = Pin<Box<dyn Future<Output = Made> + Send + 'a>>;

/// A body that is being completed.
pub type Referring<'a> = Pin<Box<dyn Future<Output = Value> + Send + 'a>>;

/// Something that a tenant has.
#[derive(Clone, Debug)]
pub struct Made {
    /// What stands in place of `{id}` in the paths of its operations.
    pub id: String,
    /// A text that is shown with it and that no other tenant has: ASCII letters, digits, `-`, `_`, `.` and `@`.
    pub mark: String,
}

/// A resource that is made by one `POST` of what the document has as an example, which is most of them.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    path: &'static str,
    marked: Option<&'static str>,
}

impl Resource {
    /// The one whose operations begin with this path. The document has a `POST` there that takes its example, and answers with
    /// the `id` of what it has made.
    pub const fn at(path: &'static str) -> Self {
        Self { path, marked: None }
    }

    /// The member of its bodies that is a text of its own each time, like the number of an invoice. Without it, what was made is
    /// known by its id.
    #[must_use]
    pub const fn marked(self, member: &'static str) -> Self {
        Self { marked: Some(member), ..self }
    }
}

impl Fixture for Resource {
    fn path(&self) -> &'static str {
        self.path
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let maker = tenant.app.operations().iter().find(|operation| {
                operation.method == "POST" && operation.path == self.path && operation.takes_body()
            });
            let maker = maker.unwrap_or_else(|| {
                panic!("the document has no POST {} with a body: write a Fixture that makes one", self.path)
            });
            let body = tenant.app.body(maker);
            let made = tenant.owner.caller.post(self.path, &body).await;
            assert!(made.status < 300, "{} takes no {body}: {}", maker.shown(), made.show());
            let id = made.at("/id");
            let mark = self.marked.map(|member| body[member].as_str().unwrap_or_default().to_owned());
            Made { mark: mark.unwrap_or_else(|| id.clone()), id }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if let Some(text) = self.marked.and_then(|member| body.get_mut(member)) {
            *text = json!(format!("mark-{}", unique()));
        }
        body
    }
}

/// The fixtures of an application and those of what every application has.
pub(crate) struct Fixtures {
    all: Vec<&'static dyn Fixture>,
}

impl Fixtures {
    pub(crate) fn new(of_application: &[&'static dyn Fixture]) -> Self {
        Self { all: built_in::FIXTURES.into_iter().chain(of_application.iter().copied()).collect() }
    }

    /// That of an operation, or none.
    pub(crate) fn find(&self, operation: &Operation) -> Option<&'static dyn Fixture> {
        let is_at = |path: &str| {
            let below = operation.path.strip_prefix(path);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        let found = self.all.iter().filter(|fixture| is_at(fixture.path()));
        found.max_by_key(|fixture| fixture.path().len()).copied()
    }

    /// That of an operation.
    #[track_caller]
    pub(crate) fn of(&self, operation: &Operation) -> &'static dyn Fixture {
        let found = self.find(operation);
        found.unwrap_or_else(|| {
            panic!("no fixture has the path of {}: give App::start one", operation.shown())
        })
    }

    /// What the program is set to for them.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let all = self.all.iter().flat_map(|fixture| fixture.settings());
        all.map(|(name, value)| (*name, (*value).to_owned()))
    }

    /// Whether a member of this name is a secret, or says that it is none.
    pub(crate) fn say_of(&self, member: &str) -> Option<bool> {
        let has = |names: fn(&'static dyn Fixture) -> &'static [&'static str]| {
            self.all.iter().any(|fixture| names(*fixture).contains(&member))
        };
        if has(|fixture| fixture.secrets()) {
            return Some(true);
        }
        has(|fixture| fixture.harmless()).then_some(false)
    }
}
