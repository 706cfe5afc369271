//! What an extension brings works beside the core.

use serde_json::{Value, json};

use crate::running::{Running, eventually};

#[tokio::test]
async fn everything_that_an_extension_brings_is_there() {
    let running =
        Running::start(&[("BULKHEAD_FAULTY_STAMP", "well done"), ("BULKHEAD_FAULTY_FUSE", "no")]).await;
    let [acme, other] = running.tenants();

    // Table, demo data, pages; of each tenant its own.
    let notes = acme.get("/v1/notes").await;
    assert_eq!((notes.status, notes.body["data"].as_array().map(Vec::len)), (200, Some(1)));
    let first = notes.body["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(other.get(&format!("/v1/notes/{first}")).await.code(), (404, "not-found"));

    // A write with its job, and what the constraints refuse.
    let written = acme.post("/v1/notes", &json!({ "title": "Second", "before": first })).await;
    assert_eq!(written.status, 202, "{written:?}");
    let operation = acme.follow(&written).await;
    assert_eq!(operation["state"], "succeeded", "{operation}");
    let id = operation["result"]["note"].as_str().unwrap();
    let stamped = acme.get(&format!("/v1/notes/{id}")).await.body;
    assert_eq!((&stamped["stamp"], &stamped["before"]), (&json!("well done"), &json!(first)));
    let twice = acme.post("/v1/notes", &json!({ "title": "Second" })).await;
    assert_eq!(twice.code(), (409, "already-taken"));
    assert_eq!(twice.body["detail"], "This title is already taken.");
    let astray = other.post("/v1/notes", &json!({ "title": "Third", "before": first })).await;
    assert_eq!(astray.code(), (422, "validation-failed"), "another tenant's note is none");
    assert_eq!(astray.body["errors"][0]["pointer"], "/before");

    // Meters, of the handler and of the job.
    for meter in ["faulty_notes_written", "faulty_notes_stamped"] {
        let path = format!("/v1/usage?meter={meter}");
        let used = |body: &Value| {
            body["data"][0]["quantity"].as_str() == Some("1") || body["data"][0]["quantity"] == 1
        };
        eventually(async || acme.get(&path).await.body, used).await;
        assert_eq!(other.get(&path).await.body["data"], json!([]));
    }

    // Metrics, health, and the document.
    assert!(running.machine("/metrics").await.contains("faulty_stamps_total"));
    let fuse = async || serde_json::from_str(&running.machine("/readyz").await).unwrap();
    let told = eventually(fuse, |told: &Value| told["redis"] == true).await;
    assert_eq!((&told["status"], &told["extensions"]), (&json!("ready"), &json!({ "fuse": false })));
    let document: Value = serde_json::from_str(&running.text("/openapi.json").await).unwrap();
    assert_eq!(document["info"]["title"], "Faulty");
    let written = &document["paths"]["/v1/notes"]["post"];
    assert_eq!((&written["tags"], &written["x-permission"]), (&json!(["faulty"]), &json!(["write:notes"])));
    assert_eq!(document["paths"]["/v1/notes/{id}"]["get"]["parameters"][0]["name"], "id");
    assert!(running.text("/docs/").await.contains("<title>Faulty</title>"));
    assert!(running.log().contains("the fuse has blown"));
}

#[tokio::test]
async fn a_good_probe_is_told_as_good() {
    let running = Running::start(&[]).await;
    let ready = async || serde_json::from_str(&running.machine("/readyz").await).unwrap();
    eventually(ready, |told: &Value| told["extensions"]["fuse"] == true).await;
}
