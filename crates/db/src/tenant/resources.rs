//! Business objects.

use bulkhead_domain::ResourceId;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::Value;

use crate::{
    error::DbResult,
    page::{Page, PageRequest},
    schema::tenant::resources,
    scope::TenantTx,
};

/// A business object.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = resources, check_for_backend(diesel::pg::Pg))]
pub struct Resource {
    /// Its id.
    #[diesel(deserialize_as = uuid::Uuid)]
    pub id: ResourceId,
    /// What people call it.
    pub name: String,
    /// What it is, in the tenant's own terms.
    pub kind: String,
    /// Its content.
    pub data: Value,
    /// Who made it: a user's or an API key's id.
    pub owner: String,
    /// Grows by one with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a new object is made of.
#[derive(Clone, Debug)]
pub struct NewResource<'a> {
    /// Its id.
    pub id: ResourceId,
    /// What people call it.
    pub name: &'a str,
    /// What it is.
    pub kind: &'a str,
    /// Its content.
    pub data: &'a Value,
    /// Who makes it.
    pub owner: &'a str,
    /// Now.
    pub at: DateTime<Utc>,
}

/// The fields to change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, AsChangeset)]
#[diesel(table_name = resources)]
pub struct ResourceChange<'a> {
    /// The new name.
    pub name: Option<&'a str>,
    /// The new kind.
    pub kind: Option<&'a str>,
    /// The new content, whole.
    pub data: Option<&'a Value>,
}

/// Adds an object.
pub async fn insert(tx: &mut TenantTx, new: &NewResource<'_>) -> DbResult<Resource> {
    let row = (
        resources::id.eq(new.id.uuid()),
        resources::name.eq(new.name),
        resources::kind.eq(new.kind),
        resources::data.eq(new.data),
        resources::owner.eq(new.owner),
        resources::created_at.eq(new.at),
        resources::updated_at.eq(new.at),
    );
    let statement = diesel::insert_into(resources::table).values(row).returning(Resource::as_returning());
    tx.tx.one(statement).await
}

/// The object with this id.
pub async fn find(tx: &mut TenantTx, id: ResourceId) -> DbResult<Option<Resource>> {
    tx.tx.first(resources::table.find(id.uuid()).select(Resource::as_select())).await
}

/// Objects in the order they were made, of one kind or of all.
pub async fn list(tx: &mut TenantTx, kind: Option<&str>, page: PageRequest) -> DbResult<Page<Resource>> {
    let mut query = resources::table
        .select(Resource::as_select())
        .order(resources::id.asc())
        .limit(page.probe())
        .into_boxed();
    if let Some(kind) = kind {
        query = query.filter(resources::kind.eq(kind));
    }
    if let Some(after) = page.after {
        query = query.filter(resources::id.gt(after));
    }
    Ok(Page::cut(tx.tx.load(query).await?, page))
}

/// Changes an object that is still at `version`; `None` when it is not, or is gone.
pub async fn update(
    tx: &mut TenantTx,
    id: ResourceId,
    version: i64,
    change: &ResourceChange<'_>,
    at: DateTime<Utc>,
) -> DbResult<Option<Resource>> {
    let row = resources::table.filter(resources::id.eq(id.uuid())).filter(resources::version.eq(version));
    let statement = diesel::update(row)
        .set((change, resources::version.eq(version + 1), resources::updated_at.eq(at)))
        .returning(Resource::as_returning());
    tx.tx.first(statement).await
}

/// Removes an object that is still at `version`; whether it was there.
pub async fn delete(tx: &mut TenantTx, id: ResourceId, version: i64) -> DbResult<bool> {
    let row = resources::table.filter(resources::id.eq(id.uuid())).filter(resources::version.eq(version));
    Ok(tx.tx.execute(diesel::delete(row)).await? > 0)
}
