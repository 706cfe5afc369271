//! Several at once: nobody's change is lost unseen, and no rule is broken between two requests.

use bulkhead_domain::Role;
use serde_json::json;

use crate::support::System;

#[tokio::test]
async fn a_change_to_what_one_has_not_read_is_refused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let resource = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let user = format!("/v1/users/{}", tenant.person(Role::Admin).await.id);
    for (path, change) in [(&resource, json!({ "name": "new" })), (&user, json!({ "role": "developer" }))] {
        let read = owner.get(path).await.expect(200);
        let tag = read.header("etag").to_owned();
        owner.patch(path, &change).header("if-match", &tag).await.expect(200);
        owner.patch(path, &change).header("if-match", &tag).await.refused(412, "precondition-failed");
        owner.delete(path).header("if-match", &tag).await.refused(412, "precondition-failed");
        owner.patch(path, &change).header("if-match", "\"v99\"").await.refused(412, "precondition-failed");
        let now = owner.get(path).await.expect(200);
        assert_eq!(now.at("/version"), "2");
        owner.patch(path, &change).header("if-match", "*").await.expect(200);
        owner.delete(path).header("if-match", "\"v3\"").await.expect(204);
    }
    let stale = owner.delete(&format!("/v1/users/{}", tenant.owner.id)).header("if-match", "\"v7\"").await;
    // What may not be done at all is told before what was read too long ago.
    stale.refused(409, "last-owner");
}

#[tokio::test]
async fn of_changes_to_the_same_version_one_is_made() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let path = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let changes: Vec<_> = (0..12)
        .map(|number| {
            let change = json!({ "name": format!("change {number}") });
            let call = tenant.owner.caller.patch(&path, &change).header("if-match", "\"v1\"");
            tokio::spawn(call.into_future())
        })
        .collect();
    let mut made = Vec::new();
    for change in changes {
        let answer = change.await.unwrap();
        match answer.status {
            200 => made.push(answer.at("/name")),
            409 => drop(answer.refused(409, "conflict")),
            _ => drop(answer.refused(412, "precondition-failed")),
        }
    }
    assert_eq!(made.len(), 1);
    let now = tenant.owner.caller.get(&path).await;
    assert_eq!((now.at("/name"), now.at("/version")), (made[0].clone(), "2".to_owned()));
}

#[tokio::test]
async fn two_requests_cannot_remove_the_last_two_owners() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    // A program does it: a person's own token would be revoked on the way.
    let program = tenant.key(Role::Owner).await.caller;
    let mut remaining = tenant.owner.id.clone();
    for round in 0..4 {
        let body =
            json!({ "email": format!("{round}@example.com"), "password": "correct horse", "role": "owner" });
        let second = program.post("/v1/users", &body).await.expect(201).at("/id");
        let paths = [&remaining, &second].map(|id| format!("/v1/users/{id}"));
        let away = |path: &str| match round % 2 {
            0 => program.delete(path).into_future(),
            _ => program.patch(path, &json!({ "role": "admin" })).into_future(),
        };
        let (one, two) = tokio::join!(away(&paths[0]), away(&paths[1]));
        let gone = [one.status < 300, two.status < 300];
        assert!(gone == [true, false] || gone == [false, true], "{}\n{}", one.show(), two.show());
        let (refused, id) = if gone[0] { (two, second) } else { (one, remaining) };
        refused.refused(409, "last-owner");
        remaining = id;
        let owners = format!("SELECT count(*) FROM {}.users WHERE role = 'owner'", tenant.schema());
        assert_eq!(system.sql(&owners), "1");
    }
}

#[tokio::test]
async fn of_people_with_one_address_one_is_added() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let body = json!({ "email": "same@example.com", "password": "correct horse", "role": "developer" });
    let add = || tenant.owner.caller.post("/v1/users", &body).into_future();
    let (one, two, three) = tokio::join!(add(), add(), add());
    let mut statuses = [one, two, three].map(|answer| answer.status);
    statuses.sort_unstable();
    assert_eq!((statuses, tenant.count("users")), ([201, 409, 409], 2));
}
