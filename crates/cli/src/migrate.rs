//! `bulkhead migrate`: roles, the platform's schemas, every tenant's schema.

use std::sync::Mutex;

use anyhow::{Result, bail};
use bulkhead_config::Settings;
use bulkhead_db::{
    fleet::{
        bootstrap::{Logins, bootstrap},
        meters,
        migrate::{MigrateOptions, MigrationReport, Progress, migrate, revert_platform_once},
    },
    platform::queue::kinds,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{out, wiring};

/// Brings everything to the newest version and says so. Fails when a tenant could not be migrated.
pub(crate) async fn run(settings: &Settings, connections: u16) -> Result<()> {
    prepare(settings).await?;
    let report = migrate_all(settings, connections).await?;
    for name in &report.platform_applied {
        out::line(format_args!("platform  {name}"))?;
    }
    for (tenant, error) in &report.failed {
        out::line(format_args!("FAILED    {tenant}  {error}"))?;
    }
    out::line(format_args!(
        "{} migrated, {} up to date, {} failed, in {:.1?}",
        report.migrated,
        report.already,
        report.failed.len(),
        report.elapsed
    ))?;
    if !report.failed.is_empty() {
        bail!("{} tenants could not be migrated; mend the cause and run this again", report.failed.len());
    }
    Ok(())
}

/// Takes the newest migration of the platform back.
pub(crate) async fn revert(settings: &Settings) -> Result<()> {
    let name = revert_platform_once(&wiring::owner(settings, 1)?).await?;
    Ok(out::line(format_args!("reverted  {name}"))?)
}

/// Roles and database, when the administrator's URL is set; otherwise they must be there.
pub(crate) async fn prepare(settings: &Settings) -> Result<()> {
    let database = &settings.database;
    let Some(admin) = database.admin() else { return Ok(()) };
    let connect = |url| wiring::connector(database, url);
    let (tenant, platform, provisioner) = (
        connect(database.require_tenant()?)?,
        connect(database.require_platform()?)?,
        connect(database.require_provisioner()?)?,
    );
    let logins = Logins { tenant: &tenant, platform: &platform, provisioner: &provisioner };
    Ok(bootstrap(&connect(&admin)?, &logins).await?)
}

/// Migrates, with a bar on a terminal.
pub(crate) async fn migrate_all(settings: &Settings, connections: u16) -> Result<MigrationReport> {
    let owner = wiring::owner(settings, connections)?;
    let options = MigrateOptions { connections: usize::from(connections), ..MigrateOptions::default() };
    let bar = Mutex::new(ProgressBar::hidden());
    let show = |progress: Progress<'_>| {
        let Ok(mut bar) = bar.lock() else { return };
        match progress {
            Progress::Pending(tenants) if tenants > 0 => {
                let style =
                    ProgressStyle::with_template("{bar:40} {pos}/{len} tenants, {per_sec}, {eta} left");
                *bar = ProgressBar::new(tenants as u64)
                    .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            }
            Progress::Migrated(_) | Progress::Failed(..) => bar.inc(1),
            Progress::Pending(_) | Progress::Platform(_) => {}
        }
    };
    let report = migrate(&owner, &options, &show).await;
    if let Ok(bar) = bar.lock() {
        bar.finish_and_clear();
    }
    let report = report?;
    // After the platform's tables are there, and before a worker of this release is.
    kinds::declare(&owner, &wiring::jobs()?.kinds()).await?;
    meters::declare(&owner, &wiring::meters()).await?;
    Ok(report)
}
