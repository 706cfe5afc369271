//! What a tenant's owners decide of the platform's doings.

use diesel::{prelude::*, sql_types::Bool};

use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::gate::tenant_settings,
};

/// Whether operators may act as the tenant's people.
pub async fn impersonation(tx: &mut TenantTx) -> DbResult<bool> {
    let found: Option<bool> =
        tx.tx.first(tenant_settings::table.select(tenant_settings::impersonation)).await?;
    Ok(found.unwrap_or_default())
}

/// Lets operators act as the tenant's people, or lets them no longer. Every node knows it within seconds of the commit. The last
/// statement of its transaction.
pub async fn allow_impersonation(tx: &mut TenantTx, allowed: bool) -> DbResult<()> {
    let call = diesel::sql_query("SELECT gate.allow_impersonation($1)").bind::<Bool, _>(allowed);
    tx.tx.execute(call).await?;
    Ok(())
}
