//! Several requests at once: no client's change is lost unseen, and no rule is broken between two requests.

use bulkhead_domain::{RoleName, TenantId};
use serde_json::json;

use crate::support::{Answer, Call, MakesResources, Person, System};

#[tokio::test]
async fn a_change_to_what_one_has_not_read_is_refused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let resource = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let user = format!("/v1/users/{}", tenant.person(RoleName::ADMIN).await.id);
    for (path, change) in [(&resource, json!({ "name": "new" })), (&user, json!({ "role": "developer" }))] {
        let read = owner.get(path).await.expect(200);
        let tag = read.header("etag").to_owned();
        owner.patch(path, &change).header("if-match", &tag).await.expect(200);
        owner.patch(path, &change).header("if-match", &tag).await.refused(412, "precondition-failed");
        owner.delete(path).header("if-match", &tag).await.refused(412, "precondition-failed");
        owner.patch(path, &change).header("if-match", "\"v99\"").await.refused(412, "precondition-failed");
        let now = owner.get(path).await.expect(200);
        assert_eq!(now.at("/version"), "2");
        // The thing is as the change wants it already, so there is no new version.
        let unchanged = owner.patch(path, &change).header("if-match", "*").await.expect(200);
        assert_eq!((unchanged.at("/version"), unchanged.header("etag")), ("2".to_owned(), "\"v2\""));
        owner.delete(path).header("if-match", "\"v2\"").await.expect(204);
    }
    let stale = owner.delete(&format!("/v1/users/{}", tenant.owner.id)).header("if-match", "\"v7\"").await;
    // A refusal for what may never be done comes before the refusal for a version that is out of date.
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
            _ => drop(answer.refused(412, "precondition-failed")),
        }
    }
    assert_eq!(made.len(), 1);
    let now = tenant.owner.caller.get(&path).await;
    assert_eq!((now.at("/name"), now.at("/version")), (made[0].clone(), "2".to_owned()));
}

/// Sends so many requests at once; what they were answered.
async fn at_once<'a>(number: usize, call: impl Fn(usize) -> Call<'a>) -> Vec<Answer> {
    futures::future::join_all((0..number).map(|which| call(which).into_future())).await
}

#[tokio::test]
async fn without_a_version_the_last_change_wins_and_no_change_is_refused() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, operator) = (tenant.owner.caller.clone(), system.operator().await);
    let resource = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let user = format!("/v1/users/{}", tenant.person(RoleName::READ_ONLY).await.id);
    let of_operator = format!("/v1/admin/tenants/{}", tenant.id);
    let role = |which: usize| if which.is_multiple_of(2) { "admin" } else { "developer" };
    for (caller, path, field) in
        [(&owner, &resource, "name"), (&owner, &user, "role"), (&operator, &of_operator, "name")]
    {
        let value =
            |which: usize| if field == "role" { role(which).to_owned() } else { format!("change {which}") };
        let before: usize = caller.get(path).await.expect(200).at("/version").parse().unwrap();
        let answers = at_once(20, |which| caller.patch(path, &json!({ field: value(which) }))).await;
        for (which, answer) in answers.iter().enumerate() {
            assert_eq!(
                (answer.status, answer.at(&format!("/{field}"))),
                (200, value(which)),
                "{}",
                answer.show()
            );
        }
        let now = caller.get(path).await.expect(200);
        // Each request has made a version of its own, unless the thing was already as the request wanted it. The last
        // version is what there is.
        let last =
            answers.iter().max_by_key(|answer| answer.at("/version").parse::<usize>().unwrap()).unwrap();
        assert_eq!(now.json(), last.json());
        let changed = now.at("/version").parse::<usize>().unwrap() - before;
        assert!(if field == "role" { (1..=20).contains(&changed) } else { changed == 20 }, "{changed}");
    }
    for path in [&resource, &user] {
        let answers = at_once(10, |_| owner.delete(path)).await;
        let (gone, missing): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 204);
        assert_eq!(gone.len(), 1);
        for answer in missing {
            answer.refused(404, "not-found");
        }
    }
    // With a version in the request, one request succeeds and the others are told that the thing has changed. A
    // deleted thing is gone for all.
    let path = format!("/v1/resources/{}", tenant.resource("another").await);
    let change = |which: usize| json!({ "name": format!("change {which}") });
    let answers = at_once(20, |which| match which % 2 {
        0 => owner.patch(&path, &change(which)).header("if-match", "\"v1\""),
        _ => owner.delete(&path).header("if-match", "\"v1\""),
    })
    .await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status < 300).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 204, 404, 412].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn a_change_that_changes_nothing_leaves_no_trace() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let (owner, operator) = (&tenant.owner.caller, system.operator().await);
    let resource = format!("/v1/resources/{}", tenant.resource("a thing").await);
    let user = format!("/v1/users/{}", tenant.owner.id);
    let of_operator = format!("/v1/admin/tenants/{}", tenant.id);
    let uuid = tenant.id.parse::<TenantId>().unwrap().uuid();
    let of_platform = || {
        let of = |sql: &str| system.sql(&sql.replace("$id", &tenant.id).replace("$uuid", &uuid.to_string()));
        of("SELECT * FROM platform.audit_log WHERE target = '$id' ORDER BY id")
            + &of("SELECT * FROM platform.tenants WHERE id = '$uuid'")
            + &of("SELECT * FROM platform.revocations WHERE tenant_id = '$uuid' ORDER BY id")
    };
    let before = (tenant.rows(), of_platform());
    for change in [json!({}), json!({ "name": "a thing" }), json!({ "name": "a thing", "kind": "document" })]
    {
        let read = owner.get(&resource).await.expect(200);
        let unchanged =
            owner.patch(&resource, &change).header("if-match", read.header("etag")).await.expect(200);
        assert_eq!((unchanged.json(), unchanged.header("etag")), (read.json(), read.header("etag")));
        owner
            .patch(&resource, &change)
            .header("if-match", "\"v7\"")
            .await
            .refused(412, "precondition-failed");
    }
    owner.patch(&user, &json!({ "role": "owner" })).await.expect(200);
    for change in [json!({}), json!({ "name": "Acme Corporation" }), json!({ "plan": "enterprise" })] {
        operator.patch(&of_operator, &change).await.expect(200);
    }
    operator.post_nothing(&format!("{of_operator}/activate")).await.expect(200);
    assert_eq!((tenant.rows(), of_platform()), before);
    operator.post_nothing(&format!("{of_operator}/suspend")).await.expect(200);
    let suspended = of_platform();
    operator.post_nothing(&format!("{of_operator}/suspend")).await.expect(200);
    assert_eq!(of_platform(), suspended);
    assert_ne!(suspended, before.1);
}

#[tokio::test]
async fn two_requests_cannot_remove_the_last_two_owners() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let mut remaining = tenant.log_in(&tenant.owner.email, &tenant.owner.password).await;
    for round in 0..4 {
        let email = format!("{round}@example.com");
        let body = json!({ "email": email, "password": "correct horse", "role": "owner" });
        remaining.caller.post("/v1/users", &body).await.expect(201);
        let second = tenant.log_in(&email, "correct horse").await;
        // Each takes their own role away: another's would be a matter of who still may.
        let away = async |person: &Person<'_>| {
            let path = format!("/v1/users/{}", person.id);
            match round % 2 {
                0 => person.caller.delete(&path).await,
                _ => person.caller.patch(&path, &json!({ "role": "admin" })).await,
            }
        };
        let (one, two) = tokio::join!(away(&remaining), away(&second));
        let gone = [one.status < 300, two.status < 300];
        assert!(gone == [true, false] || gone == [false, true], "{}\n{}", one.show(), two.show());
        let (refused, stays) = if gone[0] { (two, second) } else { (one, remaining) };
        refused.refused(409, "last-owner");
        remaining = stays;
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
