//! Which names an extension may take.
//!
//! Owns the names that are the core's, now and later, so that a newer release never takes one that an application has given
//! away; the form of an extension's name; and what begins with it. Refuses an application in one line that names both sides.
//! Names with a registry of their own are judged there: tables, with the migrations that make them (`Sets`), permissions and
//! meters of one name (`bulkhead-domain`), routes, operations and problem codes (`Catalog`), jobs (`bulkhead-worker`), settings
//! (`bulkhead-config`), metrics and probes (`bulkhead-telemetry`).

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_api::Catalog;
use bulkhead_db::fleet::migrate::MigrationSet;

use crate::Extension;

/// Names that no extension has: the core and what is the core's in the database.
const EXTENSIONS: [&str; 5] = ["core", "platform", "gate", "bulkhead", "operator"];

/// First segments of paths below `/v1/`, and nouns of permissions.
const NOUNS: [&str; 41] = [
    "admin",
    "analytics",
    "api_keys",
    "audit",
    "auth",
    "console",
    "decisions",
    "events",
    "exports",
    "features",
    "flags",
    "forward_auth",
    "identity_providers",
    "imports",
    "invitations",
    "jobs",
    "limits",
    "location",
    "mcp",
    "me",
    "operations",
    "operator_keys",
    "operators",
    "owners",
    "plans",
    "prices",
    "reservations",
    "roles",
    "scaling",
    "scim",
    "settings",
    "signing_keys",
    "statements",
    "tenant",
    "tenants",
    "tokens",
    "usage",
    "users",
    "webhooks",
    "all_usage",
    "all_identity_providers",
];

/// Tables of a tenant's schema; what begins with `bulkhead_` or `x_` is the core's, too.
const TABLES: [&str; 14] = [
    "api_keys",
    "audit_log",
    "credentials",
    "deliveries",
    "events",
    "federated_identities",
    "idempotency_keys",
    "invitations",
    "one_time_tokens",
    "roles",
    "second_factors",
    "sessions",
    "settings",
    "webhooks",
];

/// Prefixes of ids.
const IDS: [&str; 17] = [
    "aud_", "idp_", "fid_", "ten_", "usr_", "key_", "opr_", "opk_", "ses_", "job_", "ott_", "evt_", "whk_",
    "rol_", "dec_", "req_", "flg_",
];

/// Why an application's extensions cannot have the names that they have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// An extension whose name has another form, or is the core's.
    #[error("the extension '{name}': {reason}")]
    Extension { name: &'static str, reason: &'static str },
    /// Two extensions have one name.
    #[error("two extensions are called {0}")]
    Same(&'static str),
    /// Two extensions have something of one name.
    #[error("{what} {name} is declared by {first} and by {second}")]
    Twice { what: &'static str, name: String, first: &'static str, second: &'static str },
    /// An extension has something that is the core's.
    #[error("{what} {name} of {owner} is the core's")]
    Reserved { what: &'static str, name: String, owner: &'static str },
    /// A name of another form.
    #[error("{what} {name} of {owner}: {rule}")]
    Form { what: &'static str, name: String, owner: &'static str, rule: String },
}

/// Names of one kind, and the extension of each.
struct Taken {
    what: &'static str,
    owners: BTreeMap<String, &'static str>,
}

impl Taken {
    const fn of(what: &'static str) -> Self {
        Self { what, owners: BTreeMap::new() }
    }

    /// Refuses a name that another extension has.
    fn take(&mut self, name: &str, owner: &'static str) -> Result<(), NameError> {
        match self.owners.insert(name.to_owned(), owner) {
            Some(first) if first != owner => {
                Err(NameError::Twice { what: self.what, name: name.to_owned(), first, second: owner })
            }
            _ => Ok(()),
        }
    }
}

/// Judges the names of extensions, of ids, meters, nouns of permissions, settings and tables.
pub(crate) fn judge_extensions(extensions: &[Extension]) -> Result<(), NameError> {
    let mut names = BTreeSet::new();
    for extension in extensions {
        judge_name(extension.name)?;
        if !names.insert(extension.name) {
            return Err(NameError::Same(extension.name));
        }
    }
    let mut ids = Taken::of("the id prefix");
    for extension in extensions {
        judge_ids(extension, &mut ids)?;
        judge_declared(extension)?;
    }
    judge_tables(extensions)
}

fn judge_name(name: &'static str) -> Result<(), NameError> {
    let word = name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let begins = name.starts_with(|first: char| first.is_ascii_lowercase());
    if !(word && begins && (2..=31).contains(&name.len())) {
        let reason = "a name is 2 to 31 of a-z, 0-9 and _, and begins with a letter";
        return Err(NameError::Extension { name, reason });
    }
    if EXTENSIONS.contains(&name) || NOUNS.contains(&name) || name.starts_with("x_") {
        return Err(NameError::Extension { name, reason: "that name is the core's" });
    }
    Ok(())
}

fn judge_ids(extension: &Extension, taken: &mut Taken) -> Result<(), NameError> {
    let (what, owner) = (taken.what, extension.name);
    for prefix in extension.ids {
        if IDS.contains(prefix) {
            return Err(NameError::Reserved { what, name: (*prefix).to_owned(), owner });
        }
        taken.take(prefix, owner)?;
    }
    Ok(())
}

/// Meters begin with the extension's name, settings are the extension's own, and no noun of a permission is the core's.
fn judge_declared(extension: &Extension) -> Result<(), NameError> {
    let owner = extension.name;
    let begin = format!("{owner}_");
    for name in extension.meters.iter().map(|meter| meter.name().as_str()) {
        if !name.starts_with(&begin) {
            let rule = format!("its name begins with {begin}");
            return Err(NameError::Form { what: "the meter", name: name.to_owned(), owner, rule });
        }
    }
    for permission in extension.permissions {
        let name = permission.permission.as_str();
        if name.split_once(':').is_some_and(|(_, noun)| NOUNS.contains(&noun)) {
            return Err(NameError::Reserved { what: "the permission", name: name.to_owned(), owner });
        }
    }
    match extension.settings.iter().find(|section| section.owner() != owner) {
        Some(section) => {
            let (name, rule) =
                (section.owner().to_owned(), "an extension has its own settings alone".to_owned());
            Err(NameError::Form { what: "the section of settings", name, owner, rule })
        }
        None => Ok(()),
    }
}

/// Refuses tables of the core's, which it has not made yet.
fn judge_tables(extensions: &[Extension]) -> Result<(), NameError> {
    for extension in extensions {
        let tables = extension.migrations.iter().flat_map(MigrationSet::tables);
        let is_reserved = |table: &String| {
            TABLES.contains(&table.as_str()) || table.starts_with("bulkhead_") || table.starts_with("x_")
        };
        if let Some(name) = tables.into_iter().find(is_reserved) {
            return Err(NameError::Reserved { what: "the table", name, owner: extension.name });
        }
    }
    Ok(())
}

/// Judges the paths of extensions: each lies below `/v1/` and a segment that no other extension and not the core has.
pub(crate) fn judge_paths(catalog: &Catalog) -> Result<(), NameError> {
    let what = "the path";
    let mut taken = Taken::of("the first segment of paths");
    for (path, owner) in catalog.paths_of_extensions() {
        let segment = path.strip_prefix("/v1/").and_then(|rest| rest.split('/').next());
        let Some(segment) = segment.filter(|segment| !segment.is_empty() && !segment.starts_with('{')) else {
            let rule = "it begins with /v1/ and a name".to_owned();
            return Err(NameError::Form { what, name: path.to_owned(), owner, rule });
        };
        if NOUNS.contains(&segment.replace('-', "_").as_str()) {
            return Err(NameError::Reserved { what, name: path.to_owned(), owner });
        }
        taken.take(segment, owner)?;
    }
    Ok(())
}
