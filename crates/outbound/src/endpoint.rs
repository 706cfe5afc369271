//! Addresses that requests may be sent to.
//!
//! Owns their form. Refuses anything but https, but for a host on which nobody else listens; credentials in an address; fragments;
//! and addresses that are too long to be one. What an address resolves to is judged when a connection is made.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

/// The longest address, in bytes.
pub const LONGEST: usize = 1_024;

/// Where ECS and EKS hand credentials out, on each host: the addresses to which AWS's own programs speak without TLS.
const CREDENTIALS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The text is no address that requests may be sent to; a phrase that follows the name of what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an https address without user, password and fragment, at most {LONGEST} bytes long")]
pub struct EndpointError;

/// An address that requests may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Reads an address. With `private_allowed` a loopback host may be reached without TLS, for development and tests.
    pub fn parse(text: &str, private_allowed: bool) -> Result<Self, EndpointError> {
        Self::read(text, |host| private_allowed && is_loopback(host))
    }

    /// Reads an address at which this host hands out credentials: https, or without TLS on loopback or at one of the addresses of
    /// ECS and EKS, whose packets do not leave the host.
    pub fn local(text: &str) -> Result<Self, EndpointError> {
        let hands_out = |address: IpAddr| CREDENTIALS.iter().any(|one| one.parse() == Ok(address));
        Self::read(text, |host| match host {
            Host::Domain(_) => is_loopback(host),
            Host::Ipv4(address) => is_loopback(host) || hands_out((*address).into()),
            Host::Ipv6(address) => is_loopback(host) || hands_out((*address).into()),
        })
    }

    /// `is_plain` says on which hosts TLS may be left out.
    fn read(text: &str, is_plain: impl FnOnce(&Host<&str>) -> bool) -> Result<Self, EndpointError> {
        if text.len() > LONGEST {
            return Err(EndpointError);
        }
        let url = Url::parse(text).map_err(|_not_one| EndpointError)?;
        let host = url.host().ok_or(EndpointError)?;
        let is_protected = url.scheme() == "https" || (url.scheme() == "http" && is_plain(&host));
        let is_bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if is_protected && is_bare { Ok(Self(url)) } else { Err(EndpointError) }
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

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
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
        for text in ["http://localhost:9/", "http://127.0.0.1:9999/p", "http://[::1]:1"] {
            assert!(Endpoint::parse(text, false).is_err(), "{text}");
            assert!(Endpoint::parse(text, true).is_ok(), "{text}");
            assert!(Endpoint::local(text).is_ok(), "{text}");
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
            assert_eq!(Endpoint::parse(text, true), Err(EndpointError), "{text}");
            assert_eq!(Endpoint::local(text), Err(EndpointError), "{text}");
        }
    }

    #[test]
    fn credentials_are_had_without_tls_where_packets_do_not_leave_the_host() {
        for text in [
            "http://169.254.170.2/v2/credentials/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "https://vault.example.com/credentials",
        ] {
            assert!(Endpoint::local(text).is_ok(), "{text}");
        }
        for text in ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://[fd00:ec2::254]/"] {
            assert_eq!(Endpoint::local(text), Err(EndpointError), "{text}");
            assert_eq!(Endpoint::parse(text, true), Err(EndpointError), "{text}");
        }
    }
}
