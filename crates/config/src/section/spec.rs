//! One setting: its variable, its meaning, its check, and what holds when it is not set.
//!
//! A message about a secret never quotes the value.

use std::fmt;

/// The longest value that a setting of a section may have, in bytes.
const LONGEST_VALUE: usize = 4_096;

/// One setting: its variable, its meaning, the values it may have, and what holds when it is not set.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub(super) variable: &'static str,
    pub(super) help: &'static str,
    check: fn(&str) -> Result<(), String>,
    unset: Unset,
    pub(super) secret: bool,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug)]
enum Unset {
    Text(&'static str),
    Number(i128),
    Nothing,
    Refused,
}

impl Spec {
    /// A setting that the application cannot do without: `api` and `worker` do not start until it is set. `help` says its
    /// meaning and its unit in one or more sentences; `check` refuses a value with the values there are ("not a number
    /// between 1 and 90"), which is shown after the variable's name.
    pub const fn required(
        variable: &'static str,
        help: &'static str,
        check: fn(&str) -> Result<(), String>,
    ) -> Self {
        Self { variable, help, check, unset: Unset::Refused, secret: false }
    }

    /// The same setting with a default.
    #[must_use]
    pub const fn default_text(mut self, value: &'static str) -> Self {
        self.unset = Unset::Text(value);
        self
    }

    /// The same setting with a number for its default.
    #[must_use]
    pub const fn default_number(mut self, value: i128) -> Self {
        self.unset = Unset::Number(value);
        self
    }

    /// The same setting, which may also stay unset.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.unset = Unset::Nothing;
        self
    }

    /// The same setting as a secret: its value is in no message.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The variable that sets it.
    pub const fn variable(&self) -> &'static str {
        self.variable
    }

    /// The value that holds when the variable is not set.
    pub(super) fn default(&self) -> Option<String> {
        match self.unset {
            Unset::Text(text) => Some(text.to_owned()),
            Unset::Number(number) => Some(number.to_string()),
            Unset::Nothing | Unset::Refused => None,
        }
    }

    /// Whether the setting may have this value. Empty is what a template with a missing variable leaves behind.
    pub(super) fn judge(&self, text: &str) -> Result<(), String> {
        match text.len() {
            0 => Err("empty; unset it, or give it a value".to_owned()),
            length if length > LONGEST_VALUE => Err(format!("longer than {LONGEST_VALUE} bytes")),
            _ => (self.check)(text).map_err(|reason| self.told(reason)),
        }
    }

    /// What is told of a value that code of the extension refuses. Its reason may quote the value, so a secret's is not
    /// told; what the setting has to be is.
    pub(super) fn told(&self, reason: impl fmt::Display) -> String {
        if self.secret { format!("refused. It has to be: {}", self.help.trim()) } else { reason.to_string() }
    }

    /// Whether a command that needs the setting does not start without it.
    pub(super) const fn is_required(&self) -> bool {
        matches!(self.unset, Unset::Refused)
    }

    /// The setting as clap knows those of the core.
    pub(crate) fn argument(&'static self) -> clap::Arg {
        let judge = move |text: &str| self.judge(text).map(|()| text.to_owned());
        let argument = clap::Arg::new(self.variable)
            .env(self.variable)
            .help(self.help)
            .hide_env_values(self.secret)
            .value_parser(judge);
        match self.default() {
            Some(value) => argument.default_value(value),
            None => argument,
        }
    }
}
