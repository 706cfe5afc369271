//! The resources that every application has: people, keys, jobs, usage, tenants.
//!
//! What people make by a request is made so. What only the worker makes, or what takes a month, is written as a row.

use serde_json::{Value, json};

use crate::{App, Fixture, Made, Making, Operation, Referring, Tenant, redact::SLUG, unique};

/// A month before any tenant existed, so that nothing but what is written here was used in it.
const PERIOD: &str = "2026-03";

pub(crate) const FIXTURES: [&dyn Fixture; 28] = [
    &Me,
    &Users,
    &UserSessions,
    &Invitations,
    &Settings,
    &SignUps,
    &Roles,
    &ApiKeys,
    &Operations,
    &Jobs,
    &Decisions,
    &Usage,
    &Tenants,
    &AllUsage,
    &SigningKeys,
    &Audit,
    &AuditExport,
    &PlatformAudit,
    &Operators,
    &OperatorRoles,
    &OperatorKeys,
    &Impersonation,
    &Logins,
    &FederatedLogins,
    &IdentityProviders,
    &PlatformIdentityProviders,
    &FederatedIdentities,
    &AllIdentityProviders,
];

/// What a tenant has from its first day on.
fn there<'a>(id: &str, mark: &str) -> Making<'a> {
    let made = Made { id: id.to_owned(), mark: mark.to_owned() };
    Box::pin(async move { made })
}

/// SQL for an id that begins with the time, as the product's own do: lists are in their order.
const NEW_ID: &str = "(lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7' \
     || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid";

struct Me;

impl Fixture for Me {
    fn path(&self) -> &'static str {
        "/v1/me"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.owner.id, &tenant.slug)
    }
}

struct Users;

impl Fixture for Users {
    fn path(&self) -> &'static str {
        "/v1/users"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let email = format!("{}@example.com", unique());
            let body = json!({ "email": email, "password": password(), "role": "read_only" });
            let made = tenant.owner.caller.post(self.path(), &body).await.expect(201);
            Made { id: made.at("/id"), mark: email }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("email").is_some() {
            body["email"] = json!(format!("{}@example.com", unique()));
            body["password"] = json!(password());
            // It takes the place of the password.
            if let Some(members) = body.as_object_mut() {
                members.remove("identity_provider_id");
            }
        }
        body
    }
}

/// The sessions of a person whom their administrator looks at. The id of one is behind the person's.
struct UserSessions;

impl Fixture for UserSessions {
    fn path(&self) -> &'static str {
        "/v1/users/{id}/sessions"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let person = tenant.person("read_only").await;
            let path = format!("/v1/users/{}/sessions", person.id);
            let session = tenant.owner.caller.get(&path).await.expect(200).at("/data/0/id");
            Made { id: format!("{}/{session}", person.id), mark: session }
        })
    }
}

struct Invitations;

impl Fixture for Invitations {
    fn path(&self) -> &'static str {
        "/v1/invitations"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let email = format!("{}@example.com", unique());
            let body = json!({ "email": email, "role": "read_only", "mail": false });
            let made = tenant.owner.caller.post(self.path(), &body).await.expect(201);
            Made { id: made.at("/id"), mark: email }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("email").is_some() {
            body["email"] = json!(format!("{}@example.com", unique()));
        }
        body
    }
}

/// What a tenant sets for itself. It has one of each, which is told from others by what is set.
struct Settings;

impl Fixture for Settings {
    fn path(&self) -> &'static str {
        "/v1/settings"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let domain = format!("d{}.example.com", unique());
            let body = json!({ "enabled": true, "role": "read_only", "domains": [domain] });
            tenant.owner.caller.call("PUT", "/v1/settings/registration").json(&body).await.expect(200);
            Made { id: tenant.id.clone(), mark: domain }
        })
    }
}

/// Tenants that sign themselves up, which takes no credential.
struct SignUps;

impl Fixture for SignUps {
    fn path(&self) -> &'static str {
        "/v1/tenants"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.slug)
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("slug").is_some() {
            body["slug"] = json!(format!("{SLUG}{}", unique()));
            body["email"] = json!(format!("{}@example.com", unique()));
        }
        body["password"] = json!(password());
        body
    }
}

/// A role is known by its name, which stands in the place of an id.
struct Roles;

impl Fixture for Roles {
    fn path(&self) -> &'static str {
        "/v1/roles"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let body = json!({ "name": role_name(), "description": "", "permissions": ["read:jobs"] });
            let made = tenant.owner.caller.post(self.path(), &body).await.expect(201);
            let name = made.at("/name");
            Made { mark: name.clone(), id: name }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("name").is_some() {
            body["name"] = json!(role_name());
        }
        // Not any text: what exists.
        body["permissions"] = json!(["read:users", "read:usage"]);
        body
    }
}

/// Another one each time.
fn role_name() -> String {
    format!("r{}", unique())
}

struct ApiKeys;

impl Fixture for ApiKeys {
    fn path(&self) -> &'static str {
        "/v1/api-keys"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let name = format!("key-{}", unique());
            let body = json!({ "name": name, "role": "developer" });
            let made = tenant.owner.caller.post(self.path(), &body).await.expect(201);
            Made { id: made.at("/id"), mark: name }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("name").is_some() {
            body["name"] = json!(format!("key-{}", unique()));
        }
        body
    }
}

struct Operations;

impl Fixture for Operations {
    fn path(&self) -> &'static str {
        "/v1/operations"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.operation, &tenant.operation)
    }
}

struct Jobs;

impl Fixture for Jobs {
    fn path(&self) -> &'static str {
        "/v1/jobs"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        tenant.app.sql(&format!(
            "INSERT INTO platform.jobs \
             (id, kind, tenant_id, payload, state, max_attempts, created_at, finished_at) \
             VALUES ({NEW_ID}, 'purge_expired', '{}', '{{}}', 'succeeded', 1, now(), now())",
            tenant.uuid
        ));
        // The one that has built the tenant is listed with them.
        there(&tenant.operation, &tenant.operation)
    }
}

struct Decisions;

impl Fixture for Decisions {
    fn path(&self) -> &'static str {
        "/v1/scaling/decisions"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        let mark = format!("because-{}", unique());
        tenant.app.sql(&format!(
            "INSERT INTO platform.scaling_decisions SELECT \
             {NEW_ID}, '{id}', \
             '2026-11-01 00:00Z'::timestamptz + count(*) * interval '1 minute', 'hold', 2, 2, 0, NULL, '{mark}' \
             FROM platform.scaling_decisions WHERE tenant_id = '{id}'",
            id = tenant.uuid
        ));
        there(&tenant.id, &mark)
    }
}

struct Usage;

impl Fixture for Usage {
    fn path(&self) -> &'static str {
        "/v1/usage"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        // The end of the id is random.
        let digits = tenant.uuid.chars().rev().filter(|c| *c != '-').take(12);
        let random =
            digits.fold(0_u64, |number, digit| (number << 4) | u64::from(digit.to_digit(16).unwrap_or(0)));
        let quantity = 100_000_000_000 + random % 900_000_000_000;
        tenant.app.sql(&format!(
            "INSERT INTO platform.usage_hours VALUES ('{id}', 'api_requests', '{PERIOD}-01 00:00Z', {quantity}) \
             ON CONFLICT DO NOTHING; \
             INSERT INTO platform.usage_days VALUES ('{id}', 'api_requests', '{PERIOD}-01', {quantity}) \
             ON CONFLICT DO NOTHING",
            id = tenant.uuid
        ));
        there(&tenant.id, &quantity.to_string())
    }

    fn query(&self, operation: &Operation) -> String {
        if operation.takes("period") {
            return format!("period={PERIOD}");
        }
        format!("from={PERIOD}-01T00:00:00Z&until={PERIOD}-02T00:00:00Z")
    }
}

struct Tenants;

impl Fixture for Tenants {
    fn path(&self) -> &'static str {
        "/v1/admin/tenants"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.slug)
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("slug").is_some() {
            body["slug"] = json!(format!("{SLUG}{}", unique()));
            body["plan"] = json!("free");
            body["owner"]["password"] = json!(password());
        }
        body
    }

    /// Whom an operator acts as.
    fn refer<'a>(&'a self, tenant: &'a Tenant<'a>, mut body: Value) -> Referring<'a> {
        if body.get("user").is_some() {
            body["user"] = json!(tenant.owner.id);
        }
        Box::pin(std::future::ready(body))
    }

    fn query(&self, operation: &Operation) -> String {
        if operation.takes("period") { format!("period={PERIOD}") } else { String::new() }
    }
}

struct AllUsage;

impl Fixture for AllUsage {
    fn path(&self) -> &'static str {
        "/v1/admin/usage"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.slug)
    }

    fn query(&self, _: &Operation) -> String {
        format!("period={PERIOD}")
    }
}

/// The keys that sign access tokens. The kit replaces none: the document's example of a name is no key's.
struct SigningKeys;

impl Fixture for SigningKeys {
    fn path(&self) -> &'static str {
        "/v1/admin/keys"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.slug)
    }
}

/// What people do makes entries; a log-in makes one that names the person.
struct Audit;

impl Fixture for Audit {
    fn path(&self) -> &'static str {
        "/v1/audit"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            tenant.log_in(&tenant.owner.email, &tenant.owner.password).await;
            Made { id: tenant.id.clone(), mark: tenant.owner.id.clone() }
        })
    }
}

/// The file says whose log it is, also before anything is chained.
struct AuditExport;

impl Fixture for AuditExport {
    fn path(&self) -> &'static str {
        "/v1/audit/export"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.id)
    }
}

struct PlatformAudit;

impl Fixture for PlatformAudit {
    fn path(&self) -> &'static str {
        "/v1/admin/audit"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.slug)
    }
}

/// Each is made anew, so that none of the kit's own is changed.
struct Operators;

impl Fixture for Operators {
    fn path(&self) -> &'static str {
        "/v1/admin/operators"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let email = format!("{}@example.com", unique());
            let body = json!({ "email": email, "role": "support" });
            let made = tenant.app.operator().await.post(self.path(), &body).await.expect(201);
            Made { id: made.at("/id"), mark: email }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("email").is_some() {
            body["email"] = json!(format!("{}@example.com", unique()));
        }
        body
    }
}

struct OperatorRoles;

impl Fixture for OperatorRoles {
    fn path(&self) -> &'static str {
        "/v1/admin/roles"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let body = json!({ "name": role_name(), "description": "", "permissions": ["read:tenants"] });
            let made = tenant.app.operator().await.post(self.path(), &body).await.expect(201);
            let name = made.at("/name");
            Made { mark: name.clone(), id: name }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("name").is_some() {
            body["name"] = json!(role_name());
        }
        body["permissions"] = json!(["read:tenants", "read:operations"]);
        body
    }
}

struct OperatorKeys;

impl Fixture for OperatorKeys {
    fn path(&self) -> &'static str {
        "/v1/admin/api-keys"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let name = format!("key-{}", unique());
            // An operator has fifty that work at most, and those of the kit need not.
            tenant.app.sql(
                "UPDATE platform.operator_keys SET revoked_at = now() WHERE revoked_at IS NULL AND name ~ '^key-'",
            );
            let body =
                json!({ "name": name, "scopes": ["read:tenants"], "expires_at": in_a_day(tenant.app) });
            let made = tenant.app.operator().await.post(self.path(), &body).await.expect(201);
            Made { id: made.at("/id"), mark: name }
        })
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        body["name"] = json!(format!("key-{}", unique()));
        body["scopes"] = json!(["read:tenants"]);
        body
    }

    fn refer<'a>(&'a self, tenant: &'a Tenant<'a>, mut body: Value) -> Referring<'a> {
        body["expires_at"] = json!(in_a_day(tenant.app));
        Box::pin(std::future::ready(body))
    }
}

/// The time of the server in a day, as RFC 3339 writes it.
pub(crate) fn in_a_day(app: &App) -> String {
    app.sql("SELECT to_char((now() + interval '1 day') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
}

/// What a tenant allows operators: there from its first day on.
struct Impersonation;

impl Fixture for Impersonation {
    fn path(&self) -> &'static str {
        "/v1/settings/impersonation"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.id, &tenant.id)
    }

    /// Not as it is already, or nothing would be written.
    fn body(&self, _: &Operation, mut body: Value) -> Value {
        body["allowed"] = json!(false);
        body
    }
}

/// Log-ins need no credential. The kit's bodies name an account that does not exist, another one each time: an account for which
/// many log-ins have failed has to wait.
struct Logins;

impl Fixture for Logins {
    fn path(&self) -> &'static str {
        "/v1/auth"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        there(&tenant.owner.id, &tenant.owner.email)
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("email").is_some() {
            body["email"] = json!(format!("{}@example.com", unique()));
        }
        if body.get("password").is_some() {
            body["password"] = json!(password());
        }
        body
    }
}

/// Hosts that identity providers may have in the kit. Nothing is there: a provider that is only written down asks for nothing.
const ISSUERS: &str = "*.idp.example";

/// A body for a provider whose audience no other one has.
fn provider(name: &str) -> Value {
    let issuer = format!("https://{}.idp.example", unique());
    json!({
        "name": name, "kind": "oidc", "issuer": issuer, "audience": issuer, "default_role": "read_only", "max_role": "developer",
    })
}

/// What the document's example of a provider lacks: an issuer that may be named, and roles that exist.
fn completed(mut body: Value) -> Value {
    if body.get("kind").is_some() {
        body["kind"] = json!("oidc");
        body["issuer"] = json!(format!("https://{}.idp.example", unique()));
        body["jwks_url"] = json!(format!("https://{}.idp.example/keys", unique()));
        body["api_url"] = json!(format!("https://{}.idp.example/", unique()));
    }
    for (member, value) in [
        ("default_role", json!("read_only")),
        ("max_role", json!("developer")),
        ("scopes", json!(["openid"])),
        ("password_login", json!(false)),
        ("makes_users", json!(false)),
        ("role_map", json!([{ "value": unique(), "role": "developer" }])),
        ("client_secret", json!(password())),
    ] {
        if body.get(member).is_some() {
            body[member] = value;
        }
    }
    for member in ["audience", "client_id", "role_claim"] {
        if body.get(member).is_some() {
            body[member] = json!(format!("{member}-{}", unique()));
        }
    }
    body
}

/// Log-ins at a provider. The kit's have none: they are found, and refused.
struct FederatedLogins;

impl Fixture for FederatedLogins {
    fn path(&self) -> &'static str {
        "/v1/auth/federated"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        IdentityProviders.make(tenant)
    }

    fn body(&self, _: &Operation, mut body: Value) -> Value {
        if body.get("username").is_some() {
            body["username"] = json!(unique());
            body["password"] = json!(password());
        }
        body
    }
}

struct IdentityProviders;

impl Fixture for IdentityProviders {
    fn path(&self) -> &'static str {
        "/v1/identity-providers"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let name = format!("provider-{}", unique());
            // A tenant has two hundred at most, and old ones of the kit need not stay.
            tenant.app.sql(&format!(
                "DELETE FROM platform.identity_providers WHERE id IN ( \
                     SELECT provider.id FROM platform.identity_providers provider \
                     JOIN platform.tenants tenant ON tenant.id = provider.tenant_id \
                     WHERE tenant.slug = '{}' ORDER BY provider.id DESC OFFSET 100)",
                tenant.slug
            ));
            let made = tenant.owner.caller.post(self.path(), &provider(&name)).await.expect(201);
            Made { id: made.at("/id"), mark: name }
        })
    }

    fn body(&self, _: &Operation, body: Value) -> Value {
        completed(body)
    }

    fn settings(&self) -> &[(&'static str, &'static str)] {
        &[("BULKHEAD_OIDC_ALLOWED_ISSUERS", ISSUERS)]
    }

    fn secrets(&self) -> &[&'static str] {
        &["client_secret"]
    }

    fn harmless(&self) -> &[&'static str] {
        &["has_client_secret", "jwks_url", "password_login"]
    }
}

/// A provider of the platform's whose word the tenant takes.
struct PlatformIdentityProviders;

/// Adds one.
async fn platform_provider(tenant: &Tenant<'_>, name: &str) -> String {
    let operator = tenant.app.operator().await;
    operator.post("/v1/admin/identity-providers", &provider(name)).await.expect(201).at("/id")
}

impl Fixture for PlatformIdentityProviders {
    fn path(&self) -> &'static str {
        "/v1/platform-identity-providers"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let name = format!("provider-{}", unique());
            let id = platform_provider(tenant, &name).await;
            let body =
                json!({ "identity_provider_id": id, "default_role": "read_only", "max_role": "developer" });
            tenant.owner.caller.post(self.path(), &body).await.expect(200);
            Made { id, mark: name }
        })
    }

    fn body(&self, _: &Operation, body: Value) -> Value {
        completed(body)
    }

    fn refer<'a>(&'a self, tenant: &'a Tenant<'a>, mut body: Value) -> Referring<'a> {
        Box::pin(async move {
            let id = platform_provider(tenant, &format!("provider-{}", unique())).await;
            body["identity_provider_id"] = json!(id);
            body
        })
    }
}

struct FederatedIdentities;

impl Fixture for FederatedIdentities {
    fn path(&self) -> &'static str {
        "/v1/federated-identities"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let subject = format!("subject-{}", unique());
            let body = self.refer(tenant, json!({ "subject": subject })).await;
            let made = tenant.owner.caller.post(self.path(), &body).await.expect(201);
            Made { id: made.at("/id"), mark: subject }
        })
    }

    fn refer<'a>(&'a self, tenant: &'a Tenant<'a>, mut body: Value) -> Referring<'a> {
        Box::pin(async move {
            // One for all: a tenant has a bounded number of them.
            let known = tenant.owner.caller.get("/v1/identity-providers?limit=1").await.expect(200).json();
            let provider = match known["data"][0]["id"].as_str() {
                Some(id) => id.to_owned(),
                None => IdentityProviders.make(tenant).await.id,
            };
            body["identity_provider_id"] = json!(provider);
            body["user_id"] = json!(Users.make(tenant).await.id);
            body
        })
    }
}

struct AllIdentityProviders;

impl Fixture for AllIdentityProviders {
    fn path(&self) -> &'static str {
        "/v1/admin/identity-providers"
    }

    fn make<'a>(&'a self, tenant: &'a Tenant<'a>) -> Making<'a> {
        Box::pin(async move {
            let name = format!("provider-{}", unique());
            Made { id: platform_provider(tenant, &name).await, mark: name }
        })
    }

    fn body(&self, _: &Operation, body: Value) -> Value {
        completed(body)
    }
}

fn password() -> String {
    format!("secret-{}", unique())
}
