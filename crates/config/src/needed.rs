//! What a command cannot do without. A start names all that is missing at once: each start that names one is a deployment.

use crate::{Settings, error::ConfigError, section::Extensions};

/// A setting, or a group of them, without which a command cannot do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// The login that serves tenants' data.
    TenantLogin,
    /// The login that serves operators and machinery.
    PlatformLogin,
    /// The login that builds schemas and roles.
    ProvisionerLogin,
    /// Redis for limits.
    LimitsRedis,
    /// Redis for usage and the job queue.
    QueueRedis,
    /// The key that seals signing keys and keys digests.
    MasterKey,
    /// The required settings of the application's extensions.
    Extensions,
}

impl Settings {
    /// Refuses a start for which something is missing, and names every variable that is to be set.
    pub fn require(&self, needed: &[Needed]) -> Result<(), ConfigError> {
        let mut variables: Vec<&'static str> = Vec::new();
        for one in needed {
            let missing = match one {
                Needed::TenantLogin => self.database.require_tenant().err(),
                Needed::PlatformLogin => self.database.require_platform().err(),
                Needed::ProvisionerLogin => self.database.require_provisioner().err(),
                Needed::LimitsRedis => self.redis.require_cache().err(),
                Needed::QueueRedis => self.redis.require_queue().err(),
                Needed::MasterKey => self.auth.require_master_key().err(),
                Needed::Extensions => missing_of(&self.extensions),
            };
            match missing {
                Some(ConfigError::Missing { variables: missing }) => {
                    let known = variables.clone();
                    variables.extend(missing.into_iter().filter(|name| !known.contains(name)));
                }
                Some(other) => return Err(other),
                None => {}
            }
        }
        if variables.is_empty() { Ok(()) } else { Err(ConfigError::Missing { variables }) }
    }
}

fn missing_of(extensions: &Extensions) -> Option<ConfigError> {
    let variables = extensions.missing().to_vec();
    (!variables.is_empty()).then_some(ConfigError::Missing { variables })
}
