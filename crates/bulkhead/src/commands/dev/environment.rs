//! The settings of the processes that `bulkhead dev` runs: its own, and those that a person may choose.
//!
//! A setting is used or refused, never passed over in silence. What is not named here reaches the API and the worker as it
//! stands in the environment.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use bulkhead_config::{Sections, Settings};

use super::{DATABASE, credentials::Credentials, free};

/// Settings that a person may choose, of those that `dev` would choose itself.
const CHOICES: [&str; 3] = [PORT, METRICS_PORT, PUBLIC_URL];
const PORT: &str = "BULKHEAD_PORT";
const METRICS_PORT: &str = "BULKHEAD_METRICS_PORT";
const PUBLIC_URL: &str = "BULKHEAD_PUBLIC_URL";

/// Settings that would be without effect here: `dev` reaches nothing but its own servers, on this host alone.
const REFUSED: [&str; 20] = [
    "BULKHEAD_BIND",
    "BULKHEAD_METRICS_BIND",
    "BULKHEAD_DATABASE_TENANT_URL",
    "BULKHEAD_DATABASE_PLATFORM_URL",
    "BULKHEAD_DATABASE_PROVISIONER_URL",
    "BULKHEAD_DATABASE_ADMIN_URL",
    "BULKHEAD_DATABASE_ADMIN_PASSWORD",
    "BULKHEAD_DATABASE_TLS",
    "BULKHEAD_DATABASE_CA_FILE",
    "BULKHEAD_REDIS_CACHE_URL",
    "BULKHEAD_REDIS_QUEUE_URL",
    "BULKHEAD_REDIS_CA_FILE",
    "BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT",
    "BULKHEAD_MASTER_KEY",
    "BULKHEAD_MASTER_KEY_PREVIOUS",
    "BULKHEAD_ENVIRONMENT",
    "BULKHEAD_OPERATOR_PASSWORD",
    "BULKHEAD_SMTP_URL",
    "BULKHEAD_SMTP_CA_FILE",
    "BULKHEAD_MAIL_FROM",
];

/// What a person has chosen, or what is chosen for them.
#[derive(Debug)]
pub(crate) struct Choices {
    pub(crate) api_port: u16,
    pub(crate) metrics_port: u16,
    pub(crate) public_url: String,
}

impl Choices {
    /// Finds the ports that were `wanted` free, or others where no port was chosen.
    pub(crate) fn settle(wanted: &Wanted) -> Result<Self> {
        let Wanted { settings, set } = wanted;
        let http = &settings.http;
        let api_port = chosen(PORT, http.port)?;
        let metrics_port = if set.contains(METRICS_PORT) {
            chosen(METRICS_PORT, http.metrics_port)?
        } else {
            free(http.metrics_port).or_else(|_taken| free(0))?
        };
        let public_url = if set.contains(PUBLIC_URL) {
            http.public_url.as_str().to_owned()
        } else {
            format!("http://127.0.0.1:{api_port}")
        };
        Ok(Self { api_port, metrics_port, public_url })
    }
}

/// The settings in the process's environment, none of which would be passed over.
pub(crate) struct Wanted {
    settings: Settings,
    set: BTreeSet<String>,
}

impl Wanted {
    /// Reads the process's environment.
    pub(crate) fn read(sections: &Sections) -> Result<Self> {
        let settings = Settings::from_env(sections)?;
        let set = bulkhead_config::names_set(sections);
        refuse(&set)?;
        Ok(Self { settings, set })
    }
}

/// The port that a person has chosen. When it is taken, the line to paste instead stands by itself.
fn chosen(name: &str, port: u16) -> Result<u16> {
    free(port).or_else(|error| {
        let other = (port.max(1023)..u16::MAX).map(|before| before + 1).find(|other| free(*other).is_ok());
        let other = other
            .map_or_else(String::new, |other| format!("\nChoose another one:\n  {name}={other} make run"));
        bail!("{name}: port {port} is taken: {error}{other}")
    })
}

/// Refuses settings that would be passed over.
fn refuse(set: &BTreeSet<String>) -> Result<()> {
    match REFUSED.iter().find(|name| set.contains(**name)) {
        Some(name) => {
            let choices = CHOICES.join(", ");
            bail!(
                "{name}: `dev` runs its own servers on this host and sets this itself; unset it. \
                   Of what it sets, {choices} can be chosen"
            )
        }
        None => Ok(()),
    }
}

/// Where `dev`'s own servers are.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) postgres_port: u16,
    pub(crate) superuser_url: String,
    pub(crate) redis_url: String,
    pub(crate) smtp_url: String,
}

/// The settings of every command that `dev` runs.
pub(crate) fn environment(
    credentials: &Credentials,
    servers: &Servers,
    choices: &Choices,
) -> Vec<(&'static str, String)> {
    let database = |role: &str, password: &str| {
        format!("postgres://{role}:{password}@127.0.0.1:{}/{DATABASE}", servers.postgres_port)
    };
    vec![
        ("BULKHEAD_BIND", "127.0.0.1".to_owned()),
        (PORT, choices.api_port.to_string()),
        ("BULKHEAD_METRICS_BIND", "127.0.0.1".to_owned()),
        (METRICS_PORT, choices.metrics_port.to_string()),
        (PUBLIC_URL, choices.public_url.clone()),
        ("BULKHEAD_DATABASE_ADMIN_URL", servers.superuser_url.clone()),
        ("BULKHEAD_DATABASE_TENANT_URL", database("bulkhead_tenant", &credentials.tenant_role)),
        ("BULKHEAD_DATABASE_PLATFORM_URL", database("bulkhead_platform", &credentials.platform_role)),
        (
            "BULKHEAD_DATABASE_PROVISIONER_URL",
            database("bulkhead_provisioner", &credentials.provisioner_role),
        ),
        // Loopback only, which the settings allow without the flag for plaintext.
        ("BULKHEAD_DATABASE_TLS", "off".to_owned()),
        ("BULKHEAD_REDIS_CACHE_URL", servers.redis_url.clone()),
        ("BULKHEAD_MASTER_KEY", credentials.master_key.clone()),
        ("BULKHEAD_ENVIRONMENT", "dev".to_owned()),
        ("BULKHEAD_SMTP_URL", servers.smtp_url.clone()),
        ("BULKHEAD_MAIL_FROM", "Bulkhead <no-reply@bulkhead.example>".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use bulkhead_servers::Scratch;

    use super::*;

    #[test]
    fn what_dev_sets_itself_can_be_chosen_or_is_refused() {
        let scratch = Scratch::new().unwrap();
        let credentials = Credentials::load_or_make(&scratch.path().join("credentials.json")).unwrap();
        let servers = Servers {
            postgres_port: 1,
            superuser_url: String::new(),
            redis_url: String::new(),
            smtp_url: String::new(),
        };
        let choices = Choices { api_port: 2, metrics_port: 3, public_url: String::new() };
        for (name, _) in environment(&credentials, &servers, &choices) {
            assert!(REFUSED.contains(&name) != CHOICES.contains(&name), "{name}");
        }
        let table = bulkhead_config::table(&Sections::default());
        for name in REFUSED.iter().chain(&CHOICES) {
            assert!(table.contains(&format!("| `{name}` |")), "{name} is no setting");
        }
    }

    #[test]
    fn a_refusal_names_the_setting_and_what_can_be_chosen() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert!(refuse(&set(&["BULKHEAD_PORT", "BULKHEAD_HTTP_THREADS"])).is_ok());
        let refused = refuse(&set(&["BULKHEAD_PORT", "BULKHEAD_REDIS_QUEUE_URL"])).unwrap_err().to_string();
        assert!(
            refused.starts_with("BULKHEAD_REDIS_QUEUE_URL: ") && refused.contains(METRICS_PORT),
            "{refused}"
        );
        assert!(!refused.contains("  "), "{refused}");
    }
}
