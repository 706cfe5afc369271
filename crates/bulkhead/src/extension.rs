//! What an extension brings to an application.
//!
//! Owns the lists, as an extension declares them. Refuses to judge them: what two extensions cannot have side by side is found
//! when the application puts them together (`app.rs`).

use bulkhead_api::Group;
use bulkhead_config::section::{Section, Settings};
use bulkhead_db::fleet::migrate::{Migration, MigrationSet};
use bulkhead_domain::{access::PermissionDef, access::PermissionList, metering::MeterDef};
use bulkhead_telemetry::metrics::own::{Collects, Own};
use bulkhead_worker::{Every, Jobs, TenantJobHandler};

/// A part of an application: tables of tenants, operations, permissions, meters, jobs, settings and metrics under one name.
#[must_use]
pub struct Extension {
    pub(crate) name: &'static str,
    pub(crate) migrations: Option<MigrationSet>,
    pub(crate) permissions: PermissionList,
    pub(crate) meters: &'static [MeterDef],
    pub(crate) operations: Vec<Group>,
    pub(crate) jobs: Jobs,
    pub(crate) settings: Vec<Section>,
    pub(crate) metrics: Option<Own>,
}

impl Extension {
    /// An extension that brings nothing yet. Its name, of `a` to `z`, `0` to `9` and `_`, begins the names of its jobs, settings and
    /// metrics, and databases keep it: it never changes.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            migrations: None,
            permissions: PermissionList { owner: name, tenants: &[], operators: &[] },
            meters: &[],
            operations: Vec::new(),
            jobs: Jobs::of(name),
            settings: Vec::new(),
            metrics: None,
        }
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

    /// Its migrations of tables across tenants, which lie in a schema of the extension's own, `x_` and its name. A tenant's transaction
    /// reaches it through functions alone; `crates/sqlcheck/src/platform.rs` has the rules.
    pub const fn platform_migrations(mut self, migrations: &'static [Migration]) -> Self {
        let tenant = match self.migrations {
            Some(set) => set.tenant(),
            None => &[],
        };
        self.migrations = Some(MigrationSet::new(self.name, tenant).with_platform(migrations));
        self
    }

    /// Its permissions, with the roles that hold them.
    pub const fn permissions(mut self, permissions: &'static [PermissionDef]) -> Self {
        self.permissions.tenants = permissions;
        self
    }

    /// What it counts beside requests.
    pub const fn meters(mut self, meters: &'static [MeterDef]) -> Self {
        self.meters = meters;
        self
    }

    /// Operations, as the `group()` that [`operations!`](crate::operations) makes collects them.
    pub fn operations(mut self, group: Group) -> Self {
        self.operations.push(group);
        self
    }

    /// A job that runs inside one tenant.
    pub fn job<J: TenantJobHandler>(mut self) -> Self {
        self.jobs = self.jobs.with_tenant::<J>();
        self
    }

    /// A job that every tenant runs once a period.
    pub fn each_tenant<J: TenantJobHandler + Default>(mut self, every: Every) -> Self {
        self.jobs = self.jobs.each_tenant::<J>(every);
        self
    }

    /// Its settings.
    pub fn settings<S: Settings>(mut self) -> Self {
        self.settings.push(Section::of::<S>());
        self
    }

    /// Its metrics.
    pub fn metrics(mut self, metrics: &[&'static dyn Collects]) -> Self {
        self.metrics = Some(Own::new(self.name, metrics));
        self
    }
}
