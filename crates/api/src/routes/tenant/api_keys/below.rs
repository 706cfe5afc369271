//! What becomes of the keys for which somebody answers who is demoted, removed or revoked.
//!
//! Owns the three choices of the caller of such a change. `lower` leaves the keys as they are: they hold what their maker holds
//! now. `disable` lets all of them work no more, those that were made by them too, until somebody enables them. `keep` makes the
//! caller answer for those that the maker has granted, so it takes a person who could make such keys, and not the one who is
//! being changed: nobody keeps what they could not grant. A kept key holds what it has held before, and not more: if its maker
//! held less than the key's role, that becomes its scopes.

use std::collections::{BTreeMap, HashMap, HashSet};

use bulkhead_auth::{Grants, key_authority};
use bulkhead_db::{
    TenantTx,
    tenant::api_keys::{self, ApiKeyRow, Grantor, Tree},
};
use bulkhead_domain::{ApiKeyId, PermissionSet, RoleName, permission::WRITE_API_KEYS};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::{
    http::{call::TenantCall, error::ApiError},
    routes::tenant::refused,
};

/// How many keys an answer names.
const NAMED: usize = 100;

pub(crate) const OWN_KEYS: ApiError = ApiError::WrongState(
    "You cannot keep keys for which you answer yourself. Let another person make this change.",
);

/// What is to become of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeysChoice {
    /// They hold what the one holds who has made them.
    Lower,
    /// They work no more until somebody enables them.
    Disable,
    /// They hold what they have held. You answer for them.
    Keep,
}

/// What is to become of the keys for which somebody answers who goes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct KeysQuery {
    /// What becomes of the API keys for which they answer: `disable`, unless you say `keep`, which makes you answer for them.
    #[param(value_type = Option<String>, example = "disable")]
    api_keys: Option<KeysChoice>,
}

impl KeysQuery {
    /// The choice; there is nothing to which the keys of one who is gone could be lowered.
    pub(crate) fn choice(&self) -> Result<KeysChoice, ApiError> {
        match self.api_keys {
            None => Ok(KeysChoice::Disable),
            Some(KeysChoice::Lower) => Err(ApiError::InvalidParameter {
                name: "api_keys",
                detail: "must be disable or keep: there is nothing left to which keys could be lowered"
                    .to_owned(),
            }),
            Some(choice) => Ok(choice),
        }
    }
}

/// What has become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It holds less than before.
    Lowered,
    /// It holds more than before, as the one who answers for it does.
    Raised,
    /// It works no more until somebody enables it.
    Disabled,
    /// You answer for it.
    Kept,
}

/// A key that a change has concerned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcernedKeyResponse {
    /// Its id.
    #[schema(value_type = String, example = "key_01jd3e2x6m7k9v4q8t5b2n0c1c")]
    id: ApiKeyId,
    /// What people call it.
    #[schema(example = "nightly import")]
    name: String,
    /// What has become of it: `lowered`, `raised`, `disabled` or `kept`.
    #[schema(value_type = String, example = "lowered")]
    outcome: Outcome,
}

/// The keys that a change has concerned.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConcernedKeysResponse {
    /// How many.
    #[schema(example = 1)]
    total: usize,
    /// The first hundred of them.
    data: Vec<ConcernedKeyResponse>,
}

impl ConcernedKeysResponse {
    /// As the audit log has it.
    pub(crate) fn audited(&self) -> Value {
        let named = self.data.iter().map(|key| (key.id.to_string(), key.outcome));
        json!({ "total": self.total, "keys": named.collect::<BTreeMap<_, _>>() })
    }
}

/// The keys below somebody, and what that one held before the change. Read it when no key can be added any more: when the row of
/// the one at the top is locked.
pub(crate) struct Below {
    tree: Tree,
    before: PermissionSet,
}

impl Below {
    pub(crate) async fn read(tx: &mut TenantTx, call: &TenantCall, root: Grantor) -> Result<Self, ApiError> {
        let tree = Tree::below(root, api_keys::living(tx).await?);
        let before = if tree.keys.is_empty() {
            PermissionSet::EMPTY
        } else {
            key_authority::held_by(tx, call.state().access(), root, call.at()).await?
        };
        Ok(Self { tree, before })
    }

    /// Whether there is no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.tree.keys.is_empty()
    }

    /// The roles of the keys: [`Grants`] have to know them.
    pub(crate) fn roles(&self) -> HashSet<RoleName> {
        self.tree.keys.iter().map(|key| key.role).collect()
    }

    /// Does what the caller has chosen. `after` is what the one at the top holds from now on; nothing, if they are gone. Call
    /// `announce_change` when all is done, unless there was no key.
    pub(crate) async fn settle(
        &self,
        tx: &mut TenantTx,
        call: &TenantCall,
        grants: &Grants<'_>,
        after: PermissionSet,
        choice: KeysChoice,
    ) -> Result<Option<ConcernedKeysResponse>, ApiError> {
        if self.is_empty() {
            return Ok(None);
        }
        let access = call.state().access();
        let own = |key: &ApiKeyRow| {
            let held = grants.held(key.role);
            key.scopes.as_ref().map_or(held, |scopes| held.and(access.scope(scopes)))
        };
        let (before, now) = (held_below(&self.tree, self.before, own), held_below(&self.tree, after, own));
        let concerned = match choice {
            KeysChoice::Lower => self.named(|key| changed(before.get(&key.id), now.get(&key.id))),
            KeysChoice::Disable => {
                api_keys::disable(tx, &self.tree.ids(), call.at()).await?;
                self.named(|key| key.disabled_at.is_none().then_some(Outcome::Disabled))
            }
            KeysChoice::Keep => {
                let held = |key: &ApiKeyRow| before.get(&key.id).copied().unwrap_or_default();
                self.keep(tx, call, grants, |key| (held(key), own(key))).await?;
                self.named(|_| Some(Outcome::Kept))
            }
        };
        Ok(Some(concerned).filter(|concerned| concerned.total > 0))
    }

    /// Makes the caller answer for the keys that the one at the top has granted. `held` says what each holds, and what its role and
    /// scopes have in common.
    async fn keep(
        &self,
        tx: &mut TenantTx,
        call: &TenantCall,
        grants: &Grants<'_>,
        held: impl Fn(&ApiKeyRow) -> (PermissionSet, PermissionSet),
    ) -> Result<(), ApiError> {
        let person = call.principal().user().ok_or(ApiError::PersonRequired)?;
        if self.tree.root == Grantor::User(person) {
            return Err(OWN_KEYS);
        }
        grants.needs(WRITE_API_KEYS).map_err(refused)?;
        let tenants = call.state().access().tenants();
        for key in self.tree.direct() {
            let (held, own) = held(key);
            let narrowed: Option<Vec<String>> =
                (held != own).then(|| tenants.names(held).map(ToOwned::to_owned).collect());
            let scopes = narrowed.as_deref();
            grants.may_give_key(key.role, scopes.or(key.scopes.as_deref())).map_err(refused)?;
            api_keys::regrant(tx, key.id, Grantor::User(person), scopes).await?;
        }
        Ok(())
    }

    fn named(&self, outcome: impl Fn(&ApiKeyRow) -> Option<Outcome>) -> ConcernedKeysResponse {
        let all: Vec<_> = self.tree.keys.iter().filter_map(|key| Some((key, outcome(key)?))).collect();
        let named = all.iter().take(NAMED).map(|(key, outcome)| ConcernedKeyResponse {
            id: key.id,
            name: key.name.clone(),
            outcome: *outcome,
        });
        ConcernedKeysResponse { total: all.len(), data: named.collect() }
    }
}

/// What each key holds when the one at the top holds this. What was disabled holds nothing for those below it.
fn held_below(
    tree: &Tree,
    top: PermissionSet,
    own: impl Fn(&ApiKeyRow) -> PermissionSet,
) -> HashMap<ApiKeyId, PermissionSet> {
    let mut held: HashMap<ApiKeyId, PermissionSet> = HashMap::new();
    let mut bounds: HashMap<Grantor, PermissionSet> = HashMap::from([(tree.root, top)]);
    for key in &tree.keys {
        let here = own(key).and(bounds.get(&key.grantor()).copied().unwrap_or_default());
        held.insert(key.id, here);
        let passed_on = if key.disabled_at.is_none() { here } else { PermissionSet::EMPTY };
        bounds.insert(Grantor::Key(key.id), passed_on);
    }
    held
}

fn changed(before: Option<&PermissionSet>, now: Option<&PermissionSet>) -> Option<Outcome> {
    let (before, now) = (before.copied().unwrap_or_default(), now.copied().unwrap_or_default());
    match (before == now, now.is_superset(before)) {
        (true, _) => None,
        (false, true) => Some(Outcome::Raised),
        (false, false) => Some(Outcome::Lowered),
    }
}
