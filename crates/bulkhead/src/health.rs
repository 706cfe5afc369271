//! Health probes of extensions: whether what they depend on answers.

use std::{fmt, sync::Arc};

use bulkhead_config::{Extensions, section::Settings};
use bulkhead_telemetry::health::probes::{Probe, ProbeError, Probes};
use futures::future::{FutureExt as _, LocalBoxFuture};

use crate::Extension;

/// What a health probe works with.
#[derive(Clone, Debug)]
pub struct HealthCall {
    extensions: Extensions,
}

impl HealthCall {
    /// What the extension is set to. Settings that the application has not registered are an error.
    pub fn settings<S: Settings>(&self) -> Result<&S, String> {
        self.extensions.get().ok_or_else(|| format!("the settings of {} are not registered", S::OWNER))
    }
}

type Check = Arc<dyn Fn(HealthCall) -> LocalBoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A probe as an extension declares it.
#[derive(Clone)]
pub(crate) struct Declared {
    name: &'static str,
    check: Check,
}

impl Declared {
    pub(crate) fn new<F>(name: &'static str, check: impl Fn(HealthCall) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        Self { name, check: Arc::new(move |call| check(call).boxed_local()) }
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The probes of these extensions, which see these settings.
pub(crate) fn probes(extensions: &[Extension], settings: &Extensions) -> Result<Probes, ProbeError> {
    let of_one = |extension: &Extension| {
        let owner = extension.name;
        let probe = move |Declared { name, check }: Declared| {
            let call = HealthCall { extensions: settings.clone() };
            Probe::new(owner, name, move || check(call.clone()))
        };
        extension.probes.clone().into_iter().map(probe).collect::<Vec<_>>()
    };
    Probes::new(extensions.iter().flat_map(of_one).collect())
}
