//! Who may do what. That the program admits whom its document names is held by the kit (`conformance/mod.rs`).

use std::collections::BTreeSet;

use bulkhead_domain::{ApiKeyId, Clock, RoleName, SystemClock, TenantId, UserId};
use serde_json::json;

use crate::support::System;

/// The roles that hold a permission, as the document names it. Written out, and not asked of the product: this is the
/// promise that it is held to.
fn holders(permission: &str) -> &'static [&'static str] {
    match permission {
        "any principal of a tenant"
        | "any person of a tenant"
        | "read:resources"
        | "read:jobs"
        | "read:usage"
        | "read:scaling" => &["owner", "admin", "developer", "read_only"],
        "read:users" | "read:roles" | "read:api_keys" | "write:api_keys" | "write:resources" => {
            &["owner", "admin", "developer"]
        }
        "write:users"
        | "write:roles"
        | "read:audit"
        | "read:settings"
        | "read:identity_providers"
        | "write:identity_providers" => &["owner", "admin"],
        "write:settings" => &["owner"],
        "operator of any role" | "operator read:tenants" | "operator read:all_usage" => {
            &["operator admin", "operator support", "operator billing"]
        }
        "operator read:operations"
        | "operator read:signing_keys"
        | "operator read:audit"
        | "operator read:operators"
        | "operator read:operator_keys"
        | "operator read:all_identity_providers" => &["operator admin", "operator support"],
        "operator write:tenants"
        | "operator write:signing_keys"
        | "operator write:operators"
        | "operator write:operator_keys"
        | "operator write:all_identity_providers"
        | "operator impersonate:tenant" => &["operator admin"],
        other => panic!("nobody has said who holds {other}"),
    }
}

#[tokio::test]
async fn the_document_says_of_every_operation_who_holds_its_permission() {
    let system = System::shared().await;
    for operation in system.contract.those(|operation| !operation.is_public()) {
        let promised: BTreeSet<&str> =
            operation.permissions.iter().flat_map(|one| holders(one)).copied().collect();
        let documented: BTreeSet<&str> = operation.roles.iter().map(String::as_str).collect();
        assert_eq!(documented, promised, "{}", operation.id);
    }
}

/// A row may name such a role when a newer version, beside which this one runs for a while, has written it.
#[tokio::test]
async fn a_role_that_is_not_known_opens_nothing_and_breaks_nothing() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (admin, person) = (tenant.person(RoleName::ADMIN).await, tenant.person(RoleName::READ_ONLY).await);
    let key = tenant.key(RoleName::READ_ONLY).await;
    let schema = tenant.schema();
    let user_id = person.id.parse::<UserId>().unwrap().uuid();
    let key_id = key.id.parse::<ApiKeyId>().unwrap().uuid();
    for (table, id) in [("users", user_id), ("api_keys", key_id)] {
        system.sql(&format!("UPDATE {schema}.{table} SET role = 'auditor' WHERE id = '{id}'"));
    }
    // Neither has shown its credential since the key was made and the person logged in.
    let person = tenant.log_in(&person.email, &person.password).await;
    for caller in [&person.caller, &key.caller] {
        let me = caller.get("/v1/me").await.expect(200);
        assert_eq!((me.at("/role"), me.at("/permissions")), ("auditor".to_owned(), "[]".to_owned()));
        for operation in system.contract.those(|operation| {
            !operation.is_public() && operation.permissions.iter().all(|permission| permission.contains(':'))
        }) {
            let path = operation.path_of(&TenantId::mint(SystemClock.now()).to_string());
            let call = caller.call(&operation.method, &path);
            let answer = if operation.takes_body() { call.json(&json!({})).await } else { call.await };
            answer.refused(403, "insufficient-permission");
        }
    }
    let (user, its_key) = (format!("/v1/users/{}", person.id), format!("/v1/api-keys/{}", key.id));
    assert_eq!(admin.caller.get(&user).await.expect(200).at("/role"), "auditor");
    assert_eq!(admin.caller.get(&its_key).await.expect(200).at("/role"), "auditor");
    // This program cannot say what the role holds where it is known, so only an owner may remove those who have it.
    for path in [&user, &its_key] {
        admin.caller.delete(path).await.refused(403, "role-not-grantable");
        tenant.owner.caller.delete(path).await.expect(204);
    }
}
