//! Outgoing mail.

use std::{fmt, str::FromStr, time::Duration};

use bulkhead_domain::{Email, text};
use clap::Args;

use crate::{
    error::ConfigError,
    server_url::ServerUrl,
    value::{BaseUrl, CertificateBundle, millis, number},
};

const SMTP_URL: &str = "BULKHEAD_SMTP_URL";
const MAIL_FROM: &str = "BULKHEAD_MAIL_FROM";

/// Where mails leave. Without a server there are none: what can do without them works in another way, what cannot is refused.
#[derive(Clone, Debug, Args)]
pub struct Mail {
    /// The SMTP server: `smtps://user:password@host:465`, or `smtp://…:587`, where STARTTLS is required unless the server is on this
    /// host. Unset, no mail leaves: invitations are handed over by their inviters, people who register or sign up do not show that the
    /// address is theirs, and nobody can ask for a new password by themself. Set it for the API and for the worker.
    #[arg(env = SMTP_URL, hide_env_values = true, value_parser = ServerUrl::smtp)]
    smtp_url: Option<ServerUrl>,
    /// Whom mails are from: `no-reply@example.com` or `Example <no-reply@example.com>`. Required with `BULKHEAD_SMTP_URL`.
    #[arg(id = "mail_from", env = MAIL_FROM)]
    sender: Option<MailSender>,
    /// File of PEM certificates that the SMTP server's certificate must lead to; unset, the system's authorities count.
    #[arg(id = "smtp_ca", env = "BULKHEAD_SMTP_CA_FILE")]
    pub ca: Option<CertificateBundle>,
    /// Longest time for handing one mail over, in milliseconds.
    #[arg(env = "BULKHEAD_SMTP_TIMEOUT_MS", default_value = "10000", value_parser = millis(100..=60_000))]
    pub smtp_timeout: Duration,
    /// Mails that one worker hands over at the same time.
    #[arg(env = "BULKHEAD_SMTP_CONNECTIONS", default_value = "2", value_parser = number(1..=64_u16))]
    pub smtp_connections: u16,
    /// Where the pages are that links in mails lead to, without a slash at the end; unset, `BULKHEAD_PUBLIC_URL`. They are yours:
    /// `/invitation`, `/registration`, `/password-reset` and `/sign-up` below it, each with `#token=…`.
    #[arg(id = "mail_links_url", env = "BULKHEAD_MAIL_LINKS_URL")]
    pub(crate) links_url: Option<BaseUrl>,
    /// Mails that one tenant, and all sign-ups together, may have sent in an hour.
    #[arg(env = "BULKHEAD_MAILS_PER_TENANT_PER_HOUR", default_value = "100", value_parser = number(1..=100_000_u32))]
    pub mails_per_tenant_per_hour: u32,
}

impl Mail {
    /// The server and whom mails are from, when mails leave.
    pub fn server(&self) -> Option<(&ServerUrl, &MailSender)> {
        self.smtp_url.as_ref().zip(self.sender.as_ref())
    }

    /// Whether mails leave.
    pub fn is_on(&self) -> bool {
        self.server().is_some()
    }

    /// A server without a sender, or a sender without a server.
    pub(crate) fn refuse_half(&self) -> Result<(), ConfigError> {
        match (&self.smtp_url, &self.sender) {
            (Some(_), None) => Err(ConfigError::Inconsistent {
                variable: MAIL_FROM,
                reason: "must be set with BULKHEAD_SMTP_URL",
            }),
            (None, Some(_)) => Err(ConfigError::Inconsistent {
                variable: SMTP_URL,
                reason: "must be set with BULKHEAD_MAIL_FROM",
            }),
            _ => Ok(()),
        }
    }
}

/// Whom mails are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSender {
    /// What people see beside the address.
    pub name: Option<String>,
    /// The address.
    pub address: Email,
}

impl FromStr for MailSender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = match text.split_once('<') {
            Some((name, rest)) => {
                let address = rest.strip_suffix('>').ok_or("not like Example <no-reply@example.com>")?;
                (Some(name.trim()), address)
            }
            None => (None, text),
        };
        if let Some(name) = name {
            text::check(name, 1, 64).map_err(|error| format!("the name {error}"))?;
            if name.contains(['"', '\\', '>', '@']) {
                return Err("the name must not contain quotes, backslashes, > and @".to_owned());
            }
        }
        let address = address.parse().map_err(|error| format!("the address {error}"))?;
        Ok(Self { name: name.map(ToOwned::to_owned), address })
    }
}

impl fmt::Display for MailSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}
