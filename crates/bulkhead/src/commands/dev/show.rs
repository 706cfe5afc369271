//! What `dev` tells: to people as a table, to scripts as `.bulkhead/dev.json`.

use std::io::{self, Write};

use anyhow::Result;
use bulkhead_db::fleet::migrate::MigrationReport;
use bulkhead_servers::CaughtMail;
use serde_json::json;

use super::{Addresses, Credentials, HOME, MAIL};
use crate::out;

/// Says what is going on.
pub(crate) fn step(what: &str) {
    out::note(format_args!("dev: {what}"));
}

/// Says what has been migrated, after each migration that was pending has been named.
pub(crate) fn migrated(report: &MigrationReport) {
    let applied = report.platform_applied.len();
    out::note(format_args!(
        "dev: {applied} migrations of the platform applied; tenants: {} migrated, {} up to date",
        report.migrated, report.already
    ));
}

/// Says that a mail was kept instead of sent.
pub(crate) fn mail(mail: &CaughtMail) {
    out::note(format_args!("dev: mail to {}: {} ({})", mail.to, mail.header("subject"), mail.path.display()));
}

/// The facts for scripts.
pub(crate) fn facts(addresses: &Addresses, credentials: &Credentials) -> Result<String> {
    let tenants: Vec<_> = credentials
        .tenants
        .iter()
        .map(|tenant| {
            json!({
                "slug": tenant.slug,
                "id": tenant.id,
                "plan": tenant.plan,
                "api_key": tenant.api_key,
                "owner": { "email": tenant.owner.email, "password": tenant.owner.password },
            })
        })
        .collect();
    let facts = json!({
        "api": addresses.api(),
        "metrics": addresses.metrics(),
        "mail": format!("{HOME}/{MAIL}"),
        "operator": { "email": credentials.operator.email, "password": credentials.operator.password },
        "tenants": tenants,
    });
    Ok(serde_json::to_string_pretty(&facts)?)
}

/// The table, with three lines to paste.
/// `list` is the path of something of an extension that can be listed.
pub(crate) fn table(addresses: &Addresses, credentials: &Credentials, list: Option<&str>) -> io::Result<()> {
    out::unless_closed(write_table(io::stdout().lock(), addresses, credentials, list))
}

fn write_table(
    mut out: impl Write,
    addresses: &Addresses,
    credentials: &Credentials,
    list: Option<&str>,
) -> io::Result<()> {
    let api = addresses.api();
    writeln!(out, "\n  Bulkhead is running. Ctrl-C stops it; the data stays in .bulkhead/.\n")?;
    let mut row = |name: &str, value: &str| writeln!(out, "  {name:<10} {value}");
    row("API", &api)?;
    row("docs", &format!("{api}/docs"))?;
    row("metrics", &addresses.metrics())?;
    row("database", &format!("psql '{}'", addresses.database))?;
    row("settings", "set -a; . .bulkhead/env; set +a, for commands of your own; `doctor --dev` has them")?;
    row("mail", &format!("is not sent: each is told here and kept in {HOME}/{MAIL}/"))?;
    row("operator", &format!("{} / {}", credentials.operator.email, credentials.operator.password))?;
    for tenant in &credentials.tenants {
        row(
            &tenant.slug,
            &format!("plan {}, {} / {}", tenant.plan, tenant.owner.email, tenant.owner.password),
        )?;
        row("", &format!("API key {}", tenant.api_key))?;
    }
    row("insecure", "development only: no TLS, passwords on this screen and in .bulkhead/")?;
    writeln!(out, "\n  Try it:\n")?;
    if let Some(tenant) = credentials.tenants.first() {
        let key = &tenant.api_key;
        writeln!(out, "  curl -i {api}/v1/me -H 'X-API-Key: {key}'\n")?;
        if let Some(list) = list {
            writeln!(out, "  curl -i {api}{list} -H 'X-API-Key: {key}'\n")?;
        }
        writeln!(
            out,
            "  curl -i {api}/v1/auth/login -H 'Content-Type: application/json' \
             -d '{{\"tenant\": \"{}\", \"email\": \"{}\", \"password\": \"{}\"}}'\n",
            tenant.slug, tenant.owner.email, tenant.owner.password
        )?;
    }
    out.flush()
}
