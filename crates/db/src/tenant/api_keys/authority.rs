//! On whose authority keys work: a person's, or another key's, and so on up to a person.
//!
//! A key that a program from before these columns has made has none of them; it answers to the maker that `created_by` names.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
};

use bulkhead_domain::{ApiKeyId, UserId};
use diesel::prelude::*;
use uuid::Uuid;

use super::{ApiKeyRow, find};
use crate::{
    engine::{error::DbResult, scope::TenantTx},
    schema::tenant::api_keys,
};

/// Who answers for a key: it holds at most what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grantor {
    /// A person.
    User(UserId),
    /// Another key.
    Key(ApiKeyId),
    /// Nobody who can hold anything in the tenant.
    Nobody,
}

impl Grantor {
    /// How many keys may stand in a row, each granted by the next.
    pub const DEPTH: usize = 8;

    /// As the columns of a key have it.
    pub(crate) fn of(user: Option<Uuid>, key: Option<Uuid>, created_by: &str) -> Self {
        match (user, key) {
            (Some(user), _) => Self::User(UserId::from_uuid(user)),
            (None, Some(key)) => Self::Key(ApiKeyId::from_uuid(key)),
            (None, None) => {
                let user = created_by.parse().map(Self::User);
                user.or_else(|_no_person| created_by.parse().map(Self::Key)).unwrap_or(Self::Nobody)
            }
        }
    }

    pub(super) fn columns(self) -> (Option<Uuid>, Option<Uuid>) {
        match self {
            Self::User(id) => (Some(id.uuid()), None),
            Self::Key(id) => (None, Some(id.uuid())),
            Self::Nobody => (None, None),
        }
    }
}

impl fmt::Display for Grantor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => id.fmt(f),
            Self::Key(id) => id.fmt(f),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// A key and those above it, up to the person who answers for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The keys, each granted by the next one.
    pub keys: Vec<ApiKeyId>,
    /// The person at its end; `None` when it ends nowhere, or has too many keys.
    pub person: Option<UserId>,
}

/// The chain that begins with this key, as it is now. Nothing is locked.
pub async fn chain(tx: &mut TenantTx, id: ApiKeyId) -> DbResult<Chain> {
    let (mut keys, mut next) = (Vec::new(), Grantor::Key(id));
    while let Grantor::Key(id) = next {
        keys.push(id);
        let row = if keys.len() > Grantor::DEPTH { None } else { find(tx, id).await? };
        next = row.map_or(Grantor::Nobody, |row| row.grantor());
    }
    let person = if let Grantor::User(id) = next { Some(id) } else { None };
    Ok(Chain { keys, person })
}

/// Every key of the tenant that is neither revoked nor has come to its end, disabled ones too. A plan bounds how many there are.
pub async fn living(tx: &mut TenantTx) -> DbResult<Vec<ApiKeyRow>> {
    let is_ahead =
        api_keys::expires_at.is_null().or(api_keys::expires_at.gt(diesel::dsl::now).assume_not_null());
    let query = api_keys::table.filter(api_keys::revoked_at.is_null()).filter(is_ahead);
    tx.tx.load(query.order(api_keys::id.asc()).select(ApiKeyRow::as_select())).await
}

/// The keys that work on someone's authority, directly or through other keys; each stands behind the one that has granted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Who is at the top.
    pub root: Grantor,
    /// The keys.
    pub keys: Vec<ApiKeyRow>,
}

impl Tree {
    /// Those of these keys that are below `root`.
    pub fn below(root: Grantor, keys: Vec<ApiKeyRow>) -> Self {
        let mut by_grantor: HashMap<Grantor, Vec<ApiKeyRow>> = HashMap::new();
        for key in keys {
            by_grantor.entry(key.grantor()).or_default().push(key);
        }
        let (mut found, mut seen, mut waiting) = (Vec::new(), HashSet::new(), VecDeque::from([root]));
        while let Some(grantor) = waiting.pop_front() {
            if !seen.insert(grantor) {
                continue;
            }
            for key in by_grantor.remove(&grantor).unwrap_or_default() {
                waiting.push_back(Grantor::Key(key.id));
                found.push(key);
            }
        }
        Self { root, keys: found }
    }

    /// Those that the one at the top has granted.
    pub fn direct(&self) -> impl Iterator<Item = &ApiKeyRow> {
        self.keys.iter().filter(|key| key.grantor() == self.root)
    }

    /// The ids of all of them.
    pub fn ids(&self) -> Vec<ApiKeyId> {
        self.keys.iter().map(|key| key.id).collect()
    }
}

/// Puts a key under another authority, and with `scopes` narrows it to these from now on.
pub async fn regrant(
    tx: &mut TenantTx,
    id: ApiKeyId,
    grantor: Grantor,
    scopes: Option<&[String]>,
) -> DbResult<()> {
    let (user, key) = grantor.columns();
    let row = api_keys::table.find(id.uuid());
    let columns = (api_keys::granted_by_user.eq(user), api_keys::granted_by_key.eq(key));
    match scopes {
        Some(scopes) => {
            tx.tx.execute(diesel::update(row).set((columns, api_keys::scopes.eq(Some(scopes))))).await?
        }
        None => tx.tx.execute(diesel::update(row).set(columns)).await?,
    };
    Ok(())
}
