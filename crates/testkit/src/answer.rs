//! What came back.

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::redact::redact;

/// Headers that mean something to a test; the others are the contract's business.
const SHOWN: [&str; 10] = [
    "content-type",
    "location",
    "etag",
    "link",
    "allow",
    "retry-after",
    "www-authenticate",
    "idempotent-replayed",
    "content-disposition",
    "x-next-cursor",
];

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub body: String,
}

#[expect(
    clippy::return_self_not_must_use,
    reason = "what holds an answer to something returns it, and is often all that is wanted"
)]
impl Answer {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The body as JSON; fails when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}:\n{}", self.show()))
    }

    /// What the JSON Pointer leads to in the body, as text: a string as it is, anything else as JSON writes it (`null`, `7`).
    /// Fails when there is nothing.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in\n{}", self.show()));
        found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned)
    }

    /// The `code` of a problem; empty when it is none.
    pub fn code(&self) -> String {
        let body = serde_json::from_str::<Value>(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Fails unless it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.show());
        self
    }

    /// Fails unless it is a problem with this status and `code`.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.show());
        self
    }

    /// Status, headers and body as they are compared with a snapshot: whatever is different in each run is left out.
    pub fn show(&self) -> String {
        let mut shown = format!("{}\n", self.status);
        for name in SHOWN {
            let value = self.header(name);
            if !value.is_empty() && value != "application/json" {
                shown += &format!("{name}: {value}\n");
            }
        }
        match serde_json::from_str::<Value>(&self.body) {
            Ok(json) => shown += &serde_json::to_string_pretty(&json).unwrap(),
            Err(_) => shown += &self.body,
        }
        redact(shown.trim_end())
    }

    /// The body without the id of the request, which is never the same.
    pub fn body_without_request_id(&self) -> Value {
        let mut body = self.json();
        if let Some(members) = body.as_object_mut() {
            members.remove("request_id");
        }
        body
    }
}
