//! The headers of answers in the OpenAPI document. Which ones an operation sends follows from what it takes and what it
//! answers with, so that no handler has to say it; the tests of `cli` hold every answer's headers against this.

use std::collections::BTreeSet;

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::http::{error::ApiError, operation::Access};

/// A header as the document describes it, once: operations refer to it.
struct Header {
    /// Its name in the document, where one header means different things.
    key: &'static str,
    name: &'static str,
    description: &'static str,
    example: &'static str,
    /// Whether it is on every answer that lists it.
    required: bool,
}

const fn header(
    key: &'static str,
    name: &'static str,
    required: bool,
    description: &'static str,
    example: &'static str,
) -> Header {
    Header { key, name, description, example, required }
}

const REQUEST_ID: Header =
    header("RequestId", "X-Request-Id", true, "Names the request in our logs.", "req_0193a5c4b7e07c9a8d21");
const POLICY: Header =
    header("RateLimitPolicy", "RateLimit-Policy", false, "The tenant's limit.", "\"tenant\";q=1000;w=60");
const LIMIT: Header = header("RateLimit", "RateLimit", false, "What is left of it.", "\"tenant\";r=998;t=1");
const ETAG: Header = header("ETag", "ETag", true, "The version, for `If-Match`.", "\"v3\"");
const ELSEWHERE: Header = header(
    "Elsewhere",
    "Location",
    true,
    "Where a browser goes on.",
    "https://login.acme.example/authorize?response_type=code&client_id=bulkhead",
);
const MADE: Header =
    header("Location", "Location", true, "Where it is.", "/v1/resources/res_01jd3e2x6m7k9v4q8t5b2n0c1c");
const ACCEPTED: Header = header(
    "OperationLocation",
    "Location",
    true,
    "The operation to follow.",
    "/v1/operations/job_01jd3e2x6m7k9v4q8t5b2n0c1c",
);
const MADE_EARLIER: Header = header(
    "EarlierLocation",
    "Location",
    false,
    "What the earlier request has made.",
    "/v1/api-keys/key_01jd3e2x6m7k9v4q8t5b2n0c1c",
);
const LINK: Header = header(
    "Link",
    "Link",
    false,
    "The next page (RFC 8288); missing on the last one.",
    "</v1/resources?limit=20&cursor=res_01jd3e2x6m7k9v4q8t5b2n0c1c>; rel=\"next\"",
);
const REPLAYED: Header = header(
    "IdempotentReplayed",
    "Idempotent-Replayed",
    false,
    "`true` when this is the answer of an earlier request with the same `Idempotency-Key`.",
    "true",
);
const FILE: Header = header(
    "ContentDisposition",
    "Content-Disposition",
    false,
    "The name of the file; only of an answer that is one.",
    "attachment; filename=\"usage-2026-11.csv\"",
);
const RETRY_AFTER: Header =
    header("RetryAfter", "Retry-After", false, "When it makes sense to come back, in seconds.", "1");
const CHALLENGE: Header = header(
    "Challenge",
    "WWW-Authenticate",
    true,
    CHALLENGE_SAYS,
    "Bearer resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\"",
);
const CHALLENGE_SAYS: &str =
    "What credential is wanted (RFC 6750), and where the metadata of this API is (RFC 9728).";
const SCOPE: Header = header(
    "ScopeChallenge",
    "WWW-Authenticate",
    false,
    "The permission that is wanted, as `scope` (RFC 6750), when the code is `insufficient-permission`.",
    "Bearer error=\"insufficient_scope\", scope=\"read:users\", resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\"",
);

const ALL: [&Header; 14] = [
    &REQUEST_ID,
    &POLICY,
    &LIMIT,
    &ETAG,
    &MADE,
    &ELSEWHERE,
    &ACCEPTED,
    &MADE_EARLIER,
    &LINK,
    &REPLAYED,
    &FILE,
    &RETRY_AFTER,
    &CHALLENGE,
    &SCOPE,
];

/// What `#/components/headers` holds.
pub(super) fn components() -> Value {
    let described = |header: &&Header| {
        let Header { description, example, required, .. } = header;
        let schema = json!({ "type": "string" });
        let value =
            json!({ "description": description, "schema": schema, "example": example, "required": required });
        (header.key.to_owned(), value)
    };
    Value::Object(ALL.iter().map(described).collect())
}

fn references(headers: &[&Header]) -> Value {
    let reference = |header: &&Header| {
        (header.name.to_owned(), json!({ "$ref": format!("#/components/headers/{}", header.key) }))
    };
    Value::Object(headers.iter().map(reference).collect())
}

/// The schemas of things that have a version, which is their ETag.
pub(super) fn versioned(document: &Value) -> BTreeSet<String> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    let has_version =
        |schema: &Value| schema.pointer("/properties/version/type").is_some_and(|kind| kind == "integer");
    schemas
        .into_iter()
        .flatten()
        .filter(|(_, schema)| has_version(schema))
        .map(|(name, _)| name.clone())
        .collect()
}

/// What an operation takes that shows in the headers of its answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takes {
    cursor: bool,
    idempotency_key: bool,
}

impl Takes {
    pub(super) fn of(documented: &Map<String, Value>) -> Self {
        let parameters = documented.get("parameters").and_then(Value::as_array);
        let takes =
            |name: &str| parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == name));
        Self { cursor: takes("cursor"), idempotency_key: takes("Idempotency-Key") }
    }
}

/// The headers of every answer, and of every one to a tenant.
fn of_every(access: Access) -> Vec<&'static Header> {
    match access {
        Access::Public | Access::Session | Access::Operator(_) => vec![&REQUEST_ID],
        Access::AnyPrincipal | Access::Person | Access::Tenant(_) | Access::Either(..) => {
            vec![&REQUEST_ID, &POLICY, &LIMIT]
        }
    }
}

/// The headers of an answer that is no problem.
pub(super) fn of_answer(
    status: &str,
    response: &Value,
    access: Access,
    takes: Takes,
    versioned: &BTreeSet<String>,
) -> Value {
    let mut headers = of_every(access);
    let of_content = |pointer: &str| response.pointer(&format!("/content/{pointer}"));
    let shown = of_content("application~1json/schema/$ref").and_then(Value::as_str);
    let shown = shown.and_then(|name| name.rsplit('/').next());
    for (is_sent, header) in [
        (shown.is_some_and(|name| versioned.contains(name)), &ETAG),
        (status == StatusCode::CREATED.as_str(), &MADE),
        (status == StatusCode::FOUND.as_str(), &ELSEWHERE),
        // What a stranger sends is received without a word of what becomes of it.
        (status == StatusCode::ACCEPTED.as_str() && shown.is_some(), &ACCEPTED),
        (takes.cursor, &LINK),
        (takes.idempotency_key, &REPLAYED),
        (of_content("text~1csv").or_else(|| of_content("application~1x-ndjson")).is_some(), &FILE),
    ] {
        if is_sent {
            headers.push(header);
        }
    }
    references(&headers)
}

/// The headers of a problem.
pub(super) fn of_problem(status: StatusCode, errors: &[ApiError], access: Access) -> Value {
    // A tenant that is refused what is for operators is told of its limit, too.
    let mut headers =
        if access == Access::Public { vec![&REQUEST_ID] } else { vec![&REQUEST_ID, &POLICY, &LIMIT] };
    let is_there = |wanted: fn(&ApiError) -> bool| errors.iter().any(wanted);
    for (is_sent, header) in [
        (is_there(|error| error.retry_after().is_some()), &RETRY_AFTER),
        (status == StatusCode::UNAUTHORIZED, &CHALLENGE),
        (is_there(|error| matches!(error, ApiError::Forbidden { .. })), &SCOPE),
        (is_there(|error| matches!(error, ApiError::AlreadyCompleted { .. })), &MADE_EARLIER),
    ] {
        if is_sent {
            headers.push(header);
        }
    }
    references(&headers)
}
