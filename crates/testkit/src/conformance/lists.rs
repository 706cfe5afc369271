//! Lists, page by page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::isolation::furnished;
use crate::{App, Caller, conformance::aim::query};

/// Reads a list page by page, as its links lead.
pub(super) async fn walk(caller: &Caller<'_>, first: &str) -> Vec<Value> {
    let (mut rows, mut path) = (Vec::new(), first.to_owned());
    loop {
        let page = caller.get(&path).await.expect(200);
        rows.extend(page.json()["data"].as_array().unwrap().clone());
        let cursor = page.json()["next_cursor"].clone();
        let Some(cursor) = cursor.as_str() else {
            assert_eq!(page.header("link"), "", "{path}");
            return rows;
        };
        let link = page.header("link").to_owned();
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
        let next = next.unwrap_or_else(|| panic!("{path} has no link to its next page, but {link:?}"));
        assert!(next.ends_with(&format!("cursor={cursor}")), "{path}: {link}");
        next.clone_into(&mut path);
    }
}

/// Read by its links, in pages of one and of two, a list shows what it shows in one page. Lists of operators, in which other
/// tests' tenants come and go, show each row once, and what was there before.
pub async fn a_list_is_the_same_in_many_pages_and_in_one(app: &App) {
    let furnished = furnished(app).await;
    let tenant = &furnished.tenant;
    let operator = app.operator().await;
    for list in app.contract.those(|operation| operation.takes("cursor")) {
        let path = |limit: &str| format!("{}{}", list.path, query(app, list, limit));
        if list.is_for_operators() {
            let rows = walk(&operator, &path("limit=50")).await;
            let ids = rows.iter().map(|row| row.get("tenant").unwrap_or(&row["id"]).to_string());
            let mut seen = BTreeSet::new();
            for id in ids {
                assert!(seen.insert(id.clone()), "{} shows {id} twice", list.shown());
            }
            let ours = json!(furnished.of(list).id);
            let is_ours =
                |row: &Value| ["tenant", "id", "name", "target"].iter().any(|name| row[name] == ours);
            assert!(rows.iter().any(is_ours), "{} does not show {ours}", list.shown());
            continue;
        }
        let caller = &tenant.owner.caller;
        let whole = caller.get(&path("limit=100")).await.expect(200).json()["data"].clone();
        let whole = whole.as_array().unwrap();
        assert!(
            whole.len() >= 3,
            "{}: its fixture was made three times, and there are {whole:?}",
            list.shown()
        );
        for limit in ["limit=1", "limit=2"] {
            assert_eq!(walk(caller, &path(limit)).await, *whole, "{}?{limit}", list.shown());
        }
    }
}
