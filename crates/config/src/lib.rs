//! Settings: read from the environment once, at start, and validated.
//!
//! Owns every `BULKHEAD_*` variable, and those of AWS that say who a process is there: its name, its default, its meaning and the values it may take stand together in
//! one field of one section, and [`table`] writes the reference from the same fields. A wrong value, a misspelt
//! variable or an unsafe combination stops the program with one line that names the variable and never shows a secret.
//! An application's extensions bring sections of their own ([`section`]), for which the same holds.
//!
//! Refuses flags: a setting has one source, so what a process runs with can be read in one place, and secrets do not
//! appear in `ps`. Refuses defaults for secrets, and values that would switch a limit or a time-out off.

mod audit;
mod auth;
mod aws;
mod connections;
mod database;
mod error;
mod http;
mod identity;
mod kubernetes;
mod limits;
mod log;
mod mail;
mod needed;
mod redis;
mod secret;
pub mod section;
mod server_url;
mod tenants;
mod usage;
pub mod value;
mod worker;

use std::{collections::BTreeSet, ffi::OsString};

use clap::{Args, CommandFactory, FromArgMatches, Parser};

pub use audit::AnchorPlace;
pub use auth::{Auth, Environment, SecondFactorRequired};
pub use aws::{AWS_ENDPOINT_URL_S3, AWS_REGION, Aws, AwsCredentials, NO_CREDENTIALS};
pub use connections::{PROVISIONER_CONNECTIONS, USAGE_CONNECTIONS};
pub use database::{Database, DatabaseTls, PLATFORM_URL, PROVISIONER_URL, TENANT_URL};
pub use error::ConfigError;
pub use http::Http;
pub use identity::{ALLOWED_ISSUERS, Identity};
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use mail::{Mail, MailSender};
pub use needed::Needed;
pub use redis::Redis;
pub use secret::{MasterKey, Password};
pub use section::{Extensions, Section, SectionError, Sections};
pub use server_url::{ServerUrl, UndecodableLogin};
pub use tenants::Tenants;
pub use usage::Usage;
pub use value::{BaseUrl, CertificateBundle, Origin};
pub use worker::Worker;

use section::Spec;

/// What every variable begins with.
const PREFIX: &str = "BULKHEAD_";

/// Everything that can be set.
#[derive(Clone, Debug, Parser)]
#[command(name = "bulkhead", disable_help_flag = true)]
pub struct Settings {
    /// The HTTP server.
    #[command(flatten)]
    pub http: Http,
    /// PostgreSQL.
    #[command(flatten)]
    pub database: Database,
    /// Redis.
    #[command(flatten)]
    pub redis: Redis,
    /// How connections to PostgreSQL and Redis are protected.
    #[command(flatten)]
    pub transport: Transport,
    /// Credentials.
    #[command(flatten)]
    pub auth: Auth,
    /// Issuers of others.
    #[command(flatten)]
    pub identity: Identity,
    /// Admission.
    #[command(flatten)]
    pub limits: Limits,
    /// Tenants.
    #[command(flatten)]
    pub tenants: Tenants,
    /// Usage on its way to PostgreSQL.
    #[command(flatten)]
    pub usage: Usage,
    /// Background jobs.
    #[command(flatten)]
    pub worker: Worker,
    /// Outgoing mail.
    #[command(flatten)]
    pub mail: Mail,
    /// AWS.
    #[command(flatten)]
    pub aws: Aws,
    /// The log.
    #[command(flatten)]
    pub log: Log,
    /// What the application's extensions are set to.
    #[arg(skip)]
    pub extensions: Extensions,
}

/// What holds for connections to PostgreSQL and Redis alike.
#[derive(Clone, Debug, Args)]
pub struct Transport {
    /// Allows connections without TLS to PostgreSQL and Redis on other hosts. Without it only this host (loopback)
    /// may be reached in plain text. Only for networks that are encrypted underneath.
    #[arg(env = "BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT", action = clap::ArgAction::Set, default_value = "false")]
    pub dangerously_allow_plaintext: bool,
}

impl Settings {
    /// Reads the process's environment, for an application with these sections beside the core's settings.
    pub fn from_env(sections: &Sections) -> Result<Self, ConfigError> {
        Self::from_vars(std::env::vars_os(), sections)
    }

    /// Reads the given environment; variables that do not begin with `BULKHEAD_` are not looked at, but for those of AWS that are
    /// settings.
    pub fn from_vars(
        vars: impl IntoIterator<Item = (OsString, OsString)>,
        sections: &Sections,
    ) -> Result<Self, ConfigError> {
        let command = command(sections);
        let argv = argv(vars, &command)?;
        let matches =
            command.clone().try_get_matches_from(argv).map_err(|e| ConfigError::new(&command, &e))?;
        let mut settings =
            Self::from_arg_matches(&matches).map_err(|error| ConfigError::new(&command, &error))?;
        settings.extensions = sections.read(&matches)?;
        settings.refuse_plaintext()?;
        settings.refuse_whole_shares()?;
        settings.mail.refuse_half()?;
        Ok(settings)
    }

    /// Who the access tokens say has issued them.
    pub fn issuer(&self) -> &str {
        self.auth.issuer.as_ref().unwrap_or(&self.http.public_url).as_str()
    }

    /// Where the pages are that links in mails lead to.
    pub fn mail_links_url(&self) -> &str {
        self.mail.links_url.as_ref().unwrap_or(&self.http.public_url).as_str()
    }

    /// What one tenant may have must be less than there is.
    fn refuse_whole_shares(&self) -> Result<(), ConfigError> {
        let refuse = |variable, reason| Err(ConfigError::Inconsistent { variable, reason });
        if self.http.data_limit_bytes > self.http.body_limit_bytes / 4 * 3 {
            return refuse(
                "BULKHEAD_DATA_LIMIT_BYTES",
                "must be at most three quarters of BULKHEAD_BODY_LIMIT_BYTES",
            );
        }
        // A body lies in memory three times, and the content in it as often again on its way back.
        if self.http.body_limit_bytes > self.limits.tenant_bytes_in_flight / 8 {
            return refuse(
                "BULKHEAD_BODY_LIMIT_BYTES",
                "must be at most an eighth of BULKHEAD_TENANT_BYTES_IN_FLIGHT",
            );
        }
        if self.limits.tenant_bytes_in_flight > self.limits.bytes_in_flight / 2 {
            return refuse(
                "BULKHEAD_TENANT_BYTES_IN_FLIGHT",
                "must be at most half of BULKHEAD_BYTES_IN_FLIGHT",
            );
        }
        if self.http.connections_per_address > self.http.connections / 2 {
            return refuse(
                "BULKHEAD_CONNECTIONS_PER_ADDRESS",
                "must be at most half of BULKHEAD_CONNECTIONS",
            );
        }
        Ok(())
    }

    fn refuse_plaintext(&self) -> Result<(), ConfigError> {
        if self.transport.dangerously_allow_plaintext {
            return Ok(());
        }
        let exposed = self
            .database
            .plaintext_urls()
            .chain(self.redis.plaintext_urls())
            .find(|(_, url)| !url.is_loopback());
        match exposed {
            Some((variable, _)) => Err(ConfigError::Plaintext { variable }),
            None => Ok(()),
        }
    }
}

/// The settings as a clap command that hears only what it is given: an option per variable, named like the variable.
/// clap's own reading of the environment is taken out, so that tests need not change the process's.
fn command(sections: &Sections) -> clap::Command {
    arguments(sections).mut_args(|arg| match variable(&arg) {
        Some(name) => arg.long(name).env(clap::builder::Resettable::Reset),
        None => arg,
    })
}

/// The core's settings, then those of the sections; each still knows its variable.
fn arguments(sections: &Sections) -> clap::Command {
    Settings::command().args(sections.specs().map(Spec::argument))
}

/// The variable that sets an argument, while it is still known as one.
fn variable(arg: &clap::Arg) -> Option<String> {
    arg.get_env().and_then(|name| name.to_str()).map(str::to_owned)
}

/// The environment as arguments. Misspelt variables come first, since they explain what is wrong with the others.
fn argv(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    command: &clap::Command,
) -> Result<Vec<OsString>, ConfigError> {
    let mut ours = Vec::new();
    for (name, value) in vars {
        let Some(name) =
            name.to_str().filter(|name| name.starts_with(PREFIX) || name.starts_with(aws::PREFIX))
        else {
            continue;
        };
        let is_known = command.get_arguments().any(|arg| arg.get_long() == Some(name));
        // Variables of AWS are there for other programs, too.
        if name.starts_with(aws::PREFIX) && (!is_known || value.is_empty()) {
            continue;
        }
        let Some(text) = value.to_str() else {
            return Err(ConfigError::NotUnicode { variable: name.to_owned() });
        };
        if is_known || !kubernetes::is_service_link(name, text) {
            ours.push((is_known, name.to_owned(), value));
        }
    }
    ours.sort();
    let options = ours.into_iter().map(|(_, name, value)| {
        let mut option = OsString::from(format!("--{name}="));
        option.push(value);
        option
    });
    Ok(std::iter::once(OsString::from("bulkhead")).chain(options).collect())
}

/// The settings that are set in the process's environment, whatever their values.
pub fn names_set(sections: &Sections) -> BTreeSet<String> {
    let known: BTreeSet<String> = arguments(sections).get_arguments().filter_map(variable).collect();
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| known.contains(name))
        .collect()
}

/// Every variable with its default and its meaning, as a Markdown table: the core's, then those of the sections.
pub fn table(sections: &Sections) -> String {
    let rows = arguments(sections).get_arguments().map(row).collect::<String>();
    format!("| Variable | Default | Meaning |\n|---|---|---|\n{rows}")
}

fn row(arg: &clap::Arg) -> String {
    let name = variable(arg).unwrap_or_default();
    let default = arg.get_default_values().first();
    let default = default.map_or_else(|| "—".to_owned(), |value| format!("`{}`", value.to_string_lossy()));
    let meaning = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    // clap takes the full stop from a help of one sentence.
    format!("| `{name}` | {default} | {}. |\n", meaning.trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
