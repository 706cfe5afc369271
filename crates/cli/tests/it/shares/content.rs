//! What a tenant stores, and the pages that show it: kept to the letter, and bounded in bytes.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::System;

/// The largest content, unless configured otherwise.
const LIMIT: usize = 256 << 10;

/// The body of a new resource with this content, which need not be what `serde_json` would write.
fn body_with(data: &str) -> String {
    format!(r#"{{"name":"a","kind":"b","data":{data}}}"#)
}

#[tokio::test]
async fn content_is_kept_to_the_letter_and_what_cannot_be_kept_is_refused_by_its_place() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let exact = r#"{"z":18446744073709551616, "fine":0.12345678901234567890123,"a":[1.10,-1e-7,-0.0, 1E+2]}"#;
    let made =
        owner.call("POST", "/v1/resources").body("application/json", body_with(exact)).await.expect(201);
    for answer in [&made.body, &owner.get(made.header("location")).await.expect(200).body] {
        assert!(answer.contains(exact), "{exact} is not in {answer}");
    }
    for (data, pointer) in [
        (r#"{"amount":1,"amount":2}"#, "/data/amount"),
        (r#"{"list":[{"a":1},{"a":1,"\u0061":2}]}"#, "/data/list/1/a"),
        (r#"{"a":{"b":1e-9999}}"#, "/data/a/b"),
        (r#"{"a":1e9999}"#, "/data/a"),
        (r#"{"a":"\u0000"}"#, "/data/a"),
        (r#"{"a":"\ud800"}"#, "/data/a"),
        ("[1]", "/data"),
        ("7", "/data"),
    ] {
        for (method, path, body) in [
            ("POST", "/v1/resources", body_with(data)),
            ("PATCH", made.header("location"), format!(r#"{{"data":{data}}}"#)),
        ] {
            let answer = owner.call(method, path).body("application/json", body).await;
            assert_eq!(answer.at("/errors/0/pointer"), pointer, "{data}: {}", answer.body);
            answer.refused(422, "validation-failed");
        }
    }
    assert_eq!(owner.get(made.header("location")).await.expect(200).at("/version"), "1");
}

#[tokio::test]
async fn content_has_a_bound_of_its_own_however_it_expands() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let wide = format!(r#"{{"a":"{}"}}"#, "x".repeat(LIMIT - r#"{"a":""}"#.len()));
    let numbers = vec!["1e300"; LIMIT / 6 - 2].join(",");
    let shapes = [
        (wide.clone(), true),
        (wide.replacen('x', "xx", 1), false),
        (format!(r#"{{"a":"x"{}}}"#, " ".repeat(LIMIT)), false),
        (format!(r#"{{"a":[{numbers}]}}"#), true),
        (format!(r#"{{"a":[{}]}}"#, vec![r#"{"":0}"#; LIMIT / 7 - 1].join(",")), true),
    ];
    for (data, fits) in shapes {
        let answer = owner.call("POST", "/v1/resources").body("application/json", body_with(&data)).await;
        if fits {
            answer.expect(201);
        } else {
            assert_eq!(answer.at("/errors/0/pointer"), "/data", "{}", answer.body);
            answer.refused(422, "validation-failed");
        }
    }
}

#[tokio::test]
async fn a_page_ends_by_bytes_and_the_next_one_begins_where_it_ended() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let mut made = Vec::new();
    for (number, size) in [200, 200, 200, 200, 200, 200, 1, 1, 1, 200].into_iter().enumerate() {
        let data = json!({ "text": "x".repeat(size << 10) });
        let body = json!({ "name": format!("r{number}"), "kind": "wide", "data": data });
        made.push(owner.post("/v1/resources", &body).await.expect(201).at("/id"));
    }
    for query in ["limit=100", "limit=100&kind=wide", "limit=4"] {
        let (mut seen, mut pages, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = owner.get(&format!("/v1/resources?{query}{cursor}")).await.expect(200);
            let page = page.json();
            let rows = page["data"].as_array().unwrap();
            seen.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            pages.push(rows.len());
            let bytes: usize = rows.iter().map(|row| row["data"].to_string().len()).sum();
            assert!(bytes <= (1 << 20) + LIMIT, "{bytes} bytes in a page");
            let Value::String(next) = &page["next_cursor"] else { break };
            cursor.clear();
            write!(cursor, "&cursor={next}").unwrap();
        }
        assert_eq!(seen, made, "{query}");
        let expected: &[usize] = if query == "limit=4" { &[4, 4, 2] } else { &[6, 4] };
        assert_eq!(pages, expected, "{query}");
    }
}
