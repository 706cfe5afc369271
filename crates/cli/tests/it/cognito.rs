//! AWS Cognito, as an emulator of it behaves (moto): pools of users, their tokens, and passwords that are shown to it.
//!
//! The emulator signs in the name of the real issuer and has no pages to log in on. `.ci/setup --identity` installs it.

mod people;

use serde_json::{Value, json};

use crate::support::{Options, System, Tool, unique};

const REGION: &str = "us-east-1";
const PASSWORD: &str = "Correct-horse-7-battery";

/// A running emulator.
struct Emulator(Tool);

impl Emulator {
    async fn start() -> Option<Self> {
        Tool::start("moto_server", &[], "/moto-api/").await.map(Self)
    }

    /// A call of an administrator.
    async fn call(&self, action: &str, body: &Value) -> Value {
        let (status, text) = self.try_call(action, body).await;
        assert_eq!(status, 200, "{action}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The status and the body of a call. The emulator looks at no signature.
    async fn try_call(&self, action: &str, body: &Value) -> (u16, String) {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/cognito-idp/aws4_request, SignedHeaders=host, Signature=00"
        );
        let request = reqwest::Client::new()
            .post(self.0.url("/"))
            .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{action}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", authorization)
            .body(body.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn pool(&self) -> Pool<'_> {
        let custom =
            |name: &str| json!({ "Name": name, "AttributeDataType": "String", "Mutable": name == "role" });
        let schema = json!([custom("tenant_id"), custom("role")]);
        let made = self.call("CreateUserPool", &json!({ "PoolName": unique(), "Schema": schema })).await;
        let id = made["UserPool"]["Id"].as_str().unwrap().to_owned();
        let flows = json!(["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]);
        let client = json!({ "UserPoolId": id, "ClientName": "bulkhead", "ExplicitAuthFlows": flows, "GenerateSecret": true,
            "ReadAttributes": ["email", "email_verified", "custom:tenant_id", "custom:role"] });
        let client = self.call("CreateUserPoolClient", &client).await;
        let of = |name: &str| client["UserPoolClient"][name].as_str().unwrap().to_owned();
        Pool { emulator: self, id, client: of("ClientId"), secret: of("ClientSecret") }
    }
}

struct Pool<'a> {
    emulator: &'a Emulator,
    id: String,
    client: String,
    secret: String,
}

impl Pool<'_> {
    /// Adds a user with a password that need not be changed.
    async fn user(&self, attributes: &Value) -> String {
        let name = unique();
        let list: Vec<Value> = attributes
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| json!({ "Name": name, "Value": value }))
            .collect();
        let new = json!({ "UserPoolId": self.id, "Username": name, "UserAttributes": list, "MessageAction": "SUPPRESS" });
        self.emulator.call("AdminCreateUser", &new).await;
        let password =
            json!({ "UserPoolId": self.id, "Username": name, "Password": PASSWORD, "Permanent": true });
        self.emulator.call("AdminSetUserPassword", &password).await;
        name
    }

    /// The provider of this pool: the emulator stands at another address than its issuer.
    fn provider(&self, more: &Value) -> Value {
        let body = json!({
            "name": "A pool", "kind": "cognito", "issuer": format!("https://cognito-idp.{REGION}.amazonaws.com/{}", self.id),
            "jwks_url": self.emulator.0.url(&format!("/{}/.well-known/jwks.json", self.id)), "api_url": self.emulator.0.url("/"),
            "client_id": self.client, "client_secret": self.secret, "audience": self.client, "password_login": true,
            "creates_users": true, "default_role": "read_only", "max_role": "developer",
            "role_map": [{ "value": "user", "role": "developer" }, { "value": "tenant_owner", "role": "developer" }],
        });
        bulkhead_fixtures::issuer::merged(body, more)
    }

    /// The tokens of a user, as a program of theirs gets them from the pool itself.
    async fn tokens(&self, name: &str) -> Value {
        let parameters = json!({ "USERNAME": name, "PASSWORD": PASSWORD });
        let body = json!({
            "AuthFlow": "ADMIN_USER_PASSWORD_AUTH", "ClientId": self.client, "UserPoolId": self.id,
            "AuthParameters": bulkhead_fixtures::issuer::merged(parameters, &json!({ "SECRET_HASH": self.secret_hash(name) })),
        });
        self.emulator.call("AdminInitiateAuth", &body).await["AuthenticationResult"].clone()
    }

    fn secret_hash(&self, name: &str) -> String {
        bulkhead_fixtures::issuer::hmac_base64(&self.secret, &format!("{name}{}", self.client))
    }
}

async fn system(emulator: &Emulator, database: &str) -> System {
    let hosts = format!("cognito-idp.{REGION}.amazonaws.com,127.0.0.1:{}", emulator.0.port);
    let api = vec![
        ("BULKHEAD_OIDC_ALLOWED_ISSUERS", hosts),
        ("BULKHEAD_DANGEROUSLY_ALLOW_PRIVATE_ISSUERS", "true".to_owned()),
    ];
    System::start(database, Options { api, ..Options::default() }).await
}

#[tokio::test]
async fn a_user_of_a_pool_logs_in_with_their_password_and_their_tokens_are_taken() {
    let Some(emulator) = Emulator::start().await else { return };
    let system = system(&emulator, "cognito").await;
    let tenant = system.tenant().await;
    let pool = emulator.pool().await;
    let provider =
        tenant.owner.caller.post("/v1/identity-providers", &pool.provider(&json!({}))).await.expect(201);
    let path = format!("/v1/auth/federated/{}/password", provider.at("/id"));
    let email = format!("{}@example.com", unique());
    let name = pool.user(&json!({ "email": email, "email_verified": "true", "custom:role": "user" })).await;
    let log_in = async |name: &str, password: &str| {
        system.anonymous().post(&path, &json!({ "username": name, "password": password })).await
    };
    let tokens = log_in(&name, PASSWORD).await.expect(200);
    let me = system.anonymous().with_token(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/id"), me.at("/role")), (tenant.id.clone(), "developer".to_owned()));
    let user = tenant.owner.caller.get(&format!("/v1/users/{}", me.at("/subject"))).await.expect(200);
    assert_eq!(user.at("/email"), email);
    for (name, password) in
        [(name.as_str(), "another password"), ("nobody", PASSWORD), (&name, " "), ("'", "\u{0}")]
    {
        log_in(name, password).await.refused(401, "login-failed");
    }
    // A password that has to be changed first is not wrong.
    let new = json!({ "UserPoolId": pool.id, "Username": "fresh", "TemporaryPassword": PASSWORD, "MessageAction": "SUPPRESS" });
    emulator.call("AdminCreateUser", &new).await;
    log_in("fresh", PASSWORD).await.refused(409, "wrong-state");
    // The pool's access token is the same person; its id token is none.
    let theirs = pool.tokens(&name).await;
    let token = |which: &str| theirs[which].as_str().unwrap().to_owned();
    let caller = system.anonymous().with_token(&token("AccessToken"));
    assert_eq!(caller.get("/v1/me").await.expect(200).at("/subject"), me.at("/subject"));
    system.anonymous().with_token(&token("IdToken")).get("/v1/me").await.refused(401, "invalid-credentials");
    // Access tokens of Cognito have no address, so they make nobody.
    let stranger =
        pool.user(&json!({ "email": format!("{}@example.com", unique()), "email_verified": "true" })).await;
    let token = pool.tokens(&stranger).await["AccessToken"].as_str().unwrap().to_owned();
    system.anonymous().with_token(&token).get("/v1/me").await.refused(401, "invalid-credentials");
}

#[tokio::test]
async fn users_of_the_platforms_pool_are_of_the_tenant_that_it_names() {
    let Some(emulator) = Emulator::start().await else { return };
    let system = system(&emulator, "cognito_platform").await;
    let (tenant, other) = (system.tenant().await, system.tenant().await);
    let pool = emulator.pool().await;
    let more = json!({ "max_role": "owner", "role_map": [{ "value": "tenant_owner", "role": "owner" }] });
    let operator = system.operator().await;
    let id = operator.post("/v1/admin/identity-providers", &pool.provider(&more)).await.expect(201).at("/id");
    let join = json!({ "identity_provider_id": id, "default_role": "read_only", "max_role": "owner" });
    tenant.owner.caller.post("/v1/platform-identity-providers", &join).await.expect(200);
    let path = format!("/v1/auth/federated/{id}/password");
    let user = async |tenant: &str, role: &str| {
        let attributes = json!({
            "email": format!("{}@example.com", unique()), "email_verified": "true", "custom:tenant_id": tenant, "custom:role": role,
        });
        let name = pool.user(&attributes).await;
        system.anonymous().post(&path, &json!({ "username": name, "password": PASSWORD })).await
    };
    let tokens = user(&tenant.id, "tenant_owner").await.expect(200);
    let me = system.anonymous().with_token(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!((me.at("/tenant/id"), me.at("/role")), (tenant.id.clone(), "owner".to_owned()));
    // A tenant that has not said so, and ones that do not exist.
    for tenant in [other.id.as_str(), "acme", "ten_7zzzzzzzzzzzzzzzzzzzzzzzzz"] {
        user(tenant, "user").await.refused(403, "not-a-member");
    }
}
