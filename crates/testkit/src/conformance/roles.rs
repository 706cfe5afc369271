//! Who may do what: every role against every operation of the document.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::{
    Answer, App, Caller, Operation,
    contract::{Contract, OPERATOR},
    unique,
};

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

/// What the document says of an operation that every role of a tenant is admitted to.
const ANY: &str = "any principal of a tenant";

/// Permissions of tenants that the document names: every other one, and those to read.
fn halves(app: &App) -> [Vec<String>; 2] {
    let all = app
        .operations()
        .iter()
        .filter(|operation| !operation.is_personal())
        .flat_map(|operation| &operation.permissions);
    let all = all.filter(|name| !name.starts_with("operator ") && *name != ANY);
    let all: BTreeSet<&String> = all.collect();
    let each_other = all.iter().step_by(2).map(|name| (*name).clone()).collect();
    [each_other, all.into_iter().filter(|name| name.starts_with("read:")).cloned().collect()]
}

/// People and programs of every role, and operators, are admitted to exactly the operations that the document lists their
/// role for. Those with a role that the tenant has defined are admitted to exactly the operations whose permission it holds: by
/// its name, and by a wildcard.
pub async fn an_operation_is_refused_exactly_when_the_role_lacks_its_permission(app: &App) {
    let tenant = app.tenant().await;
    let mut callers = Vec::new();
    for role in app.contract.tenants_roles() {
        let person = if role == "owner" { tenant.owner.clone() } else { tenant.person(role).await };
        callers.push((role.to_owned(), person.caller));
        callers.push((role.to_owned(), tenant.key(role).await.caller));
    }
    let [some, to_read] = halves(app);
    let mut own_roles = BTreeMap::new();
    for (written, holds) in [(json!(some), &some), (json!(["read:*"]), &to_read)] {
        let name = format!("r{}", unique());
        let body = json!({ "name": name, "permissions": written });
        tenant.owner.caller.post("/v1/roles", &body).await.expect(201);
        callers.push((name.clone(), tenant.person(&name).await.caller));
        callers.push((name.clone(), tenant.key(&name).await.caller));
        own_roles.insert(name, holds);
    }
    for role in app.contract.operators_roles() {
        callers.push((format!("operator {role}"), app.operator_with(role).await));
    }
    // When a key was last used is written beside the requests; here it is written already.
    app.sql(&format!("UPDATE {}.api_keys SET last_used_at = now() + interval '1 hour'", tenant.schema()));
    let rows = tenant.rows();
    let (mut admitted, mut refused) = (0, 0);
    for operation in app.contract.those(|operation| !operation.is_public()) {
        for (role, caller) in &callers {
            let expected = match own_roles.get(role) {
                Some(holds) => operation.permissions.iter().any(|name| name == ANY || holds.contains(name)),
                None => operation.roles.contains(role),
            };
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

/// The tables of the document's description say of every operation, and of each role, what the operation itself says.
pub async fn the_document_shows_who_may_do_what(app: &App) {
    let wrong = untrue(&app.contract);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lines of the tables that are missing or say otherwise.
fn untrue(contract: &Contract) -> Vec<String> {
    let about = contract.document()["info"]["description"].as_str().unwrap_or_default();
    let mut wrong = Vec::new();
    let sides = [("| Tenants | needs | ", ""), ("| Operators | needs | ", OPERATOR)];
    for operation in contract.those(|operation| !operation.is_public()) {
        for (head, prefix) in sides {
            let (roles, rows) = table(about, head);
            let named = format!("| `{} {}` |", operation.method, operation.path);
            let row = rows.into_iter().find(|row| row.starts_with(&named));
            let admitted = roles.iter().filter(|role| operation.roles.contains(&format!("{prefix}{role}")));
            let is_open = admitted.count() > 0;
            let marks =
                row.map(|row| row.trim_matches('|').split('|').skip(2).map(str::trim).collect::<Vec<_>>());
            let wanted = roles
                .iter()
                .map(|role| if operation.roles.contains(&format!("{prefix}{role}")) { "x" } else { "" });
            let wanted = is_open.then(|| wanted.collect::<Vec<_>>());
            if roles.is_empty() || marks != wanted {
                wrong.push(format!(
                    "{} in the table \"{head}\": {marks:?}, not {wanted:?}",
                    operation.shown()
                ));
            }
        }
    }
    wrong
}

/// The roles of a table, and its rows.
fn table<'a>(about: &'a str, head: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut lines = about.lines().skip_while(|line| !line.starts_with(head));
    let roles = lines.next().map(|line| line.trim_matches('|').split('|').skip(2).map(str::trim).collect());
    (roles.unwrap_or_default(), lines.skip(1).take_while(|line| line.starts_with('|')).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn document(description: &str) -> Contract {
        let operation = json!({
            "operationId": "list", "x-permission": ["read:things", "operator read:things"],
            "x-roles": ["owner", "operator admin"],
        });
        Contract::of(json!({
            "info": { "description": description }, "paths": { "/v1/things": { "get": operation } },
        }))
    }

    #[test]
    fn a_table_that_says_otherwise_than_an_operation_is_found() {
        let table = |tenants: &str, operators: &str| {
            format!(
                "A text.\n\n| Tenants | needs | owner | admin |\n|---|---|:-:|:-:|\n{tenants}\n\n\
                 | Operators | needs | admin |\n|---|---|:-:|\n{operators}\n"
            )
        };
        let (ours, theirs) =
            ("| `GET /v1/things` | `read:things` | x |   |", "| `GET /v1/things` | `read:things` | x |");
        assert_eq!(untrue(&document(&table(ours, theirs))), Vec::<String>::new());
        for (tenants, operators) in [
            ("", theirs),
            (ours, ""),
            ("| `GET /v1/things` | `read:things` | x | x |", theirs),
            ("| `GET /v1/things` | `read:things` |   | x |", theirs),
            (ours, "| `GET /v1/things` | `read:things` |   |"),
        ] {
            assert_eq!(untrue(&document(&table(tenants, operators))).len(), 1, "{tenants} {operators}");
        }
        assert_eq!(untrue(&document("A text.")).len(), 2);
    }
}
