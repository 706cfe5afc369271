//! What a tenant has set for itself: a row for each setting that was ever set.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{
        error::{DbError, DbResult},
        scope::TenantTx,
    },
    schema::tenant::settings,
};

/// The row of the registration setting.
const REGISTRATION: &str = "registration";

/// Whether, and as what, people may register by themselves. It is stored as JSON: its members keep their meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Whether they may.
    pub enabled: bool,
    /// The name of the role that they get.
    pub role: String,
    /// The domains that their addresses must have, in the form in which addresses are stored; none allows any.
    pub domains: Vec<String>,
}

impl Default for Registration {
    fn default() -> Self {
        Self { enabled: false, role: "read_only".to_owned(), domains: Vec::new() }
    }
}

impl Registration {
    /// Whether the address, as it is stored, has one of the domains.
    pub fn admits(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
        self.domains.is_empty() || self.domains.iter().any(|one| one == domain)
    }
}

/// A setting as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce<T> {
    /// What is set.
    pub value: T,
    /// Grows by one with every change; 0 when it was never set.
    pub version: i64,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// Who has changed it last: the subject of a credential.
    pub updated_by: Option<String>,
}

type Row = (serde_json::Value, i64, DateTime<Utc>, String);

fn read(row: Option<Row>) -> DbResult<InForce<Registration>> {
    let Some((value, version, at, by)) = row else {
        let value = Registration::default();
        return Ok(InForce { value, version: 0, updated_at: None, updated_by: None });
    };
    let value = serde_json::from_value(value)
        .map_err(|error| DbError::Unreadable(format!("the setting {REGISTRATION}: {error}")))?;
    Ok(InForce { value, version, updated_at: Some(at), updated_by: Some(by) })
}

macro_rules! registration {
    () => {
        settings::table.find(REGISTRATION).select((
            settings::value,
            settings::version,
            settings::updated_at,
            settings::updated_by,
        ))
    };
}

/// The registration setting.
pub async fn registration(tx: &mut TenantTx) -> DbResult<InForce<Registration>> {
    read(tx.tx.first(registration!()).await?)
}

/// The same; it does not change until the transaction ends. A setting that was never set has no row to lock, and lets nobody in.
pub async fn lock_registration(tx: &mut TenantTx) -> DbResult<InForce<Registration>> {
    read(tx.tx.first(registration!().for_share()).await?)
}

/// The same for a transaction that changes it.
pub async fn lock_registration_to_change(tx: &mut TenantTx) -> DbResult<InForce<Registration>> {
    read(tx.tx.first(registration!().for_update()).await?)
}

/// Sets who may register, and says what is in force then.
pub async fn set_registration(
    tx: &mut TenantTx,
    value: &Registration,
    by: &str,
    at: DateTime<Utc>,
) -> DbResult<InForce<Registration>> {
    let json = serde_json::to_value(value).map_err(|error| DbError::Unreadable(error.to_string()))?;
    let row = (
        settings::name.eq(REGISTRATION),
        settings::value.eq(&json),
        settings::updated_at.eq(at),
        settings::updated_by.eq(by),
    );
    let change = (
        settings::value.eq(&json),
        settings::version.eq(settings::version + 1),
        settings::updated_at.eq(at),
        settings::updated_by.eq(by),
    );
    let statement = diesel::insert_into(settings::table)
        .values(row)
        .on_conflict(settings::name)
        .do_update()
        .set(change)
        .returning((settings::value, settings::version, settings::updated_at, settings::updated_by));
    read(Some(tx.tx.one(statement).await?))
}
