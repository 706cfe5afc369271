//! Credentials.

use std::{fmt, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    database::required,
    error::ConfigError,
    secret::{MasterKey, Password},
    value::{BaseUrl, days, name, number, seconds},
};

const MASTER_KEY: &str = "BULKHEAD_MASTER_KEY";
const MASTER_KEY_PREVIOUS: &str = "BULKHEAD_MASTER_KEY_PREVIOUS";

/// Which of a company's environments this is; part of every API key, so that a key of one is refused in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    /// Development.
    Dev,
    /// Tests and staging.
    Test,
    /// Production.
    Live,
}

impl Environment {
    /// The word in API keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who must have a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SecondFactorRequired {
    /// Nobody.
    Nobody,
    /// Operators.
    Operators,
    /// The owners of tenants.
    Owners,
    /// Both.
    OperatorsAndOwners,
}

impl SecondFactorRequired {
    /// Whether operators must have one.
    pub const fn of_operators(self) -> bool {
        matches!(self, Self::Operators | Self::OperatorsAndOwners)
    }

    /// Whether the owners of tenants must have one.
    pub const fn of_owners(self) -> bool {
        matches!(self, Self::Owners | Self::OperatorsAndOwners)
    }
}

impl fmt::Display for SecondFactorRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Operators => "operators",
            Self::Owners => "owners",
            Self::OperatorsAndOwners => "operators_and_owners",
        })
    }
}

/// What signs, seals and hashes, and how long tokens are good.
#[derive(Clone, Debug, Args)]
pub struct Auth {
    /// The key that seals the key from which all others are derived: the base64 of 32 random bytes.
    #[arg(env = MASTER_KEY, hide_env_values = true)]
    master_key: Option<MasterKey>,
    /// The master key before this one, while it is being changed: what it has sealed is opened with it and sealed with the new
    /// one, too. Unset, or the same as it, there is none.
    #[arg(env = MASTER_KEY_PREVIOUS, hide_env_values = true)]
    master_key_previous: Option<MasterKey>,
    /// Issuer in access tokens; unset, `BULKHEAD_PUBLIC_URL`. Who verifies tokens looks for
    /// `/.well-known/openid-configuration` below it: it leads here, or a copy of ours is served there.
    #[arg(env = "BULKHEAD_ISSUER")]
    pub(crate) issuer: Option<BaseUrl>,
    /// Audience in access tokens.
    #[arg(env = "BULKHEAD_AUDIENCE", default_value = "bulkhead", value_parser = name)]
    pub audience: String,
    /// How long an access token is good, in seconds.
    #[arg(env = "BULKHEAD_ACCESS_TOKEN_SECS", default_value = "600", value_parser = seconds(30..=3600))]
    pub access_token_life: Duration,
    /// How long a session can be refreshed, in days.
    #[arg(env = "BULKHEAD_REFRESH_TOKEN_DAYS", default_value = "30", value_parser = days(1..=365))]
    pub refresh_token_life: Duration,
    /// Which environment this is: `dev`, `test` or `live`; part of every API key.
    #[arg(env = "BULKHEAD_ENVIRONMENT", default_value = "dev")]
    pub environment: Environment,
    /// Passwords hashed at the same time by one process; each takes 19 MiB, and a core for about 20 ms when nothing else wants
    /// it. 0 means half as many as there are threads that serve requests.
    #[arg(env = "BULKHEAD_PASSWORD_HASH_THREADS", default_value = "0", value_parser = number(0..=64_u16))]
    pub password_hash_threads: u16,
    /// The fewest characters of a password that is set. Those that were set before stay good.
    #[arg(env = "BULKHEAD_PASSWORD_MIN_LENGTH", default_value = "8", value_parser = number(8..=64_u16))]
    pub password_min_length: u16,
    /// Who must have a second factor: `nobody`, `operators`, `owners` (of tenants) or `operators_and_owners`. Those who must and
    /// have none set one up with their next log-in, and sessions of theirs are not refreshed without. Anybody else may have one.
    #[arg(env = "BULKHEAD_SECOND_FACTOR_REQUIRED", default_value = "nobody")]
    pub second_factor_required: SecondFactorRequired,
    /// Password of the operator that `operator create` adds, for a task that has no standard input to read it from.
    #[arg(env = "BULKHEAD_OPERATOR_PASSWORD", hide_env_values = true)]
    pub operator_password: Option<Password>,
}

impl Auth {
    /// The key that seals the key from which all others are derived.
    pub fn require_master_key(&self) -> Result<&MasterKey, ConfigError> {
        required(MASTER_KEY, self.master_key.as_ref())
    }

    /// The same, for a command that can do without.
    pub const fn master_key(&self) -> Option<&MasterKey> {
        self.master_key.as_ref()
    }

    /// The master key before, while it is being changed.
    pub const fn previous_master_key(&self) -> Option<&MasterKey> {
        self.master_key_previous.as_ref()
    }
}
