//! A tenant's own identity providers, and the platform's, as far as the tenant may know them.

use bulkhead_domain::RoleName;
use chrono::{DateTime, Utc};

use crate::{
    engine::scope::TenantTx,
    identity_providers::{ProviderSettings, provider_queries},
    schema::gate::{
        identity_provider_tenants as memberships, identity_providers, shared_identity_providers as shared,
    },
};

provider_queries!(TenantTx, identity_providers);

/// A provider of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedProvider {
    /// Its id.
    pub id: IdentityProviderId,
    /// What people call it.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// Whether it counts.
    pub enabled: bool,
    /// Everything else.
    pub settings: ProviderSettings,
    /// What the tenant has said to it, if it takes its word: the default role, the highest role, since when.
    pub joined: Option<(RoleName, RoleName, DateTime<Utc>)>,
}

type SharedRow = (
    (uuid::Uuid, String, String, String, bool),
    serde_json::Value,
    (Option<String>, Option<String>, Option<DateTime<Utc>>),
);

macro_rules! shared_columns {
    () => {
        (
            (shared::id, shared::name, shared::kind, shared::issuer, shared::enabled),
            shared::settings,
            (
                memberships::default_role.nullable(),
                memberships::max_role.nullable(),
                memberships::created_at.nullable(),
            ),
        )
    };
}

/// The providers of the platform whose word the tenant takes: operators add few.
pub async fn list_shared(tx: &mut TenantTx) -> DbResult<Vec<SharedProvider>> {
    let query = shared::table
        .inner_join(memberships::table.on(memberships::provider_id.eq(shared::id)))
        .select(shared_columns!())
        .order(shared::id.asc())
        .limit(100);
    let rows: Vec<SharedRow> = tx.tx.load(query).await?;
    rows.into_iter().map(read_shared).collect()
}

/// A provider of the platform, whether its word is taken or not.
pub async fn find_shared(tx: &mut TenantTx, id: IdentityProviderId) -> DbResult<Option<SharedProvider>> {
    let query = shared::table
        .left_join(memberships::table.on(memberships::provider_id.eq(shared::id)))
        .filter(shared::id.eq(id.uuid()))
        .select(shared_columns!());
    let row: Option<SharedRow> = tx.tx.first(query).await?;
    row.map(read_shared).transpose()
}

fn read_shared(row: SharedRow) -> DbResult<SharedProvider> {
    let ((id, name, kind, issuer, enabled), settings, joined) = row;
    let (default_role, max_role, joined_at) = joined;
    let unreadable = |error| crate::DbError::Unreadable(format!("settings of an identity provider: {error}"));
    let role = |text: String| {
        text.parse().map_err(|error| crate::DbError::Unreadable(format!("role of a membership: {error}")))
    };
    let joined = match (default_role, max_role, joined_at) {
        (Some(default), Some(most), Some(at)) => Some((role(default)?, role(most)?, at)),
        _ => None,
    };
    Ok(SharedProvider {
        id: IdentityProviderId::from_uuid(id),
        name,
        kind,
        issuer,
        enabled,
        settings: serde_json::from_value(settings).map_err(unreadable)?,
        joined,
    })
}

/// Takes a provider of the platform's word from now on; what was said before is forgotten.
pub async fn join(
    tx: &mut TenantTx,
    id: IdentityProviderId,
    (default_role, max_role): (RoleName, RoleName),
    created_by: &str,
    at: DateTime<Utc>,
) -> DbResult<()> {
    leave(tx, id).await?;
    let row = (
        memberships::provider_id.eq(id.uuid()),
        memberships::default_role.eq(default_role.as_str()),
        memberships::max_role.eq(max_role.as_str()),
        memberships::created_at.eq(at),
        memberships::created_by.eq(created_by),
    );
    tx.tx.execute(diesel::insert_into(memberships::table).values(row)).await?;
    Ok(())
}

/// Does not take its word any more; whether it did.
pub async fn leave(tx: &mut TenantTx, id: IdentityProviderId) -> DbResult<bool> {
    let row = memberships::table.filter(memberships::provider_id.eq(id.uuid()));
    Ok(tx.tx.execute(diesel::delete(row)).await? > 0)
}
