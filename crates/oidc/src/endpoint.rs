//! Addresses of issuers and of what they publish, as far as they may be named.
//!
//! Owns their form, and the list of hosts that the platform allows. Refuses anything but https, credentials in an address,
//! fragments, and addresses that are too long to be one. What an address resolves to is judged when a connection is made.

use std::{fmt, str::FromStr};

use url::{Host, Url};

/// The longest address, in bytes.
pub(crate) const LONGEST: usize = 1_024;

/// Why an address may not be named; a phrase that follows the name of what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no address of the right form.
    #[error("must be an https address without user, password and fragment, at most {LONGEST} bytes long")]
    Form,
    /// Its host is not among those that the platform allows.
    #[error(
        "names a host that is not among the issuers that this platform allows (BULKHEAD_OIDC_ALLOWED_ISSUERS)"
    )]
    Host,
}

/// An address that requests may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Reads an address. With `private_allowed` a loopback host may be reached without TLS, for development and tests.
    pub fn parse(text: &str, private_allowed: bool) -> Result<Self, EndpointError> {
        if text.len() > LONGEST {
            return Err(EndpointError::Form);
        }
        let url = Url::parse(text).map_err(|_not_one| EndpointError::Form)?;
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(EndpointError::Form),
        };
        let is_protected =
            url.scheme() == "https" || (url.scheme() == "http" && private_allowed && is_loopback);
        let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if is_protected && is_bare { Ok(Self(url)) } else { Err(EndpointError::Form) }
    }

    /// The address.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// One host that issuers may have, or all below a domain (`*.example.com`).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exactly(String),
    Below(String),
}

/// The hosts that issuers may have. Empty, there are none: then no issuer can be named and no foreign token is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Vec<Pattern>);

/// The text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a host like login.example.com, or *.example.com for all below it; a port follows a colon")]
pub struct HostError;

impl AllowedHosts {
    /// Reads a list of hosts.
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, HostError> {
        hosts.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is on one of the hosts.
    pub fn allow(&self, endpoint: &Endpoint) -> bool {
        let url = endpoint.url();
        let Some(host) = url.host_str() else { return false };
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exactly(allowed) => *allowed == host,
            // The domain begins with its dot, so something stands in front of it.
            Pattern::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
        })
    }
}

impl FromStr for Pattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (below, host) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let url = Url::parse(&format!("https://{host}/")).map_err(|_not_one| HostError)?;
        let written = url.port().map_or_else(
            || url.host_str().unwrap_or_default().to_owned(),
            |port| format!("{}:{port}", url.host_str().unwrap_or_default()),
        );
        // A wildcard for a whole top-level domain would be one for everybody.
        if written != host || host.contains('*') || (below && !host.contains('.')) {
            return Err(HostError);
        }
        Ok(if below { Self::Below(format!(".{host}")) } else { Self::Exactly(host.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_loopback_where_that_is_allowed() {
        for text in ["https://login.example.com/a?b=c", "https://[2001:db8::1]:8443/", "https://127.0.0.1"] {
            assert!(Endpoint::parse(text, false).is_ok(), "{text}");
        }
        for text in ["http://127.0.0.1:5000/x", "http://localhost/", "http://[::1]/"] {
            assert_eq!(Endpoint::parse(text, false), Err(EndpointError::Form), "{text}");
            assert!(Endpoint::parse(text, true).is_ok(), "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(LONGEST));
        for text in [
            "",
            "login.example.com",
            "ftp://example.com",
            "http://example.com",
            "http://127.0.0.1.example.com",
            "https://a@example.com",
            "https://a:b@example.com",
            "https://example.com/#x",
            "https://",
            "javascript:alert(1)",
            &long,
        ] {
            assert_eq!(Endpoint::parse(text, true), Err(EndpointError::Form), "{text}");
        }
    }

    #[test]
    fn a_host_is_allowed_by_its_whole_name_or_by_a_domain_above_it() {
        let hosts = AllowedHosts::new(["login.example.com", "*.example.org", "127.0.0.1:9999"]).unwrap();
        let allowed = |text: &str| hosts.allow(&Endpoint::parse(text, true).unwrap());
        for text in [
            "https://login.example.com/x",
            "https://LOGIN.example.com",
            "https://a.b.example.org",
            "http://127.0.0.1:9999/p",
        ] {
            assert!(allowed(text), "{text}");
        }
        for text in [
            "https://example.com",
            "https://login.example.com.evil.example",
            "https://evillogin.example.com",
            "https://example.org",
            "https://evilexample.org",
            "https://login.example.com:8443",
            "http://127.0.0.1:9998",
        ] {
            assert!(!allowed(text), "{text}");
        }
        assert!(AllowedHosts::default().is_empty());
        for text in [
            "",
            "*",
            "*.com",
            "https://login.example.com",
            "a/b",
            "a b",
            "login.example.com/",
            "*.*.example.com",
            "Login.example.com",
        ] {
            assert_eq!(AllowedHosts::new([text]), Err(HostError), "{text}");
        }
    }
}
