//! The tenants, and the directory that authentication looks them up in. How one leaves is in `lifecycle.rs`.

use bulkhead_domain::{Limit, PlanName, SchemaName, Slug, TenantId, TenantStatus, UserId};
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Bool, Integer, Text, Timestamptz, Uuid as SqlUuid},
};
use std::fmt;
use uuid::Uuid;

use crate::{
    engine::{
        error::DbResult,
        page::{Page, PageRequest},
        scope::PlatformTx,
    },
    fleet::purge::Receipt,
    schema::platform::{pending_owners, plans, tenant_purges, tenant_schema_versions, tenants},
};

/// A tenant, as operators see it.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = tenants, check_for_backend(diesel::pg::Pg))]
pub struct Tenant {
    /// Its id.
    #[diesel(deserialize_as = Uuid)]
    pub id: TenantId,
    /// The name it is known by outside. A purged tenant's is in its [`Purge`].
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// Where it is in its life.
    #[diesel(deserialize_as = String)]
    pub status: TenantStatus,
    /// What it has bought.
    #[diesel(deserialize_as = String)]
    pub plan: PlanName,
    /// Grows by one with every change.
    pub version: i64,
    /// When it signed up.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was deleted, if it is.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Until when it is kept, if it is deleted. It is purged soon after.
    pub purge_after: Option<DateTime<Utc>>,
}

/// The purge of a tenant, begun or finished.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = tenant_purges, check_for_backend(diesel::pg::Pg))]
pub struct Purge {
    /// The slug that the tenant had; when the purge is finished, another may have it.
    pub slug: String,
    /// When it began.
    pub begun_at: DateTime<Utc>,
    /// When the last of the tenant was removed.
    pub finished_at: Option<DateTime<Utc>>,
    /// What was removed so far.
    #[diesel(deserialize_as = serde_json::Value)]
    pub receipt: Receipt,
}

/// What a new tenant is made of.
pub struct NewTenant<'a> {
    /// Its id, when the caller needs a certain one. With `None` it gets the id of a schema that is built already, or a
    /// new id when there is no such schema.
    pub id: Option<TenantId>,
    /// The name it is known by outside.
    pub slug: &'a Slug,
    /// The name people read.
    pub name: &'a str,
    /// What it has bought: a plan that there is.
    pub plan: PlanName,
    /// Its first owner's id.
    pub owner: UserId,
    /// Its first owner's address.
    pub owner_email: &'a str,
    /// The hash of its first owner's password.
    pub owner_password_hash: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
}

impl fmt::Debug for NewTenant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewTenant({})", self.slug)
    }
}

/// What authentication and admission need to know of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its id.
    pub id: TenantId,
    /// Where it is in its life.
    pub status: TenantStatus,
    /// The request limit in force.
    pub limit: Limit,
    /// Whether the tenant lets operators act as its people.
    pub impersonation: bool,
}

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = SqlUuid)]
    tenant_id: Uuid,
}

/// Adds a tenant in state `provisioning`, with its first owner. A slug that is taken is
/// [`crate::DbError::AlreadyExists`].
pub async fn insert(tx: &mut PlatformTx, new: &NewTenant<'_>) -> DbResult<Tenant> {
    let id = match new.id {
        Some(id) => id,
        None => take_built(tx, new.at).await?.unwrap_or_else(|| TenantId::mint(new.at)),
    };
    let row = (
        tenants::id.eq(id.uuid()),
        tenants::slug.eq(new.slug.as_str()),
        tenants::name.eq(new.name),
        tenants::role_name.eq(SchemaName::of(id).to_string()),
        tenants::status.eq(TenantStatus::Provisioning.as_str()),
        tenants::plan.eq(new.plan.as_str()),
        tenants::database.eq("control"),
        tenants::created_at.eq(new.at),
        tenants::updated_at.eq(new.at),
    );
    let tenant =
        tx.tx.one(diesel::insert_into(tenants::table).values(row).returning(Tenant::as_returning())).await?;
    let owner = (
        pending_owners::tenant_id.eq(id.uuid()),
        pending_owners::user_id.eq(new.owner.uuid()),
        pending_owners::email.eq(new.owner_email),
        pending_owners::password_hash.eq(new.owner_password_hash),
    );
    tx.tx.execute(diesel::insert_into(pending_owners::table).values(owner)).await?;
    Ok(tenant)
}

/// Takes the id of a schema that is built already; `None` when there is none left. Two transactions that take at the
/// same time get different ones, and a transaction that is rolled back gives its one back. A schema that is behind
/// would have to be built again, so it is taken last.
async fn take_built(tx: &mut PlatformTx, at: DateTime<Utc>) -> DbResult<Option<TenantId>> {
    let statement = diesel::sql_query(
        "UPDATE schema_pool SET taken_at = $1 WHERE tenant_id = ( \
             SELECT tenant_id FROM schema_pool WHERE taken_at IS NULL \
             ORDER BY applied <> (SELECT wanted FROM fleet_target), tenant_id LIMIT 1 FOR UPDATE SKIP LOCKED \
         ) RETURNING tenant_id",
    )
    .bind::<Timestamptz, _>(at);
    let taken: Option<Taken> = tx.tx.first(statement).await?;
    Ok(taken.map(|row| TenantId::from_uuid(row.tenant_id)))
}

/// The tenant with this id.
pub async fn find(tx: &mut PlatformTx, id: TenantId) -> DbResult<Option<Tenant>> {
    tx.tx.first(tenants::table.find(id.uuid()).select(Tenant::as_select())).await
}

/// The tenant with this id, locked until the transaction ends.
pub async fn lock(tx: &mut PlatformTx, id: TenantId) -> DbResult<Option<Tenant>> {
    tx.tx.first(tenants::table.find(id.uuid()).select(Tenant::as_select()).for_update()).await
}

/// Which tenants are listed; `None` means any.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantFilter<'a> {
    /// Those in this state.
    pub status: Option<TenantStatus>,
    /// The one with this slug.
    pub slug: Option<&'a Slug>,
}

/// Ids after `after`, in order, at most `limit`, of the tenants that have a schema to be looked after: those in service, the
/// suspended ones, and the deleted ones until their purge begins.
pub async fn with_schema(
    tx: &mut PlatformTx,
    after: Option<TenantId>,
    limit: u16,
) -> DbResult<Vec<TenantId>> {
    let purge = tenant_purges::table.filter(tenant_purges::tenant_id.eq(tenant_schema_versions::tenant_id));
    let query = tenant_schema_versions::table
        .filter(diesel::dsl::not(diesel::dsl::exists(purge)))
        .filter(tenant_schema_versions::tenant_id.gt(after.map_or(Uuid::nil(), TenantId::uuid)))
        .order(tenant_schema_versions::tenant_id.asc())
        .limit(limit.into())
        .select(tenant_schema_versions::tenant_id);
    let ids: Vec<Uuid> = tx.tx.load(query).await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// The tenant with this id, and its purge if that has begun.
pub async fn find_with_purge(tx: &mut PlatformTx, id: TenantId) -> DbResult<Option<(Tenant, Option<Purge>)>> {
    let query = tenants::table
        .left_join(tenant_purges::table)
        .filter(tenants::id.eq(id.uuid()))
        .select((Tenant::as_select(), Option::<Purge>::as_select()));
    tx.tx.first(query).await
}

/// Tenants in the order of their ids, each with its purge if that has begun. That is the order in which they signed up, except
/// among those that signed up at the same moment or found a schema that was built before the last one's id was minted.
pub async fn list(
    tx: &mut PlatformTx,
    filter: TenantFilter<'_>,
    page: PageRequest,
) -> DbResult<Page<(Tenant, Option<Purge>)>> {
    let mut query = tenants::table
        .left_join(tenant_purges::table)
        .select((Tenant::as_select(), Option::<Purge>::as_select()))
        .order(tenants::id.asc())
        .limit(page.probe())
        .into_boxed();
    if let Some(status) = filter.status {
        query = query.filter(tenants::status.eq(status.as_str()));
    }
    if let Some(slug) = filter.slug {
        query = query.filter(tenants::slug.eq(slug.as_str()));
    }
    if let Some(after) = page.after {
        query = query.filter(tenants::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// The fields to change; `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantChange<'a> {
    /// The new name.
    pub name: Option<&'a str>,
    /// The new plan, one that there is.
    pub plan: Option<&'a PlanName>,
    /// The new state.
    pub status: Option<TenantStatus>,
}

impl TenantChange<'_> {
    /// Whether it would leave the tenant as it is.
    pub fn keeps(&self, tenant: &Tenant) -> bool {
        self.name.is_none_or(|name| name == tenant.name)
            && self.plan.is_none_or(|plan| *plan == tenant.plan)
            && self.status.is_none_or(|status| status == tenant.status)
    }
}

/// Changes a tenant whose row is locked. Nodes hear of it only through
/// [`announce_tenant_change`](super::revocations::announce_tenant_change) in the same transaction.
pub async fn update(
    tx: &mut PlatformTx,
    id: TenantId,
    change: TenantChange<'_>,
    at: DateTime<Utc>,
) -> DbResult<Tenant> {
    let statement = diesel::update(tenants::table.find(id.uuid()))
        .set((
            change.name.map(|name| tenants::name.eq(name)),
            change.plan.map(|plan| tenants::plan.eq(plan.as_str())),
            change.status.map(|status| tenants::status.eq(status.as_str())),
            tenants::version.eq(tenants::version + 1),
            tenants::updated_at.eq(at),
        ))
        .returning(Tenant::as_returning());
    tx.tx.one(statement).await
}

type EntryRow = (Uuid, String, Option<i32>, Option<i32>, i32, i32, bool);

/// A row of the directory that a login is checked against.
#[derive(QueryableByName)]
struct LoginRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Integer)]
    requests_per_minute: i32,
    #[diesel(sql_type = Integer)]
    burst: i32,
    #[diesel(sql_type = Bool)]
    is_it: bool,
}

/// The tenant that a login is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginTenant {
    /// The one that was named; it has a schema.
    Named(DirectoryEntry),
    /// Another tenant: none of that name is in service or suspended. The caller runs the same queries against this one.
    Decoy(TenantId),
}

/// The tenant that a login names by `slug`, or, with the same query, another one: the active one whose slug follows
/// `decoy`. `None` when there is no tenant at all.
pub async fn login_tenant(tx: &mut PlatformTx, slug: &str, decoy: &str) -> DbResult<Option<LoginTenant>> {
    let query = diesel::sql_query(include_str!("tenants/login_tenant.sql"));
    let row: Option<LoginRow> = tx.tx.first(query.bind::<Text, _>(slug).bind::<Text, _>(decoy)).await?;
    row.map(|row| {
        let LoginRow { id, status, requests_per_minute, burst, is_it } = row;
        if !is_it {
            return Ok(LoginTenant::Decoy(TenantId::from_uuid(id)));
        }
        // Who logs in with a password impersonates nobody.
        let entry = read_entry((id, status, None, None, requests_per_minute, burst, false))?;
        Ok(LoginTenant::Named(entry))
    })
    .transpose()
}

/// Whether a slug is taken. A look before the work: [`insert`] is what decides.
pub async fn is_taken(tx: &mut PlatformTx, slug: &Slug) -> DbResult<bool> {
    let found: Option<Uuid> =
        tx.tx.first(tenants::table.filter(tenants::slug.eq(slug.as_str())).select(tenants::id)).await?;
    Ok(found.is_some())
}

/// The directory's entry of the tenant with this id.
pub async fn entry(tx: &mut PlatformTx, id: TenantId) -> DbResult<Option<DirectoryEntry>> {
    let query = tenants::table.inner_join(plans::table).filter(tenants::id.eq(id.uuid())).select((
        tenants::id,
        tenants::status,
        tenants::requests_per_minute,
        tenants::burst,
        plans::requests_per_minute,
        plans::burst,
        tenants::impersonation,
    ));
    let row: Option<EntryRow> = tx.tx.first(query).await?;
    row.map(read_entry).transpose()
}

fn read_entry(
    (id, status, own_rate, own_burst, plan_rate, plan_burst, impersonation): EntryRow,
) -> DbResult<DirectoryEntry> {
    let unreadable =
        |error: bulkhead_domain::TextError| crate::DbError::Unreadable(format!("tenant {id}: {error}"));
    let positive = |number: i32| u32::try_from(number).unwrap_or(1).max(1);
    Ok(DirectoryEntry {
        id: TenantId::from_uuid(id),
        status: status.parse().map_err(unreadable)?,
        limit: Limit {
            per_minute: positive(own_rate.unwrap_or(plan_rate)),
            burst: positive(own_burst.unwrap_or(plan_burst)),
        },
        impersonation,
    })
}
