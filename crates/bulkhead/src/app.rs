//! An application: the core and its extensions, put together once.
//!
//! Owns what all commands of one program share: migrations, permissions, meters, operations, jobs, settings, metrics and probes
//! of the core and of every extension. Refuses an application whose parts cannot stand beside each other, with one line that
//! names both: two routes, operations, tables, id prefixes, meters, permissions, jobs, settings, metrics, probes or problems of
//! one name, names that are the core's, and a permission that is needed and declared nowhere; also a migration that breaks the
//! rules for a tenant's schema, by its file and line. Nothing is opened or asked for it, so it is found by a test of a few
//! milliseconds ([`App::check`]) as well as by each command.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;
use bulkhead_api::{About, Catalog, routes};
use bulkhead_config::{Extensions, Sections};
use bulkhead_db::fleet::migrate::{CORE, Sets};
use bulkhead_domain::{AccessRegistry, access::PermissionList, metering::MeterRegistry};
use bulkhead_telemetry::{Metrics, health::probes::Probes, metrics::own::Own};
use bulkhead_worker::{Jobs, Registry};

use crate::{Extension, commands, demo::Seed, health, names};

/// An application that is built on Bulkhead.
#[derive(Debug, Default)]
#[must_use]
pub struct App {
    about: About,
    extensions: Vec<Extension>,
}

impl App {
    /// The core alone, under the name of Bulkhead.
    pub fn new() -> Self {
        Self::default()
    }

    /// The program's name, for machines: what `GET /` and `--version` say. `bulkhead` by default.
    pub fn name(mut self, name: &'static str) -> Self {
        self.about.name = name;
        self
    }

    /// The API's name, for people: the title of its documentation.
    pub fn title(mut self, title: &'static str) -> Self {
        self.about.title = title;
        self
    }

    /// The program's version: `env!("CARGO_PKG_VERSION")`. `GET /`, `--version` and the documentation show it; by default it is
    /// the library's.
    pub fn version(mut self, version: &'static str) -> Self {
        self.about.version = version;
        self
    }

    /// The picture above the API's reference (`/redoc`): an SVG text, as `include_str!` reads one.
    pub fn logo(mut self, svg: &'static str) -> Self {
        self.about.logo = Some(svg);
        self
    }

    /// Adds an extension. A tenant gets the migrations of extensions in the order in which they were added.
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Parses the command line and runs the command. What goes wrong is one line on standard error.
    pub fn run(self) -> ExitCode {
        commands::run(self.about, || self.assemble())
    }

    /// What every command refuses before it does anything, without a server and without settings: parts that cannot stand
    /// beside each other. The error is the line that the commands print.
    pub fn check(self) -> Result<(), String> {
        self.assemble().map(drop).map_err(|error| format!("{error:#}"))
    }

    fn assemble(mut self) -> Result<Parts> {
        let extensions = &self.extensions;
        names::judge_extensions(extensions)?;
        let permissions = |extension: &Extension| PermissionList {
            owner: extension.name,
            tenants: extension.permissions,
            operators: &[],
        };
        let access = AccessRegistry::assemble(&extensions.iter().map(permissions).collect::<Vec<_>>())?;
        let meters =
            MeterRegistry::new(extensions.iter().map(|extension| (extension.name, extension.meters)))?;
        let sets = extensions.iter().filter_map(|extension| extension.migrations);
        let sets = Sets::new(std::iter::once(CORE).chain(sets))?;
        sets.judge()?;
        let sections = extensions.iter().flat_map(|extension| extension.settings.iter().copied());
        let sections = Sections::new(sections.collect())?;
        let metrics: Vec<Own> =
            extensions.iter().map(|extension| Own::new(extension.name, &extension.metrics)).collect();
        // Metrics and probes are made once to be judged; each command has its own.
        Metrics::with(&metrics)?;
        health::probes(extensions, &Extensions::default())?;
        let jobs = extensions.iter().map(|extension| extension.jobs.clone());
        let jobs = Registry::new(std::iter::once(Jobs::core()).chain(jobs))?;
        let mut groups = routes::core();
        for extension in &mut self.extensions {
            let (name, about) = (extension.name, extension.about);
            groups.extend(extension.operations.drain(..).map(|group| group.of(name, about)));
        }
        let catalog = Catalog::assemble(groups, &access)?.with_about(self.about);
        names::judge_paths(&catalog)?;
        Ok(Parts {
            about: self.about,
            access: Arc::new(access),
            meters,
            sets,
            sections,
            metrics,
            jobs,
            catalog: Arc::new(catalog),
            extensions: self.extensions,
        })
    }
}

/// What an application is made of, found to go together.
pub(crate) struct Parts {
    /// What it says of itself.
    pub(crate) about: About,
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
    extensions: Vec<Extension>,
}

impl Parts {
    /// New metrics of a process.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::with(&self.metrics)?)
    }

    /// The probes of a process with these settings.
    pub(crate) fn probes(&self, settings: &Extensions) -> Result<Probes> {
        Ok(health::probes(&self.extensions, settings)?)
    }

    /// The path of something of an extension that can be listed, if there is one.
    pub(crate) fn list(&self) -> Option<&str> {
        let owned: Vec<&str> = self.catalog.paths_of_extensions().map(|(path, _)| path).collect();
        let mut operations = self.catalog.operations();
        let found = operations.find(|(path, method, _)| {
            method.as_str() == "GET" && !path.contains('{') && owned.contains(path)
        });
        found.map(|(path, ..)| path)
    }

    /// What the extensions put into demo tenants.
    pub(crate) fn demo(&self) -> impl Iterator<Item = &Seed> {
        self.extensions.iter().filter_map(|extension| extension.demo.as_ref())
    }
}

#[cfg(test)]
mod tests;
