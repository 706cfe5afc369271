//! Business objects as they are kept, and every query on them. Which tenant's table it is, the transaction says.

use bulkhead::{Demo, prelude::*};
use diesel::prelude::*;
use serde::Serialize;

use crate::{ResourceId, schema::resources};

/// A business object.
// Without the last argument diesel prepares the insert for each use.
#[derive(Clone, Debug, Insertable, Queryable, Selectable, Serialize, ToSchema)]
#[diesel(table_name = resources, check_for_backend(diesel::pg::Pg), treat_none_as_default_value = false)]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// What people call it.
    #[schema(example = "Quarterly report")]
    pub name: String,
    /// What it is, in your own terms.
    #[schema(example = "document")]
    pub kind: String,
    /// Its content.
    #[schema(value_type = Object, example = json!({"pages": 12}))]
    pub data: JsonText,
    /// Who made it: a user or an API key.
    #[schema(example = "usr_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    pub owner: String,
    /// Grows by one with every change; the ETag says the same.
    #[schema(example = 1)]
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a change is decided by.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = resources, check_for_backend(diesel::pg::Pg))]
pub struct Head {
    /// What people call it.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Its version.
    pub version: i64,
}

/// The fields to change; `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, AsChangeset)]
#[diesel(table_name = resources)]
pub struct Change<'a> {
    /// The new name.
    pub name: Option<&'a str>,
    /// The new kind.
    pub kind: Option<&'a str>,
    /// The new content, whole.
    pub data: Option<&'a JsonText>,
}

impl Change<'_> {
    /// Whether it leaves the object as it is. Content that is sent is a change: it is not read to be compared.
    pub fn keeps(&self, head: &Head) -> bool {
        self.name.is_none_or(|name| name == head.name)
            && self.kind.is_none_or(|kind| kind == head.kind)
            && self.data.is_none()
    }
}

/// Adds an object.
pub async fn insert(tx: &mut TenantTx, resource: &Resource) -> DbResult<()> {
    tx.execute(diesel::insert_into(resources::table).values(resource)).await?;
    Ok(())
}

/// The object with this id.
pub async fn find(tx: &mut TenantTx, id: ResourceId) -> DbResult<Option<Resource>> {
    tx.first(resources::table.find(id).select(Resource::as_select())).await
}

/// Objects in the order of their ids, of one kind or of all. A page ends by bytes, too: the content of those that are over it
/// is not read.
pub async fn list(tx: &mut TenantTx, kind: Option<&str>, page: PageRequest) -> DbResult<Page<Resource>> {
    type Row = (ResourceId, String, String, Option<JsonText>, String, i64, DateTime<Utc>, DateTime<Utc>);
    let columns = (
        resources::id,
        resources::name,
        resources::kind,
        within_page(resources::id, resources::data_bytes, resources::data),
        resources::owner,
        resources::version,
        resources::created_at,
        resources::updated_at,
    );
    let mut query = resources::table.select(columns).order(resources::id).limit(page.probe()).into_boxed();
    if let Some(kind) = kind {
        query = query.filter(resources::kind.eq(kind));
    }
    if let Some(after) = page.after {
        query = query.filter(resources::id.gt(ResourceId::from(after)));
    }
    let rows: Vec<Row> = tx.load(query).await?;
    let whole = |(id, name, kind, data, owner, version, created_at, updated_at): Row| {
        Some(Resource { id, name, kind, data: data?, owner, version, created_at, updated_at })
    };
    Ok(Page::cut_by_bytes(rows.into_iter().map(whole).collect(), page))
}

/// The object with this id, without its content, locked until the transaction ends. A transaction that wants to change
/// it at the same time waits, and then sees the version that this one has left.
pub async fn lock(tx: &mut TenantTx, id: ResourceId) -> DbResult<Option<Head>> {
    tx.first(resources::table.find(id).select(Head::as_select()).for_update()).await
}

/// Changes an object; `None` when it is gone. Its content is asked back only where it was not sent.
pub async fn update(
    tx: &mut TenantTx,
    id: ResourceId,
    change: &Change<'_>,
    at: DateTime<Utc>,
) -> DbResult<Option<Resource>> {
    let set = (change, resources::version.eq(resources::version + 1), resources::updated_at.eq(at));
    let statement = diesel::update(resources::table.find(id)).set(set);
    let Some(data) = change.data else {
        return tx.first(statement.returning(Resource::as_returning())).await;
    };
    let others =
        (resources::name, resources::kind, resources::owner, resources::version, resources::created_at);
    let row: Option<(String, String, String, i64, DateTime<Utc>)> =
        tx.first(statement.returning(others)).await?;
    Ok(row.map(|(name, kind, owner, version, created_at)| {
        let data = data.clone();
        Resource { id, name, kind, data, owner, version, created_at, updated_at: at }
    }))
}

/// Removes an object.
pub async fn delete(tx: &mut TenantTx, id: ResourceId) -> DbResult<()> {
    tx.execute(diesel::delete(resources::table.find(id))).await?;
    Ok(())
}

/// A few objects for a demo tenant.
pub(crate) async fn demo(tx: &mut TenantTx, demo: &Demo) -> DbResult<()> {
    for (name, kind) in [("Welcome", "note"), ("Price list", "document"), ("Warehouse", "site")] {
        let resource = Resource {
            id: ResourceId::mint(demo.at),
            name: name.to_owned(),
            kind: kind.to_owned(),
            data: JsonText::default(),
            owner: demo.subject.clone(),
            version: 1,
            created_at: demo.at,
            updated_at: demo.at,
        };
        insert(tx, &resource).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bulkhead::prelude::*;
    use diesel::{pg::Pg, query_builder::QueryFragment};

    use super::*;

    /// diesel prepares a statement of which it is not sure for each use: a message more for each write.
    #[test]
    fn an_insert_is_prepared_once_for_all_its_uses() {
        let at = DateTime::UNIX_EPOCH;
        let resource = Resource {
            id: ResourceId::mint(at),
            name: "n".to_owned(),
            kind: "k".to_owned(),
            data: JsonText::default(),
            owner: "o".to_owned(),
            version: 1,
            created_at: at,
            updated_at: at,
        };
        let insert = diesel::insert_into(resources::table).values(&resource);
        assert!(QueryFragment::<Pg>::is_safe_to_cache_prepared(&insert, &Pg).unwrap());
    }
}
