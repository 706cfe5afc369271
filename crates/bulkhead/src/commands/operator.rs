//! `bulkhead operator`: the first operator, and what has to be done where no operator can log in.
//!
//! What it does is in the operators' audit log. Refuses, like the API, to leave the platform without an operator who may do
//! everything.

use std::io::{self, BufRead};

use anyhow::{Context, Result, bail, ensure};
use bulkhead_auth::{
    FactorTx as _, Lane, PasswordHasher, PasswordOwner, PasswordRules, SessionTx as _, Turn,
};
use bulkhead_config::{PLATFORM_URL, Settings, TENANT_URL};
use bulkhead_db::{
    Authority, Db, DbError, PageRequest, PlatformTx, Shares,
    platform::{
        audit, operator_roles,
        operators::{self, Locked, Operator},
        revocations::revoke_operator,
    },
    tenant::audit::Entry,
};
use bulkhead_domain::{AccessRegistry, Clock, Email, JobId, OperatorId, RoleName, SystemClock};
use bulkhead_telemetry::Metrics;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::{app::Parts, commands::migrate, out, wiring};

/// Whom the audit log names.
const ACTOR: &str = "bulkhead operator";

/// How many are read at once.
const PAGE: u16 = 100;

#[derive(Subcommand)]
pub(crate) enum OperatorCommand {
    /// Add an operator; the password is read from standard input, or is a setting.
    Create {
        /// Their e-mail address.
        email: Email,
        /// admin, support or billing.
        #[arg(long, default_value = "admin", value_parser = built_in_role)]
        role: RoleName,
    },
    /// Print the operators.
    List,
    /// Give an operator another role.
    Role {
        /// Their e-mail address.
        email: Email,
        /// admin, support, billing or a role that the platform has defined.
        role: RoleName,
    },
    /// Remove an operator, with their sessions and API keys.
    Remove {
        /// Their e-mail address.
        email: Email,
    },
    /// Take the second factor of an operator away, whose phone and recovery codes are gone, and end their sessions.
    ResetSecondFactor {
        /// Their e-mail address.
        email: Email,
    },
}

/// Runs one.
pub(crate) async fn run(command: &OperatorCommand, parts: &Parts, settings: &Settings) -> Result<()> {
    let database = &settings.database;
    let logins = [(TENANT_URL, database.require_tenant()?), (PLATFORM_URL, database.require_platform()?)];
    wiring::try_logins(database, &logins).await?;
    let db = wiring::databases(settings, &Metrics::new()?, Shares::Whole)?();
    migrate::require_migrated(&db, &parts.sets).await?;
    match command {
        OperatorCommand::Create { email, role } => create(settings, &db, email, *role).await,
        OperatorCommand::List => list(&db).await,
        OperatorCommand::Role { email, role } => set_role(&db, &parts.access, email, *role).await,
        OperatorCommand::Remove { email } => remove(&db, email).await,
        OperatorCommand::ResetSecondFactor { email } => reset_second_factor(&db, email).await,
    }
}

/// Adds an operator whose password is the first line of standard input, not a flag: so it is in no process list and no
/// shell history. A task into which no person can type gets the password as a setting, which its platform keeps as a
/// secret.
async fn create(settings: &Settings, db: &Db, email: &Email, role: RoleName) -> Result<()> {
    let password = match &settings.auth.operator_password {
        Some(password) => password.expose().to_owned(),
        None => first_line()?,
    };
    let rules = PasswordRules::new(settings.auth.password_min_length);
    let owner = PasswordOwner { email: Some(email), tenant: None };
    let password = rules.admit(&password, &owner).context("the password")?;
    let turn = Turn { lane: Lane::Creations, group: 0, network: None };
    let hash = PasswordHasher::new(1).hash(turn, password).await?;
    let now = SystemClock.now();
    let id = OperatorId::mint(now);
    let insert = async |tx: &mut PlatformTx| {
        operators::insert(tx, id, email.as_str(), &hash, role, now).await?;
        record(tx, "create_operator", id, json!({ "role": role })).await
    };
    match db.platform_write(Authority::machinery(), insert).await {
        Ok(()) => Ok(out::line(format_args!("{id}  {email}  {}", role.as_str()))?),
        Err(DbError::AlreadyExists { .. }) => bail!("there is an operator {email} already"),
        Err(error) => Err(error.into()),
    }
}

async fn list(db: &Db) -> Result<()> {
    let mut after = None;
    loop {
        let page = PageRequest { after, limit: PAGE };
        let read = async |tx: &mut PlatformTx| operators::list(tx, page).await;
        let found = db.platform_read::<_, DbError>(Authority::machinery(), read).await?;
        for Operator { id, email, role, has_password, .. } in &found.rows {
            let state = if *has_password { "" } else { "  invited" };
            out::line(format_args!("{id}  {email}  {}{state}", role.as_str()))?;
        }
        after = found.rows.last().map(|operator| operator.id.uuid());
        if !found.more {
            return Ok(());
        }
    }
}

async fn set_role(db: &Db, access: &AccessRegistry, email: &Email, role: RoleName) -> Result<()> {
    let is_built_in = access.operators().is_built_in(role);
    let change = async |tx: &mut PlatformTx| {
        let all = operators::lock_all(tx).await?;
        let current = named(&all, email)?.clone();
        let is_there = is_built_in || operator_roles::find(tx, role).await?.is_some();
        ensure!(is_there, "the role {}", access.operators().unknown_role());
        keeps_an_admin(&all, &current, Some(role))?;
        operators::set_role(tx, current.id, role, SystemClock.now()).await?;
        operators::take_back_made_by(tx, &current.id.to_string()).await?;
        revoke_operator(tx, current.id).await?;
        let changes = json!({ "role": { "from": current.role, "to": role } });
        record(tx, "update_operator", current.id, changes).await?;
        Ok(current.id)
    };
    let id = db.platform_write(Authority::machinery(), change).await?;
    Ok(out::line(format_args!("{id}  {email}  {}", role.as_str()))?)
}

async fn remove(db: &Db, email: &Email) -> Result<()> {
    let remove = async |tx: &mut PlatformTx| {
        let all = operators::lock_all(tx).await?;
        let current = named(&all, email)?.clone();
        keeps_an_admin(&all, &current, None)?;
        operators::take_back_made_by(tx, &current.id.to_string()).await?;
        operators::delete(tx, current.id).await?;
        revoke_operator(tx, current.id).await?;
        let changes = json!({ "email": current.email, "role": current.role });
        record(tx, "delete_operator", current.id, changes).await?;
        Ok::<_, anyhow::Error>(current.id)
    };
    let id = db.platform_write(Authority::machinery(), remove).await?;
    Ok(out::line(format_args!("removed {id}  {email}"))?)
}

async fn reset_second_factor(db: &Db, email: &Email) -> Result<()> {
    let reset = async |tx: &mut PlatformTx| {
        let all = operators::lock_all(tx).await?;
        let id = named(&all, email)?.id;
        let had_one = tx.remove_factor(id).await?;
        if had_one {
            let ended = tx.end_others(id, None).await?;
            record(tx, "reset_operator_second_factor", id, json!({ "sessions_ended": ended })).await?;
        }
        Ok::<_, anyhow::Error>(had_one)
    };
    let had_one = db.platform_write(Authority::machinery(), reset).await?;
    let said = if had_one { "has no second factor any more" } else { "has no second factor" };
    Ok(out::line(format_args!("{email} {said}"))?)
}

fn named<'a>(all: &'a Locked, email: &Email) -> Result<&'a Operator> {
    all.find_email(email.as_str()).with_context(|| format!("there is no operator {email}"))
}

fn keeps_an_admin(all: &Locked, current: &Operator, next: Option<RoleName>) -> Result<()> {
    let loses = current.role == RoleName::ADMIN && next != Some(RoleName::ADMIN);
    ensure!(
        !loses || all.has_other_admins(current.id),
        "the platform keeps at least one admin who can log in"
    );
    Ok(())
}

/// Keeps in the operators' audit log what is done here.
async fn record(
    tx: &mut PlatformTx,
    action: &'static str,
    target: OperatorId,
    changes: Value,
) -> Result<(), DbError> {
    let at = SystemClock.now();
    let (id, target) = (JobId::mint(at).to_string(), target.to_string());
    let entry = Entry {
        at,
        actor: ACTOR,
        act: None,
        action,
        target: &target,
        request_id: &id,
        address: None,
        changes,
    };
    audit::record(tx, &entry).await
}

/// A role that every program has, by its name.
fn built_in_role(name: &str) -> Result<RoleName> {
    // Extensions add permissions to operators' roles and no roles.
    Ok(AccessRegistry::assemble(&[])?.operators().parse(name)?)
}

fn first_line() -> Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the password from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
