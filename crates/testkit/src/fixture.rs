//! What the kit is told, or deduces, of a resource: how a tenant comes to have one.
//!
//! Operations are taken from the OpenAPI document. The one whose path is `/v1/invoices` or lies below it belongs to the fixture
//! with that path, and to the one with the longest path where several fit. A fixture that the application's tests give holds in
//! place of a deduced one with its path.

use std::{future::Future, pin::Pin};

use serde_json::Value;

use crate::{Operation, Tenant, body, built_in, contract::Contract, deduced::Deduced, id};

/// A resource of the application under test that the kit cannot deduce from the document.
pub trait Fixture: Sync {
    /// The path that its operations begin with, like `/v1/invoices`.
    fn path(&self) -> &str;

    /// Makes one more in this tenant, as its owner. What is made differs each time: its mark is in every answer that lists or
    /// shows it, and in none that shows another one.
    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a>;

    /// A body that the operation takes: `body`, which is made from the document, with what that does not tell. Wherever it lets
    /// any text stand, `body` has one that no other body has.
    fn body(&self, operation: &Operation, body: Value) -> Value {
        let _ = operation;
        body
    }

    /// A body that the operation takes in this tenant: what [`Fixture::body`] has made, with what has to be in the tenant before.
    /// Members whose schema has the pattern of an id of a resource are filled already, with the id of one that was made.
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

/// A fixture, and where it comes from.
pub(crate) enum Known {
    /// Every application has what it makes.
    BuiltIn(&'static dyn Fixture),
    /// The application's tests have it.
    Given(&'static dyn Fixture),
    Deduced(Deduced),
}

impl Known {
    pub(crate) fn fixture(&self) -> &dyn Fixture {
        match self {
            Self::BuiltIn(fixture) | Self::Given(fixture) => *fixture,
            Self::Deduced(deduced) => deduced,
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.fixture().path()
    }

    /// Makes one, while what has the paths `making` is being made, which needs it.
    pub(crate) fn make<'a>(&'a self, tenant: &'a Tenant<'a>, making: &[&'a str]) -> Making<'a> {
        match self {
            Self::BuiltIn(fixture) | Self::Given(fixture) => fixture.make(tenant),
            Self::Deduced(deduced) => deduced.make_for(tenant, making),
        }
    }
}

/// The fixtures of an application and those of what every application has.
pub(crate) struct Fixtures {
    /// Of two with one path, the first holds.
    all: Vec<Known>,
    /// What ids begin with, and the place of that whose ids do.
    prefixes: Vec<(String, usize)>,
}

impl Fixtures {
    pub(crate) fn new(contract: &Contract, given: &[&'static dyn Fixture]) -> Self {
        let mut all: Vec<Known> = given.iter().map(|fixture| Known::Given(*fixture)).collect();
        all.extend(built_in::FIXTURES.map(Known::BuiltIn));
        let is_known = |path: &str| all.iter().any(|known| known.path() == path);
        let deduced: Vec<_> = Deduced::all(contract).filter(|one| !is_known(one.path())).collect();
        all.extend(deduced.into_iter().map(Known::Deduced));
        let prefixes =
            (0..).zip(&all).filter_map(|(place, known)| Some((prefix_of(contract, known.path())?, place)));
        Self { prefixes: prefixes.collect(), all }
    }

    fn known(&self, operation: &Operation) -> Option<&Known> {
        let is_at = |path: &str| {
            let below = operation.path.strip_prefix(path);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        };
        let found = self.all.iter().rev().filter(|known| is_at(known.path()));
        found.max_by_key(|known| known.path().len())
    }

    /// That of an operation, or none.
    pub(crate) fn find(&self, operation: &Operation) -> Option<&dyn Fixture> {
        self.known(operation).map(Known::fixture)
    }

    /// That of an operation.
    #[track_caller]
    pub(crate) fn of(&self, operation: &Operation) -> &dyn Fixture {
        let found = self.find(operation);
        found.unwrap_or_else(|| {
            panic!(
                "no fixture has the path of {}: give App::start one; where the operation is Bulkhead's own, take the kit of the \
                 version that the program is built on",
                operation.shown()
            )
        })
    }

    /// That with exactly this path.
    pub(crate) fn at(&self, path: &str) -> Option<&dyn Fixture> {
        self.all.iter().find(|known| known.path() == path).map(Known::fixture)
    }

    /// That of the resource whose ids begin so.
    pub(crate) fn of_prefix(&self, prefix: &str) -> Option<&Known> {
        let place = self.prefixes.iter().find(|(of, _)| of == prefix).map(|(_, place)| *place)?;
        self.all.get(place)
    }

    /// Whether the bodies of an operation are the application's own, and not such as every application has.
    pub(crate) fn is_of_application(&self, operation: &Operation) -> bool {
        !operation.is_public() && !matches!(self.known(operation), Some(Known::BuiltIn(_)))
    }

    /// What the program is set to for them.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        let all = self.all.iter().flat_map(|known| known.fixture().settings());
        all.map(|(name, value)| (*name, (*value).to_owned()))
    }

    /// Whether a member of this name is a secret, or says that it is none.
    pub(crate) fn say_of(&self, member: &str) -> Option<bool> {
        let has = |names: fn(&dyn Fixture) -> &[&'static str]| {
            self.all.iter().any(|known| names(known.fixture()).contains(&member))
        };
        if has(|fixture| fixture.secrets()) {
            return Some(true);
        }
        has(|fixture| fixture.harmless()).then_some(false)
    }
}

/// What the ids of the resource with this path begin with, by the description of one.
fn prefix_of(contract: &Contract, path: &str) -> Option<String> {
    let of_one = format!("{path}/{{id}}");
    contract.operations().iter().find_map(|operation| {
        let status = match operation.method.as_str() {
            "POST" if operation.path == path => "201",
            "GET" if operation.path == of_one => "200",
            _ => return None,
        };
        let id = &contract.answer_of(operation, status)["properties"]["id"];
        id::prefix_of(body::plain(contract.document(), id)).map(str::to_owned)
    })
}
