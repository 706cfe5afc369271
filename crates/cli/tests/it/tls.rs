//! The main path where servers are as strict as in the cloud: PostgreSQL and Redis refuse everything but TLS, and Redis every
//! command and key that Terraform does not allow the process.

use bulkhead_domain::RoleName;
use bulkhead_fixtures::CertificateAuthority;
use serde_json::json;

use crate::support::{Options, System, bulkhead, eventually, this_month};

#[tokio::test]
async fn everything_works_on_strict_servers_and_nothing_behind_another_authority() {
    let system = System::start("tls", Options { strict: true, ..Options::default() }).await;
    // Migrations, logins, the job that builds a tenant, limits and usage.
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::DEVELOPER).await;
    let body = json!({ "name": "a", "kind": "b" });
    let made = key.caller.post("/v1/resources", &body).await.expect(201);
    assert!(made.header("ratelimit").starts_with("\"tenant\";"), "{}", made.show());
    let report = format!("/v1/usage/report?period={}", this_month());
    let billed = async || tenant.owner.caller.get(&report).await.expect(200);
    eventually(billed, |answer| answer.body.contains("api_requests")).await;
    let told = eventually(async || system.readiness().await, |told| told["redis"] == true).await;
    assert_eq!(told["status"], "ready");
    assert_eq!(system.users.as_ref().unwrap().refusals().await, "");
    let doctor = bulkhead(&["doctor"], &system.migrator(), "");
    assert!(doctor.success, "{doctor:?}");

    // An attacker on the way, with a certificate from another authority.
    let other = CertificateAuthority::new()
        .unwrap()
        .certify("127.0.0.1", &system.scratch.path().join("other"))
        .unwrap();
    let changed = |change: (&'static str, String)| {
        let rest = system.migrator().into_iter().filter(move |(name, _)| *name != change.0);
        rest.chain([change]).collect::<Vec<_>>()
    };
    let ca = other.ca.display().to_string();
    for command in [&["doctor"][..], &["migrate"], &["operator", "create", "new@bulkhead.example"]] {
        let refused = bulkhead(command, &changed(("BULKHEAD_DATABASE_CA_FILE", ca.clone())), "correct horse");
        assert!(!refused.success && refused.err.contains("certificate"), "{refused:?}");
        assert_eq!(refused.err.trim().lines().count(), 1, "{refused:?}");
        let plain = bulkhead(command, &changed(("BULKHEAD_DATABASE_TLS", "off".to_owned())), "correct horse");
        assert!(!plain.success && plain.err.contains("no encryption"), "{plain:?}");
    }
    assert_eq!(system.sql("SELECT count(*) FROM platform.operators"), "3");
}
