//! A second factor of people whom an issuer vouches for: the issuer's, or ours.

use bulkhead_domain::{Clock as _, RoleName, SystemClock};
use bulkhead_fixtures::auth::TotpSecret;
use serde_json::{Value, json};

use super::{Federated, Provider, known_as, with_log_in};
use crate::support::{Answer, Caller, eventually, unique};

fn code(secret: &str) -> String {
    TotpSecret::typed(secret).unwrap().code_at(SystemClock.now())
}

impl Federated {
    async fn enter(&self, provider: &Provider, subject: &str, claims: &Value) -> Answer {
        let begun = self.begin(provider, None).await;
        let query = self.logged_in(&begun, subject, claims);
        self.come_back(provider, &query, Some(&begun.cookie)).await
    }

    /// Takes the second step with a new second factor of ours.
    async fn enrol(&self, challenge: &str) -> Answer {
        let body = json!({ "challenge": challenge });
        let enrolled = self.system.anonymous().post("/v1/auth/login/second-factor/enrolment", &body).await;
        let code = code(&enrolled.expect(200).at("/secret"));
        self.second_step(challenge, &code).await
    }

    async fn second_step(&self, challenge: &str, code: &str) -> Answer {
        let body = json!({ "challenge": challenge, "code": code });
        self.system.anonymous().post("/v1/auth/login/second-factor", &body).await
    }

    async fn refresh(&self, tokens: &Answer) -> Answer {
        let body = json!({ "refresh_token": tokens.at("/refresh_token") });
        self.system.anonymous().post("/v1/auth/refresh", &body).await
    }

    /// The owner of a new tenant, who has a second factor, and the tenant's schema.
    async fn owner(&self) -> (Caller<'_>, String) {
        let (slug, password) = (format!("acme-{}", unique()), format!("owner-{}", unique()));
        let email = format!("{slug}@example.com");
        let owner = json!({ "email": email, "password": password });
        let order = json!({ "slug": slug, "name": "Acme", "plan": "free", "owner": owner });
        let operator = self.system.operator().await;
        let ordered = operator.post("/v1/admin/tenants", &order).await.expect(202);
        let operation = ordered.header("location").to_owned();
        eventually(async || operator.get(&operation).await, |answer| answer.at("/done") == "true").await;
        let login = json!({ "tenant": slug, "email": email, "password": password });
        let refused = self.system.anonymous().post("/v1/auth/login", &login).await;
        let challenge = refused.refused(403, "second-factor-enrolment-required").at("/challenge");
        let tokens = self.enrol(&challenge).await.expect(200);
        let row = format!("SELECT role_name FROM platform.tenants WHERE slug = '{slug}'");
        (self.caller(&tokens.at("/access_token")), self.system.sql(&row))
    }

    /// A provider that makes owners of its people.
    async fn of_owners(&self, owner: &Caller<'_>, asks: bool) -> Provider {
        let audience = unique();
        let body = json!({
            "name": "A directory", "kind": "oidc", "issuer": self.issuer.issuer(), "audience": audience,
            "creates_users": true, "default_role": "owner", "max_role": "owner", "asks_second_factor": asks,
        });
        let body = bulkhead_fixtures::issuer::merged(body, &with_log_in());
        let made = owner.post("/v1/identity-providers", &body).await.expect(201);
        assert_eq!(made.at("/asks_second_factor"), asks.to_string());
        Provider { id: made.at("/id"), audience }
    }
}

#[tokio::test]
async fn an_owner_shows_a_code_of_ours_unless_the_issuer_asks_everybody_for_one() {
    let rule = ("BULKHEAD_SECOND_FACTOR_REQUIRED", "owners".to_owned());
    let federated = Federated::start_with("federation_factor", vec![rule]).await;
    let (owner, schema) = federated.owner().await;
    let provider = federated.of_owners(&owner, false).await;
    let subject = unique();
    let claims = known_as(&format!("{subject}@example.com"));
    let refused = federated.enter(&provider, &subject, &claims).await;
    let challenge = refused.refused(403, "second-factor-enrolment-required").at("/challenge");
    // No code can be asked for where a token of the issuer is shown.
    let bearer = federated.token(&provider, &subject, &claims);
    federated.caller(&bearer).get("/v1/me").await.refused(401, "invalid-credentials");
    let tokens = federated.enrol(&challenge).await.expect(200);
    federated.refresh(&tokens).await.expect(200);
    let recovery = tokens.at("/recovery_codes/0");
    let refused = federated.enter(&provider, &subject, &claims).await;
    let challenge = refused.refused(403, "second-factor-required").at("/challenge");
    federated.second_step(&challenge, "000000").await.refused(401, "second-factor-failed");
    let tokens = federated.second_step(&challenge, &recovery).await.expect(200);
    let me = federated.caller(&tokens.at("/access_token")).get("/v1/me").await.expect(200);
    assert_eq!(me.at("/role"), "owner");
    let told = format!(
        "SELECT string_agg(changes ->> 'with', '; ' ORDER BY id) FROM {schema}.audit_log WHERE actor = '{}' AND action = 'login'",
        me.at("/subject"),
    );
    assert_eq!(federated.system.sql(&told), "identity_provider, code; identity_provider, recovery_code");

    let provider = federated.of_owners(&owner, true).await;
    let subject = unique();
    let claims = known_as(&format!("{subject}@example.com"));
    let tokens = federated.enter(&provider, &subject, &claims).await.expect(200);
    federated.refresh(&tokens).await.expect(200);
    let bearer = federated.token(&provider, &subject, &claims);
    federated.caller(&bearer).get("/v1/me").await.expect(200);
}

#[tokio::test]
async fn who_need_have_none_is_asked_for_the_one_they_have() {
    let federated = Federated::shared().await;
    let tenant = federated.system.tenant().await;
    let provider = federated.provider(&tenant, &with_log_in()).await;
    let person = tenant.person(RoleName::READ_ONLY).await;
    let subject = unique();
    let link = json!({ "identity_provider_id": provider.id, "subject": subject, "user_id": person.id });
    let link = tenant.owner.caller.post("/v1/federated-identities", &link).await.expect(201).at("/id");
    federated.enter(&provider, &subject, &json!({})).await.expect(200);
    let body = json!({ "current_password": person.password });
    let secret = person.caller.post("/v1/auth/second-factor", &body).await.expect(201).at("/secret");
    let confirm = json!({ "code": code(&secret) });
    let recovery = person.caller.post("/v1/auth/second-factor/confirm", &confirm).await.expect(200);
    let refused = federated.enter(&provider, &subject, &json!({})).await;
    let challenge = refused.refused(403, "second-factor-required").at("/challenge");
    federated.second_step(&challenge, &recovery.at("/recovery_codes/0")).await.expect(200);
    // The issuer's word counts until the second step is taken.
    let refused = federated.enter(&provider, &subject, &json!({})).await;
    let challenge = refused.refused(403, "second-factor-required").at("/challenge");
    tenant.owner.caller.delete(&format!("/v1/federated-identities/{link}")).await.expect(204);
    let late = federated.second_step(&challenge, &recovery.at("/recovery_codes/1")).await;
    late.refused(401, "second-factor-failed");
}
