//! Which identity providers of the platform have to answer.

use diesel::{
    QueryableByName,
    sql_types::{Bool, Nullable, Text},
};

use crate::engine::{error::DbResult, scope::Owner};

/// How many are looked at.
const MOST: i32 = 8;

/// A provider that counts.
#[derive(Clone, Debug, QueryableByName)]
pub struct PlatformProvider {
    /// The `iss` of its tokens.
    #[diesel(sql_type = Text)]
    pub issuer: String,
    /// Where its keys are, when not where it says.
    #[diesel(sql_type = Nullable<Text>)]
    pub jwks_url: Option<String>,
    /// Whether people who are made here are made there as well.
    #[diesel(sql_type = Bool)]
    pub makes_users: bool,
}

/// The platform's providers that count, the first few: those of tenants are theirs to see to.
pub async fn identity_providers(owner: &Owner) -> DbResult<Vec<PlatformProvider>> {
    let select = format!(
        "SELECT issuer, settings ->> 'jwks_url' AS jwks_url, \
             bool_or(coalesce((settings ->> 'makes_users')::boolean, false)) AS makes_users \
         FROM identity_providers \
         WHERE enabled AND tenant_id IS NULL GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {MOST}"
    );
    owner.read(async |tx| tx.tx.load(diesel::sql_query(select)).await).await
}
