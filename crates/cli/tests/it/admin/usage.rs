//! Usage of all tenants, for billing.

use std::{collections::BTreeSet, time::Duration};

use bulkhead_domain::RoleName;

use crate::{
    support::{Options, Raw, System, eventually, this_month},
    usage::quantity,
};

#[tokio::test]
async fn a_tenants_month_in_json_and_in_csv() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let billing = system.operator_with(RoleName::BILLING).await;
    let path = format!("/v1/admin/tenants/{}/usage/report?period=2020-02", tenant.id);
    insta::assert_snapshot!(billing.get(&path).await.show(), @r#"
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
    insta::assert_snapshot!(billing.get(&path).header("accept", "text/csv").await.show(), @r#"
    200
    content-type: text/csv; charset=utf-8; header=present
    content-disposition: attachment; filename="usage-ten_…-2020-02.csv"
    tenant,period,as_of,meter,unit,quantity,slug,name
    ten_…,[month],[time],api_requests,request,0,acme,Acme Corporation
    ten_…,[month],[time],compute_ms,millisecond,0,acme,Acme Corporation
    ten_…,[month],[time],ingress_bytes,byte,0,acme,Acme Corporation
    ten_…,[month],[time],egress_bytes,byte,0,acme,Acme Corporation
    "#);
    let unknown = "/v1/admin/tenants/ten_01jd3e2x6m7k9v4q8t5b2n0c1c/usage/report?period=2020-02";
    insta::assert_snapshot!(billing.get(unknown).await.show(), @r#"
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
    billing.get(&path.replace("2020-02", "soon")).await.refused(400, "invalid-parameter");
}

#[tokio::test]
async fn everybodys_month_page_by_page() {
    let system = System::shared().await;
    let tenants = [system.tenant().await, system.tenant().await];
    let billing = system.operator_with(RoleName::BILLING).await;
    let base = format!("/v1/admin/usage/report?period={}&limit=1", this_month());
    // The page after the first tenant's begins with the next that signed up: there are others beside ours.
    let first = async || {
        let all = billing.get(&base.replace("limit=1", "limit=100")).await.expect(200);
        all.expect(200)
    };
    let has_used = |answer: &crate::support::Answer| {
        let reports = answer.json()["data"].as_array().unwrap().clone();
        reports
            .iter()
            .any(|report| report["tenant"] == tenants[0].id && quantity(report, "api_requests") == 1)
    };
    eventually(first, has_used).await;

    let page = billing.get(&base).await.expect(200);
    assert_eq!(page.json()["data"].as_array().unwrap().len(), 1);
    let cursor = page.at("/next_cursor");
    assert_eq!(page.at("/data/0/tenant"), cursor);
    let path = format!("{base}&cursor={cursor}");
    assert_eq!(page.header("link"), format!("<{path}>; rel=\"next\""));
    let next = billing.get(&path).await.expect(200);
    assert!(next.at("/data/0/tenant") > cursor);
    let last = billing.get(&format!("{base}&cursor=ten_7zzzzzzzzzzzzzzzzzzzzzzzzw")).await.expect(200);
    insta::assert_snapshot!(last.show(), @r#"
    200
    {
      "data": [],
      "next_cursor": null
    }
    "#);
}

/// A cell of a CSV row that holds no quotes.
fn cell(row: &str, place: usize) -> &str {
    row.split(',').nth(place).unwrap()
}

#[tokio::test]
async fn everybodys_month_in_one_file_is_whole_or_visibly_not() {
    let system = System::start("export", Options::default()).await;
    let tenant = system.tenant().await;
    let billing = system.operator_with(RoleName::BILLING).await;
    // More than are read at a time, some with usage, and one with a name that is a formula.
    system.sql(
        "INSERT INTO platform.tenants (id, slug, name, role_name, status, plan, created_at, updated_at) \
         SELECT gen_random_uuid(), 'bulk-' || n, CASE n WHEN 7 THEN '=1+1' ELSE 'Bulk ' || n END, \
             't_' || lpad(n::text, 26, '0'), 'suspended', 'free', now(), now() FROM generate_series(1, 250) n; \
         INSERT INTO platform.usage_days (tenant_id, meter, day, quantity) \
         SELECT id, 'ingress_bytes', '2020-02-29', 7 FROM platform.tenants WHERE slug LIKE 'bulk-%'",
    );
    // One has been purged since: its usage stays, under the name that it had.
    system.sql(
        "INSERT INTO platform.tenant_purges (tenant_id, slug, step, finished_at) \
         SELECT id, slug, 'seal', now() FROM platform.tenants WHERE slug = 'bulk-9'; \
         UPDATE platform.tenants SET slug = 't-' || substr(role_name, 3), status = 'deleted', deleted_at = now(), \
             purge_after = now() WHERE slug = 'bulk-9'",
    );
    let path = "/v1/admin/usage/report?period=2020-02";
    let file = billing.get(path).header("accept", "text/csv").await.expect(200);
    assert_eq!(file.header("content-disposition"), "attachment; filename=\"usage-2020-02.csv\"");
    assert_eq!((file.header("link"), file.header("x-next-cursor")), ("", ""));
    let mut rows = file.body.lines();
    assert_eq!(rows.next(), Some("tenant,period,as_of,meter,unit,quantity,slug,name"));
    let rows: Vec<&str> = rows.collect();
    let tenants = system.sql("SELECT count(*) FROM platform.tenants").parse::<usize>().unwrap();
    assert_eq!(rows.len(), 4 * tenants);
    let slugs: BTreeSet<&str> = rows.iter().map(|row| cell(row, 6)).collect();
    assert_eq!(slugs.len(), tenants);
    assert!(slugs.contains(tenant.slug.as_str()));
    let used: u32 = rows.iter().map(|row| cell(row, 5).parse::<u32>().unwrap()).sum();
    assert_eq!(used, 7 * 250);
    // All of it was read in one moment.
    assert_eq!(rows.iter().map(|row| cell(row, 2)).collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(rows.iter().filter(|row| row.ends_with(",bulk-7,'=1+1")).count(), 4);
    assert_eq!(rows.iter().filter(|row| row.ends_with(",bulk-9,Bulk 9")).count(), 4);
    let purged = rows.iter().find(|row| cell(row, 6) == "bulk-9").map(|row| cell(row, 0)).unwrap();
    let alone = format!("/v1/admin/tenants/{purged}/usage/report?period=2020-02");
    assert_eq!(billing.get(&alone).await.expect(200).at("/slug"), "bulk-9");

    // A file has no pages.
    for (cut, name) in [("limit=5", "limit"), ("cursor=ten_7zzzzzzzzzzzzzzzzzzzzzzzzw", "cursor")] {
        let refused = billing.get(&format!("{path}&{cut}")).header("accept", "text/csv").await;
        let refused = refused.refused(400, "invalid-parameter");
        assert!(refused.at("/detail").starts_with(name), "{}", refused.show());
    }

    let request = |version: &str| {
        format!(
            "GET {path} HTTP/{version}\r\nHost: x\r\nAuthorization: {}\r\nAccept: text/csv\r\n\
             X-Forwarded-For: 10.9.9.9\r\n\r\n",
            billing.authorization()
        )
    };
    // Where the end of a transfer tells nothing, there is no file.
    let old = Raw::send(&system, request("1.0").as_bytes()).await;
    assert!(old.text.contains(" 400 ") && old.text.contains("must be HTTP/1.1 or newer"), "{old:?}");

    // What cannot be read comes up when much of the file has been sent.
    system.sql(
        "UPDATE platform.usage_days SET quantity = 'NaN' \
         WHERE tenant_id = (SELECT id FROM platform.tenants ORDER BY id DESC LIMIT 1)",
    );
    let request = request("1.1");
    let cut = Raw::send_and_wait(&system, request.as_bytes(), Duration::from_secs(30)).await;
    assert_eq!(cut.statuses(), [200]);
    assert!(cut.text.contains("bulk-") && !cut.text.ends_with("0\r\n\r\n"), "{cut:?}");
    // A failure in the first piece is answered like any other failure.
    system.sql("UPDATE platform.usage_days SET quantity = 'NaN' WHERE day = '2020-02-29'");
    let failed = Raw::send(&system, request.as_bytes()).await;
    assert_eq!(failed.statuses(), [500], "{failed:?}");
    // A HEAD request is told about the file what can be told without reading anything.
    let about = billing.call("HEAD", path).unchecked().header("accept", "text/csv").await.expect(200);
    for header in ["content-type", "content-disposition", "content-length", "transfer-encoding"] {
        assert_eq!(about.header(header), file.header(header), "{header}");
    }
    assert_eq!(about.body, "");
    system.assert_alive();
}
