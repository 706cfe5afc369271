//! Tenants and their people, made the way customers get them.

use bulkhead_domain::{RoleName, SchemaName, TenantId};
use serde_json::json;

use super::{Caller, System, eventually, redact::SLUG, unique};

/// A tenant in service.
#[derive(Clone)]
pub(crate) struct Tenant<'a> {
    pub(crate) system: &'a System,
    pub(crate) id: String,
    pub(crate) slug: String,
    /// The operation that has built it.
    pub(crate) operation: String,
    pub(crate) owner: Person<'a>,
}

/// A person of a tenant, logged in.
#[derive(Clone)]
pub(crate) struct Person<'a> {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) caller: Caller<'a>,
    pub(crate) refresh_token: String,
    pub(crate) access_token: String,
}

/// An API key, and a program that uses it.
#[derive(Clone)]
pub(crate) struct Key<'a> {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) caller: Caller<'a>,
}

impl System {
    /// A new tenant whose limit no test comes near.
    pub(crate) async fn tenant(&self) -> Tenant<'_> {
        create_tenant(self, "enterprise").await
    }
}

/// Signs a tenant up, waits until it is built, and logs its owner in.
pub(crate) async fn create_tenant<'a>(system: &'a System, plan: &str) -> Tenant<'a> {
    let slug = format!("{SLUG}{}", unique());
    let (email, password) = (format!("owner@{slug}.example"), format!("owner-{}", unique()));
    let owner = json!({ "email": email, "password": password });
    let order = json!({ "slug": slug, "name": "Acme Corporation", "plan": plan, "owner": owner });
    let accepted = system.operator().await.post("/v1/admin/tenants", &order).await.expect(202);
    let (id, operation) = (accepted.at("/result/tenant"), accepted.at("/id"));
    // Not its `Location`, which may be below a path that a proxy would take off.
    let path = format!("/v1/operations/{operation}");
    let operator = system.operator().await;
    let done =
        eventually(async || operator.get(&path).await.expect(200), |answer| answer.at("/done") == "true")
            .await;
    assert_eq!(done.at("/state"), "succeeded", "{}", done.body);
    let owner = log_in(system, &slug, &email, &password).await;
    Tenant { system, id, slug, operation, owner }
}

async fn log_in<'a>(system: &'a System, slug: &str, email: &str, password: &str) -> Person<'a> {
    let login = json!({ "tenant": slug, "email": email, "password": password });
    let anonymous = system.anonymous();
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
    /// The name of its schema.
    pub(crate) fn schema(&self) -> String {
        SchemaName::of(self.id.parse::<TenantId>().unwrap()).to_string()
    }

    /// Every row it has.
    pub(crate) fn rows(&self) -> String {
        self.system.dump(Some(&self.schema()))
    }

    /// How many rows a table of it has.
    pub(crate) fn count(&self, table: &str) -> usize {
        self.system.sql(&format!("SELECT count(*) FROM {}.{table}", self.schema())).parse().unwrap()
    }

    /// Adds a person and logs them in.
    pub(crate) async fn person(&self, role: RoleName) -> Person<'a> {
        let (email, password) =
            (format!("{}@{}.example", unique(), self.slug), format!("person-{}", unique()));
        let body = json!({ "email": email, "password": password, "role": role });
        self.owner.caller.post("/v1/users", &body).await.expect(201);
        self.log_in(&email, &password).await
    }

    /// Logs a user of this tenant in, again.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Person<'a> {
        log_in(self.system, &self.slug, email, password).await
    }

    /// Makes an API key.
    pub(crate) async fn key(&self, role: RoleName) -> Key<'a> {
        let body = json!({ "name": "a program", "role": role });
        let made = self.owner.caller.post("/v1/api-keys", &body).await.expect(201);
        let text = made.at("/key");
        Key { id: made.at("/id"), caller: self.system.anonymous().with_key(&text), text }
    }

    /// Makes a resource; its id.
    pub(crate) async fn resource(&self, name: &str) -> String {
        let body = json!({ "name": name, "kind": "document", "data": { "pages": 12 } });
        self.owner.caller.post("/v1/resources", &body).await.expect(201).at("/id")
    }
}
