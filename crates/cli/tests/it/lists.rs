//! What a cursor promises.

use std::collections::BTreeSet;

use crate::support::{MakesResources, System};

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
