//! Who may do what: every role against every operation of the document.

use serde_json::json;

use crate::{Answer, App, Caller, Operation};

/// An id of no type and of nothing.
const NOTHING: &str = "non_01jd3e2x6m7k9v4q8t5b2n0c1c";

/// Without a credential an operation is refused before anything else is looked at.
pub async fn every_operation_but_the_public_ones_wants_a_credential(app: &App) {
    for operation in app.contract.those(|operation| !operation.is_public()) {
        let call = app.anonymous().call(&operation.method, &operation.path_of(NOTHING));
        let answer = if operation.takes_body() { call.json(&json!({})).await } else { call.await };
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "missing-credentials"),
            "{} without a credential: {}",
            operation.shown(),
            answer.show()
        );
    }
}

/// Asks for an operation on something that does not exist, with a body that does not fit: nothing can come of it, but
/// a caller that may not even ask is told so first. What it is told, if it may not ask.
async fn refusal(caller: &Caller<'_>, operation: &Operation) -> Option<Answer> {
    let call = caller.call(&operation.method, &operation.path_of(NOTHING));
    let answer = if operation.takes_body() { call.json(&json!({})).await } else { call.await };
    match (answer.status, answer.code().as_str()) {
        (403, "insufficient-permission") => Some(answer),
        (401 | 403 | 429, _) => panic!("{}: {}", operation.shown(), answer.show()),
        _ => None,
    }
}

/// People and programs of every role, and operators, are admitted to exactly the operations that the document lists their
/// role for.
pub async fn an_operation_is_refused_exactly_when_the_role_lacks_its_permission(app: &App) {
    let tenant = app.tenant().await;
    let mut callers = Vec::new();
    for role in app.contract.tenants_roles() {
        let person = if role == "owner" { tenant.owner.clone() } else { tenant.person(role).await };
        callers.push((role.to_owned(), person.caller));
        callers.push((role.to_owned(), tenant.key(role).await.caller));
    }
    for role in app.contract.operators_roles() {
        callers.push((format!("operator {role}"), app.operator_with(role).await));
    }
    let rows = tenant.rows();
    let (mut admitted, mut refused) = (0, 0);
    for operation in app.contract.those(|operation| !operation.is_public()) {
        for (role, caller) in &callers {
            let expected = operation.roles.contains(role);
            let refusal = refusal(caller, operation).await;
            assert_eq!(refusal.is_none(), expected, "{role} is admitted to {}", operation.shown());
            *if expected { &mut admitted } else { &mut refused } += 1;
            if let Some(refusal) = refusal {
                assert_names_a_scope(&refusal, operation);
            }
        }
    }
    assert!(admitted > 0 && refused > 0, "{admitted} admitted, {refused} refused");
    assert_eq!(tenant.rows(), rows, "a request for nothing has changed a row");
}

/// The challenge of a refusal names a permission of the operation as the scope that is wanted (RFC 6750).
fn assert_names_a_scope(refusal: &Answer, operation: &Operation) {
    let challenge = refusal.header("www-authenticate");
    let wanted = |permission: &String| {
        format!("error=\"insufficient_scope\", scope=\"{}\"", permission.trim_start_matches("operator "))
    };
    let is_named = operation.permissions.iter().map(wanted).any(|scope| challenge.contains(&scope));
    assert!(is_named, "{}: {challenge:?} names no scope of it", operation.shown());
}
