//! The guide of `crates/bulkhead/README.md` is true: its files are those of `shop`, and `shop` does what the guide says.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::running::{Running, eventually};

/// The blocks of the guide, each with the file that its first line names.
fn blocks() -> Vec<(String, String)> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bulkhead/README.md");
    let guide = fs::read_to_string(guide).unwrap();
    let mut found = Vec::new();
    let mut rest = guide.as_str();
    while let Some((before, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').unwrap();
        let (text, after) = after.split_once("```").unwrap();
        let named = before.lines().last().and_then(|line| line.strip_prefix('`')?.strip_suffix("`:"));
        if let Some(file) = named {
            found.push((file.to_owned(), text.to_owned()));
        } else {
            assert!(kind == "sh" || kind == "text", "a block of {kind} that no file has:\n{text}");
        }
        rest = after;
    }
    found
}

#[test]
fn every_block_of_the_guide_is_a_file_that_is_built() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = Vec::new();
    for (file, text) in blocks() {
        if file != "Cargo.toml" {
            let place = match file.strip_prefix("src/") {
                Some(source) => shop.join("src/bin/shop").join(source),
                None => shop.join(&file),
            };
            assert_eq!(text, fs::read_to_string(place).unwrap(), "{file}");
        }
        seen.push(file);
    }
    let migration = "migrations/2026-12-01-000001_invoices";
    let up = format!("{migration}/up.sql");
    assert_eq!(seen, ["Cargo.toml", "src/main.rs", &up, "src/invoices.rs"]);
}

/// An adopter's manifest names what this workspace has pinned.
#[test]
fn the_manifest_of_the_guide_names_the_versions_that_are_built_with() {
    let (_, manifest) = blocks().into_iter().find(|(file, _)| file == "Cargo.toml").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let root = fs::read_to_string(root).unwrap();
    for name in ["diesel", "serde"] {
        let version = |text: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} = ")));
            line.and_then(|line| line.split('"').find(|part| part.contains(|c: char| c.is_ascii_digit())))
                .map(str::to_owned)
        };
        assert!(version(&manifest).is_some(), "{name}");
        assert_eq!(version(&manifest), version(&root), "{name}");
    }
}

#[tokio::test]
async fn the_shop_of_the_guide_writes_sends_and_counts() {
    let running =
        Running::start_of(env!("CARGO_BIN_EXE_shop"), &[("BULKHEAD_INVOICES_LARGEST_CENTS", "5000")]).await;
    let [acme, other] = running.tenants();
    let written =
        acme.post("/v1/invoices", &json!({ "number": "A-7", "terms": "at_once", "cents": 4200 })).await;
    assert_eq!(written.status, 201, "{written:?}");
    let path = written.location.clone().unwrap();
    let twice = acme.post("/v1/invoices", &json!({ "number": "A-7", "terms": "at_once", "cents": 1 })).await;
    assert_eq!(twice.code(), (409, "already-taken"));
    let dear =
        acme.post("/v1/invoices", &json!({ "number": "A-8", "terms": "at_once", "cents": 5001 })).await;
    assert_eq!(
        dear.body["errors"][0],
        json!({ "pointer": "/cents", "detail": "must be between 1 and 5000" })
    );
    let wrong = acme.post("/v1/invoices", &json!({ "number": " ", "terms": "at_once", "cents": 0 })).await;
    assert_eq!(
        wrong.body["errors"],
        json!([
            { "pointer": "/number", "detail": "must not be empty, nor begin or end with a blank" },
            { "pointer": "/cents", "detail": "must be at least 1" },
        ])
    );
    let listed = async |terms: &str| acme.get(&format!("/v1/invoices?terms={terms}")).await;
    assert_eq!(listed("at_once").await.body["data"][0]["number"], "A-7");
    assert_eq!(listed("month_end").await.body["data"], json!([]));
    assert_eq!(listed("never").await.code(), (400, "invalid-parameter"));
    assert_eq!(other.get(&path).await.status, 404);
    let sent = acme.post(&format!("{path}/send"), &json!({})).await;
    assert_eq!(acme.follow(&sent).await["state"], "succeeded");
    assert_eq!(acme.post(&format!("{path}/send"), &json!({})).await.code(), (409, "invoice-already-sent"));
    assert!(acme.get("/v1/invoices").await.body["data"][0]["sent_at"].is_string());
    let used = async || acme.get("/v1/usage?meter=invoices_sent").await.body;
    eventually(used, |body: &Value| body["data"].as_array().is_some_and(|data| data.len() == 1)).await;
}
