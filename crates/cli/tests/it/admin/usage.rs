//! Usage of all tenants, for billing.

use bulkhead_domain::OperatorRole;

use crate::{
    support::{System, eventually, this_month},
    usage::quantity,
};

#[tokio::test]
async fn a_tenants_month_in_json_and_in_csv() {
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let billing = system.operator_with(OperatorRole::Billing).await;
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
      "period": "[month]",
      "tenant": "ten_…"
    }
    "#);
    insta::assert_snapshot!(billing.get(&path).header("accept", "text/csv").await.show(), @r#"
    200
    content-type: text/csv; charset=utf-8; header=present
    content-disposition: attachment; filename="usage-ten_…-2020-02.csv"
    tenant,period,as_of,meter,unit,quantity
    ten_…,[month],[time],api_requests,request,0
    ten_…,[month],[time],compute_ms,millisecond,0
    ten_…,[month],[time],ingress_bytes,byte,0
    ten_…,[month],[time],egress_bytes,byte,0
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
    let billing = system.operator_with(OperatorRole::Billing).await;
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
    let next = billing.get(&format!("{base}&cursor={cursor}")).await.expect(200);
    assert!(next.at("/data/0/tenant") > cursor);

    let csv = billing.get(&base).header("accept", "text/csv").await.expect(200);
    assert_eq!(csv.header("x-next-cursor"), cursor);
    assert_eq!(csv.body.lines().count(), 5);
    assert!(csv.body.contains(&cursor) && csv.body.starts_with("tenant,period,as_of,meter,unit,quantity"));
    let last = billing.get(&format!("{base}&cursor=ten_7zzzzzzzzzzzzzzzzzzzzzzzzw")).await.expect(200);
    insta::assert_snapshot!(last.show(), @r#"
    200
    {
      "data": [],
      "next_cursor": null
    }
    "#);
}
