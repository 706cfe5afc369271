//! What is wrong with the environment, in one line that names the variable.

use clap::error::{ContextKind, ContextValue};

/// Longer values are cut in messages.
const SHOWN: usize = 60;

/// Why the settings were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that the variable cannot have.
    #[error("{variable}: invalid value{}: {reason}", shown(value.as_deref()))]
    Invalid {
        /// The variable.
        variable: String,
        /// What it was set to; `None` for variables that hold secrets.
        value: Option<String>,
        /// Which values it may have.
        reason: String,
    },
    /// No such variable.
    #[error("{variable}: no such setting{}", suggestion(nearest.as_deref()))]
    Unknown {
        /// The variable.
        variable: String,
        /// The setting with the most similar name.
        nearest: Option<String>,
    },
    /// A value that is not text.
    #[error("{variable}: not valid UTF-8")]
    NotUnicode {
        /// The variable.
        variable: String,
    },
    /// Settings that this command cannot do without.
    #[error("{}: not set, and this command needs {}", variables.join(", "), it(variables.len()))]
    Missing {
        /// The variables.
        variables: Vec<&'static str>,
    },
    /// Values of an extension's settings that do not go together.
    #[error("the settings of {owner}: {reason}")]
    Section {
        /// The extension.
        owner: &'static str,
        /// What is wrong with them.
        reason: String,
    },
    /// A value that does not go with another setting's.
    #[error("{variable}: {reason}")]
    Inconsistent {
        /// The variable.
        variable: &'static str,
        /// What it must be.
        reason: &'static str,
    },
    /// A server on another host would be spoken to in plain text.
    #[error(
        "{variable}: leads to another host without TLS (BULKHEAD_DANGEROUSLY_ALLOW_PLAINTEXT=true would allow it)"
    )]
    Plaintext {
        /// The variable.
        variable: &'static str,
    },
}

fn shown(value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| {
        let cut: String = value.chars().take(SHOWN).collect();
        let more = if cut.len() < value.len() { "…" } else { "" };
        format!(" '{}{more}'", cut.escape_debug())
    })
}

const fn it(count: usize) -> &'static str {
    if count == 1 { "it" } else { "them" }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}

impl ConfigError {
    /// Reads what clap found. `command` is the one that parsed: its options are named like the variables.
    pub(crate) fn new(command: &clap::Command, error: &clap::Error) -> Self {
        let variable =
            context(error, ContextKind::InvalidArg).as_deref().map(option_name).unwrap_or_default();
        if error.kind() == clap::error::ErrorKind::UnknownArgument {
            let nearest = context(error, ContextKind::SuggestedArg).as_deref().map(option_name);
            return Self::Unknown { variable, nearest };
        }
        let is_secret = command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(variable.as_str()) && arg.is_hide_env_values_set());
        let value = context(error, ContextKind::InvalidValue).filter(|_| !is_secret);
        Self::Invalid { reason: reason(error), value, variable }
    }
}

/// The variable in clap's way of writing an option: `--NAME <VALUE>`.
fn option_name(text: &str) -> String {
    text.trim_start_matches("--").split([' ', '=']).next().unwrap_or_default().to_owned()
}

fn reason(error: &clap::Error) -> String {
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("not one of {}", values.join(", "))
        }
        _ => error.kind().to_string(),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}
