//! Addresses of PostgreSQL and Redis servers, which carry a password.

use std::{fmt, net::IpAddr};

use url::Url;

use crate::secret::Password;

/// The address of a server, with user and password. `Debug` and `Display` leave the password out.
///
/// Kept to what every client library reads alike: one host, no query and no fragment, because options in a URL could
/// weaken TLS or change a session behind the settings' back.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// The whole address, password included.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The same address with another password.
    #[must_use]
    pub(crate) fn with_password(&self, password: &Password) -> Self {
        let mut url = self.0.clone();
        // Fails only for addresses without a host, which `parse` refuses.
        let _: Result<(), ()> = url.set_password(Some(password.expose()));
        Self(url)
    }

    /// Whether it leads to this host.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// Whether its scheme asks for TLS (`rediss://`).
    pub fn asks_for_tls(&self) -> bool {
        self.0.scheme() == "rediss"
    }

    /// Reads `postgres://user:password@host:port/database`.
    pub(crate) fn postgres(text: &str) -> Result<Self, String> {
        let refused =
            "not like postgres://user:password@host:5432/database (TLS is set by BULKHEAD_DATABASE_TLS)";
        let url = Self::parse(text, &["postgres", "postgresql"]).ok_or(refused)?;
        let database = url.0.path().strip_prefix('/').unwrap_or_default();
        let complete = !url.0.username().is_empty() && !database.is_empty() && !database.contains('/');
        complete.then_some(url).ok_or_else(|| refused.to_owned())
    }

    /// Reads `rediss://user:password@host:port/number`.
    pub(crate) fn redis(text: &str) -> Result<Self, String> {
        let refused = "not like rediss://user:password@host:6379/0 (or redis:// for this host)";
        let url = Self::parse(text, &["redis", "rediss"]).ok_or(refused)?;
        let number = url.0.path().strip_prefix('/').unwrap_or_default();
        let sound = number.is_empty() || number.parse::<u16>().is_ok();
        sound.then_some(url).ok_or_else(|| refused.to_owned())
    }

    fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        let name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        let literal = host.starts_with('[') && host.ends_with(']');
        let bare = url.query().is_none() && url.fragment().is_none();
        (schemes.contains(&url.scheme()) && !host.is_empty() && (name || literal) && bare)
            .then_some(Self(url))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.0.clone();
        // Fails only for addresses without a host, which `parse` refuses.
        let _: Result<(), ()> = url.set_password(None);
        fmt::Display::fmt(&url, f)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
