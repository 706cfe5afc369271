//! Who may do what: every role against every operation of the document.

use serde_json::json;

use crate::{App, Caller, Operation};

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
/// a caller that may not even ask is told so first.
async fn is_admitted(caller: &Caller<'_>, operation: &Operation) -> bool {
    let call = caller.call(&operation.method, &operation.path_of(NOTHING));
    let answer = if operation.takes_body() { call.json(&json!({})).await } else { call.await };
    match (answer.status, answer.code().as_str()) {
        (403, "insufficient-permission") => false,
        (401 | 403 | 429, _) => panic!("{}: {}", operation.shown(), answer.show()),
        _ => true,
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
            let is_admitted = is_admitted(caller, operation).await;
            assert_eq!(is_admitted, expected, "{role} is admitted to {}", operation.shown());
            *if is_admitted { &mut admitted } else { &mut refused } += 1;
        }
    }
    assert!(admitted > 0 && refused > 0, "{admitted} admitted, {refused} refused");
    assert_eq!(tenant.rows(), rows, "a request for nothing has changed a row");
}

/// What is about the caller's own log-in is for people who have logged in, of every role: not for a key, and not without a
/// credential.
pub async fn what_is_a_persons_own_is_for_people_alone(app: &App) {
    let tenant = app.tenant().await;
    let key = tenant.key("owner").await.caller;
    let person = tenant.person("read_only").await.caller;
    let personal: Vec<_> =
        app.contract.operations().iter().filter(|operation| operation.is_personal()).collect();
    assert!(!personal.is_empty(), "the document has no such operation");
    for operation in personal {
        let ask = async |caller: &Caller<'_>, path: &str| {
            let call = caller.call(&operation.method, path);
            if operation.takes_body() { call.json(&json!({})).await } else { call.await }
        };
        let path = operation.path_of(NOTHING);
        let told = |answer: &crate::Answer| (answer.status, answer.code());
        let of_nobody = ask(&app.anonymous(), &path).await;
        assert_eq!(told(&of_nobody), (401, "missing-credentials".to_owned()), "{}", operation.shown());
        let of_key = ask(&key, &path).await;
        assert_eq!(told(&of_key), (403, "person-required".to_owned()), "{}", operation.shown());
        let unknown = ask(&person, &format!("{path}?colour=red")).await;
        assert_eq!(unknown.status, 400, "{}: {}", operation.shown(), unknown.show());
    }
}
