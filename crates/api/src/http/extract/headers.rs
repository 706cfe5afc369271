//! Request headers that change what an operation does.

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{Method, header},
};

use crate::http::error::ApiError;

/// `If-Match`: the version the client has read, from the ETag it was given. Without it a change applies to whatever
/// version is there, and the last one wins.
#[derive(Clone, Copy, Debug)]
pub struct IfMatch(pub Option<i64>);

impl IfMatch {
    /// Refuses the request when the client has named another version than the `current` one. The row is locked before it is
    /// asked: of several clients that have read the same version exactly one may go on.
    pub fn check(self, current: i64) -> Result<(), ApiError> {
        match self.0 {
            Some(expected) if expected != current => Err(ApiError::PreconditionFailed),
            _ => Ok(()),
        }
    }
}

/// How the header is documented.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that `IfMatch` reads")]
pub struct IfMatchHeader {
    /// The ETag of the version you have read: the change is refused when there is a newer one. Without it the last change
    /// wins.
    #[param(rename = "If-Match", example = "\"v1\"")]
    if_match: Option<String>,
}

/// How the header is documented.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header that `IdempotencyKey` reads")]
pub struct IdempotencyKeyHeader {
    /// Names what you mean to do, 1 to 255 characters: sent again with the same method, path, query, `If-Match` and body within
    /// 24 hours, it is answered again and not done again.
    #[param(rename = "Idempotency-Key", example = "8e03978e-40d5-43e8-bc93-6894a57f9324")]
    idempotency_key: Option<String>,
}

/// The ETag of a version.
pub(crate) fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut sent = request.headers().get_all(header::IF_MATCH);
        let version = match (sent.next(), sent.next()) {
            (None, _) => Some(Self(None)),
            (Some(value), None) => value.to_str().ok().and_then(read_version),
            // Two headers are a list of versions, any of which would do. A client has read one version, so a list is
            // refused.
            (Some(_), Some(_)) => None,
        };
        ready(version.ok_or_else(|| ApiError::InvalidParameter {
            name: "If-Match",
            detail: "must be an ETag as this API gives them, like \"v3\"".to_owned(),
        }))
    }
}

/// Reads a version, or `*`: that asks only that the thing exists, as every change does anyway (RFC 9110 section 13.1.1).
fn read_version(text: &str) -> Option<IfMatch> {
    if text == "*" {
        return Some(IfMatch(None));
    }
    let version = text.strip_prefix("\"v")?.strip_suffix('"')?.parse().ok().filter(|version| *version > 0)?;
    // An ETag has one spelling: no sign, no leading zero.
    (etag(version) == text).then_some(IfMatch(Some(version)))
}

/// What the caller means to do once: the `Idempotency-Key`, if one was sent, and what it was sent to.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdempotencyKey {
    pub(crate) key: Option<String>,
    /// The method, the path, the query and what `If-Match` asks for; empty without a key.
    pub(crate) target: String,
}

impl IdempotencyKey {
    /// The longest key taken.
    const MAX: usize = 255;

    /// Reads the header of a request that writes; a request that only reads means nothing to do once.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        if !writes(request.method()) {
            return Ok(Self::default());
        }
        let mut sent = request.headers().get_all("idempotency-key");
        let key = match (sent.next(), sent.next()) {
            (None, _) => return Ok(Self::default()),
            (Some(value), None) => read_key(value.as_bytes()),
            (Some(_), Some(_)) => Err("must be sent once"),
        };
        let mut target = format!("{} {}", request.method(), request.uri());
        for version in request.headers().get_all(header::IF_MATCH) {
            // No method and no address has a line break in it.
            target += &format!("\nif-match: {}", version.as_bytes().escape_ascii());
        }
        match key {
            Ok(key) => Ok(Self { key: Some(key), target }),
            Err(detail) => {
                Err(ApiError::InvalidParameter { name: "Idempotency-Key", detail: detail.to_owned() })
            }
        }
    }
}

/// Whether requests of this method write, and so may have an `Idempotency-Key`.
pub(crate) fn writes(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE)
}

/// Reads a key with or without the quotes of a structured field string (RFC 9651); both are the same key.
fn read_key(value: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(value).map_err(|_not_utf8| "must be printable ASCII")?.trim();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if !(1..=IdempotencyKey::MAX).contains(&bare.len())
        || !bare.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"')
    {
        return Err("must be 1 to 255 printable ASCII characters without quotes");
    }
    Ok(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn what_is_meant_is_told_apart_by_method_path_query_and_version() {
        let target = |request: TestRequest, key: &str| {
            let request = request.insert_header(("idempotency-key", key)).to_http_request();
            IdempotencyKey::of(&request).unwrap().target
        };
        let post = |uri| target(TestRequest::post().uri(uri), "once");
        let all = [
            post("/v1/users/usr_1/x"),
            post("/v1/users/usr_2/x"),
            post("/v1/users/usr_1/x?dry=1"),
            post("/v1/users/usr_1/x?dry=2"),
            target(TestRequest::delete().uri("/v1/users/usr_1/x"), "once"),
            target(
                TestRequest::post().uri("/v1/users/usr_1/x").insert_header((header::IF_MATCH, "\"v1\"")),
                "once",
            ),
            target(
                TestRequest::post().uri("/v1/users/usr_1/x").insert_header((header::IF_MATCH, "\"v2\"")),
                "once",
            ),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{one}");
        }
        assert_eq!(post("/v1/users?a=b"), target(TestRequest::post().uri("/v1/users?a=b"), "another"));
        let none = IdempotencyKey::of(&TestRequest::post().to_http_request()).unwrap();
        assert_eq!((none.key, none.target.as_str()), (None, ""));
        let read = IdempotencyKey::of(
            &TestRequest::get().insert_header(("idempotency-key", "once")).to_http_request(),
        );
        assert_eq!(read.unwrap().key, None);
    }

    #[test]
    fn a_quoted_key_and_a_bare_one_are_the_same() {
        assert_eq!(read_key(b"\"8e03978e\"").unwrap(), "8e03978e");
        assert_eq!(read_key(b" 8e03978e ").unwrap(), "8e03978e");
    }

    #[test]
    fn a_version_has_one_spelling() {
        assert_eq!(read_version("\"v12\"").unwrap().0, Some(12));
        assert_eq!(read_version("*").unwrap().0, None);
        for bad in
            ["", "v1", "1", "\"v\"", "\"v+1\"", "\"v-1\"", "\"v01\"", "\"v0\"", "W/\"v1\"", "\"v1\", \"v2\""]
        {
            assert!(read_version(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn keys_are_bounded_and_printable() {
        for bad in [&b""[..], b"\"\"", b"a\"b", b"\"", "ä".as_bytes(), b"\xff", b"a\tb", &[b'a'; 256]] {
            assert!(read_key(bad).is_err(), "{bad:?}");
        }
    }
}
