//! Lists that show only some of their rows.

use serde_json::Value;

use super::{aim::query, isolation::furnished, lists::walk};
use crate::{App, Tenant, body::plain, id};

/// Each filter of each list, in every page: with a choice that it gives, with the id of something that was made, or with what
/// the member of its name is in something that was made, the list shows no row that is otherwise, and shows what was made when
/// that is so. A filter whose name no member of a row has must be answered with a page, of which nothing more can be said.
pub async fn a_filter_shows_what_it_says(app: &App) {
    let furnished = furnished(app).await;
    let operator = app.operator().await;
    let mut shown = 0;
    for list in app.contract.those(|operation| operation.takes("cursor")) {
        let needed = query(app, list, "");
        let filters: Vec<_> =
            list.filters().filter(|(name, _)| !needed.contains(&format!("{name}="))).collect();
        if filters.is_empty() {
            continue;
        }
        let caller = if list.is_for_operators() { &operator } else { &furnished.tenant.owner.caller };
        let read = async |filter: &str| {
            let path = format!("{}{}", list.path, query(app, list, &format!("limit=50{filter}")));
            walk(caller, &path).await
        };
        let mark = &furnished.of(list).mark;
        let is_made = |row: &&Value| row.to_string().contains(mark);
        let all = read("").await;
        let made =
            all.iter().find(is_made).unwrap_or_else(|| panic!("{} does not show {mark}", list.shown()));
        for (name, schema) in filters {
            let has_member = app.contract.row_of(list)["properties"][name].is_object();
            for value in values(&furnished.tenant, plain(app.contract.document(), schema), &made[name]).await
            {
                let rows = read(&format!("&{name}={}", encoded(&value))).await;
                if !has_member {
                    continue;
                }
                let asked = format!("{} with {name}={value}", list.shown());
                let other = rows.iter().find(|row| text(&row[name]).as_deref() != Some(value.as_str()));
                assert!(other.is_none(), "{asked} shows {}", other.unwrap_or(&Value::Null));
                if text(&made[name]).as_deref() == Some(value.as_str()) {
                    assert!(rows.iter().any(|row| is_made(&row)), "{asked} does not show {mark}: {rows:?}");
                    shown += 1;
                }
            }
        }
    }
    assert!(shown > 0, "no filter has shown anything");
}

/// What a filter is asked with: `made` is the member of its name in something that the list shows.
async fn values(tenant: &Tenant<'_>, schema: &Value, made: &Value) -> Vec<String> {
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().filter_map(text).collect();
    }
    if schema["type"] == "boolean"
        || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&"boolean".into()))
    {
        return ["true", "false"].map(str::to_owned).to_vec();
    }
    if let Some(value) = text(made) {
        return vec![value];
    }
    match id::prefix_of(schema).and_then(|prefix| tenant.app.fixtures.of_prefix(prefix)) {
        Some(known) => vec![known.make(tenant, &[]).await.id],
        None => Vec::new(),
    }
}

/// A value as it is written in a query; none for null, and for what has parts.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Percent-encoded, but for what needs not be.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
