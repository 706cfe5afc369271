//! Addresses of PostgreSQL, Redis and SMTP servers, which carry a password.

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

    /// Whether its scheme asks for TLS (`rediss://`, `smtps://`).
    pub fn asks_for_tls(&self) -> bool {
        matches!(self.0.scheme(), "rediss" | "smtps")
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

    /// Reads `smtps://user:password@host:port` or `smtp://…`.
    pub(crate) fn smtp(text: &str) -> Result<Self, String> {
        let refused = "not like smtps://user:password@host:465 (or smtp://…:587, which then uses STARTTLS, or plain text on \
                       this host)";
        let url = Self::parse(text, &["smtp", "smtps"]).ok_or(refused)?;
        let is_whole =
            matches!(url.0.path(), "" | "/") && url.0.username().is_empty() == url.0.password().is_none();
        (is_whole && url.login().is_ok()).then_some(url).ok_or_else(|| refused.to_owned())
    }

    /// The host's name or address, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.0.port()
    }

    /// The user and the password, if they are named, with their percent signs decoded. Fails when they are no text then.
    pub fn login(&self) -> Result<Option<(String, String)>, UndecodableLogin> {
        let Some(password) = self.0.password() else { return Ok(None) };
        let decode = |text: &str| decode(text).ok_or(UndecodableLogin);
        Ok(Some((decode(self.0.username())?, decode(password)?)))
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

/// The user or the password of an address is no text when its percent signs are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the user or the password cannot be decoded")]
pub struct UndecodableLogin;

/// The text with `%XX` decoded (RFC 3986 section 2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, behind) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digits = [char::from(*high), char::from(*low)].map(|digit| digit.to_digit(16));
                let [Some(high), Some(low)] = digits else { return None };
                (u8::try_from(high * 16 + low).ok()?, after)
            }
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        bytes.push(byte);
        rest = behind;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
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
