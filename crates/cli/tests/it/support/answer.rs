//! What came back.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::redact::redact;

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
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header's text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}:\n{}", self.show()))
    }

    /// What the JSON Pointer leads to, as text.
    #[track_caller]
    pub(crate) fn at(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in\n{}", self.show()));
        found.as_str().map_or_else(|| found.to_string(), ToOwned::to_owned)
    }

    /// The `code` of a problem; empty when it is none.
    pub(crate) fn code(&self) -> String {
        let body = serde_json::from_str::<Value>(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.show());
        self
    }

    /// Fails unless it is this problem.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.show());
        self
    }

    /// Status, headers and body as they are compared with a snapshot: whatever is different in each run is left out.
    pub(crate) fn show(&self) -> String {
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
    pub(crate) fn body_without_request_id(&self) -> Value {
        let mut body = self.json();
        if let Some(members) = body.as_object_mut() {
            members.remove("request_id");
        }
        body
    }
}
