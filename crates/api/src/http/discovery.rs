//! Where clients find what describes this API.
//!
//! Owns the addresses of metadata. A client that knows a resource or an issuer makes the address of its metadata by putting
//! `/.well-known/…` between host and path (RFC 8414 section 3.1, RFC 9728 section 3.1), so what is reached below a path has
//! its metadata outside of that path. It is served at both places, because a proxy may pass on what lies below the path alone.
//! Refuses to know what the metadata says.

use actix_web::http::header::{self, HeaderMap, HeaderValue};

use crate::http::state::ApiOptions;

/// Metadata of a protected resource (RFC 9728).
pub(crate) const PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

/// Metadata of an authorization server (RFC 8414).
pub(crate) const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";

/// An address without its path, and the path: empty, or a slash and more.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let slash = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.split_at_checked(slash).unwrap_or((url, ""))
}

/// The address of the metadata of what is at `url`.
fn metadata_of(url: &str, well_known: &str) -> String {
    let (origin, path) = split(url);
    format!("{origin}{well_known}{path}")
}

/// Where metadata is served beside its own path in the route table: that path, and the other place.
pub(crate) fn other_places(options: &ApiOptions) -> Vec<(&'static str, String)> {
    let both = [(PROTECTED_RESOURCE, &options.public_url), (AUTHORIZATION_SERVER, &options.issuer)];
    let with_path = both.into_iter().map(|(at, url)| (at, split(url).1)).filter(|(_, path)| !path.is_empty());
    with_path.map(|(at, path)| (at, format!("{at}{path}"))).collect()
}

/// Says in a challenge where the metadata of this API is (RFC 9728 section 5.1).
pub(crate) fn describe_challenge(public_url: &str, headers: &mut HeaderMap) {
    let Some(challenge) = headers.get(header::WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()) else {
        return;
    };
    // A scheme alone has no parameter before this one.
    let comma = if challenge.contains('=') { "," } else { "" };
    let metadata = metadata_of(public_url, PROTECTED_RESOURCE);
    if let Ok(value) = HeaderValue::try_from(format!("{challenge}{comma} resource_metadata=\"{metadata}\"")) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_lies_between_host_and_path() {
        for (url, metadata) in [
            ("https://example.com", "https://example.com/.well-known/oauth-protected-resource"),
            ("https://example.com:8443/p", "https://example.com:8443/.well-known/oauth-protected-resource/p"),
            ("http://[::1]:80/p/q", "http://[::1]:80/.well-known/oauth-protected-resource/p/q"),
        ] {
            assert_eq!(metadata_of(url, PROTECTED_RESOURCE), metadata);
        }
        assert_eq!(split("no address"), ("no address", ""));
    }

    #[test]
    fn a_challenge_has_commas_between_its_parameters_alone() {
        let told = |challenge: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(challenge) = challenge {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            describe_challenge("https://a.example", &mut headers);
            headers.get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned())
        };
        let metadata = "resource_metadata=\"https://a.example/.well-known/oauth-protected-resource\"";
        assert_eq!(told(Some("Bearer")), Some(format!("Bearer {metadata}")));
        let failed = "Bearer error=\"invalid_token\"";
        assert_eq!(told(Some(failed)), Some(format!("{failed}, {metadata}")));
        assert_eq!(told(None), None);
    }
}
