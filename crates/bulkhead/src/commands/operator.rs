//! `bulkhead operator create`: the first operator, and further ones.

use std::io::{self, BufRead};

use anyhow::{Context, Result, bail};
use bulkhead_auth::{Lane, PasswordHasher, PasswordOwner, PasswordRules, Turn};
use bulkhead_config::{PLATFORM_URL, Settings, TENANT_URL};
use bulkhead_db::{
    Authority, DbError, PlatformTx, Shares,
    platform::{audit, operators},
    tenant::audit::Entry,
};
use bulkhead_domain::{AccessRegistry, Clock, Email, JobId, OperatorId, RoleName, SystemClock};
use bulkhead_telemetry::Metrics;
use serde_json::json;

use crate::{out, wiring};

/// Whom the audit log names.
const ACTOR: &str = "bulkhead operator";

/// Adds an operator whose password is the first line of standard input, not a flag: so it is in no process list and no
/// shell history. A task into which no person can type gets the password as a setting, which its platform keeps as a
/// secret.
pub(crate) async fn create(settings: &Settings, email: &Email, role: RoleName) -> Result<()> {
    let database = &settings.database;
    let logins = [(TENANT_URL, database.require_tenant()?), (PLATFORM_URL, database.require_platform()?)];
    wiring::try_logins(database, &logins).await?;
    let password = match &settings.auth.operator_password {
        Some(password) => password.expose().to_owned(),
        None => first_line()?,
    };
    let rules = PasswordRules::new(settings.auth.password_min_length);
    let owner = PasswordOwner { email: Some(email), tenant: None };
    let password = rules.admit(&password, &owner).context("the password")?;
    let turn = Turn { lane: Lane::Creations, group: 0, network: None };
    let hash = PasswordHasher::new(1).hash(turn, password).await?;
    let db = wiring::databases(settings, &Metrics::new()?, Shares::Whole)?();
    let now = SystemClock.now();
    let id = OperatorId::mint(now);
    let (target, request_id) = (id.to_string(), JobId::mint(now).to_string());
    let entry = Entry {
        at: now,
        actor: ACTOR,
        act: None,
        action: "create_operator",
        target: &target,
        request_id: &request_id,
        address: None,
        changes: json!({ "role": role }),
    };
    let insert = async |tx: &mut PlatformTx| {
        operators::insert(tx, id, email.as_str(), &hash, role, now).await?;
        audit::record(tx, &entry).await
    };
    match db.platform_write(Authority::machinery(), insert).await {
        Ok(()) => Ok(out::line(format_args!("{id}  {email}  {}", role.as_str()))?),
        Err(DbError::AlreadyExists { .. }) => bail!("there is an operator {email} already"),
        Err(error) => Err(error.into()),
    }
}

/// A role of operators, by its name.
pub(crate) fn role(name: &str) -> Result<RoleName> {
    // Extensions add permissions to operators' roles and no roles.
    Ok(AccessRegistry::assemble(&[])?.operators().parse(name)?)
}

fn first_line() -> Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the password from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
