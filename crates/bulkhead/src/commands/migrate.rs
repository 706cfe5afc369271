//! `bulkhead migrate`: roles, the platform's schemas, every tenant's schema.

use std::sync::Mutex;

use anyhow::{Result, bail};
use bulkhead_config::{PROVISIONER_URL, Settings};
use bulkhead_db::{
    Authority, Db, DbError, Owner,
    fleet::{
        bootstrap::{Logins, bootstrap},
        meters,
        migrate::{
            MigrateOptions, MigrationReport, Plan, Progress, Sets, Withdrawn, finish, forget, migrate, plan,
            revert_platform_once, status, withdraw,
        },
    },
    platform::queue::kinds,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{app::Parts, out, wiring};

/// How many migrations a line names.
const NAMED: usize = 3;

/// Prints what is pending, brings everything up to date and says so. Fails when a tenant could not be migrated.
pub(crate) async fn run(parts: &Parts, settings: &Settings, connections: u16) -> Result<()> {
    prepare(settings).await?;
    let report = migrate_all(parts, settings, connections).await?;
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

/// Prints what a run would do, and does none of it.
pub(crate) async fn show_plan(settings: &Settings, sets: &Sets) -> Result<()> {
    let plan = plan(&reach(settings, 1).await?, sets).await?;
    lines(&plan).iter().try_for_each(|line| Ok(out::line(line)?))
}

/// Takes a set that this program does not have out of what tenants are built with.
pub(crate) async fn forget_set(settings: &Settings, sets: &Sets, name: &str) -> Result<()> {
    if sets.names().any(|own| own == name) {
        bail!("this program has the set {name}; only one that was removed can be forgotten");
    }
    if !forget(&reach(settings, 1).await?, name).await? {
        bail!("tenants are not built with a set called {name}");
    }
    Ok(out::line(format_args!("forgotten {name}: tenants keep its tables, new ones do not get them"))?)
}

/// Takes a migration that no tenant has, and that this program does not have any more, out of what tenants are built with.
pub(crate) async fn withdraw_one(settings: &Settings, sets: &Sets, title: &str) -> Result<()> {
    let Some((set, name)) = title.split_once('/') else {
        bail!("a migration is withdrawn by its set and its name: SET/NAME");
    };
    match withdraw(&reach(settings, 1).await?, sets, set, name).await? {
        Withdrawn::Done => Ok(out::line(format_args!("withdrawn {title}: tenants are built without it"))?),
        Withdrawn::Unknown => bail!("the database has met no migration {title}"),
        Withdrawn::Own => bail!("this program has {title}: take it out of its list first"),
        Withdrawn::Had(1) => bail!("a tenant has {title}; what it has done is undone by another migration"),
        Withdrawn::Had(tenants) => {
            bail!("{tenants} tenants have {title}; what it has done is undone by another migration")
        }
    }
}

/// The provisioner's way to the database; a login that is wrong is named.
async fn reach(settings: &Settings, connections: u16) -> Result<Owner> {
    let database = &settings.database;
    wiring::try_logins(database, &[(PROVISIONER_URL, database.require_provisioner()?)]).await?;
    wiring::owner(settings, connections)
}

/// Takes the newest migration of the platform back.
pub(crate) async fn revert(settings: &Settings) -> Result<()> {
    let name = revert_platform_once(&reach(settings, 1).await?).await?;
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

/// Migrates; prints what is pending first, and shows a bar on a terminal.
pub(crate) async fn migrate_all(
    parts: &Parts,
    settings: &Settings,
    connections: u16,
) -> Result<MigrationReport> {
    let owner = reach(settings, connections).await?;
    let options = MigrateOptions { connections: usize::from(connections), ..MigrateOptions::default() };
    let bar = Mutex::new(ProgressBar::hidden());
    let show = |progress: Progress<'_>| {
        let Ok(mut bar) = bar.lock() else { return };
        match progress {
            // A closed standard output stops no migration.
            Progress::Plan(plan) => drop(lines(plan).iter().try_for_each(out::line)),
            Progress::Waiting => {
                drop(out::line("waiting   another run of migrate is at the platform's schemas"));
            }
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
    let report = migrate(&owner, &parts.sets, &options, &show).await;
    if let Ok(bar) = bar.lock() {
        bar.finish_and_clear();
    }
    let report = report?;
    // After the platform's tables are there, and before a worker of this release is.
    kinds::declare(&owner, &parts.jobs.kinds()).await?;
    meters::declare(&owner, &parts.meters).await?;
    finish(&owner, &parts.sets).await?;
    Ok(report)
}

/// What is pending: a line for each migration, then one for each set of which nothing is pending.
fn lines(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> =
        plan.platform.iter().map(|name| format!("pending   platform  {name}")).collect();
    lines.extend(plan.extensions.iter().map(|name| format!("pending   platform  {name}")));
    lines.extend(plan.repeatables.iter().map(|name| format!("pending   gate  {name}")));
    if plan.newer_gate {
        lines.push(
            "kept      gate  a newer program has migrated, and its functions and views stay".to_owned(),
        );
    }
    lines.extend(
        plan.pending
            .iter()
            .map(|step| format!("pending   {}  {}  tenants: {}", step.set, step.name, step.tenants)),
    );
    lines.extend(plan.idle.iter().map(|set| format!("pending   {set}  nothing")));
    lines
}

/// Refuses to serve a database for which no run of `migrate` of this program has come to its end, and warns of one that was
/// migrated for another program, too.
pub(crate) async fn require_migrated(db: &Db, sets: &Sets) -> Result<()> {
    let ask = async |tx: &mut _| status(tx, sets).await;
    let status = db.platform_read::<_, DbError>(Authority::machinery(), ask).await?;
    if !status.missing.is_empty() {
        bail!("run `migrate` first: tenants are built without {}", names(&status.missing));
    }
    if status.unfinished {
        bail!("run `migrate` first: no run of this program has come to its end");
    }
    if !status.foreign.is_empty() {
        tracing::warn!(
            migrations = names(&status.foreign),
            "tenants have migrations that this program does not know: it is older than the one that has migrated, or an \
             extension was removed"
        );
    }
    Ok(())
}

/// The first of them, and how many more there are.
fn names(all: &[String]) -> String {
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_db::fleet::migrate::Pending;

    use super::*;

    #[test]
    fn what_is_pending_is_told_by_set() {
        let pending =
            |set: &str, name: &str, tenants| Pending { set: set.into(), name: name.into(), tenants };
        let plan = Plan {
            platform: vec!["2026-12-01-000001_plans"],
            repeatables: vec!["revoke".to_owned()],
            newer_gate: true,
            pending: vec![pending("core", "2026-12-03-000001_roles", 6)],
            idle: vec!["invoices"],
            tenants: 6,
            ..Plan::default()
        };
        assert_eq!(
            lines(&plan),
            [
                "pending   platform  2026-12-01-000001_plans",
                "pending   gate  revoke",
                "kept      gate  a newer program has migrated, and its functions and views stay",
                "pending   core  2026-12-03-000001_roles  tenants: 6",
                "pending   invoices  nothing",
            ]
        );
    }

    #[test]
    fn of_many_names_the_first_are_told() {
        let all: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert_eq!(names(&all), "a, b, c and 2 more");
        assert_eq!(names(&all.into_iter().take(1).collect::<Vec<_>>()), "a");
    }
}
