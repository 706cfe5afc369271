//! Parsers of values, with refusals that say which values there are.
//!
//! Every number has a lowest and a highest value: nothing can be switched off by a zero or by a number so large that it
//! never takes effect. Each function here makes a value from text, or refuses the text in words that follow the name of the
//! variable; the sections of extensions use the same ones.

use std::{fmt::Display, fs, io::Read, ops::RangeInclusive, path::PathBuf, str::FromStr, time::Duration};

use url::Url;

use crate::kubernetes::is_service_address;

/// No bundle of certificates is longer (the system's own hold about 250 kB).
const LONGEST_BUNDLE: u64 = 4 << 20;

/// Whole numbers in a range.
pub fn number<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |text| bounded(text, &range, "a number")
}

/// A port. For a Service named like the variable Kubernetes sets it to an address, which deserves a word of its own.
pub(crate) fn port(text: &str) -> Result<u16, String> {
    if is_service_address(text) {
        return Err("set by Kubernetes for a Service of that name; set it to a port in the pod's own environment, or \
                    turn the pod's enableServiceLinks off"
            .to_owned());
    }
    bounded(text, &(1..=u16::MAX), "a number")
}

/// Milliseconds in a range.
pub fn millis(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| bounded(text, &range, "a number of milliseconds").map(Duration::from_millis)
}

/// Seconds in a range.
pub fn seconds(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| bounded(text, &range, "a number of seconds").map(Duration::from_secs)
}

/// Days in a range.
pub fn days(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| bounded(text, &range, "a number of days").map(|days| Duration::from_hours(24 * days))
}

fn bounded<T>(text: &str, range: &RangeInclusive<T>, what: &str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    text.parse::<T>()
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| format!("not {what} between {} and {}", range.start(), range.end()))
}

/// A short name that is safe in keys, log lines and file names.
pub fn name(text: &str) -> Result<String, String> {
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if clean && (1..=64).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("not 1 to 64 letters, digits, dots, underscores or hyphens".to_owned())
    }
}

/// An `http` or `https` address that paths are appended to, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path in it, which begins with a slash and does not end with one; empty when there is none.
    pub fn path(&self) -> &str {
        let after_scheme = self.0.split_once("://").map_or("", |(_, rest)| rest);
        after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or_default()
    }
}

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if matches!(url.scheme(), "http" | "https") && url.has_host() && bare && url.password().is_none() {
            Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
        } else {
            Err("not an http or https address without user, query and fragment".to_owned())
        }
    }
}

/// The origin of a web page as browsers write it: scheme and host, and the port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// The origin.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_written_so = Url::parse(text).is_ok_and(|url| {
            // A pattern is no origin, though the rules for addresses allow an asterisk.
            let is_one = matches!(url.scheme(), "http" | "https") && !text.contains('*');
            is_one && url.origin().ascii_serialization() == text
        });
        if is_written_so {
            Ok(Self(text.to_owned()))
        } else {
            Err("not an origin as browsers write it, like https://app.example.com or http://localhost:3000"
                .to_owned())
        }
    }
}

/// Certificates of authorities, read from a PEM file at start.
#[derive(Clone, Debug)]
pub struct CertificateBundle {
    path: PathBuf,
    pem: Vec<u8>,
}

impl CertificateBundle {
    /// Where it was read from.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The file's contents.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }
}

impl FromStr for CertificateBundle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let mut pem = Vec::new();
        let file = fs::File::open(&path).map_err(|error| error.to_string())?;
        file.take(LONGEST_BUNDLE + 1).read_to_end(&mut pem).map_err(|error| error.to_string())?;
        let marker = b"-----BEGIN CERTIFICATE-----";
        if pem.len() as u64 > LONGEST_BUNDLE || !pem.windows(marker.len()).any(|window| window == marker) {
            return Err("not a PEM file of certificates".to_owned());
        }
        Ok(Self { path, pem })
    }
}
