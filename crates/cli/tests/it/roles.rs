//! Who may do what: every role against every operation of the document.

use bulkhead_domain::{Clock, OperatorRole, Role, SystemClock, TenantId};
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
/// whoever may not even ask is told so first.
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
    for role in Role::ALL {
        let person = if role == Role::Owner { tenant.owner.clone() } else { tenant.person(role).await };
        callers.push((role.as_str().to_owned(), person.caller));
        callers.push((role.as_str().to_owned(), tenant.key(role).await.caller));
    }
    for role in OperatorRole::ALL {
        callers.push((format!("operator {}", role.as_str()), system.operator_with(role).await));
    }
    let rows = tenant.rows();
    let operations = system.contract.those(|operation| !operation.is_public());
    for operation in operations {
        for (role, caller) in &callers {
            let holds = |permission: &String| holders(permission).contains(&role.as_str());
            let expected = operation.permissions.iter().any(holds);
            assert_eq!(is_admitted(caller, operation).await, expected, "{role}: {}", operation.id);
        }
    }
    assert_eq!(tenant.rows(), rows);
}
