//! The platform's identity providers, and what a node must know to judge a token of one.

use bulkhead_domain::{RoleName, TenantId};
use diesel::sql_types::{Text, Uuid as SqlUuid};

use crate::{
    engine::scope::PlatformTx,
    identity_providers::provider_queries,
    schema::platform::{identity_provider_tenants as memberships, identity_providers, spent_login_states},
};

provider_queries!(PlatformTx, identity_providers);

/// What a tenant lets a provider of the platform's people become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// What they become whose token says nothing that is mapped.
    pub default_role: RoleName,
    /// The most that anybody becomes.
    pub max_role: RoleName,
}

/// The providers in service whose access tokens are for one of these audiences: of one issuer there is one for each.
pub async fn accepting(
    tx: &mut PlatformTx,
    issuer: &str,
    audiences: &[&str],
) -> DbResult<Vec<IdentityProvider>> {
    let query = providers::table
        .filter(providers::issuer.eq(issuer))
        .filter(providers::audience.eq_any(audiences))
        .filter(providers::enabled)
        .select(providers::all_columns)
        .limit(2);
    let rows: Vec<Row> = tx.tx.load(query).await?;
    rows.into_iter().map(read).collect()
}

/// What a tenant has said to a provider of the platform; `None` when it has not said that it takes its word.
pub async fn membership(
    tx: &mut PlatformTx,
    provider: IdentityProviderId,
    tenant: TenantId,
) -> DbResult<Option<Membership>> {
    let row: Option<(String, String)> = tx
        .tx
        .first(
            memberships::table
                .find((provider.uuid(), tenant.uuid()))
                .select((memberships::default_role, memberships::max_role)),
        )
        .await?;
    let role = |text: String| {
        text.parse().map_err(|error| crate::DbError::Unreadable(format!("role of a membership: {error}")))
    };
    row.map(|(default, most)| Ok(Membership { default_role: role(default)?, max_role: role(most)? }))
        .transpose()
}

/// Makes nodes look anew at everything that they have accepted from a provider, in every tenant that it speaks for.
pub async fn revoke(tx: &mut PlatformTx, provider: &IdentityProvider) -> DbResult<()> {
    let of = |statement: &'static str| diesel::sql_query(statement).bind::<SqlUuid, _>(provider.id.uuid());
    match provider.tenant {
        Some(tenant) => {
            let call = diesel::sql_query("SELECT revoke($1, $2, $3)").bind::<SqlUuid, _>(tenant.uuid());
            let call = call.bind::<Text, _>("session").bind::<SqlUuid, _>(provider.id.uuid());
            tx.tx.execute(call).await?;
        }
        None => {
            let all = "SELECT revoke(tenant_id, 'session', $1) FROM identity_provider_tenants WHERE provider_id = $1";
            tx.tx.execute(of(all)).await?;
        }
    }
    Ok(())
}

/// Notes that a log-in has come back; whether it is the first time. Those that have expired are swept, some at a time.
pub async fn spend_state(
    tx: &mut PlatformTx,
    id: uuid::Uuid,
    expires_at: chrono::DateTime<chrono::Utc>,
) -> DbResult<bool> {
    let sweep = diesel::sql_query(
        "DELETE FROM spent_login_states WHERE id IN (SELECT id FROM spent_login_states \
         WHERE expires_at < now() - interval '1 minute' LIMIT 100 FOR UPDATE SKIP LOCKED)",
    );
    tx.tx.execute(sweep).await?;
    let row = (spent_login_states::id.eq(id), spent_login_states::expires_at.eq(expires_at));
    let insert = diesel::insert_into(spent_login_states::table).values(row).on_conflict_do_nothing();
    Ok(tx.tx.execute(insert).await? > 0)
}
