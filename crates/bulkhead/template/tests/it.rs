//! The program with servers of its own: what is promised of every operation, and what is this product's own.

use bulkhead_testkit::{App, Fixture, Resource, json};

/// One line for each thing that clients make.
static NOTES: Resource = Resource::at("/v1/notes").marked("text");

async fn app() -> &'static App {
    App::start(env!("CARGO_BIN_EXE_{{name}}"), &[&NOTES]).await
}

bulkhead_testkit::conformance!(app());

#[tokio::test]
async fn notes_are_listed_by_their_topic() {
    let tenant = app().await.tenant().await;
    let note = NOTES.make(&tenant).await;
    let developer = tenant.person("developer").await;
    let other = json!({ "topic": "garden", "text": "The gate is open." });
    developer.caller.post("/v1/notes", &other).await.expect(201);
    let kitchen = developer.caller.get("/v1/notes?topic=kitchen").await.expect(200);
    assert_eq!(kitchen.at("/data/0/id"), note.id);
    assert_eq!(kitchen.json()["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(tenant.count("notes"), 2);
}
