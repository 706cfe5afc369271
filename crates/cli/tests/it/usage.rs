//! What was used, as the tenant sees it.

use std::collections::BTreeSet;

use bulkhead_domain::RoleName;
use serde_json::{Value, json};

use crate::support::{Answer, System, eventually, this_month};

/// The quantity of a meter in a report.
pub(crate) fn quantity(report: &Value, meter: &str) -> u64 {
    let lines = report["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["meter"] == meter).unwrap();
    line["quantity"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_report_equals_what_was_done_to_the_last_request_and_byte() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    let period = this_month();
    let owner = &tenant.owner.caller;
    // Signing in has asked for /v1/me once.
    let me = owner.get("/v1/me").await.expect(200);
    let (mut requests, mut ingress, mut egress) = (2, 0, 2 * me.body.len());
    let mut count = |answer: &Answer, sent: &str| {
        requests += 1;
        ingress += sent.len();
        egress += answer.body.len();
    };

    let body =
        json!({ "name": "a thing", "kind": "thing", "data": { "text": "ä".repeat(1000) } }).to_string();
    let once = || owner.call("POST", "/v1/resources").body("application/json", body.as_str());
    let created = once().header("idempotency-key", "once").await.expect(201);
    count(&created, &body);
    let replayed = once().header("idempotency-key", "once").await.expect(201);
    count(&replayed, &body);
    count(&owner.get("/v1/resources").await.expect(200), "");
    count(&owner.get("/v1/users/nobody").await.expect(404), "");
    let wrong = "{\"name\":1}";
    count(&owner.call("POST", "/v1/resources").body("application/json", wrong).await.expect(422), wrong);
    count(&owner.delete(created.header("location")).header("if-match", "\"v7\"").await.expect(412), "");
    count(&owner.delete(created.header("location")).await.expect(204), "");
    let body = json!({ "name": "a reader", "role": "read_only" }).to_string();
    let made = owner.call("POST", "/v1/api-keys").body("application/json", body.as_str()).await.expect(201);
    count(&made, &body);
    // Not billable: refused, unknown, or not theirs.
    let reader = system.anonymous().with_key(&made.at("/key"));
    reader.get("/v1/users").await.expect(403);
    reader.get("/v1/nothing").await.expect(404);
    reader.get("/v1/jobs").header("x-tenant-id", "another").await.expect(400);
    system.anonymous().get("/v1/me").await.expect(401);
    // By the time this last request is counted, the requests above would be counted too, if they were billed.
    count(&owner.get("/v1/me").await.expect(200), "");

    let path = format!("/v1/admin/tenants/{}/usage/report?period={period}", tenant.id);
    let report = async || operator.get(&path).await.expect(200);
    let all_there = |answer: &Answer| quantity(&answer.json(), "api_requests") >= requests;
    eventually(report, all_there).await;
    let report = report().await.json();
    let billed = ["api_requests", "ingress_bytes", "egress_bytes"].map(|meter| quantity(&report, meter));
    assert_eq!(billed, [requests, ingress as u64, egress as u64]);
    let csv = operator.get(&path).header("accept", "text/csv").await.expect(200);
    for line in report["lines"].as_array().unwrap() {
        let cells = ["meter", "unit", "quantity"].map(|cell| line[cell].as_str().unwrap());
        let end = format!(",{},{},Acme Corporation", cells.join(","), tenant.slug);
        let is_line = |row: &str| row.starts_with(&tenant.id) && row.ends_with(&end);
        assert!(csv.body.lines().any(is_line), "{}", csv.body);
    }
}

#[tokio::test]
async fn a_report_has_every_meter_in_json_and_in_csv() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let caller = tenant.key(RoleName::READ_ONLY).await.caller;
    insta::assert_snapshot!(caller.get("/v1/usage/report?period=2020-02").await.show(), @r#"
    200
    {
      "as_of": "[time]",
      "lines": [
        {
          "meter": "api_requests",
          "quantity": "0",
          "unit": "request"
        },
        {
          "meter": "compute_ms",
          "quantity": "0",
          "unit": "millisecond"
        },
        {
          "meter": "ingress_bytes",
          "quantity": "0",
          "unit": "byte"
        },
        {
          "meter": "egress_bytes",
          "quantity": "0",
          "unit": "byte"
        }
      ],
      "name": "Acme Corporation",
      "period": "[month]",
      "slug": "acme",
      "tenant": "ten_…"
    }
    "#);
    let csv = caller.get("/v1/usage/report?period=2020-02").header("accept", "text/csv").await;
    insta::assert_snapshot!(csv.show(), @r#"
    200
    content-type: text/csv; charset=utf-8; header=present
    content-disposition: attachment; filename="usage-2020-02.csv"
    tenant,period,as_of,meter,unit,quantity,slug,name
    ten_…,[month],[time],api_requests,request,0,acme,Acme Corporation
    ten_…,[month],[time],compute_ms,millisecond,0,acme,Acme Corporation
    ten_…,[month],[time],ingress_bytes,byte,0,acme,Acme Corporation
    ten_…,[month],[time],egress_bytes,byte,0,acme,Acme Corporation
    "#);
    for (accept, media_type) in [
        ("*/*", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0.9, application/json;q=0.1", "text/csv; charset=utf-8; header=present"),
        ("text/csv;q=0, application/json", "application/json"),
        ("application/json;q=0.2, text/*", "text/csv; charset=utf-8; header=present"),
        ("image/png", "application/json"),
    ] {
        let answer = caller.get("/v1/usage/report?period=2020-02").header("accept", accept).await;
        assert_eq!(answer.header("content-type"), media_type, "{accept}");
    }
    // To the microsecond, as all times are.
    let as_of = caller.get("/v1/usage/report?period=2020-02").await.at("/as_of");
    assert!(as_of.split_once('.').is_none_or(|(_, rest)| rest.len() <= "123456Z".len()), "{as_of}");
}

#[tokio::test]
async fn a_period_is_a_month() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    insta::assert_snapshot!(owner.get("/v1/usage/report?period=2026-13").await.show(), @r#"
    400
    content-type: application/problem+json
    {
      "code": "invalid-parameter",
      "detail": "period must be a month like 2026-11.",
      "request_id": "req_…",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:bulkhead:problem:invalid-parameter"
    }
    "#);
    insta::assert_snapshot!(owner.get("/v1/usage/report").await.show(), @r#"
    400
    content-type: application/problem+json
    {
      "code": "invalid-parameter",
      "detail": "period must be given.",
      "request_id": "req_…",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:bulkhead:problem:invalid-parameter"
    }
    "#);
    for bad in
        ["", "2026", "2026-1", "26-11", "2026-11-01", "+026-11", "-026-11", "+99-11", "9999-99", "2026-1%00"]
    {
        owner.get(&format!("/v1/usage/report?period={bad}")).await.refused(400, "invalid-parameter");
    }
    for edge in ["0000-01", "0001-01", "9999-12"] {
        let report = owner.get(&format!("/v1/usage/report?period={edge}")).await.expect(200);
        assert_eq!(report.at("/period"), edge);
    }
}

#[tokio::test]
async fn usage_over_time_adds_up_to_the_report() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let operator = system.operator().await;
    let owner = &tenant.owner.caller;
    for _ in 0..5 {
        owner.get("/v1/me").await.expect(200);
    }
    let path = format!("/v1/admin/tenants/{}/usage/report?period={}", tenant.id, this_month());
    let report = async || operator.get(&path).await.expect(200);
    eventually(report, |answer| quantity(&answer.json(), "api_requests") == 6).await;

    let sum = |answer: &Answer| -> u64 {
        let buckets = answer.json()["data"].as_array().unwrap().clone();
        buckets.iter().map(|bucket| bucket["quantity"].as_str().unwrap().parse::<u64>().unwrap()).sum()
    };
    // A request that asks for usage is itself counted later.
    let hours = owner.get("/v1/usage?meter=api_requests").await.expect(200);
    assert_eq!(sum(&hours), 6, "{}", hours.show());
    let today = owner.get("/v1/usage?meter=api_requests&window=day").await.expect(200);
    assert!((6..=7).contains(&sum(&today)), "{}", today.show());
    let meters = owner.get("/v1/usage").await.expect(200).json();
    let meters: BTreeSet<&str> =
        meters["data"].as_array().unwrap().iter().map(|bucket| bucket["meter"].as_str().unwrap()).collect();
    // Nothing was sent in, and what was not used has no bucket.
    assert_eq!(meters, BTreeSet::from(["api_requests", "compute_ms", "egress_bytes"]));
    let none = owner.get("/v1/usage?from=2020-01-01T00:00:00Z&until=2020-01-02T00:00:00Z").await;
    insta::assert_snapshot!(none.show(), @r#"
    200
    {
      "data": [],
      "window": "hour"
    }
    "#);
}

/// The meters of another release, or of a part of the program that was taken out, and a name that a person has
/// written and that is no meter.
#[tokio::test]
async fn meters_that_this_program_does_not_know_are_shown() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let billing = system.operator_with(RoleName::BILLING).await;
    let owner = &tenant.owner.caller;
    system.sql(&format!(
        "INSERT INTO platform.meters VALUES ('invoices_sent', 'invoice', 'count') ON CONFLICT DO NOTHING; \
         INSERT INTO platform.usage_days SELECT id, meter, '2020-02-03', quantity \
         FROM platform.tenants, (VALUES ('compute_ms', 1.5), ('invoices_sent', 3), ('=1+1', 7)) AS used (meter, quantity) \
         WHERE slug = '{0}'; \
         INSERT INTO platform.usage_hours SELECT tenant_id, meter, '2020-02-03T04:00:00Z', quantity \
         FROM platform.usage_days JOIN platform.tenants ON id = tenant_id WHERE slug = '{0}' AND day = '2020-02-03'",
        tenant.slug
    ));
    let of_tenant = "/v1/usage/report?period=2020-02";
    let of_operator = format!("/v1/admin/tenants/{}/usage/report?period=2020-02", tenant.id);
    for (caller, path) in [(owner, of_tenant), (&billing, of_operator.as_str())] {
        let report = caller.get(path).await.expect(200).json();
        let lines: Vec<String> = report["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| ["meter", "unit", "quantity"].map(|cell| line[cell].as_str().unwrap()).join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "api_requests request 0",
                "compute_ms millisecond 1.5",
                "ingress_bytes byte 0",
                "egress_bytes byte 0",
                "=1+1  7",
                "invoices_sent invoice 3"
            ],
            "{path}"
        );
        let csv = caller.get(path).header("accept", "text/csv").await.expect(200);
        for row in [",invoices_sent,invoice,3,", ",'=1+1,,7,"] {
            assert!(csv.body.contains(row), "{row}: {}", csv.body);
        }
    }
    let all = "/v1/admin/usage/report?period=2020-02";
    let file = billing.get(all).header("accept", "text/csv").await.expect(200);
    let own: Vec<&str> = file.body.lines().filter(|row| row.starts_with(&tenant.id)).collect();
    assert_eq!(own.len(), 6, "{own:?}");
    // The tenant's page among all of them.
    let mut page = billing.get(&format!("{all}&limit=100")).await.expect(200).json();
    let mine = loop {
        let reports = page["data"].as_array().unwrap();
        if let Some(mine) = reports.iter().find(|report| report["tenant"] == tenant.id.as_str()) {
            break mine.clone();
        }
        let cursor = page["next_cursor"].as_str().unwrap();
        page = billing.get(&format!("{all}&limit=100&cursor={cursor}")).await.expect(200).json();
    };
    assert_eq!(quantity(&mine, "invoices_sent"), 3);

    for window in ["hour", "day"] {
        let query = format!("window={window}&from=2020-02-03T00:00:00Z&until=2020-02-04T00:00:00Z");
        let buckets = owner.get(&format!("/v1/usage?{query}")).await.expect(200).json();
        let buckets: BTreeSet<(&str, &str)> = buckets["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|bucket| (bucket["meter"].as_str().unwrap(), bucket["unit"].as_str().unwrap()))
            .collect();
        let shown = [("=1+1", ""), ("compute_ms", "millisecond"), ("invoices_sent", "invoice")];
        assert_eq!(buckets, BTreeSet::from(shown), "{window}");
        let refused = owner.get(&format!("/v1/usage?{query}&meter=invoices_sent")).await;
        let refused = refused.refused(400, "invalid-parameter");
        assert!(
            refused.at("/detail").starts_with("meter must be one of api_requests,"),
            "{}",
            refused.show()
        );
    }
}

#[tokio::test]
async fn a_stretch_of_time_is_bounded_and_in_order() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let owner = &tenant.owner.caller;
    let bad = owner.get("/v1/usage?from=2026-11-02T00:00:00Z&until=2026-11-01T00:00:00Z").await;
    insta::assert_snapshot!(bad.show(), @r#"
    400
    content-type: application/problem+json
    {
      "code": "invalid-parameter",
      "detail": "from must be before until.",
      "request_id": "req_…",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:bulkhead:problem:invalid-parameter"
    }
    "#);
    for year in ["0001", "1600", "1677", "2263", "2300", "9998"] {
        for window in ["hour", "day"] {
            let query = format!("from={year}-05-05T00:30:00Z&until={year}-05-06T00:00:00Z&window={window}");
            assert_eq!(owner.get(&format!("/v1/usage?{query}")).await.expect(200).at("/data"), "[]");
        }
    }
    for (query, told) in [
        ("from=2026-11-27", "from must be a time with its offset from UTC, like 2026-11-27T09:30:00Z or"),
        ("until=2026-11-27T00:00:00+01:00", "in a query, + stands for a blank, so it is written %2B."),
        (
            "from=2026-01-01T00:00:00Z&until=9999-01-01T00:00:00Z",
            "until must be in the years 1 to 9998, UTC.",
        ),
        ("from=0000-12-31T23:59:59Z&until=2026-11-01T00:00:00Z", "from must be in the years 1 to 9998, UTC."),
        ("until=9998-12-31T23:00:00-02:00", "until must be in the years 1 to 9998, UTC."),
        ("until=0001-01-01T12:00:00Z", "from must be in the years 1 to 9998, UTC."),
        ("from=9998-01-01T00:00:00Z", "from must be before now: until was left out."),
        ("from=2026-11-01T00:00:00Z&until=2026-11-01T00:00:00Z", "from must be before until."),
        (
            "from=2026-01-01T00:00:00Z&until=2026-02-01T06:00:01Z",
            "from must be at most 750 hours before until.",
        ),
        ("from=2020-01-01T00:00:00Z&window=day", "from must be at most 750 days before until."),
        ("window=minute", "window must be `hour` or `day`."),
        ("meter=everything", "meter must be one of api_requests, compute_ms, ingress_bytes, egress_bytes."),
        (
            "meter=Api_requests",
            "meter must be a meter's name: a to z, then a to z, 0 to 9 and _, at most 63 in all.",
        ),
        ("meter=", "meter must be a meter's name"),
        ("colour=red", "colour is unknown: expected one of `meter`, `from`, `until`, `window`."),
        ("window=hour&window=day", "window must be given once."),
        ("meter=%ff", "meter must be UTF-8 once its % are decoded."),
    ] {
        let refused = owner.get(&format!("/v1/usage?{query}")).await.refused(400, "invalid-parameter");
        assert!(refused.at("/detail").contains(told), "{query}: {}", refused.show());
    }
    for query in [
        "from=2026-11-01T00:00:00Z&until=2026-11-01T00:00:00Z",
        "from=2026-01-01T00:00:00Z&until=2026-02-01T06:00:01Z",
        "from=2020-01-01T00:00:00Z&until=2026-02-01T00:00:00Z&window=day",
        "from=yesterday",
        "from=2026-11-01",
        "window=minute",
        "meter=everything",
        "meter=",
        "meter=api%00requests",
        "from=-262143-01-01T00:00:00Z",
        "until=-262143-01-01T00:00:00Z",
        "until=%2B262142-12-31T23:59:59Z",
        "from=%2B262142-12-30T00:00:00Z&until=%2B262142-12-31T00:00:00Z",
        "from=-9000-01-01T00:00:00Z&until=-9000-01-02T00:00:00Z",
        "from=-9000-01-01T00:00:00Z&until=-9000-01-02T00:00:00Z&window=day",
    ] {
        owner.get(&format!("/v1/usage?{query}")).await.refused(400, "invalid-parameter");
    }
    for query in [
        "from=2026-01-01T00:00:00Z&until=2026-02-01T06:00:00Z",
        "from=2026-01-01T01:00:00%2B01:00&until=2026-01-02T00:00:00Z",
    ] {
        owner.get(&format!("/v1/usage?{query}")).await.expect(200);
    }
}
