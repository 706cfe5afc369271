//! Issuers of others, as they are stored: the platform's own, and each tenant's through its view in `gate`.
//!
//! The statements of the two sides are the same and written once. What a provider was made with (its kind, its issuer, where its
//! keys are) never changes: the people that are linked to it are those whom this issuer vouches for.

use bulkhead_domain::{IdentityProviderId, RoleName, TenantId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{collections::BTreeMap, fmt};

use crate::engine::error::{DbError, DbResult};

/// An issuer that speaks `OpenID` Connect.
pub const OIDC: &str = "oidc";
/// A pool of users at AWS Cognito.
pub const COGNITO: &str = "cognito";

/// What of a provider only this product looks at. A field that an older program does not know is kept by leaving the row alone,
/// and lost when it changes the row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct ProviderSettings {
    /// Where the issuer's keys are, when not where it says.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Where the API of Cognito is, when not at AWS.
    #[serde(default)]
    pub api_url: Option<String>,
    /// What is asked for at a log-in.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Whether a password is taken here and shown to Cognito.
    #[serde(default)]
    pub password_login: bool,
    /// Whether people who are not known yet are added.
    #[serde(default)]
    pub creates_users: bool,
    /// Whether the issuer asks everybody for a second factor, so that its people need none of ours.
    #[serde(default)]
    pub asks_second_factor: bool,
    /// Whether people who are made here are made there as well. Of a tenant's own provider never: it may name somebody else's pool,
    /// and it is our rights that would act there.
    #[serde(default)]
    pub makes_users: bool,
    /// What people become whose token says nothing, or nothing that is mapped.
    #[serde(deserialize_with = "role")]
    pub default_role: RoleName,
    /// The most that anybody becomes.
    #[serde(deserialize_with = "role")]
    pub max_role: RoleName,
    /// The claim that says what people become.
    #[serde(default)]
    pub role_claim: Option<String>,
    /// What they become, by the claim's text.
    #[serde(default, deserialize_with = "roles")]
    pub role_map: BTreeMap<String, RoleName>,
}

fn role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RoleName, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, RoleName>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let read = |(text, name): (String, String)| Ok((text, name.parse().map_err(D::Error::custom)?));
    texts.into_iter().map(read).collect()
}

/// An issuer whose word is taken.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its id.
    pub id: IdentityProviderId,
    /// Whose; `None` for the platform's.
    pub tenant: Option<TenantId>,
    /// What people call it.
    pub name: String,
    /// [`OIDC`] or [`COGNITO`].
    pub kind: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// What access tokens must be for; `None` when none are taken.
    pub audience: Option<String>,
    /// Who we are where its people log in; `None` when nobody does.
    pub client_id: Option<String>,
    /// What proves that it is us, sealed.
    pub sealed_client_secret: Option<Vec<u8>>,
    /// Everything else.
    pub settings: ProviderSettings,
    /// Whether it counts.
    pub enabled: bool,
    /// Grows by one with every change.
    pub version: i64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who has added it.
    pub created_by: String,
}

/// The sealed secret stays out of logs.
impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityProvider({} {})", self.id, self.issuer)
    }
}

/// What of a provider can be changed.
#[derive(Clone, Copy)]
pub struct ProviderChange<'a> {
    /// What people call it.
    pub name: &'a str,
    /// What access tokens must be for.
    pub audience: Option<&'a str>,
    /// Who we are there.
    pub client_id: Option<&'a str>,
    /// What proves it, sealed.
    pub sealed_client_secret: Option<&'a [u8]>,
    /// Everything else.
    pub settings: &'a ProviderSettings,
    /// Whether it counts.
    pub enabled: bool,
    /// Now.
    pub at: DateTime<Utc>,
}

pub(crate) type Row = (
    uuid::Uuid,
    Option<uuid::Uuid>,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    serde_json::Value,
    bool,
    i64,
    DateTime<Utc>,
    DateTime<Utc>,
    String,
);

pub(crate) fn read(row: Row) -> DbResult<IdentityProvider> {
    let (id, tenant, name, kind, issuer, audience, client_id, sealed_client_secret, settings, ..) = row;
    let (.., enabled, version, created_at, updated_at, created_by) = row;
    let unreadable = |error| DbError::Unreadable(format!("settings of an identity provider: {error}"));
    Ok(IdentityProvider {
        id: IdentityProviderId::from_uuid(id),
        tenant: tenant.map(TenantId::from_uuid),
        name,
        kind,
        issuer,
        audience,
        client_id,
        sealed_client_secret,
        settings: serde_json::from_value(settings).map_err(unreadable)?,
        enabled,
        version,
        created_at,
        updated_at,
        created_by,
    })
}

pub(crate) fn write(settings: &ProviderSettings) -> DbResult<serde_json::Value> {
    serde_json::to_value(settings).map_err(|error| DbError::Unreadable(error.to_string()))
}

/// The queries, for the transaction type and the table of one side.
macro_rules! provider_queries {
    ($tx:ty, $table:path) => {
        use bulkhead_domain::IdentityProviderId;
        use diesel::prelude::*;
        use $table as providers;

        use crate::{
            engine::{
                error::DbResult,
                page::{Page, PageRequest},
            },
            identity_providers::{IdentityProvider, ProviderChange, Row, read, write},
        };

        /// Adds a provider. An audience that another provider of the issuer has is [`crate::DbError::AlreadyExists`].
        pub async fn insert(tx: &mut $tx, new: &IdentityProvider) -> DbResult<()> {
            let row = (
                providers::id.eq(new.id.uuid()),
                providers::name.eq(&new.name),
                providers::kind.eq(&new.kind),
                providers::issuer.eq(&new.issuer),
                providers::audience.eq(&new.audience),
                providers::client_id.eq(&new.client_id),
                providers::sealed_client_secret.eq(&new.sealed_client_secret),
                providers::settings.eq(write(&new.settings)?),
                providers::enabled.eq(new.enabled),
                providers::created_at.eq(new.created_at),
                providers::updated_at.eq(new.updated_at),
                providers::created_by.eq(&new.created_by),
            );
            tx.tx.execute(diesel::insert_into(providers::table).values(row)).await?;
            Ok(())
        }

        /// The provider with this id.
        pub async fn find(tx: &mut $tx, id: IdentityProviderId) -> DbResult<Option<IdentityProvider>> {
            let row: Option<Row> = tx
                .tx
                .first(providers::table.filter(providers::id.eq(id.uuid())).select(providers::all_columns))
                .await?;
            row.map(read).transpose()
        }

        /// Providers in the order in which they were added.
        pub async fn list(tx: &mut $tx, page: PageRequest) -> DbResult<Page<IdentityProvider>> {
            let mut query = providers::table
                .select(providers::all_columns)
                .order(providers::id.asc())
                .limit(page.probe())
                .into_boxed();
            if let Some(after) = page.after {
                query = query.filter(providers::id.gt(after));
            }
            let rows: Vec<Row> = tx.tx.load(query).await?;
            Ok(Page::cut(rows.into_iter().map(read).collect::<DbResult<_>>()?, page))
        }

        /// Changes a provider that has this version; `None` when it has another one by now, or is gone.
        pub async fn update(
            tx: &mut $tx,
            id: IdentityProviderId,
            version: i64,
            change: &ProviderChange<'_>,
        ) -> DbResult<Option<IdentityProvider>> {
            let row =
                providers::table.filter(providers::id.eq(id.uuid())).filter(providers::version.eq(version));
            let changes = (
                providers::name.eq(change.name),
                providers::audience.eq(change.audience),
                providers::client_id.eq(change.client_id),
                providers::sealed_client_secret.eq(change.sealed_client_secret),
                providers::settings.eq(write(change.settings)?),
                providers::enabled.eq(change.enabled),
                providers::version.eq(version + 1),
                providers::updated_at.eq(change.at),
            );
            let changed = diesel::update(row).set(changes).returning(providers::all_columns);
            let row: Option<Row> = tx.tx.first(changed).await?;
            row.map(read).transpose()
        }

        /// Removes a provider; whether it was there. Call the revocation of what was accepted from it in the same
        /// transaction.
        pub async fn delete(tx: &mut $tx, id: IdentityProviderId) -> DbResult<bool> {
            let row = providers::table.filter(providers::id.eq(id.uuid()));
            Ok(tx.tx.execute(diesel::delete(row)).await? > 0)
        }
    };
}
pub(crate) use provider_queries;
