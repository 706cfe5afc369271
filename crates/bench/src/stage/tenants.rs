//! Tenants, built as the product builds them, each with a key and a resource to be asked for.

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use bulkhead_auth::{Keyring, api_key};
use bulkhead_db::{
    Authority, Db, DbError, JsonText, Owner, PageRequest,
    fleet::provision::provision_tenant,
    platform::tenants::{self, NewTenant},
    tenant::{
        api_keys::{self, Grantor, NewApiKey},
        users,
    },
};
use bulkhead_domain::{
    ApiKeyId, Clock as _, Evidence, JobId, PlanName, Proven, RoleName, SchemaName, Slug, SystemClock,
    TenantId, UserId,
};
use bulkhead_resources::{
    ResourceId,
    store::{self, Resource},
};
use serde_json::json;

/// A tenant to be asked for something.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) schema: String,
    /// Its API key.
    pub(crate) key: String,
    /// A resource of it, as a path of the API.
    pub(crate) path: String,
    /// The same, as the database knows it.
    pub(crate) resource: String,
}

/// What builds tenants, beside the load.
pub(super) struct Builder {
    pub(super) db: Db,
    pub(super) owner: Owner,
    pub(super) keyring: Arc<Keyring>,
}

impl Builder {
    /// Orders a tenant, under an id or for a schema that was built ahead.
    pub(super) async fn order(&self, number: usize, id: Option<TenantId>) -> Result<TenantId> {
        let at = SystemClock.now();
        let slug: Slug = format!("bench-{number}").parse()?;
        let email = format!("owner@{slug}.example");
        let new = NewTenant {
            id,
            slug: &slug,
            name: "A benchmark's",
            plan: PlanName::ENTERPRISE,
            owner: UserId::mint(at),
            owner_email: &email,
            owner_password_hash: "not a hash: no user logs in",
            at,
        };
        let order = async |tx: &mut _| tenants::insert(tx, &new).await;
        let ordered = self.db.platform_write::<_, DbError>(Authority::machinery(), order);
        Ok(Box::pin(ordered).await?.id)
    }

    /// Puts a tenant into service that was ordered.
    pub(super) async fn provision(&self, id: TenantId) -> Result<()> {
        let at = SystemClock.now();
        let job = JobId::mint(at);
        Box::pin(self.owner.write(async |tx| provision_tenant(tx, id, job, at).await)).await?;
        Ok(())
    }

    /// Puts one more tenant into service. Returns its id, and how many seconds the building took.
    pub(super) async fn tenant(&self, number: usize) -> Result<(TenantId, f64)> {
        let id = self.order(number, Some(TenantId::mint(SystemClock.now()))).await?;
        let begun = Instant::now();
        self.provision(id).await?;
        Ok((id, begun.elapsed().as_secs_f64()))
    }

    /// Gives a tenant what it can be asked for, and a key to ask with.
    pub(super) async fn seed(&self, id: TenantId) -> Result<Tenant> {
        let at = SystemClock.now();
        let key_id = ApiKeyId::mint(at);
        let (key, mac) = api_key::issue(&self.keyring, "test", id, key_id)?;
        let resource = ResourceId::mint(at);
        let row = Resource {
            id: resource,
            name: "A resource".to_owned(),
            kind: "document".to_owned(),
            data: JsonText::of(&json!({ "pages": 12 }))?,
            owner: "bench".to_owned(),
            version: 1,
            created_at: at,
            updated_at: at,
        };
        let seed = async |tx: &mut _| {
            let owner = users::list(tx, PageRequest { after: None, limit: 1 }).await?.rows.into_iter().next();
            let new = NewApiKey {
                id: key_id,
                name: "bench",
                hint: key.hint(),
                mac: &mac,
                role: RoleName::DEVELOPER,
                scopes: None,
                allowed_addresses: None,
                requests_per_minute: None,
                created_by: "bench",
                grantor: owner.map_or(Grantor::Nobody, |owner| Grantor::User(owner.id)),
                at,
                expires_at: None,
            };
            api_keys::insert(tx, &new).await?;
            store::insert(tx, &row).await
        };
        Box::pin(self.db.write::<_, DbError>(Proven::on(Evidence::Fixture, id), seed)).await?;
        Ok(Tenant {
            id,
            schema: SchemaName::of(id).to_string(),
            key: key.reveal().to_owned(),
            path: format!("/v1/resources/{resource}"),
            resource: resource.uuid().to_string(),
        })
    }
}
