//! The names of an application's metrics beside each other and the core's.

use std::collections::HashMap;

use super::Own;

/// Why the metrics of an application cannot stand beside each other and the core's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnError {
    /// Two extensions take one name.
    #[error("the metric {name} is declared by {first} and by {second}")]
    Twice {
        /// The name.
        name: String,
        /// Who took it first.
        first: &'static str,
        /// Who takes it too.
        second: &'static str,
    },
    /// A name that is not its owner's.
    #[error("the metric {name} of {owner} must begin with {owner}_")]
    Foreign {
        /// The name.
        name: &'static str,
        /// The extension.
        owner: &'static str,
    },
    /// An extension that is named like metrics of the core.
    #[error("{owner} cannot have metrics: the core's begin with {owner}_")]
    Reserved {
        /// The extension.
        owner: &'static str,
    },
}

/// What the names of the core's metrics begin with.
pub(in crate::metrics) const CORE: [&str; 3] = ["bulkhead", "http", "process"];

/// Refuses metrics that take a name twice, or one that is not their owner's.
pub(in crate::metrics) fn judge(own: &[Own]) -> Result<(), OwnError> {
    let mut taken: HashMap<String, &'static str> = HashMap::new();
    for own in own {
        let (owner, metrics) = (own.owner, own.metrics());
        if !metrics.is_empty() && CORE.contains(&owner) {
            return Err(OwnError::Reserved { owner });
        }
        for metric in metrics {
            let name = metric.name();
            if !name.strip_prefix(owner).is_some_and(|rest| rest.starts_with('_')) {
                return Err(OwnError::Foreign { name, owner });
            }
            for name in metric.claims() {
                if let Some(first) = taken.insert(name.clone(), owner) {
                    return Err(OwnError::Twice { name, first, second: owner });
                }
            }
        }
    }
    Ok(())
}
