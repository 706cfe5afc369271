//! An application: the core and its extensions, put together once.
//!
//! Owns what all commands of one program share: migrations, permissions, meters, operations, jobs, settings and metrics of the
//! core and of every extension. Refuses an application whose parts cannot stand beside each other, with one line that names
//! both: two routes, meters, permissions, jobs, settings or metrics of one name, and a permission that is needed and declared
//! nowhere; also two tables of one name, and a migration that breaks the rules for a tenant's schema, by its file and line.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use bulkhead_api::{Catalog, routes};
use bulkhead_config::Sections;
use bulkhead_db::fleet::migrate::{CORE, RESOURCES, Sets};
use bulkhead_domain::{AccessRegistry, access::PermissionList, metering::MeterRegistry};
use bulkhead_telemetry::{Metrics, metrics::own::Own};
use bulkhead_worker::{Jobs, Registry};

use crate::{Extension, commands};

/// An application that is built on Bulkhead.
#[must_use]
#[derive(Default)]
pub struct App {
    extensions: Vec<Extension>,
}

impl App {
    /// The core alone.
    pub const fn new() -> Self {
        Self { extensions: Vec::new() }
    }

    /// Adds an extension. A tenant gets the migrations of extensions in the order in which they were added.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Parses the command line and runs the command. What goes wrong is one line on standard error.
    pub fn run(self) -> ExitCode {
        commands::run(|| self.assemble())
    }

    fn assemble(self) -> Result<Parts> {
        let extensions = self.extensions;
        let permissions: Vec<PermissionList> =
            extensions.iter().map(|extension| extension.permissions).collect();
        let access = AccessRegistry::assemble(&permissions)?;
        let meters =
            MeterRegistry::new(extensions.iter().map(|extension| (extension.name, extension.meters)))?;
        let sets = Sets::new(
            [CORE, RESOURCES]
                .into_iter()
                .chain(extensions.iter().filter_map(|extension| extension.migrations)),
        )?;
        sets.judge()?;
        let sections = extensions.iter().flat_map(|extension| extension.settings.iter().copied());
        let sections = Sections::new(sections.collect())?;
        let metrics: Vec<Own> = extensions.iter().filter_map(|extension| extension.metrics.clone()).collect();
        // Registered once to be judged; each command counts into metrics of its own.
        Metrics::with(&metrics)?;
        let jobs =
            std::iter::once(Jobs::core()).chain(extensions.iter().map(|extension| extension.jobs.clone()));
        let jobs = Registry::new(jobs)?;
        let groups = extensions.into_iter().flat_map(|extension| extension.operations);
        let groups = routes::core().into_iter().chain(groups).collect();
        let catalog = Arc::new(Catalog::assemble(groups, &access)?);
        Ok(Parts { access: Arc::new(access), meters, sets, sections, metrics, jobs, catalog })
    }
}

/// What an application is made of, found to go together.
pub(crate) struct Parts {
    /// The permissions, and the roles that hold them.
    pub(crate) access: Arc<AccessRegistry>,
    /// What is counted.
    pub(crate) meters: MeterRegistry,
    /// The migrations of tenants' schemas: the core's, then each extension's.
    pub(crate) sets: Sets,
    /// The settings of extensions.
    pub(crate) sections: Sections,
    metrics: Vec<Own>,
    /// What runs in the background.
    pub(crate) jobs: Registry,
    /// What is served.
    pub(crate) catalog: Arc<Catalog>,
}

impl Parts {
    /// New metrics of a process.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::with(&self.metrics)?)
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_api::{__private::utoipa, Access, Answer, ApiError, Group, operations};
    use bulkhead_db::fleet::migrate::Migration;
    use bulkhead_domain::{
        access::{BuiltIn, Permission, PermissionDef},
        metering::{MeterDef, MeterKind, MeterName},
    };

    use super::*;

    const READ: Permission = Permission::new("read:invoices");
    const PERMISSIONS: &[PermissionDef] =
        &[PermissionDef { permission: READ, held_by: &[BuiltIn::Owner, BuiltIn::Admin] }];
    const METERS: &[MeterDef] =
        &[MeterDef::new(MeterName::new("invoices_sent"), "invoice", MeterKind::Count)];
    const MIGRATIONS: &[Migration] = &[Migration::new("2026-12-01-000001_invoices", "", "")];

    operations! {
        list_invoices => Access::Tenant(READ), [];
    }

    #[utoipa::path(get, path = "/v1/invoices", responses((status = 204, description = "None.")))]
    async fn list_invoices() -> Result<Answer, ApiError> {
        Ok(Answer::no_content())
    }

    fn served() -> Group {
        group()
    }

    fn refusal(extensions: impl IntoIterator<Item = Extension>) -> String {
        let app = extensions.into_iter().fold(App::new(), App::extension);
        app.assemble().err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn the_core_stands_alone() {
        assert_eq!(refusal([]), "");
    }

    #[test]
    fn an_extension_is_put_beside_the_core() {
        let invoices = || {
            Extension::new("invoices")
                .tenant_migrations(MIGRATIONS)
                .permissions(PERMISSIONS)
                .meters(METERS)
                .operations(served())
        };
        let parts = App::new().extension(invoices()).assemble().unwrap();
        assert_eq!(parts.sets.names().collect::<Vec<_>>(), ["core", "resources", "invoices"]);
        assert!(parts.meters.find("invoices_sent").is_some());
        assert!(parts.catalog.operations().any(|(path, ..)| path == "/v1/invoices"));
    }

    #[test]
    fn what_two_extensions_share_is_refused_in_one_line_that_names_both() {
        let [first, second] = [Extension::new("invoices"), Extension::new("billing")];
        assert_eq!(
            refusal([first.permissions(PERMISSIONS), second.permissions(PERMISSIONS)]),
            "the permission read:invoices is declared by invoices and by billing"
        );
        let [first, second] = [Extension::new("invoices"), Extension::new("billing")];
        assert_eq!(
            refusal([first.meters(METERS), second.meters(METERS)]),
            "the meter invoices_sent is declared by invoices and by billing"
        );
        let both = || Extension::new("invoices").permissions(PERMISSIONS).operations(served());
        let twice = refusal([both(), Extension::new("billing").operations(served())]);
        assert_eq!(twice, "GET /v1/invoices is served by list_invoices and by list_invoices");
    }

    #[test]
    fn a_permission_that_is_needed_and_declared_nowhere_is_refused() {
        let refused = refusal([Extension::new("invoices").operations(served())]);
        assert!(refused.contains("list_invoices") && refused.contains("read:invoices"), "{refused}");
    }
}
