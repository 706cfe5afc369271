//! The hosts that issuers may have.
//!
//! Owns the list that the platform allows, and whether an address that a person names is on one of them.

use std::str::FromStr;

use bulkhead_outbound::Endpoint;
use url::Url;

/// Why an address may not be named; a phrase that follows the name of what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no address of the right form.
    #[error(transparent)]
    Form(#[from] bulkhead_outbound::EndpointError),
    /// Its host is not among those that the platform allows.
    #[error(
        "names a host that is not among the issuers that this platform allows (BULKHEAD_OIDC_ALLOWED_ISSUERS)"
    )]
    Host,
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
