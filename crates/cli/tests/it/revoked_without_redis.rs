//! What is taken back while Redis is down is refused by every node: PostgreSQL tells them.

use std::time::{Duration, Instant};

use bulkhead_domain::RoleName;
use serde_json::json;

use crate::{
    master_key::Deployment,
    support::{Options, System, eventually, unique},
};

/// How long a node remembers a credential that nobody has taken back. What is refused sooner was not merely forgotten.
const REMEMBERED: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_revoked_while_redis_is_down_is_refused_by_every_node() {
    let system = System::start("revoked_without_redis", Options::default()).await;
    let other = Deployment::start(&system, &[]).await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let (key, disabled, reported, stays) = (
        tenant.key(RoleName::DEVELOPER).await,
        tenant.key(RoleName::DEVELOPER).await,
        tenant.key(RoleName::DEVELOPER).await,
        tenant.key(RoleName::DEVELOPER).await,
    );
    let person = tenant.person(RoleName::DEVELOPER).await;
    let (email, password) = (format!("{}@example.com", unique()), "a longer sentence that nobody guesses");
    let admin = system.operator().await;
    let added =
        admin.post("/v1/admin/operators", &json!({ "email": email, "role": "support" })).await.expect(201);
    crate::admin::set_password(&system, &admin, &added, password).await;
    let login = json!({ "email": email, "password": password });
    let operator = system.anonymous().post("/v1/auth/login", &login).await.expect(200);
    let (of_operator, refresh) = (operator.at("/access_token"), operator.at("/refresh_token"));
    let taken_back = [&key.text, &disabled.text, &reported.text, &person.access_token, &of_operator];
    for credential in taken_back {
        system.anonymous().with_token(credential).get("/v1/me").await.expect(200);
        assert_eq!(other.get("/v1/me", credential).await.0, 200);
    }

    system.redis.lock().unwrap().stop().unwrap();
    eventually(async || system.readiness().await, |told| told["redis"] == false).await;
    let begun = Instant::now();
    owner.delete(&format!("/v1/api-keys/{}", key.id)).await.expect(204);
    owner.post_nothing(&format!("/v1/api-keys/{}/disable", disabled.id)).await.expect(200);
    system.anonymous().post("/v1/auth/keys/leaked", &json!({ "key": reported.text })).await.expect(204);
    owner.delete(&format!("/v1/users/{}/sessions", person.id)).await.expect(204);
    system.anonymous().post("/v1/auth/logout", &json!({ "refresh_token": refresh })).await.expect(204);
    for credential in taken_back {
        let own = async || system.anonymous().with_token(credential).get("/v1/me").await;
        eventually(own, |answer| answer.status == 401).await.refused(401, "invalid-credentials");
        eventually(async || other.get("/v1/me", credential).await.0, |status| *status == 401).await;
    }
    assert!(begun.elapsed() < REMEMBERED, "{:?}", begun.elapsed());
    stays.caller.get("/v1/me").await.expect(200);
    assert_eq!(other.get("/v1/me", &stays.text).await.0, 200);
    assert_eq!(system.readiness().await["redis"], false);

    system.redis.lock().unwrap().restart().unwrap();
    eventually(async || system.readiness().await, |told| told["redis"] == true).await;
    for credential in taken_back {
        let refused = system.anonymous().with_token(credential).get("/v1/me").await;
        refused.refused(401, "invalid-credentials");
        assert_eq!(other.get("/v1/me", credential).await.0, 401);
    }
    system.assert_alive();
}
