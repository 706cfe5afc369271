//! The documentation pages, in a real browser.
//!
//! They need Chromium and `chromedriver`. Where there is none they are skipped, and say so, unless
//! `TEST_BROWSER=required`, which `.ci/run` sets after it has installed both.

use std::{
    env,
    process::{Child, Command, Stdio},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::{System, free_port};

/// How long a page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser without a window; gone when dropped.
struct Browser {
    client: Client,
    driver: Child,
}

impl Browser {
    /// `None` when there is none on this machine and none is required.
    #[expect(
        clippy::disallowed_methods,
        reason = "the test runner's own switch, not a setting of the product"
    )]
    async fn open() -> Option<Self> {
        let port = free_port();
        let spawned = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = match spawned {
            Ok(driver) => driver,
            Err(error) => {
                let required = env::var("TEST_BROWSER").is_ok_and(|value| value == "required");
                assert!(!required, "chromedriver cannot be run: {error}");
                eprintln!("skipped: the pages in a browser (chromedriver cannot be run: {error})");
                return None;
            }
        };
        let options = json!({ "goog:chromeOptions": { "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--window-size=1280,2000",
        ] } });
        let Value::Object(options) = options else { panic!("not an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(options);
        let url = format!("http://127.0.0.1:{port}");
        let start = std::time::Instant::now();
        let client = loop {
            match builder.connect(&url).await {
                Ok(client) => break client,
                Err(error) => assert!(start.elapsed() < PATIENCE, "no session: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        Some(Self { client, driver })
    }

    async fn see(&self, selector: &str) -> fantoccini::elements::Element {
        let wait = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(selector));
        wait.await.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    async fn click(&self, selector: &str) {
        self.see(selector).await.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Fails when the page has asked for anything from elsewhere, but pictures: the policy that comes with it, which
    /// `root.rs` looks at, keeps those away, yet the browser lists them.
    async fn assert_self_contained(&self, address: &str) {
        let loaded = self.run("return performance.getEntriesByType('resource').filter(r => r.initiatorType != 'img').map(r => r.name)").await;
        let loaded: Vec<String> = serde_json::from_value(loaded).unwrap();
        assert!(!loaded.is_empty());
        for url in loaded {
            assert!(
                url.starts_with(address) || url.starts_with("blob:") || url.starts_with("data:"),
                "{url}"
            );
        }
    }

    async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _gone = self.driver.kill();
    }
}

/// Presses *Authorize*, gives a credential and closes the dialogue.
async fn authorize(browser: &Browser, field: &str, credential: &str) {
    browser.click(".auth-wrapper .btn.authorize").await;
    browser.see(field).await.send_keys(credential).await.unwrap();
    // The button of the form that the field stands in.
    let press = format!(
        "document.querySelector('{field}').closest('.auth-container').querySelector('.auth-btn-wrapper .authorize').click()"
    );
    browser.run(&press).await;
    browser.click(".auth-container .btn-done").await;
}

/// Opens an operation, presses *Try it out* and *Execute*, and returns the status of the answer and its body.
async fn try_out(browser: &Browser, tag: &str, operation: &str) -> (String, String) {
    let block = format!("#operations-{tag}-{operation}");
    browser.click(&format!("{block} .opblock-summary-control")).await;
    browser.click(&format!("{block} .try-out__btn")).await;
    browser.click(&format!("{block} .execute")).await;
    let status = browser.see(&format!("{block} .live-responses-table tbody .response-col_status")).await;
    let status = status.text().await.unwrap();
    let body = browser.see(&format!("{block} .live-responses-table .highlight-code")).await;
    (status.trim().to_owned(), body.text().await.unwrap())
}

#[tokio::test]
async fn swagger_ui_authorizes_and_tries_out() {
    let Some(browser) = Browser::open().await else { return };
    let system = System::shared().await;
    let tenant = system.tenant().await;
    let key = tenant.key(bulkhead_domain::RoleName::DEVELOPER).await;
    let address = format!("http://127.0.0.1:{}", system.api_port);

    browser.client.goto(&format!("{address}/docs")).await.unwrap();
    let (status, body) = try_out(&browser, "me", "get_me").await;
    assert!(status.starts_with("401") && body.contains("missing-credentials"), "{status} {body}");

    browser.client.goto(&format!("{address}/docs/")).await.unwrap();
    authorize(&browser, "#api_key_value", &key.text).await;
    let (status, body) = try_out(&browser, "me", "get_me").await;
    assert!(status.starts_with("200") && body.contains(&key.id), "{status} {body}");

    browser.client.goto(&format!("{address}/docs/")).await.unwrap();
    authorize(&browser, "#auth-bearer-value", &tenant.owner.access_token).await;
    let (status, body) = try_out(&browser, "me", "get_me").await;
    assert!(status.starts_with("200") && body.contains(&tenant.owner.id), "{status} {body}");
    browser.assert_self_contained(&address).await;
    browser.close().await;
}

#[tokio::test]
async fn redoc_shows_every_operation() {
    let Some(browser) = Browser::open().await else { return };
    let system = System::shared().await;
    let address = format!("http://127.0.0.1:{}", system.api_port);
    browser.client.goto(&format!("{address}/redoc")).await.unwrap();
    browser.see("h1").await;
    for operation in system.contract.operations() {
        browser.see(&format!("[id$='operation/{}']", operation.id)).await;
    }
    browser.assert_self_contained(&address).await;
    browser.close().await;
}
