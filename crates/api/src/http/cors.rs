//! Cross-origin requests (the Fetch standard): which web pages may call the API from a browser.
//!
//! Off unless origins are named in the settings. Credentials are headers that a page sets itself, so browsers are told
//! nothing about cookies; what a page may read of an answer is named here. Refuses patterns: an origin is allowed
//! when it is in the list, letter by letter.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};

/// What a page may send besides what every page may.
const REQUEST_HEADERS: &str = "authorization, x-api-key, content-type, if-match, idempotency-key, x-tenant-id, x-request-id, \
                               x-correlation-id, traceparent";

/// What a page may read besides what every page may.
const RESPONSE_HEADERS: &str = "etag, location, link, ratelimit, ratelimit-policy, retry-after, x-request-id, \
                                idempotent-replayed, www-authenticate, content-disposition";

/// How long a browser may keep the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";

/// The origin of a request, if its pages may call the API.
fn allowed<'a>(origins: &[String], headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then_some(origin)
}

/// The answer to a browser that asks whether a page may send a request; `None` when it is not that, or the page may not.
pub(crate) fn preflight(origins: &[String], request: &HttpRequest, methods: &str) -> Option<HttpResponse> {
    let is_asked = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_asked || methods.is_empty() {
        return None;
    }
    allowed(origins, request.headers())?;
    let answer = HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
        .finish();
    Some(answer)
}

/// Tells the browser whether the page that has sent `request` may read the answer.
pub(crate) fn describe(origins: &[String], request: &HeaderMap, answer: &mut HeaderMap) {
    if origins.is_empty() {
        return;
    }
    // A cache may not give one origin the answer to another.
    answer.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed(origins, request) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(
            HeaderName::from_static("access-control-expose-headers"),
            HeaderValue::from_static(RESPONSE_HEADERS),
        );
    }
}
