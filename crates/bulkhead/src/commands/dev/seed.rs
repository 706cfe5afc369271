//! Migrations and demo data. Every step looks first, so a start after a crash, or on old data, does what is missing.

use std::{ffi::OsString, sync::Arc};

use anyhow::{Context, Result};
use bulkhead_auth::{Keyring, Lane, PasswordHasher, PasswordOwner, PasswordRules, Turn, api_key};
use bulkhead_config::{Sections, Settings};
use bulkhead_db::{
    Authority, Db, DbError, Owner, PageRequest, Shares, TenantTx,
    fleet::provision::provision_tenant,
    platform::{
        operators, plans,
        tenants::{self, NewTenant},
    },
    tenant::{
        api_keys::{self, Grantor, NewApiKey},
        users,
    },
};
use bulkhead_domain::{
    Clock, Evidence, JobId, OperatorId, Proven, RoleName, SystemClock, TenantStatus, UserId, api_key::ApiKey,
};
use bulkhead_telemetry::Metrics;

use super::{
    credentials::{Credentials, DemoTenant, Login},
    show,
};
use crate::{Demo, app::Parts, commands::migrate, demo, wiring};

/// Migrates and seeds.
pub(crate) async fn run(
    parts: &Parts,
    environment: &[(&'static str, String)],
    credentials: &Credentials,
) -> Result<()> {
    let variables = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    // `dev` sets no setting of an extension by itself.
    let settings = Settings::from_vars(variables, &Sections::default())?;
    migrate::prepare(&settings).await?;
    let report = migrate::migrate_all(parts, &settings, 2).await?;
    if let Some((tenant, error)) = report.failed.first() {
        anyhow::bail!("tenant {tenant} could not be migrated: {error}");
    }
    show::migrated(&report);
    let db = wiring::databases(&settings, &Metrics::new()?, Shares::Whole)?();
    let seed = Seed {
        keyring: wiring::keyring(&settings, &db).await?,
        db,
        owner: wiring::owner(&settings, 1)?,
        hasher: PasswordHasher::new(2),
        extensions: parts.demo().cloned().collect(),
    };
    seed.operator(&credentials.operator).await.context("the operator")?;
    for tenant in &credentials.tenants {
        seed.tenant(tenant).await.with_context(|| format!("the tenant {}", tenant.slug))?;
    }
    Ok(())
}

/// No other task of this process hashes passwords, so the turn may be any.
const TURN: Turn = Turn { lane: Lane::Creations, group: 0, network: None };

struct Seed {
    db: Db,
    owner: Owner,
    hasher: PasswordHasher,
    keyring: Arc<Keyring>,
    extensions: Vec<demo::Seed>,
}

impl Seed {
    /// The hash of a login's password, which was made by chance.
    async fn hash(&self, login: &Login) -> Result<String> {
        let password = PasswordRules::default().admit(&login.password, &PasswordOwner::default())?;
        Ok(self.hasher.hash(TURN, password).await?)
    }

    async fn operator(&self, login: &Login) -> Result<()> {
        let find = async |tx: &mut _| operators::find_credential(tx, &login.email).await;
        if self.db.platform_read(Authority::machinery(), find).await?.is_some() {
            return Ok(());
        }
        let hash = self.hash(login).await?;
        let now = SystemClock.now();
        let id = OperatorId::mint(now);
        let role = RoleName::ADMIN;
        let insert = async |tx: &mut _| operators::insert(tx, id, &login.email, &hash, role, now).await;
        Ok(self.db.platform_write(Authority::machinery(), insert).await?)
    }

    async fn tenant(&self, demo: &DemoTenant) -> Result<()> {
        let id = demo.id;
        let find = async |tx: &mut _| tenants::find(tx, id).await;
        match self.db.platform_read(Authority::machinery(), find).await? {
            None => self.announce(demo).await?,
            // A person has deleted the demo tenant, to try out how that is done. It stays deleted.
            Some(tenant) if tenant.status == TenantStatus::Deleted => return Ok(()),
            Some(_) => {}
        }
        let now = SystemClock.now();
        let build = async |tx: &mut _| provision_tenant(tx, id, JobId::mint(now), now).await;
        self.owner.write(build).await?;
        self.furnish(demo).await
    }

    async fn announce(&self, demo: &DemoTenant) -> Result<()> {
        let hash = self.hash(&demo.owner).await?;
        let now = SystemClock.now();
        let slug = demo.slug.parse()?;
        let find = async |tx: &mut _| plans::find(tx, &demo.plan).await;
        let plan = self.db.platform_read::<_, DbError>(Authority::machinery(), find).await?;
        let plan = plan.with_context(|| format!("the plan of {}", demo.slug))?;
        let new = NewTenant {
            id: Some(demo.id),
            slug: &slug,
            name: &demo.name,
            plan,
            owner: UserId::mint(now),
            owner_email: &demo.owner.email,
            owner_password_hash: &hash,
            at: now,
        };
        let insert = async |tx: &mut _| tenants::insert(tx, &new).await;
        self.db.platform_write(Authority::machinery(), insert).await?;
        Ok(())
    }

    /// A developer, the API key and what the extensions bring, in one transaction: all there, or none.
    async fn furnish(&self, demo: &DemoTenant) -> Result<()> {
        // No credential was verified, but the person who starts `bulkhead dev` owns the database and everything in
        // it.
        let tenant = Proven::on(Evidence::Fixture, demo.id);
        let key_id = demo.api_key_id;
        if let Some(key) = self.db.read(tenant, async |tx| api_keys::find(tx, key_id).await).await? {
            // Made before keys had somebody who answers for them.
            if key.grantor() == Grantor::Nobody {
                let grant = async |tx: &mut _| {
                    let owner = owner(tx).await?;
                    api_keys::regrant(tx, key_id, owner, None).await
                };
                self.db.write::<_, DbError>(tenant, grant).await?;
            }
            return Ok(());
        }
        let key = ApiKey::parse(&demo.api_key)?;
        let mac = api_key::mac(&self.keyring, &key);
        let hash = self.hash(&demo.owner).await?;
        let now = SystemClock.now();
        let email = format!("developer@{}.example", demo.slug);
        let demo = Demo { at: now, subject: key_id.to_string() };
        let furnish = async |tx: &mut _| -> Result<(), DbError> {
            let owner = owner(tx).await?;
            users::insert(tx, UserId::mint(now), &email, &hash, RoleName::DEVELOPER, now).await?;
            let new = NewApiKey {
                id: key_id,
                name: "demo key",
                hint: key.hint(),
                mac: &mac,
                role: RoleName::ADMIN,
                scopes: None,
                allowed_addresses: None,
                requests_per_minute: None,
                created_by: "bulkhead dev",
                grantor: owner,
                at: now,
                expires_at: None,
            };
            api_keys::insert(tx, &new).await?;
            for extension in &self.extensions {
                extension.run(tx, &demo).await?;
            }
            Ok(())
        };
        Ok(self.db.write(tenant, furnish).await?)
    }
}

/// The demo tenant's owner, who was there first.
async fn owner(tx: &mut TenantTx) -> Result<Grantor, DbError> {
    let first = users::list(tx, PageRequest { after: None, limit: 1 }).await?.rows.into_iter().next();
    Ok(first.map_or(Grantor::Nobody, |owner| Grantor::User(owner.id)))
}
