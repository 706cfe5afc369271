//! Lists: pages, and what a cursor promises.

use std::collections::BTreeSet;

use bulkhead_domain::{RoleName, TenantId};
use serde_json::{Value, json};

use crate::support::{Caller, System, Tenant, this_month};

/// A tenant with three of everything that can be listed.
async fn furnished(system: &System) -> Tenant<'_> {
    let tenant = system.tenant().await;
    for name in ["one", "two", "three"] {
        tenant.resource(name).await;
        tenant.key(RoleName::READ_ONLY).await;
        let body =
            json!({ "email": format!("{name}@example.com"), "password": "correct horse", "role": "admin" });
        tenant.owner.caller.post("/v1/users", &body).await.expect(201);
    }
    let uuid = tenant.id.parse::<TenantId>().unwrap().uuid();
    system.sql(&format!(
        "INSERT INTO platform.jobs (id, kind, tenant_id, payload, state, max_attempts, finished_at) \
         SELECT gen_random_uuid(), 'purge_expired', '{uuid}', '{{}}', 'succeeded', 1, now() FROM generate_series(1, 3); \
         INSERT INTO platform.scaling_decisions \
         SELECT gen_random_uuid(), '{uuid}', '2026-11-01 00:00Z'::timestamptz + n * interval '1 minute', 'hold', 2, 2, 0, \
             NULL, 'nothing to do' FROM generate_series(1, 3) n"
    ));
    tenant
}

/// Reads a list page by page, as its links lead.
async fn walk(caller: &Caller<'_>, first: &str) -> Vec<Value> {
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
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).unwrap();
        assert!(next.ends_with(&format!("cursor={cursor}")), "{path}: {link}");
        next.clone_into(&mut path);
    }
}

#[tokio::test]
async fn every_list_is_the_same_in_many_pages_and_in_one() {
    let system = System::shared().await;
    let tenant = furnished(system).await;
    let operator = system.operator().await;
    let mut covered = 0;
    for list in system.contract.operations().iter().filter(|operation| operation.takes("cursor")) {
        let query = if list.takes("period") { format!("period={}&", this_month()) } else { String::new() };
        let path = format!("{}?{query}", list.path);
        if list.is_for_operators() {
            // Other tests sign tenants up meanwhile. Each tenant is listed once, and the one that was there before is
            // among them.
            let rows = walk(&operator, &format!("{path}limit=50")).await;
            let ids: Vec<&str> =
                rows.iter().map(|row| row.get("tenant").unwrap_or(&row["id"]).as_str().unwrap()).collect();
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{}", list.id);
            assert!(ids.contains(&tenant.id.as_str()), "{}", list.id);
        } else {
            let caller = &tenant.owner.caller;
            let whole = caller.get(&format!("{path}limit=100")).await.expect(200).json()["data"].clone();
            let whole = whole.as_array().unwrap();
            assert!(whole.len() >= 3, "{}: nothing to see", list.id);
            assert_eq!(walk(caller, &format!("{path}limit=1")).await, *whole, "{}", list.id);
            assert_eq!(walk(caller, &format!("{path}limit=2")).await, *whole, "{}", list.id);
        }
        covered += 1;
    }
    assert!(covered > 6);
}

#[tokio::test]
async fn what_is_there_at_the_first_page_is_shown_once_whatever_comes_and_goes() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let mut there = Vec::new();
    for number in 0..8 {
        there.push(tenant.resource(&format!("number {number}")).await);
    }
    let insert = |id: &str| {
        system.sql(&format!(
            "INSERT INTO {}.resources (id, name, kind, data, owner, created_at, updated_at) \
             VALUES ('{id}', 'a late one', 'document', '{{}}', 'usr_', now(), now())",
            tenant.schema()
        ));
    };
    let (mut seen, mut path) = (Vec::new(), "/v1/resources?limit=2".to_owned());
    loop {
        let page = owner.get(&path).await.expect(200);
        let rows = page.json()["data"].as_array().unwrap().clone();
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.json()["next_cursor"].as_str().map(ToOwned::to_owned) else { break };
        if seen.len() == 2 {
            // One row that was begun before all others and is committed only now, and one that is newer than all
            // others.
            insert("00000000-0000-7000-8000-000000000001");
            insert("ffffffff-ffff-7fff-bfff-ffffffffffff");
            owner.delete(&format!("/v1/resources/{}", there[0])).await.expect(204);
            owner.delete(&format!("/v1/resources/{}", there[5])).await.expect(204);
        }
        path = format!("/v1/resources?limit=2&cursor={cursor}");
    }
    for (number, id) in there.iter().enumerate() {
        let expected = usize::from(number != 5);
        assert_eq!(seen.iter().filter(|shown| *shown == id).count(), expected, "{number}");
    }
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
}
