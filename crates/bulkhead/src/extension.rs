//! What an extension brings to an application.
//!
//! Owns the lists, as an extension declares them. Refuses to judge them: what two extensions cannot have side by side, and which
//! names are the core's, is found when the application puts them together (`app.rs`, `names.rs`).

use std::fmt;

use bulkhead_api::Group;
use bulkhead_config::section::{Section, Settings};
use bulkhead_db::{
    DbResult, TenantTx,
    fleet::migrate::{Migration, MigrationSet},
};
use bulkhead_domain::{access::PermissionDef, metering::MeterDef};
use bulkhead_telemetry::metrics::own::Collects;
use bulkhead_worker::{Every, Jobs, TenantJobHandler};

use crate::{
    demo::{Demo, Seed},
    health::{Declared, HealthCall},
};

/// A part of an application: tables of tenants, operations, permissions, meters, jobs, settings, metrics and health probes
/// under one name.
///
/// ```
/// use bulkhead::prelude::*;
///
/// permissions! {
///     /// See invoices.
///     READ_INVOICES = "read:invoices", held by [Owner, Admin, Developer, ReadOnly];
/// }
///
/// operations! {
///     list_invoices => Access::Tenant(READ_INVOICES), [], List;
/// }
///
/// /// List invoices
/// #[utoipa::path(get, path = "/v1/invoices", responses((status = 204, description = "None yet.")))]
/// async fn list_invoices(_call: TenantCall) -> Result<Answer> {
///     Ok(Answer::no_content())
/// }
///
/// let invoices = Extension::new("invoices").about("Bills to customers.").permissions(ALL).operations(group());
/// assert_eq!(bulkhead::App::new().extension(invoices).check(), Ok(()));
/// ```
#[must_use]
pub struct Extension {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) migrations: Option<MigrationSet>,
    pub(crate) permissions: &'static [PermissionDef],
    pub(crate) meters: &'static [MeterDef],
    pub(crate) ids: &'static [&'static str],
    pub(crate) operations: Vec<Group>,
    pub(crate) jobs: Jobs,
    pub(crate) settings: Vec<Section>,
    pub(crate) metrics: Vec<&'static dyn Collects>,
    pub(crate) probes: Vec<Declared>,
    pub(crate) demo: Option<Seed>,
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extension({})", self.name)
    }
}

impl Extension {
    /// An extension that brings nothing yet. Its name is 2 to 31 of `a` to `z`, `0` to `9` and `_`, and begins with a letter. The
    /// names of its jobs, meters, settings and metrics begin with it, its operations stand under it in the document, and
    /// databases keep it: it never changes.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            about: "",
            migrations: None,
            permissions: &[],
            meters: &[],
            ids: &[],
            operations: Vec::new(),
            jobs: Jobs::of(name),
            settings: Vec::new(),
            metrics: Vec::new(),
            probes: Vec::new(),
            demo: None,
        }
    }

    /// What it is, in one sentence, for readers of the API's documentation.
    pub const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Its migrations of tenants' schemas, as [`migrations!`](crate::migrations) lists them.
    pub const fn tenant_migrations(mut self, migrations: &'static [Migration]) -> Self {
        let platform = match self.migrations {
            Some(set) => set.platform(),
            None => &[],
        };
        self.migrations = Some(MigrationSet::new(self.name, migrations).with_platform(platform));
        self
    }

    /// Its migrations of tables across tenants, which lie in a schema of the extension's own, `x_` and its name. A tenant's
    /// transaction reaches it through functions alone, which take the tenant from `gate.tenant()` and from no parameter.
    ///
    /// When a table has rows of tenants, a column `tenant_id`, the extension has the function `forget(whose uuid, up_to
    /// integer) RETURNS bigint`. It removes at most `up_to` rows of the tenant and returns how many it has removed. The purge
    /// of a deleted tenant calls it until it returns 0, each time in a transaction of its own with at most a minute. Give the
    /// column an index. A program with migrations that do not keep to this does not start; `crates/sqlcheck/src/platform.rs`
    /// has the rules.
    pub const fn platform_migrations(mut self, migrations: &'static [Migration]) -> Self {
        let tenant = match self.migrations {
            Some(set) => set.tenant(),
            None => &[],
        };
        self.migrations = Some(MigrationSet::new(self.name, tenant).with_platform(migrations));
        self
    }

    /// Its permissions, with the roles that hold them, as [`permissions!`](crate::permissions) lists them in `ALL`.
    pub const fn permissions(mut self, permissions: &'static [PermissionDef]) -> Self {
        self.permissions = permissions;
        self
    }

    /// What it counts beside requests, as [`meters!`](crate::meters) lists it in `METERS`. Each name begins with the extension's
    /// and an underscore.
    pub const fn meters(mut self, meters: &'static [MeterDef]) -> Self {
        self.meters = meters;
        self
    }

    /// The prefixes of its ids: the `PREFIX` of each type that [`id!`](crate::id) has declared.
    pub const fn ids(mut self, prefixes: &'static [&'static str]) -> Self {
        self.ids = prefixes;
        self
    }

    /// Operations, as the `group()` that [`operations!`](crate::operations) makes collects them. Each path begins with `/v1/`
    /// and a segment that no other extension has.
    pub fn operations(mut self, group: Group) -> Self {
        self.operations.push(group);
        self
    }

    /// A job that runs inside one tenant. Its kind is the extension's name, a dot and a word: `invoices.send`.
    pub fn job<J: TenantJobHandler>(mut self) -> Self {
        self.jobs = self.jobs.with_tenant::<J>();
        self
    }

    /// A job that every tenant runs once a period.
    pub fn each_tenant<J: TenantJobHandler + Default>(mut self, every: Every) -> Self {
        self.jobs = self.jobs.each_tenant::<J>(every);
        self
    }

    /// Its settings, as [`settings!`](crate::settings) declares them.
    pub fn settings<S: Settings>(mut self) -> Self {
        self.settings.push(Section::of::<S>());
        self
    }

    /// Its metrics. Each name begins with the extension's and an underscore.
    pub fn metrics(mut self, metrics: &[&'static dyn Collects]) -> Self {
        self.metrics.extend(metrics);
        self
    }

    /// A check of something that the extension depends on, for machines that watch a process: `GET /readyz` on the port for
    /// metrics shows it under `name`. It runs every ten seconds in `api` and in `worker`, on a thread of its own, and counts
    /// as failed when it takes longer than two. Its error is for the log, without a secret. It never takes a node out of
    /// service.
    pub fn health<F>(
        mut self,
        name: &'static str,
        check: impl Fn(HealthCall) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        self.probes.push(Declared::new(name, check));
        self
    }

    /// What `bulkhead dev` puts into each demo tenant when it makes it, in one transaction with everything else that the tenant
    /// begins with.
    pub fn demo<S>(mut self, seed: S) -> Self
    where
        S: for<'a> AsyncFn(&'a mut TenantTx, &'a Demo) -> DbResult<()> + Copy + Send + Sync + 'static,
    {
        self.demo = Some(Seed::new(seed));
        self
    }
}
