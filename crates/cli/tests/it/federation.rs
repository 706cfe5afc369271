//! People of other issuers: their tokens at our API, and who of ours they are.

mod second_factor;

use bulkhead_domain::RoleName;
use bulkhead_fixtures::{
    TestIssuer,
    issuer::{Algorithm, Fault},
};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::support::{Answer, Caller, Options, System, Tenant, eventually, unique};

/// With characters that have to be written otherwise in a header.
const CLIENT_SECRET: &str = "a%secret:of+the/client=";
const AUDIENCE: &str = "https://api.example.com";

/// A system that lets one issuer be named, and that issuer.
struct Federated {
    system: System,
    issuer: TestIssuer,
}

static SHARED: OnceCell<Federated> = OnceCell::const_new();

impl Federated {
    async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start("federation")).await
    }

    async fn start(database: &str) -> Self {
        Self::start_with(database, Vec::new()).await
    }

    /// With more settings of the API.
    async fn start_with(database: &str, mut more: Vec<(&'static str, String)>) -> Self {
        let issuer = TestIssuer::start().unwrap();
        issuer.set_client_secret(CLIENT_SECRET);
        let ca = std::env::temp_dir().join(format!("bulkhead-{}.pem", unique()));
        std::fs::write(&ca, issuer.ca()).unwrap();
        more.extend([
            // Our own host is among them, as it may be below a domain that is allowed.
            ("BULKHEAD_OIDC_ALLOWED_ISSUERS", format!("{},api.example.com", issuer.host())),
            ("BULKHEAD_OIDC_CA", ca.display().to_string()),
            ("BULKHEAD_DANGEROUSLY_ALLOW_PRIVATE_ISSUERS", "true".to_owned()),
            // What many ask for at once shall be decided by the database, not refused ahead of it.
            ("BULKHEAD_TENANT_CONCURRENCY", "256".to_owned()),
        ]);
        let system = System::start(database, Options { api: more, ..Options::default() }).await;
        Self { system, issuer }
    }

    /// A provider of the tenant's whose people are added, with an audience of its own.
    async fn provider(&self, tenant: &Tenant<'_>, more: &Value) -> Provider {
        let audience = format!("{AUDIENCE}/{}", unique());
        let body = json!({
            "name": "Acme's directory", "kind": "oidc", "issuer": self.issuer.issuer(), "audience": audience,
            "creates_users": true, "default_role": "read_only", "max_role": "developer", "role_claim": "groups",
            "role_map": [{ "value": "engineering", "role": "developer" }, { "value": "chiefs", "role": "read_only" }],
        });
        let body = bulkhead_fixtures::issuer::merged(body, more);
        let made = tenant.owner.caller.post("/v1/identity-providers", &body).await.expect(201);
        Provider { id: made.at("/id"), audience }
    }

    fn token(&self, provider: &Provider, subject: &str, more: &Value) -> String {
        self.issuer.access_token(subject, &provider.audience, more).unwrap()
    }

    fn caller(&self, token: &str) -> Caller<'_> {
        self.system.anonymous().with_token(token)
    }
}

struct Provider {
    id: String,
    audience: String,
}

impl Provider {
    fn callback(&self) -> String {
        format!("/v1/auth/federated/{}/callback", self.id)
    }
}

/// A browser on its way to the issuer.
struct Begun {
    location: String,
    cookie: String,
}

impl Federated {
    /// What a browser is told that begins a log-in, with this cookie.
    async fn begin(&self, provider: &Provider, cookie: Option<&str>) -> Begun {
        let anonymous = self.system.anonymous();
        let mut call = anonymous.get(&format!("/v1/auth/federated/{}/start", provider.id));
        if let Some(cookie) = cookie {
            call = call.header("cookie", cookie);
        }
        let answer = call.await.expect(302);
        let set = answer.header("set-cookie").to_owned();
        assert!(set.starts_with("__Host-bulkhead-login="), "{set}");
        for flag in ["Path=/", "Max-Age=600", "HttpOnly", "Secure", "SameSite=Lax"] {
            assert!(set.split("; ").any(|one| one == flag), "{flag}: {set}");
        }
        assert_eq!(answer.header("cache-control"), "no-store");
        let cookie = set.split(';').next().unwrap().to_owned();
        Begun { location: answer.header("location").to_owned(), cookie }
    }

    /// The query with which the issuer sends the person back.
    fn logged_in(&self, begun: &Begun, subject: &str, more: &Value) -> String {
        self.issuer.log_in(&begun.location, subject, more).unwrap().query().unwrap().to_owned()
    }

    async fn come_back(&self, provider: &Provider, query: &str, cookie: Option<&str>) -> Answer {
        let anonymous = self.system.anonymous();
        let mut call = anonymous.get(&format!("{}?{query}", provider.callback()));
        if let Some(cookie) = cookie {
            call = call.header("cookie", cookie);
        }
        call.await
    }
}

/// A provider at which people log in.
fn with_log_in() -> Value {
    json!({ "client_id": "bulkhead", "client_secret": CLIENT_SECRET })
}

/// A query with another value for one of its parameters.
fn with(query: &str, name: &str, value: &str) -> String {
    let changed = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if key == name => format!("{key}={value}"),
        _ => pair.to_owned(),
    });
    changed.collect::<Vec<_>>().join("&")
}

/// Claims of somebody whose address the issuer vouches for.
fn known_as(email: &str) -> Value {
    json!({ "email": email, "email_verified": true })
}

#[tokio::test]
async fn a_token_of_an_issuer_lets_its_person_in_and_adds_them_once() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &json!({})).await;
    let (subject, email) = (unique(), format!("{}@example.com", unique()));
    let claims = json!({ "email": email, "email_verified": true, "groups": ["sales", "engineering"] });
    // All of them at once, with tokens of their own.
    let tokens: Vec<String> = (0..64)
        .map(|round| {
            let claims = bulkhead_fixtures::issuer::merged(claims.clone(), &json!({ "round": round }));
            federated.token(&provider, &subject, &claims)
        })
        .collect();
    let answers =
        join_all(tokens.iter().map(async |token| federated.caller(token).get("/v1/me").await)).await;
    let subjects: Vec<String> = answers.into_iter().map(|answer| answer.expect(200).at("/subject")).collect();
    assert!(subjects.iter().all(|one| *one == subjects[0]), "{subjects:?}");
    let me = federated.caller(&tokens[0]).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/id"), me.at("/role")), (tenant.id.clone(), "developer".to_owned()));
    let user = tenant.owner.caller.get(&format!("/v1/users/{}", subjects[0])).await.expect(200);
    assert_eq!((user.at("/email"), user.at("/role")), (email, "developer".to_owned()));
    let links = format!("/v1/federated-identities?identity_provider_id={}", provider.id);
    let links = tenant.owner.caller.get(&links).await.expect(200);
    assert_eq!((links.at("/data/0/user_id"), links.at("/data/0/subject")), (subjects[0].clone(), subject));
    let body: Value = serde_json::from_str(&links.body).unwrap();
    assert_eq!(body["data"].as_array().unwrap().len(), 1);
    // The audit log names the request that has made them, and where it came from.
    let told = format!(
        "SELECT request_id <> '' AND address LIKE '10.0.%' FROM {}.audit_log WHERE action = 'create_federated_user'",
        tenant.schema(),
    );
    assert_eq!(federated.system.sql(&told), "t");
}

#[tokio::test]
async fn an_address_alone_names_nobody() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &json!({})).await;
    let person = tenant.person(RoleName::ADMIN).await;
    for claims in [
        known_as(&person.email),
        known_as(&person.email.to_uppercase()),
        json!({ "email": person.email, "email_verified": false }),
        json!({ "email": format!("{}@example.com", unique()), "email_verified": false }),
        json!({ "email": format!("{}@example.com", unique()), "email_verified": 1 }),
        json!({ "email": format!("{}@example.com", unique()) }),
        json!({ "email": "not an address", "email_verified": true }),
        json!({ "email_verified": true }),
    ] {
        let token = federated.token(&provider, &unique(), &claims);
        federated.caller(&token).get("/v1/me").await.refused(401, "invalid-credentials");
    }
    // An administrator says who it is: by the subject.
    let subject = unique();
    let link = json!({ "identity_provider_id": provider.id, "subject": subject, "user_id": person.id });
    tenant.owner.caller.post("/v1/federated-identities", &link).await.expect(201);
    tenant.owner.caller.post("/v1/federated-identities", &link).await.refused(409, "already-taken");
    let token = federated.token(&provider, &subject, &json!({}));
    let me = federated.caller(&token).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/subject"), me.at("/role")), (person.id, "admin".to_owned()));
}

#[tokio::test]
async fn nobody_becomes_more_than_the_highest_role_and_nobody_gives_what_they_lack() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let admin = tenant.person(RoleName::ADMIN).await;
    let body = |most: &str, mapped: &str| {
        json!({
            "name": "A directory", "kind": "oidc", "issuer": federated.issuer.issuer(), "audience": unique(),
            "creates_users": true, "default_role": "read_only", "max_role": most, "role_claim": "groups",
            "role_map": [{ "value": "chiefs", "role": mapped }],
        })
    };
    for (most, mapped) in [("owner", "owner"), ("owner", "admin"), ("admin", "owner")] {
        let refused = admin.caller.post("/v1/identity-providers", &body(most, mapped)).await;
        refused.refused(403, "role-not-grantable");
    }
    tenant
        .owner
        .caller
        .post("/v1/identity-providers", &body("developer", "admin"))
        .await
        .refused(422, "validation-failed");
    let provider = federated.provider(&tenant, &json!({ "max_role": "owner" })).await;
    let path = format!("/v1/identity-providers/{}", provider.id);
    // Who changes it could become any of its people.
    for change in [json!({ "max_role": "admin" }), json!({ "name": "Mine" }), json!({ "enabled": false })] {
        admin.caller.patch(&path, &change).await.refused(403, "role-not-grantable");
    }
    admin.caller.delete(&path).await.refused(403, "role-not-grantable");
    let owner =
        json!({ "identity_provider_id": provider.id, "subject": unique(), "user_id": tenant.owner.id });
    admin.caller.post("/v1/federated-identities", &owner).await.refused(403, "role-not-grantable");
    // A role that has come to hold more than the highest since it was mapped is not given.
    let role = json!({ "name": "clerk", "description": "", "permissions": ["read:jobs"] });
    tenant.owner.caller.post("/v1/roles", &role).await.expect(201);
    let mapped = json!({ "role_map": [{ "value": "clerks", "role": "clerk" }] });
    let provider = federated.provider(&tenant, &mapped).await;
    tenant
        .owner
        .caller
        .patch("/v1/roles/clerk", &json!({ "permissions": ["write:users"] }))
        .await
        .expect(200);
    let claims =
        json!({ "email": format!("{}@example.com", unique()), "email_verified": true, "groups": "clerks" });
    let token = federated.token(&provider, &unique(), &claims);
    assert_eq!(federated.caller(&token).get("/v1/me").await.expect(200).at("/role"), "read_only");
}

#[tokio::test]
async fn who_was_removed_does_not_come_back_by_the_issuers_word() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &json!({})).await;
    let (subject, email) = (unique(), format!("{}@example.com", unique()));
    let token = federated.token(&provider, &subject, &known_as(&email));
    let id = federated.caller(&token).get("/v1/me").await.expect(200).at("/subject");
    tenant.owner.caller.delete(&format!("/v1/users/{id}")).await.expect(204);
    let gone =
        eventually(async || federated.caller(&token).get("/v1/me").await, |answer| answer.status != 200)
            .await;
    gone.refused(401, "invalid-credentials");
    let again =
        federated.token(&provider, &subject, &json!({ "email": email, "email_verified": true, "again": 1 }));
    federated.caller(&again).get("/v1/me").await.refused(401, "invalid-credentials");
    let links = tenant.owner.caller.get("/v1/federated-identities").await.expect(200);
    let body: Value = serde_json::from_str(&links.body).unwrap();
    assert!(body["data"][0]["user_id"].is_null());
    // An administrator lets them come back, as somebody new.
    tenant
        .owner
        .caller
        .delete(&format!("/v1/federated-identities/{}", links.at("/data/0/id")))
        .await
        .expect(204);
    let new =
        federated.token(&provider, &subject, &json!({ "email": email, "email_verified": true, "again": 2 }));
    assert_ne!(federated.caller(&new).get("/v1/me").await.expect(200).at("/subject"), id);
}

#[tokio::test]
async fn a_provider_that_is_switched_off_or_removed_ends_what_was_accepted_from_it() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &json!({})).await;
    let (subject, email) = (unique(), format!("{}@example.com", unique()));
    let token = federated.token(&provider, &subject, &known_as(&email));
    federated.caller(&token).get("/v1/me").await.expect(200);
    let path = format!("/v1/identity-providers/{}", provider.id);
    tenant.owner.caller.patch(&path, &json!({ "enabled": false })).await.expect(200);
    let gone =
        eventually(async || federated.caller(&token).get("/v1/me").await, |answer| answer.status != 200)
            .await;
    gone.refused(401, "invalid-credentials");
    tenant.owner.caller.patch(&path, &json!({ "enabled": true })).await.expect(200);
    let new = federated.token(&provider, &subject, &json!({ "again": 1 }));
    federated.caller(&new).get("/v1/me").await.expect(200);
    tenant.owner.caller.delete(&path).await.expect(204);
    let gone =
        eventually(async || federated.caller(&new).get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn the_platforms_issuer_speaks_for_tenants_that_have_said_so_and_for_no_others() {
    let federated = Federated::shared().await;
    let (joined, other) = (federated.system.tenant().await, federated.system.tenant().await);
    let operator = federated.system.operator().await;
    let audience = unique();
    let body = json!({
        "name": "The platform's pool", "kind": "cognito", "issuer": federated.issuer.issuer(), "audience": audience,
        "creates_users": true, "default_role": "read_only", "max_role": "owner",
        "role_map": [{ "value": "tenant_owner", "role": "owner" }, { "value": "user", "role": "developer" }],
    });
    let id = operator.post("/v1/admin/identity-providers", &body).await.expect(201).at("/id");
    let join = json!({ "identity_provider_id": id, "default_role": "read_only", "max_role": "developer" });
    joined.owner.caller.post("/v1/platform-identity-providers", &join).await.expect(200);
    let token = |tenant: &str, role: &str| {
        let claims = json!({
            "aud": null, "client_id": audience, "token_use": "access", "custom:tenant_id": tenant, "custom:role": role,
            "email": format!("{}@example.com", unique()), "email_verified": "true",
        });
        federated.issuer.access_token(&unique(), "", &claims).unwrap()
    };
    let me = federated.caller(&token(&joined.id, "user")).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/id"), me.at("/role")), (joined.id.clone(), "developer".to_owned()));
    // More than this tenant allows is not had, whatever the token says.
    let me = federated.caller(&token(&joined.id, "tenant_owner")).get("/v1/me").await.expect(200);
    assert_eq!(me.at("/role"), "read_only");
    let nobody = joined.id.replace("ten_0", "ten_1");
    for tenant in [other.id.as_str(), &nobody, "", "acme", &joined.slug, &format!("{} ", joined.id)] {
        federated.caller(&token(tenant, "user")).get("/v1/me").await.refused(401, "invalid-credentials");
    }
    let good = token(&joined.id, "user");
    federated.caller(&good).get("/v1/me").await.expect(200);
    joined.owner.caller.delete(&format!("/v1/platform-identity-providers/{id}")).await.expect(204);
    let gone =
        eventually(async || federated.caller(&good).get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
    joined.owner.caller.post("/v1/platform-identity-providers", &join).await.expect(200);
    let good = token(&joined.id, "user");
    federated.caller(&good).get("/v1/me").await.expect(200);
    operator.delete(&format!("/v1/admin/identity-providers/{id}")).await.expect(204);
    let gone =
        eventually(async || federated.caller(&good).get("/v1/me").await, |answer| answer.status != 200).await;
    gone.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn tokens_that_are_not_good_have_one_answer() {
    let federated = Federated::shared().await;
    let (tenant, other) = (federated.system.tenant().await, federated.system.tenant().await);
    let provider = federated.provider(&tenant, &json!({})).await;
    let theirs = federated.provider(&other, &json!({})).await;
    let person = known_as(&format!("{}@example.com", unique()));
    // Null takes a claim away that is written later, so it has to be kept until then.
    let with = |more: Value| {
        let mut claims = person.clone();
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let stranger = TestIssuer::start().unwrap();
    let now = bulkhead_fixtures::issuer::now();
    let both = json!([provider.audience, theirs.audience]);
    let mut tokens: Vec<String> = [
        json!({ "iss": "https://login.example.com" }),
        json!({ "iss": format!("{}/", federated.issuer.issuer()) }),
        json!({ "iss": "https://api.example.com" }),
        json!({ "aud": "elsewhere" }),
        json!({ "aud": null }),
        // Of either tenant: of none.
        json!({ "aud": both }),
        json!({ "exp": now - 100, "iat": now - 200 }),
        json!({ "nbf": now + 100 }),
        json!({ "nonce": "n" }),
        json!({ "token_use": "id" }),
        json!({ "sub": "" }),
    ]
    .into_iter()
    .map(|more| federated.token(&provider, &unique(), &with(more)))
    .collect();
    tokens.push(stranger.access_token("a", &provider.audience, &person).unwrap());
    tokens.push(
        stranger
            .access_token("a", &provider.audience, &with(json!({ "iss": federated.issuer.issuer() })))
            .unwrap(),
    );
    let good = federated.token(&provider, &unique(), &person);
    let middle = good.len() - 100;
    let other = if &good[middle..=middle] == "A" { "B" } else { "A" };
    tokens.push(format!("{}{other}{}", &good[..middle], &good[middle + 1..]));
    tokens.push(good.split('.').take(2).collect::<Vec<_>>().join(".") + ".");
    for (which, token) in tokens.iter().enumerate() {
        let refused = federated.caller(token).get("/v1/me").await;
        assert_eq!(
            (refused.status, refused.code()),
            (401, "invalid-credentials".to_owned()),
            "{which}: {token}"
        );
    }
    federated.caller(&good).get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn an_issuer_has_to_be_on_a_host_that_the_platform_allows() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let body = json!({
        "name": "A directory", "kind": "oidc", "issuer": federated.issuer.issuer(), "audience": unique(),
        "default_role": "read_only", "max_role": "developer",
    });
    let refused = async |more: Value| {
        let body = bulkhead_fixtures::issuer::merged(body.clone(), &more);
        tenant.owner.caller.post("/v1/identity-providers", &body).await.refused(422, "validation-failed");
    };
    for issuer in [
        "https://login.example.com",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1",
        "https://user:password@127.0.0.1:1",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "",
    ] {
        refused(json!({ "issuer": issuer })).await;
        refused(json!({ "jwks_url": issuer })).await;
    }
    // Our own tokens are judged by our own keys.
    refused(json!({ "issuer": "https://api.example.com" })).await;
    // What is sent to it and compared with its words has one form.
    for audience in ["", "a b", "a\u{7f}", "é", &"a".repeat(256)] {
        refused(json!({ "audience": audience })).await;
        refused(json!({ "client_id": audience })).await;
        refused(json!({ "client_secret": format!("{audience} ") })).await;
    }
    refused(json!({ "client_id": "one", "scopes": ["email"] })).await;
    refused(json!({ "client_id": "one", "password_login": true })).await;
    refused(json!({ "kind": "cognito", "password_login": true })).await;
    refused(json!({ "kind": "cognito", "api_url": "https://169.254.169.254/" })).await;
    let mapping = |value: &str| json!({ "value": value, "role": "read_only" });
    refused(json!({ "role_claim": "groups", "role_map": [mapping("a"), mapping("a")] })).await;
    let many: Vec<_> = (0..51).map(|number| mapping(&number.to_string())).collect();
    refused(json!({ "role_claim": "groups", "role_map": many })).await;
    // An id token would be taken for an access token.
    refused(json!({ "client_id": "one", "audience": "one" })).await;
    refused(json!({ "kind": "saml" })).await;
    // A provider of another tenant has this audience.
    let provider = federated.provider(&tenant, &json!({})).await;
    let other = federated.system.tenant().await;
    let taken = bulkhead_fixtures::issuer::merged(body.clone(), &json!({ "audience": provider.audience }));
    other.owner.caller.post("/v1/identity-providers", &taken).await.refused(409, "already-taken");
    other
        .owner
        .caller
        .get(&format!("/v1/identity-providers/{}", provider.id))
        .await
        .refused(404, "not-found");
}

#[tokio::test]
async fn a_tenant_has_two_hundred_providers_at_most() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &json!({})).await;
    let fill = format!(
        "INSERT INTO platform.identity_providers (id, tenant_id, name, kind, issuer, settings, created_at, updated_at, created_by) \
         SELECT gen_random_uuid(), t.id, 'filler', 'oidc', 'https://login.example.com', '{{}}', now(), now(), 'usr_1' \
         FROM platform.tenants t, generate_series(2, 200) WHERE t.slug = '{}'",
        tenant.slug
    );
    federated.system.sql(&fill);
    let body = json!({
        "name": "One more", "kind": "oidc", "issuer": federated.issuer.issuer(), "audience": unique(),
        "default_role": "read_only", "max_role": "developer",
    });
    tenant.owner.caller.post("/v1/identity-providers", &body).await.refused(409, "wrong-state");
    tenant.owner.caller.delete(&format!("/v1/identity-providers/{}", provider.id)).await.expect(204);
    tenant.owner.caller.post("/v1/identity-providers", &body).await.expect(201);
}

/// Whoever links somebody lets them in as this person, and whoever unlinks them puts them out.
#[tokio::test]
async fn links_are_made_to_known_providers_and_ended_by_whoever_could_give_the_role() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let (owner, admin) = (&tenant.owner.caller, tenant.person(RoleName::ADMIN).await);
    let provider = federated.provider(&tenant, &json!({})).await;
    let theirs = federated.provider(&federated.system.tenant().await, &json!({})).await;
    let links = "/v1/federated-identities";
    let link = |provider: &str, subject: &str, user: &str| json!({ "identity_provider_id": provider, "subject": subject, "user_id": user });
    for unknown in [theirs.id.as_str(), "idp_01jd3e2x6m7k9v4q8t5b2n0c1c"] {
        owner.post(links, &link(unknown, "a", &admin.id)).await.refused(422, "validation-failed");
    }
    let subject = unique();
    let second = tenant.person(RoleName::OWNER).await;
    let id = owner.post(links, &link(&provider.id, &subject, &second.id)).await.expect(201).at("/id");
    let token = federated.token(&provider, &subject, &json!({}));
    federated.caller(&token).get("/v1/me").await.expect(200);
    let path = format!("{links}/{id}");
    admin.caller.delete(&path).await.refused(403, "role-not-grantable");
    owner.delete(&path).await.expect(204);
    let gone =
        eventually(async || federated.caller(&token).get("/v1/me").await, |answer| answer.status != 200)
            .await;
    gone.refused(401, "invalid-credentials");
    // With a provider, all of its links go.
    let person = tenant.person(RoleName::DEVELOPER).await;
    owner.post(links, &link(&provider.id, &subject, &person.id)).await.expect(201);
    let path = format!("/v1/identity-providers/{}", provider.id);
    owner
        .patch(&path, &json!({ "name": "x" }))
        .header("if-match", "\"v9\"")
        .await
        .refused(412, "precondition-failed");
    owner.delete(&path).await.expect(204);
    assert_eq!(tenant.count("federated_identities"), 0);
}

/// What a tenant lets a platform's provider give, its people say within their own rights.
#[tokio::test]
async fn a_platforms_provider_is_joined_and_left_by_whoever_could_give_its_roles() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let (owner, admin) = (&tenant.owner.caller, tenant.person(RoleName::ADMIN).await);
    let operator = federated.system.operator().await;
    let providers = "/v1/admin/identity-providers";
    let body = |more: Value| {
        let body = json!({
            "name": "The platform's pool", "kind": "cognito", "issuer": federated.issuer.issuer(), "audience": unique(),
            "creates_users": true, "default_role": "read_only", "max_role": "admin",
        });
        bulkhead_fixtures::issuer::merged(body, &more)
    };
    // Every tenant has these roles, and none of them more than the highest.
    for wrong in [
        json!({ "max_role": "clerk" }),
        json!({ "role_map": [{ "value": "a", "role": "clerk" }] }),
        json!({ "role_map": [{ "value": "a", "role": "owner" }] }),
        json!({ "max_role": "read_only", "default_role": "developer" }),
    ] {
        operator.post(providers, &body(wrong)).await.refused(422, "validation-failed");
    }
    let audience = unique();
    let id = operator.post(providers, &body(json!({ "audience": audience }))).await.expect(201).at("/id");
    // A tenant's own is its people's to change.
    let own = federated.provider(&tenant, &json!({})).await;
    let path = format!("{providers}/{}", own.id);
    operator.patch(&path, &json!({ "max_role": "owner" })).await.refused(409, "wrong-state");

    let join = "/v1/platform-identity-providers";
    let with = |default: &str, most: &str| json!({ "identity_provider_id": id, "default_role": default, "max_role": most });
    admin.caller.post(join, &with("read_only", "owner")).await.refused(403, "role-not-grantable");
    admin.caller.post(join, &with("owner", "owner")).await.refused(403, "role-not-grantable");
    owner.post(join, &with("admin", "developer")).await.refused(422, "validation-failed");
    owner.post(join, &with("read_only", "owner")).await.expect(200);
    admin.caller.post(join, &with("read_only", "developer")).await.refused(403, "role-not-grantable");
    admin.caller.delete(&format!("{join}/{id}")).await.refused(403, "role-not-grantable");
    let revoked = || -> u32 {
        let sql = "SELECT count(*) FROM platform.revocations r JOIN platform.identity_providers p ON p.id = r.subject_id \
             WHERE p.audience = '§'";
        federated.system.sql(&sql.replace('§', &audience)).parse().unwrap()
    };
    let before = revoked();
    owner.post(join, &with("read_only", "developer")).await.expect(200);
    assert_eq!(revoked(), before + 1, "what was accepted before is looked at anew");

    // Switched off by its operator, it speaks for nobody any more.
    let claims = json!({
        "aud": null, "client_id": audience, "token_use": "access", "custom:tenant_id": tenant.id,
        "email": format!("{}@example.com", unique()), "email_verified": "true",
    });
    let token = federated.issuer.access_token(&unique(), "", &claims).unwrap();
    federated.caller(&token).get("/v1/me").await.expect(200);
    operator.patch(&format!("{providers}/{id}"), &json!({ "enabled": false })).await.expect(200);
    let gone =
        eventually(async || federated.caller(&token).get("/v1/me").await, |answer| answer.status != 200)
            .await;
    gone.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn an_issuer_that_is_away_or_changes_its_keys_breaks_nothing_but_what_is_new() {
    let federated = Federated::start("federation_faults").await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &json!({})).await;
    let token =
        |subject: &str| federated.token(&provider, subject, &known_as(&format!("{}@example.com", unique())));
    let before = token("a");
    federated.issuer.set_fault(Some(Fault::Failing));
    // Nothing is known of it yet, and nothing can be verified: that is not the caller's fault.
    let unknown = federated.caller(&before).get("/v1/me").unchecked().await;
    assert_eq!((unknown.status, unknown.code()), (503, "unavailable".to_owned()));
    federated.issuer.set_fault(None);
    let known = eventually(
        async || federated.caller(&before).get("/v1/me").unchecked().await,
        |answer| answer.status == 200,
    )
    .await;
    known.expect(200);
    federated.issuer.set_fault(Some(Fault::Failing));
    let after = token("b");
    federated.caller(&after).get("/v1/me").await.expect(200);
    // A new key cannot be had from an issuer that fails, and what it has signed is refused.
    federated.issuer.add_key(Algorithm::Es256).unwrap();
    federated.caller(&token("c")).get("/v1/me").await.refused(401, "invalid-credentials");
    let asked = federated.issuer.asked("/keys");
    let flood = (0..100).map(|round| token(&format!("d{round}")));
    for token in flood.collect::<Vec<_>>() {
        federated.caller(&token).get("/v1/me").await;
    }
    assert_eq!(federated.issuer.asked("/keys"), asked, "it is asked again at most every half a minute");
    // Our own tokens do not care.
    tenant.owner.caller.get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn a_person_logs_in_at_the_issuer_and_has_a_session_here() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &with_log_in()).await;
    let (subject, email) = (unique(), format!("{}@example.com", unique()));
    let claims = json!({ "email": email, "email_verified": true, "groups": ["engineering"] });
    let begun = federated.begin(&provider, None).await;
    let query = federated.logged_in(&begun, &subject, &claims);
    let tokens = federated.come_back(&provider, &query, Some(&begun.cookie)).await.expect(200);
    assert_eq!((tokens.at("/token_type"), tokens.header("cache-control")), ("Bearer".to_owned(), "no-store"));
    let me = federated.caller(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/id"), me.at("/role")), (tenant.id.clone(), "developer".to_owned()));
    let refresh = json!({ "refresh_token": tokens.at("/refresh_token") });
    federated.system.anonymous().post("/v1/auth/refresh", &refresh).await.expect(200);
    // The state counts once, with whatever code, also for the browser that has used it.
    for query in [query.clone(), with(&query, "code", "another")] {
        let again = federated.come_back(&provider, &query, Some(&begun.cookie)).await;
        again.refused(401, "login-failed");
    }
    // The same person, again, and an access token of the issuer stands for them, too.
    let begun = federated.begin(&provider, Some(&begun.cookie)).await;
    let query = federated.logged_in(&begun, &subject, &json!({}));
    let tokens = federated.come_back(&provider, &query, Some(&begun.cookie)).await.expect(200);
    let again = federated.caller(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!(again.at("/subject"), me.at("/subject"));
    let bearer = federated.token(&provider, &subject, &json!({}));
    assert_eq!(federated.caller(&bearer).get("/v1/me").await.expect(200).at("/subject"), me.at("/subject"));
    // Nobody knows a password of theirs.
    let login = json!({ "tenant": tenant.slug, "email": email, "password": "!" });
    federated.system.anonymous().post("/v1/auth/login", &login).await.refused(401, "login-failed");
}

#[tokio::test]
async fn of_many_who_come_back_with_one_state_one_is_logged_in() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &with_log_in()).await;
    let begun = federated.begin(&provider, None).await;
    let claims = known_as(&format!("{}@example.com", unique()));
    let query = federated.logged_in(&begun, &unique(), &claims);
    let all = (0..64).map(async |_| federated.come_back(&provider, &query, Some(&begun.cookie)).await.status);
    let statuses = join_all(all).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 63, "{statuses:?}");
}

#[tokio::test]
async fn a_log_in_ends_where_it_was_begun_and_nowhere_else() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &with_log_in()).await;
    let other = federated.provider(&tenant, &with_log_in()).await;
    let claims = known_as(&format!("{}@example.com", unique()));
    let (victim, attacker) = (federated.begin(&provider, None).await, federated.begin(&provider, None).await);
    let theirs = federated.logged_in(&attacker, &unique(), &claims);
    let state_of = |query: &str| {
        let found = query.split('&').find_map(|pair| pair.strip_prefix("state=").map(str::to_owned));
        found.unwrap()
    };
    let stranger = TestIssuer::start().unwrap();
    let forged = [
        // The end of the attacker's log-in in the victim's browser, or in one without a cookie.
        (&provider, theirs.clone(), Some(victim.cookie.as_str())),
        (&provider, theirs.clone(), None),
        (&provider, theirs.clone(), Some("__Host-bulkhead-login=")),
        (&provider, theirs.clone(), Some("bulkhead-login=x")),
        // The code of one issuer at the callback of another provider.
        (&other, theirs.clone(), Some(attacker.cookie.as_str())),
        // Another issuer says that it has sent the browser.
        (&provider, with(&theirs, "iss", &stranger.issuer()), Some(attacker.cookie.as_str())),
        (&provider, with(&theirs, "state", "made-up"), Some(attacker.cookie.as_str())),
        (
            &provider,
            with(&theirs, "state", &format!("{}A", state_of(&theirs))),
            Some(attacker.cookie.as_str()),
        ),
        (&provider, with(&theirs, "state", &"A".repeat(4_000)), Some(attacker.cookie.as_str())),
        (&provider, with(&theirs, "code", ""), Some(attacker.cookie.as_str())),
        (&provider, "error=access_denied&state=x".to_owned(), Some(attacker.cookie.as_str())),
        (&provider, "code=x".to_owned(), Some(attacker.cookie.as_str())),
        (&provider, String::new(), None),
    ];
    for (which, (at, query, cookie)) in forged.into_iter().enumerate() {
        let answer = federated.come_back(at, &query, cookie).await;
        assert_eq!((answer.status, answer.code()), (401, "login-failed".to_owned()), "{which}");
    }
    // A code that was caught elsewhere is put into a log-in of the attacker's own: it has another verifier.
    let caught = federated.logged_in(&victim, &unique(), &claims);
    let code = caught.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap();
    let injected = with(&theirs, "code", code);
    federated.come_back(&provider, &injected, Some(&attacker.cookie)).await.refused(401, "login-failed");
}

#[tokio::test]
async fn an_id_token_that_is_not_this_log_ins_opens_no_session() {
    let federated = Federated::start("federation_tampered").await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &with_log_in()).await;
    let now = bulkhead_fixtures::issuer::now();
    for wrong in [
        json!({ "nonce": "another" }),
        json!({ "nonce": null }),
        json!({ "aud": "another" }),
        json!({ "aud": ["bulkhead", "another"] }),
        json!({ "azp": "another" }),
        json!({ "iss": "https://login.example.com" }),
        json!({ "at_hash": "another" }),
        json!({ "exp": now - 100, "iat": now - 200 }),
        json!({ "sub": null }),
        json!({ "typ": "Bearer" }),
    ] {
        let begun = federated.begin(&provider, None).await;
        let claims = known_as(&format!("{}@example.com", unique()));
        let query = federated.logged_in(&begun, &unique(), &claims);
        federated.issuer.tamper(wrong.clone());
        let answer = federated.come_back(&provider, &query, Some(&begun.cookie)).await;
        assert_eq!((answer.status, answer.code()), (401, "login-failed".to_owned()), "{wrong}");
    }
    // Somebody whom the issuer vouches for, and who is nobody here.
    for claims in [
        known_as(&tenant.owner.email),
        json!({ "email": "a@example.com", "email_verified": false }),
        json!({}),
    ] {
        let begun = federated.begin(&provider, None).await;
        let query = federated.logged_in(&begun, &unique(), &claims);
        let answer = federated.come_back(&provider, &query, Some(&begun.cookie)).await;
        answer.refused(403, "not-a-member");
    }
    // The tenant's administrators see why.
    let refused = format!("/v1/audit?action=login_failed&target={}", provider.id);
    let refused = tenant.owner.caller.get(&refused).await.expect(200);
    let because = |at: usize| refused.at(&format!("/data/{at}/changes/because"));
    let seen = std::collections::BTreeSet::from([because(0), because(1), because(2)]);
    let told = [
        "somebody of the tenant has the address".to_owned(),
        "the token has no address that the issuer has verified".to_owned(),
    ];
    assert_eq!(seen, std::collections::BTreeSet::from(told));
    // A provider that is switched off, is none, or has no log-in.
    let path = format!("/v1/identity-providers/{}", provider.id);
    let begun = federated.begin(&provider, None).await;
    let query = federated.logged_in(&begun, &unique(), &known_as("b@example.com"));
    tenant.owner.caller.patch(&path, &json!({ "enabled": false })).await.expect(200);
    federated.come_back(&provider, &query, Some(&begun.cookie)).await.refused(401, "login-failed");
    let without = federated.provider(&tenant, &json!({})).await;
    for id in [provider.id.as_str(), without.id.as_str(), "idp_01jd3e2x6m7k9v4q8t5b2n0c1c", "idp_", "x"] {
        let start = federated.system.anonymous().get(&format!("/v1/auth/federated/{id}/start")).await;
        start.refused(404, "not-found");
    }
}

#[tokio::test]
async fn an_issuer_that_fails_at_the_exchange_is_told_apart_from_a_wrong_code() {
    let federated = Federated::start("federation_exchange").await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &with_log_in()).await;
    for fault in [Fault::Failing, Fault::Redirecting, Fault::Huge] {
        let begun = federated.begin(&provider, None).await;
        let query = federated.logged_in(&begun, &unique(), &known_as(&format!("{}@example.com", unique())));
        federated.issuer.set_fault(Some(fault));
        let anonymous = federated.system.anonymous();
        let call = anonymous.get(&format!("{}?{query}", provider.callback())).header("cookie", &begun.cookie);
        let answer = call.unchecked().await;
        assert_eq!((answer.status, answer.code()), (503, "unavailable".to_owned()), "{fault:?}");
        federated.issuer.set_fault(None);
    }
    federated.issuer.set_client_secret("another secret");
    let begun = federated.begin(&provider, None).await;
    let query = federated.logged_in(&begun, &unique(), &known_as(&format!("{}@example.com", unique())));
    federated.come_back(&provider, &query, Some(&begun.cookie)).await.refused(401, "login-failed");
}
