//! Issuers of others.

use clap::{Args, builder::NonEmptyStringValueParser};

use crate::value::CertificateBundle;

/// The variable with the hosts of issuers.
pub const ALLOWED_ISSUERS: &str = "BULKHEAD_OIDC_ALLOWED_ISSUERS";

/// Which identity providers may be named, and how they are reached.
#[derive(Clone, Debug, Args)]
pub struct Identity {
    /// Hosts that identity providers may have, with commas between them: `login.example.com`, `*.example.org` for all below it,
    /// `cognito-idp.eu-central-1.amazonaws.com` for pools of AWS Cognito in that region. Unset, there are no identity providers,
    /// and no token but our own is looked at.
    #[arg(env = ALLOWED_ISSUERS, value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub oidc_allowed_issuers: Vec<String>,
    /// PEM file of authorities that identity providers' certificates may be signed by, beside those that the system trusts.
    #[arg(env = "BULKHEAD_OIDC_CA")]
    pub oidc_ca: Option<CertificateBundle>,
    /// Lets requests to identity providers reach private addresses (10.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 and the like), and
    /// loopback without TLS. Who may name a provider can then make this service send requests into its own network: for
    /// development, and for providers that lie in a network of yours alone.
    #[arg(env = "BULKHEAD_DANGEROUSLY_ALLOW_PRIVATE_ISSUERS", action = clap::ArgAction::Set, default_value = "false")]
    pub dangerously_allow_private_issuers: bool,
}
