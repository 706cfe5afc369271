//! Who may do what: every role against every operation of the document.

use bulkhead_domain::{
    ApiKeyId, Clock, RoleName, SystemClock, TenantId, UserId,
    access::{BuiltIn, BuiltInOperator},
};
use serde_json::json;

use crate::support::{Caller, Operation, System};

/// The roles that hold a permission, as the document names it. Written out, and not asked of the product: this is the
/// promise that it is held to.
fn holders(permission: &str) -> &'static [&'static str] {
    match permission {
        "any principal of a tenant" | "read:resources" | "read:jobs" | "read:usage" | "read:scaling" => {
            &["owner", "admin", "developer", "read_only"]
        }
        "read:users" | "read:api_keys" | "write:api_keys" | "write:resources" => {
            &["owner", "admin", "developer"]
        }
        "write:users" => &["owner", "admin"],
        "operator of any role" | "operator read:tenants" | "operator read:all_usage" => {
            &["operator admin", "operator support", "operator billing"]
        }
        "operator read:operations" => &["operator admin", "operator support"],
        "operator write:tenants" => &["operator admin"],
        other => panic!("nobody has said who holds {other}"),
    }
}

/// Asks for an operation on something that does not exist, with a body that does not fit: nothing can come of it, but
/// a caller that may not even ask is told so first.
async fn is_admitted(caller: &Caller<'_>, operation: &Operation) -> bool {
    let path = operation.path_of(&TenantId::mint(SystemClock.now()).to_string());
    let call = caller.call(&operation.method, &path);
    let answer = if operation.takes_body() { call.json(&json!({})).await } else { call.await };
    match (answer.status, answer.code().as_str()) {
        (403, "insufficient-permission") => false,
        (401 | 403 | 429, _) => panic!("{}: {}", operation.id, answer.show()),
        _ => true,
    }
}

#[tokio::test]
async fn an_operation_is_refused_exactly_when_the_role_lacks_its_permission() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let mut callers = Vec::new();
    for role in BuiltIn::ALL.map(BuiltIn::name) {
        let person = if role == RoleName::OWNER { tenant.owner.clone() } else { tenant.person(role).await };
        callers.push((role.to_string(), person.caller));
        callers.push((role.to_string(), tenant.key(role).await.caller));
    }
    for role in BuiltInOperator::ALL.map(BuiltInOperator::name) {
        callers.push((format!("operator {role}"), system.operator_with(role).await));
    }
    let rows = tenant.rows();
    let operations = system.contract.those(|operation| !operation.is_public());
    for operation in operations {
        for (role, caller) in &callers {
            let holds = |permission: &String| holders(permission).contains(&role.as_str());
            let expected = operation.permissions.iter().any(holds);
            assert_eq!(is_admitted(caller, operation).await, expected, "{role}: {}", operation.id);
            assert_eq!(operation.roles.contains(role), expected, "{role}: the document, {}", operation.id);
        }
    }
    assert_eq!(tenant.rows(), rows);
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
        system.sql(&format!(
            "ALTER TABLE {schema}.{table} DROP CONSTRAINT {table}_role_check; \
             UPDATE {schema}.{table} SET role = 'auditor' WHERE id = '{id}'"
        ));
    }
    // Neither has shown its credential since the key was made and the person logged in.
    let person = tenant.log_in(&person.email, &person.password).await;
    for caller in [&person.caller, &key.caller] {
        let me = caller.get("/v1/me").await.expect(200);
        assert_eq!((me.at("/role"), me.at("/permissions")), ("auditor".to_owned(), "[]".to_owned()));
        for operation in system.contract.those(|operation| {
            !operation.is_public() && operation.permissions.iter().all(|permission| permission.contains(':'))
        }) {
            assert!(!is_admitted(caller, operation).await, "{}", operation.id);
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
