//! Tenants and their people, made the way customers get them.

use std::fmt::Display;

use serde_json::{Value, json};

use crate::{App, Caller, Made, Operation, eventually, redact::SLUG, reference::fill, unique};

/// A tenant in service.
#[derive(Clone)]
pub struct Tenant<'a> {
    /// The application that it is a tenant of.
    pub app: &'a App,
    /// Its id, as clients see it.
    pub id: String,
    /// Its id, as the database has it.
    pub(crate) uuid: String,
    schema: String,
    /// What its people log in with.
    pub slug: String,
    /// The operation that has built it.
    #[doc(hidden)]
    pub operation: String,
    /// The person who signed up.
    pub owner: Person<'a>,
}

/// A person of a tenant, logged in.
#[derive(Clone)]
pub struct Person<'a> {
    /// Their id.
    pub id: String,
    /// Their address, with which they log in.
    pub email: String,
    /// Their password.
    pub password: String,
    /// Sends requests with their access token.
    pub caller: Caller<'a>,
    /// What the log-in gave.
    pub refresh_token: String,
    /// What the log-in gave.
    pub access_token: String,
}

/// An API key, and a program that uses it.
#[derive(Clone)]
pub struct Key<'a> {
    /// Its id.
    pub id: String,
    /// The key itself.
    pub text: String,
    /// Sends requests with it.
    pub caller: Caller<'a>,
}

impl App {
    /// A new tenant whose limit no test comes near.
    pub async fn tenant(&self) -> Tenant<'_> {
        create_tenant(self, "enterprise").await
    }
}

/// Signs a tenant up with this plan, waits until it is built, and logs its owner in.
#[doc(hidden)]
pub async fn create_tenant<'a>(app: &'a App, plan: &str) -> Tenant<'a> {
    let slug = format!("{SLUG}{}", unique());
    let (email, password) = (format!("owner@{slug}.example"), format!("owner-{}", unique()));
    let owner = json!({ "email": email, "password": password });
    let order = json!({ "slug": slug, "name": "Acme Corporation", "plan": plan, "owner": owner });
    let accepted = app.operator().await.post("/v1/admin/tenants", &order).await.expect(202);
    let (id, operation) = (accepted.at("/result/tenant"), accepted.at("/id"));
    // Not its `Location`, which may be below a path that a proxy would take off.
    let path = format!("/v1/operations/{operation}");
    let operator = app.operator().await;
    let done =
        eventually(async || operator.get(&path).await.expect(200), |answer| answer.at("/done") == "true")
            .await;
    assert_eq!(done.at("/state"), "succeeded", "{}", done.body);
    let row = app.sql(&format!("SELECT id, role_name FROM platform.tenants WHERE slug = '{slug}'"));
    let (uuid, schema) = row.split_once('|').unwrap();
    let (uuid, schema) = (uuid.to_owned(), schema.to_owned());
    let owner = log_in(app, &slug, &email, &password).await;
    Tenant { app, id, uuid, schema, slug, operation, owner }
}

async fn log_in<'a>(app: &'a App, slug: &str, email: &str, password: &str) -> Person<'a> {
    let login = json!({ "tenant": slug, "email": email, "password": password });
    let anonymous = app.anonymous();
    let tokens = anonymous.post("/v1/auth/login", &login).await.expect(200);
    let access_token = tokens.at("/access_token");
    let caller = anonymous.with_token(&access_token);
    Person {
        id: caller.get("/v1/me").await.expect(200).at("/subject"),
        email: email.to_owned(),
        password: password.to_owned(),
        caller,
        refresh_token: tokens.at("/refresh_token"),
        access_token,
    }
}

impl<'a> Tenant<'a> {
    /// A body that the operation takes, with references to what this tenant has.
    pub(crate) async fn body(&self, operation: &Operation) -> Value {
        let body = fill(self, operation, self.app.body(operation), Vec::new()).await;
        match self.app.fixtures.find(operation) {
            Some(fixture) => fixture.refer(self, body).await,
            None => body,
        }
    }

    /// Makes one more of the resource with this path, like `/v1/invoices`, as the owner: how the kit makes it for its own tests.
    pub async fn make(&self, path: &str) -> Made {
        let fixture = self.app.fixtures.at(path);
        let fixture = fixture.unwrap_or_else(|| {
            panic!("no POST {path} makes one by what the document describes: give App::start a Fixture with this path")
        });
        fixture.make(self).await
    }

    /// The name of its schema in the database.
    pub fn schema(&self) -> String {
        self.schema.clone()
    }

    /// Every row that it has, as text.
    pub fn rows(&self) -> String {
        self.app.rows_of(&self.schema)
    }

    /// Waits until its jobs have come to their end.
    pub async fn at_rest(&self) {
        let going = format!(
            "SELECT count(*) FROM platform.jobs WHERE tenant_id = '{}' AND state IN ('queued', 'running')",
            self.uuid
        );
        eventually(async || self.app.sql(&going), |going| going == "0").await;
    }

    /// Waits until it has used so much of a meter: usage is billed some seconds after what was done.
    pub async fn used(&self, meter: &str, quantity: u64) {
        let path = format!("/v1/usage?meter={meter}");
        let used = async || {
            let usage = self.owner.caller.get(&path).await.expect(200).json();
            let hours = usage["data"].as_array().cloned().unwrap_or_default();
            hours.iter().filter_map(|hour| hour["quantity"].as_str()?.parse::<u64>().ok()).sum::<u64>()
        };
        eventually(used, |used| *used == quantity).await;
    }

    /// How many rows a table of it has.
    pub fn count(&self, table: &str) -> usize {
        self.app.sql(&format!("SELECT count(*) FROM {}.{table}", self.schema)).parse().unwrap()
    }

    /// Adds a person with this role, like `developer`, and logs them in.
    pub async fn person(&self, role: impl Display) -> Person<'a> {
        let (email, password) =
            (format!("{}@{}.example", unique(), self.slug), format!("person-{}", unique()));
        let body = json!({ "email": email, "password": password, "role": role.to_string() });
        self.owner.caller.post("/v1/users", &body).await.expect(201);
        self.log_in(&email, &password).await
    }

    /// Logs a user of this tenant in, again.
    pub async fn log_in(&self, email: &str, password: &str) -> Person<'a> {
        log_in(self.app, &self.slug, email, password).await
    }

    /// Makes an API key with this role.
    pub async fn key(&self, role: impl Display) -> Key<'a> {
        let body = json!({ "name": "a program", "role": role.to_string() });
        let made = self.owner.caller.post("/v1/api-keys", &body).await.expect(201);
        let text = made.at("/key");
        Key { id: made.at("/id"), caller: self.app.anonymous().with_key(&text), text }
    }
}
