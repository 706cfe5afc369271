//! The secrets of a development set: made once, kept in `.bulkhead/credentials.json` for the next start.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};
use bulkhead_auth::MasterKey;
use bulkhead_domain::{ApiKeyId, Clock, SystemClock, TenantId};
use serde::{Deserialize, Serialize};

/// Everything that opens something.
#[derive(Serialize, Deserialize)]
pub(crate) struct Credentials {
    pub(crate) master_key: String,
    pub(crate) tenant_role: String,
    pub(crate) platform_role: String,
    pub(crate) provisioner_role: String,
    pub(crate) operator: Login,
    pub(crate) tenants: Vec<DemoTenant>,
}

/// A person.
#[derive(Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// A demo tenant.
#[derive(Serialize, Deserialize)]
pub(crate) struct DemoTenant {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) id: TenantId,
    pub(crate) plan: String,
    pub(crate) api_key_id: ApiKeyId,
    pub(crate) api_key: String,
    pub(crate) owner: Login,
}

impl Credentials {
    /// Reads what an earlier start has kept, or makes it.
    pub(crate) fn load_or_make(path: &Path) -> Result<Self> {
        if path.exists() {
            let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            return serde_json::from_str(&text).with_context(|| {
                format!("{} cannot be read. Remove .bulkhead/ to start from nothing", path.display())
            });
        }
        let made = Self::make()?;
        // Before they are used: a crash leaves either no file, or the secrets that the databases will know.
        keep(path, &serde_json::to_string_pretty(&made)?)?;
        Ok(made)
    }

    fn make() -> Result<Self> {
        let master_key = MasterKey::generate()?;
        let tenants = [("acme", "Acme Corporation", "free"), ("globex", "Globex Industries", "pro")]
            .into_iter()
            .map(|(slug, name, plan)| {
                let now = SystemClock.now();
                let (id, api_key_id) = (TenantId::mint(now), ApiKeyId::mint(now));
                let key = bulkhead_auth::api_key::generate("dev", id, api_key_id)?;
                Ok(DemoTenant {
                    slug: slug.to_owned(),
                    name: name.to_owned(),
                    id,
                    plan: plan.to_owned(),
                    api_key_id,
                    api_key: key.reveal().to_owned(),
                    owner: Login { email: format!("owner@{slug}.example"), password: secret()? },
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            master_key: master_key.reveal(),
            tenant_role: secret()?,
            platform_role: secret()?,
            provisioner_role: secret()?,
            operator: Login { email: "operator@bulkhead.example".to_owned(), password: secret()? },
            tenants,
        })
    }
}

/// Writes a file of secrets that only its owner may read: whole, or not at all.
pub(crate) fn keep(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("json.new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// A random word of 128 bits that needs no quoting anywhere.
fn secret() -> Result<String> {
    Ok(bulkhead_auth::random_word()?)
}
