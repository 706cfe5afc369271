//! Which members of bodies are secrets, and which of them a test has used.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::fixture::Fixtures;

/// Members whose values are secrets, wherever they are.
pub(crate) const SECRETS: [&str; 9] = [
    "password",
    "current_password",
    "new_password",
    "access_token",
    "refresh_token",
    "token",
    "key",
    "secret",
    "challenge",
];

/// Members that only sound like one.
const HARMLESS: [&str; 4] = ["hint", "token_type", "id_token_signing_alg_values_supported", "api_keys"];

/// What the names of secrets are made of.
const SOUNDS: [&str; 6] = ["pass", "token", "secret", "key", "credential", "hint"];

/// An operation and where in its bodies a secret is.
pub(crate) type Place = (String, String);

tokio::task_local! {
    /// The secrets that were sent and given while [`noting`] ran.
    static NOTED: Arc<Mutex<Noted>>;
}

/// By place.
type Noted = BTreeMap<Place, BTreeSet<String>>;

/// Runs a test's calls, and tells which secrets they have sent or been given in which places.
pub(crate) async fn noting<T>(work: impl Future<Output = T>) -> (T, Noted) {
    let noted = Arc::new(Mutex::default());
    let done = NOTED.scope(Arc::clone(&noted), work).await;
    let noted = noted.lock().unwrap().clone();
    (done, noted)
}

/// Notes the places of a body's secrets for [`noting`].
pub(crate) fn note(operation: &str, body: &Value, fixtures: &Fixtures) {
    let _outside = NOTED.try_with(|noted| {
        let mut noted = noted.lock().unwrap();
        for (place, secret) in in_body(body, fixtures) {
            noted.entry((operation.to_owned(), place)).or_default().insert(secret);
        }
    });
}

/// The secrets of a body, each with where it is.
pub(crate) fn in_body(body: &Value, fixtures: &Fixtures) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk_body(body, "", fixtures, &mut found);
    found
}

fn walk_body(value: &Value, at: &str, fixtures: &Fixtures, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(items) => {
            for item in items {
                walk_body(item, &format!("{at}/-"), fixtures, found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                let at = format!("{at}/{name}");
                match member.as_str().filter(|_| is_secret(name, fixtures)) {
                    Some(secret) => found.push((at, secret.to_owned())),
                    None => walk_body(member, &at, fixtures, found),
                }
            }
        }
        _ => {}
    }
}

/// Where a schema has secrets. Fails for a member that sounds like one and is not known.
pub(crate) fn in_schema(document: &Value, schema: &Value, fixtures: &Fixtures) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(document, schema, "", fixtures, &mut found);
    found
}

fn walk(document: &Value, schema: &Value, at: &str, fixtures: &Fixtures, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        walk(document, target, at, fixtures, found);
    }
    for parts in ["allOf", "oneOf", "anyOf"] {
        for part in schema[parts].as_array().into_iter().flatten() {
            walk(document, part, at, fixtures, found);
        }
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{at}/{name}");
        if is_secret(name, fixtures) {
            found.insert(place);
            continue;
        }
        let is_told = HARMLESS.contains(&name.as_str()) || fixtures.say_of(name).is_some();
        let sounds = SOUNDS.iter().any(|part| name.contains(part)) || member["format"] == "password";
        assert!(
            !sounds || is_told,
            "is {place} a secret? Let a fixture say so, in its `secrets` or its `harmless`"
        );
        walk(document, member, &place, fixtures, found);
    }
    if schema["items"].is_object() {
        walk(document, &schema["items"], &format!("{at}/-"), fixtures, found);
    }
}

/// Whether members of this name hold secrets.
pub(crate) fn is_secret(name: &str, fixtures: &Fixtures) -> bool {
    SECRETS.contains(&name) || fixtures.say_of(name) == Some(true)
}
