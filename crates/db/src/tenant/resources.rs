//! Business objects.

use bulkhead_domain::ResourceId;
use chrono::{DateTime, Utc};
use diesel::{
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Json, Nullable},
};

use crate::{
    engine::{
        error::DbResult,
        json::JsonText,
        page::{PAGE_BYTES, Page, PageRequest},
        scope::TenantTx,
    },
    schema::tenant::resources,
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
    pub data: JsonText,
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
    pub data: &'a JsonText,
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
    pub data: Option<&'a JsonText>,
}

/// The version of a new object.
const FIRST: i64 = 1;

/// Adds an object. Nothing of it is asked back, for its content may be large.
pub async fn insert(tx: &mut TenantTx, new: &NewResource<'_>) -> DbResult<Resource> {
    let &NewResource { id, name, kind, data, owner, at } = new;
    let row = (
        resources::id.eq(id.uuid()),
        resources::name.eq(name),
        resources::kind.eq(kind),
        resources::data.eq(data),
        resources::owner.eq(owner),
        resources::version.eq(FIRST),
        resources::created_at.eq(at),
        resources::updated_at.eq(at),
    );
    tx.tx.execute(diesel::insert_into(resources::table).values(row)).await?;
    let [name, kind, owner] = [name, kind, owner].map(str::to_owned);
    let data = data.clone();
    Ok(Resource { id, name, kind, data, owner, version: FIRST, created_at: at, updated_at: at })
}

/// The object with this id.
pub async fn find(tx: &mut TenantTx, id: ResourceId) -> DbResult<Option<Resource>> {
    tx.tx.first(resources::table.find(id.uuid()).select(Resource::as_select())).await
}

/// An object's content, unless the objects before it in the list have as many bytes as a page may have. Not written with
/// `diesel::dsl::sql`, which keeps a statement from being prepared once for all its uses.
#[derive(Clone, Copy, Debug, QueryId)]
struct DataWithinPage;

impl Expression for DataWithinPage {
    type SqlType = Nullable<Json>;
}

impl QueryFragment<Pg> for DataWithinPage {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql(
            "CASE WHEN sum(data_bytes) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - data_bytes < ",
        );
        pass.push_bind_param::<BigInt, _>(&const { PAGE_BYTES as i64 })?;
        pass.push_sql(" THEN data END");
        Ok(())
    }
}

impl SelectableExpression<resources::table> for DataWithinPage {}
impl AppearsOnTable<resources::table> for DataWithinPage {}

impl ValidGrouping<()> for DataWithinPage {
    type IsAggregate = is_aggregate::No;
}

type Listed = (uuid::Uuid, String, String, Option<JsonText>, String, i64, DateTime<Utc>, DateTime<Utc>);

/// Objects in the order of their ids, of one kind or of all.
pub async fn list(tx: &mut TenantTx, kind: Option<&str>, page: PageRequest) -> DbResult<Page<Resource>> {
    let columns = (
        resources::id,
        resources::name,
        resources::kind,
        DataWithinPage,
        resources::owner,
        resources::version,
        resources::created_at,
        resources::updated_at,
    );
    let mut query =
        resources::table.select(columns).order(resources::id.asc()).limit(page.probe()).into_boxed();
    if let Some(kind) = kind {
        query = query.filter(resources::kind.eq(kind));
    }
    if let Some(after) = page.after {
        query = query.filter(resources::id.gt(after));
    }
    let rows: Vec<Listed> = tx.tx.load(query).await?;
    let whole = |(id, name, kind, data, owner, version, created_at, updated_at): Listed| {
        let id = ResourceId::from_uuid(id);
        Some(Resource { id, name, kind, data: data?, owner, version, created_at, updated_at })
    };
    Ok(Page::cut_by_bytes(rows.into_iter().map(whole).collect(), page))
}

/// What a change is decided by.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = resources, check_for_backend(diesel::pg::Pg))]
pub struct ResourceHead {
    /// What people call it.
    pub name: String,
    /// What it is, in the tenant's own terms.
    pub kind: String,
    /// Its version.
    pub version: i64,
}

impl ResourceHead {
    /// Whether a change would leave the object as it is. Content that is sent is a change: it is not read to be compared.
    pub fn is_kept_by(&self, change: &ResourceChange<'_>) -> bool {
        change.name.is_none_or(|name| name == self.name)
            && change.kind.is_none_or(|kind| kind == self.kind)
            && change.data.is_none()
    }
}

/// The object with this id, without its content, locked until the transaction ends. A transaction that wants to change
/// it at the same time waits, and then sees the version that this one has left.
pub async fn lock(tx: &mut TenantTx, id: ResourceId) -> DbResult<Option<ResourceHead>> {
    tx.tx.first(resources::table.find(id.uuid()).select(ResourceHead::as_select()).for_update()).await
}

/// Changes an object; `None` when it is gone. Its content is asked back only where it was not sent.
pub async fn update(
    tx: &mut TenantTx,
    id: ResourceId,
    change: &ResourceChange<'_>,
    at: DateTime<Utc>,
) -> DbResult<Option<Resource>> {
    let set = (change, resources::version.eq(resources::version + 1), resources::updated_at.eq(at));
    let statement = diesel::update(resources::table.find(id.uuid())).set(set);
    let Some(data) = change.data else {
        return tx.tx.first(statement.returning(Resource::as_returning())).await;
    };
    let others =
        (resources::name, resources::kind, resources::owner, resources::version, resources::created_at);
    let row: Option<(String, String, String, i64, DateTime<Utc>)> =
        tx.tx.first(statement.returning(others)).await?;
    Ok(row.map(|(name, kind, owner, version, created_at)| {
        let data = data.clone();
        Resource { id, name, kind, data, owner, version, created_at, updated_at: at }
    }))
}

/// Removes an object; whether it was there.
pub async fn delete(tx: &mut TenantTx, id: ResourceId) -> DbResult<bool> {
    Ok(tx.tx.execute(diesel::delete(resources::table.find(id.uuid()))).await? > 0)
}
