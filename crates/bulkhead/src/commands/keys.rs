//! `bulkhead keys`: the keys that sign access tokens, and the master keys that open the root key.
//!
//! What operators do through the API can be done here, too, where no operator can log in. Refuses to drop the master key that it
//! is configured with: that one has to open the root key first.

use anyhow::{Context as _, Result, bail};
use bulkhead_auth::{
    SigningKeyMaker,
    rotation::{PUBLISHED_AHEAD, PUBLISHED_BEHIND},
};
use bulkhead_config::{PLATFORM_URL, Settings, TENANT_URL};
use bulkhead_db::{
    Authority, Db, DbError, PlatformTx, Shares,
    platform::{
        audit, root_keys,
        signing_keys::{self, ACTIVE, Rotation, STANDBY, StoredSigningKey, Withdrawal},
    },
    tenant::audit::Entry,
};
use bulkhead_domain::{Clock as _, JobId, SystemClock};
use bulkhead_telemetry::Metrics;
use chrono::SecondsFormat;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::{app::Parts, commands::migrate, out, wiring};

/// Whom the audit log names.
const ACTOR: &str = "bulkhead keys";

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Print the keys that sign access tokens, and which master keys open the root key.
    List,
    /// Let the standby key sign, and retire the active one.
    Rotate {
        /// Instead, delete the key of this name at once, and with it the tokens that it has signed: its private part is known to
        /// others. If it is the active one, the standby key signs.
        #[arg(long, value_name = "KID")]
        withdraw: Option<String>,
    },
    /// End the change of the master key: those that are not configured here open the root key no more.
    DropMasters,
}

/// Runs one.
pub(crate) async fn run(command: &KeysCommand, parts: &Parts, settings: &Settings) -> Result<()> {
    let database = &settings.database;
    let logins = [(TENANT_URL, database.require_tenant()?), (PLATFORM_URL, database.require_platform()?)];
    wiring::try_logins(database, &logins).await?;
    let db = wiring::databases(settings, &Metrics::new()?, Shares::Whole)?();
    migrate::require_migrated(&db, &parts.sets).await?;
    match command {
        KeysCommand::List => list(settings, &db).await,
        KeysCommand::Rotate { withdraw: None } => rotate(&db).await,
        KeysCommand::Rotate { withdraw: Some(kid) } => withdraw(settings, &db, kid).await,
        KeysCommand::DropMasters => drop_masters(settings, &db).await,
    }
}

async fn list(settings: &Settings, db: &Db) -> Result<()> {
    for key in stored(db).await? {
        out::line(format_args!("{:<8}  {}  {}", key.state, key.kid, since(&key)))?;
    }
    let configured = wiring::master_keys(settings)?.fingerprints()?;
    let read = async |tx: &mut PlatformTx| root_keys::list(tx).await;
    for row in db.platform_read::<_, DbError>(Authority::machinery(), read).await? {
        let place = configured.iter().position(|one| *one == row.fingerprint);
        let place = match place {
            Some(0) => "BULKHEAD_MASTER_KEY",
            Some(_) => "BULKHEAD_MASTER_KEY_PREVIOUS",
            None => "not configured here",
        };
        out::line(format_args!("master    {}  {place}", row.fingerprint))?;
    }
    Ok(())
}

/// What a person wants to know of a key's time.
fn since(key: &StoredSigningKey) -> String {
    let at = |moment: chrono::DateTime<chrono::Utc>| moment.to_rfc3339_opts(SecondsFormat::Secs, true);
    match (key.state.as_str(), key.retired_at) {
        (STANDBY, _) => format!("can sign from {}", at(key.created_at + PUBLISHED_AHEAD)),
        (_, Some(retired)) => format!("gone after {}", at(retired + PUBLISHED_BEHIND)),
        (_, None) => format!("signs since {}", at(key.activated_at.unwrap_or(key.created_at))),
    }
}

async fn stored(db: &Db) -> Result<Vec<StoredSigningKey>> {
    let read = async |tx: &mut PlatformTx| signing_keys::list(tx).await;
    Ok(db.platform_read::<_, DbError>(Authority::machinery(), read).await?)
}

async fn rotate(db: &Db) -> Result<()> {
    let keys = stored(db).await?;
    let from = keys.iter().find(|key| key.state == ACTIVE).context("no key signs; start the worker")?;
    let rotate = async |tx: &mut PlatformTx| {
        let rotation = signing_keys::rotate(tx, &from.kid, PUBLISHED_AHEAD).await?;
        if let Rotation::Done { active } = &rotation {
            record(tx, "rotate_signing_keys", &from.kid, json!({ "state": "retired", "active": active }))
                .await?;
        }
        Ok::<_, DbError>(rotation)
    };
    match db.platform_write(Authority::machinery(), rotate).await? {
        Rotation::Done { active } => Ok(out::line(format_args!("{active} signs in place of {}", from.kid))?),
        Rotation::NotActive => bail!("another key has been made the active one meanwhile"),
        Rotation::NoStandby => bail!("no key is published ahead; the worker makes one within a minute"),
        Rotation::TooEarly { from } => bail!(
            "the standby key is not known to all who verify tokens yet; it can sign from {}",
            from.to_rfc3339_opts(SecondsFormat::Secs, true)
        ),
    }
}

async fn withdraw(settings: &Settings, db: &Db, kid: &str) -> Result<()> {
    let keys = stored(db).await?;
    let is_active = keys.iter().any(|key| key.kid == kid && key.state == ACTIVE);
    let spare = if is_active && !keys.iter().any(|key| key.state == STANDBY) {
        Some(SigningKeyMaker::new(wiring::keyring(settings, db).await?).make().await?)
    } else {
        None
    };
    let withdraw = async |tx: &mut PlatformTx| {
        let withdrawal = signing_keys::withdraw(tx, kid, spare.as_ref()).await?;
        if let Withdrawal::Done { was, active } = &withdrawal {
            let changes = json!({ "withdrawn": true, "was": was, "active": active });
            record(tx, "rotate_signing_keys", kid, changes).await?;
        }
        Ok::<_, DbError>(withdrawal)
    };
    match db.platform_write(Authority::machinery(), withdraw).await? {
        Withdrawal::Done { active: Some(active), .. } => {
            Ok(out::line(format_args!("withdrawn {kid}: {active} signs in its place"))?)
        }
        Withdrawal::Done { active: None, was } => {
            Ok(out::line(format_args!("withdrawn {kid}, which was {was}"))?)
        }
        Withdrawal::Unknown => bail!("there is no key {kid}"),
        Withdrawal::NoSuccessor => bail!("the keys have changed meanwhile; try again"),
    }
}

async fn drop_masters(settings: &Settings, db: &Db) -> Result<()> {
    // Seals the root key with the configured master key if it is not yet, and fails if it cannot be opened.
    wiring::keyring(settings, db).await?;
    let kept = wiring::master_keys(settings)?.fingerprints()?;
    let drop = async |tx: &mut PlatformTx| {
        let dropped = root_keys::delete_others(tx, &kept).await?;
        for fingerprint in &dropped {
            record(tx, "drop_master_keys", fingerprint, json!({})).await?;
        }
        Ok::<_, DbError>(dropped)
    };
    let dropped = db.platform_write(Authority::machinery(), drop).await?;
    if dropped.is_empty() {
        return Ok(out::line("no master key opens the root key but those that are configured here")?);
    }
    dropped.iter().try_for_each(|one| Ok(out::line(format_args!("dropped {one}"))?))
}

/// Keeps in the operators' audit log what is done here.
async fn record(
    tx: &mut PlatformTx,
    action: &'static str,
    target: &str,
    changes: Value,
) -> Result<(), DbError> {
    let at = SystemClock.now();
    let id = JobId::mint(at).to_string();
    let entry =
        Entry { at, actor: ACTOR, act: None, action, target, request_id: &id, address: None, changes };
    audit::record(tx, &entry).await
}
