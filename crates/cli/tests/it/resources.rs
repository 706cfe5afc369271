//! Business objects.

use bulkhead_domain::{Clock, RoleName, SystemClock};
use bulkhead_resources::ResourceId;
use serde_json::json;

use crate::support::{MakesResources, System};

#[tokio::test]
async fn from_creation_to_removal() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;

    let body = json!({ "name": "Quarterly report", "kind": "document", "data": { "pages": 12 } });
    let created = owner.post("/v1/resources", &body).await;
    insta::assert_snapshot!(created.show(), @r#"
    201
    location: /v1/resources/res_…
    etag: "v1"
    {
      "created_at": "[time]",
      "data": {
        "pages": 12
      },
      "id": "res_…",
      "kind": "document",
      "name": "Quarterly report",
      "owner": "usr_…",
      "updated_at": "[time]",
      "version": 1
    }
    "#);
    let path = created.header("location").to_owned();
    assert_eq!(path, format!("/v1/resources/{}", created.at("/id")));
    assert_eq!(created.at("/owner"), tenant.owner.id);

    let read = owner.get(&path).await;
    assert_eq!((read.json(), read.header("etag")), (created.json(), created.header("etag")));

    let change = json!({ "name": "Quarterly report, final" });
    let changed = owner.patch(&path, &change).header("if-match", read.header("etag")).await;
    insta::assert_snapshot!(changed.show(), @r#"
    200
    etag: "v2"
    {
      "created_at": "[time]",
      "data": {
        "pages": 12
      },
      "id": "res_…",
      "kind": "document",
      "name": "Quarterly report, final",
      "owner": "usr_…",
      "updated_at": "[time]",
      "version": 2
    }
    "#);
    assert!(changed.at("/updated_at") > created.at("/updated_at"));

    insta::assert_snapshot!(owner.get("/v1/resources").await.show(), @r#"
    200
    {
      "data": [
        {
          "created_at": "[time]",
          "data": {
            "pages": 12
          },
          "id": "res_…",
          "kind": "document",
          "name": "Quarterly report, final",
          "owner": "usr_…",
          "updated_at": "[time]",
          "version": 2
        }
      ],
      "next_cursor": null
    }
    "#);
    insta::assert_snapshot!(owner.delete(&path).header("if-match", changed.header("etag")).await.show(), @"204");
    insta::assert_snapshot!(owner.get(&path).await.show(), @r#"
    404
    content-type: application/problem+json
    {
      "code": "not-found",
      "detail": "There is no such resource.",
      "request_id": "req_…",
      "status": 404,
      "title": "Not Found",
      "type": "urn:bulkhead:problem:not-found"
    }
    "#);
    owner.delete(&path).await.refused(404, "not-found");
    owner.patch(&path, &change).await.refused(404, "not-found");
}

#[tokio::test]
async fn left_out_content_is_an_empty_object_and_a_change_replaces_only_what_it_names() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(RoleName::DEVELOPER).await;

    let created = key.caller.post("/v1/resources", &json!({ "name": "a", "kind": "b" })).await.expect(201);
    assert_eq!((created.at("/data"), created.at("/owner")), ("{}".to_owned(), key.id.clone()));
    let path = created.header("location").to_owned();
    for (change, name, kind, data) in [
        (json!({ "data": { "x": [1, null, "ä"] } }), "a", "b", json!({ "x": [1, null, "ä"] })),
        (json!({ "kind": "c" }), "a", "c", json!({ "x": [1, null, "ä"] })),
        (json!({ "name": "d", "kind": "e", "data": {} }), "d", "e", json!({})),
        (json!({}), "d", "e", json!({})),
    ] {
        let changed = key.caller.patch(&path, &change).await.expect(200).json();
        assert_eq!(
            (&changed["name"], &changed["kind"], &changed["data"]),
            (&json!(name), &json!(kind), &data)
        );
    }
    // The last one has changed nothing.
    assert_eq!(key.caller.get(&path).await.at("/version"), "4");
}

#[tokio::test]
async fn content_comes_back_as_it_was_sent() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let data = json!({
        "text": "ünï©ode \u{1F30A} \\ \" ' $$ -- ; DROP TABLE users",
        "control": "\t\n\r\u{1}",
        "numbers": [0, -1, 1.5, 9_007_199_254_740_993_i64, u64::MAX, 1e300, 1e-300],
        "nested": { "a": [{ "b": [[[]]] }] },
        "__proto__": {},
        "": "",
    });
    let body = json!({ "name": "Ω \u{1F30A} '; --", "kind": "$1", "data": data });
    let created = owner.post("/v1/resources", &body).await.expect(201);
    let read = owner.get(created.header("location")).await.json();
    assert_eq!((&read["name"], &read["kind"], &read["data"]), (&body["name"], &body["kind"], &data));
}

#[tokio::test]
async fn a_list_is_cut_into_pages_and_filtered_by_kind() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let mut made = Vec::new();
    for number in 0..5 {
        let kind = if number % 2 == 0 { "even" } else { "odd" };
        let body = json!({ "name": format!("number {number}"), "kind": kind });
        made.push(owner.post("/v1/resources", &body).await.expect(201).at("/id"));
    }

    let mut seen = Vec::new();
    let mut path = "/v1/resources?limit=2".to_owned();
    loop {
        let page = owner.get(&path).await.expect(200);
        let rows = page.json()["data"].as_array().unwrap().clone();
        assert!(rows.len() <= 2);
        seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let cursor = page.json()["next_cursor"].clone();
        let link = page.header("link").to_owned();
        let Some(cursor) = cursor.as_str() else {
            assert_eq!(link, "");
            break;
        };
        path = format!("/v1/resources?limit=2&cursor={cursor}");
        assert_eq!(link, format!("<{path}>; rel=\"next\""));
    }
    assert_eq!(seen, made);
    // However its name is written, there is one cursor.
    let written_otherwise =
        owner.get(&format!("/v1/resources?%63ursor={}&limit=1", made[0])).await.expect(200);
    let link = written_otherwise.header("link").to_owned();
    assert_eq!(link, format!("</v1/resources?limit=1&cursor={}>; rel=\"next\"", made[1]));

    let odd = owner.get("/v1/resources?kind=odd").await.expect(200).json();
    let names: Vec<_> = odd["data"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["number 1", "number 3"]);
    let none = owner.get("/v1/resources?kind=%27%20OR%201%3D1").await.expect(200);
    insta::assert_snapshot!(none.show(), @r#"
    200
    {
      "data": [],
      "next_cursor": null
    }
    "#);
    // A cursor that names nothing is a place in the order all the same.
    let after_all = ResourceId::mint(SystemClock.now());
    let end = owner.get(&format!("/v1/resources?cursor={after_all}")).await.expect(200);
    assert_eq!(end.at("/data"), "[]");
}

#[tokio::test]
async fn fields_that_do_not_hold_are_named_all_at_once() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;

    let body = json!({ "name": " padded", "kind": "", "data": [1] });
    insta::assert_snapshot!(owner.post("/v1/resources", &body).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must not be empty, nor begin or end with a blank",
          "pointer": "/name"
        },
        {
          "detail": "must not be empty, nor begin or end with a blank",
          "pointer": "/kind"
        },
        {
          "detail": "must be an object",
          "pointer": "/data"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    let id = tenant.resource("a thing").await;
    let change = json!({ "name": "new\nline", "kind": "k".repeat(65), "data": { "deep": ["nul \u{0}"] } });
    insta::assert_snapshot!(owner.patch(&format!("/v1/resources/{id}"), &change).await.show(), @r#"
    422
    content-type: application/problem+json
    {
      "code": "validation-failed",
      "detail": "Some fields hold values that are not allowed.",
      "errors": [
        {
          "detail": "must not contain control characters",
          "pointer": "/name"
        },
        {
          "detail": "must be at most 64 characters long",
          "pointer": "/kind"
        },
        {
          "detail": "must not contain the character U+0000",
          "pointer": "/data/deep/0"
        }
      ],
      "request_id": "req_…",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:bulkhead:problem:validation-failed"
    }
    "#);
    // Characters are counted, not bytes.
    let long = json!({ "name": "ä".repeat(200), "kind": "ä".repeat(64) });
    owner.post("/v1/resources", &long).await.expect(201);
    let longer = json!({ "name": "ä".repeat(201), "kind": "b" });
    owner.post("/v1/resources", &longer).await.refused(422, "validation-failed");
    owner.get("/v1/resources?kind=").await.refused(400, "invalid-parameter");
    assert_eq!(tenant.count("resources"), 2);
}
