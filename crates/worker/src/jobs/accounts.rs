//! People who are made here are made in a pool of the platform as well, and removed there with their person here.
//!
//! A saga of two sides. The row of the account (`provider_accounts`) says what is done: each step writes it before the pool is asked,
//! or together with what came of it, so a run that dies anywhere is gone on with by the next one. As long as the pool may still take the
//! person, the job is run again; when it refuses for good, the person is removed here, too. Nobody is on one side only for good.
//!
//! Two jobs of one account may run at once, when somebody is removed while they are being made. Who asks the pool to make somebody
//! holds the account until the request is over; who wants it gone waits for that.

use std::{collections::BTreeMap, time::Duration};

use bulkhead_auth::federation::{COGNITO_ROLE_CLAIM, TENANT_CLAIM};
use bulkhead_aws::cognito::{Added, PoolError, PoolUser};
use bulkhead_db::{
    DbError, TenantTx,
    gate::{
        identity_providers::{self as providers, SharedProvider},
        revocations::{Revoked, revoke},
    },
    tenant::{
        audit::{self, Entry},
        federated_identities::{self as identities, Linked, NewIdentity},
        provider_accounts::{self as accounts, ProviderAccount, Stage},
        users::{self, Locked},
    },
};
use bulkhead_domain::{FederatedIdentityId, RoleName, UserId};
use bulkhead_jobs::{Job, SettleAccount};
use bulkhead_telemetry::metrics::AccountOutcome;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    Finished, JobCall, JobError, TenantJobHandler,
    pools::{NotAsked, Reached},
};

/// For how long an account is held while the pool is asked: longer than a run takes.
const HELD: TimeDelta = TimeDelta::seconds(60);
/// After how many failures a job goes back as if it had not been begun. It is never given up: what it has begun is to come to its end.
const FAILURES: i32 = SettleAccount::MAX_ATTEMPTS - 1;

/// What is known when a run begins.
struct Seen {
    account: ProviderAccount,
    /// What the person is; `None` when they are gone.
    role: Option<RoleName>,
    provider: Option<SharedProvider>,
    /// Whether the address is still somebody else's account.
    is_another: bool,
}

/// Why a run ends before the account is where it is to be.
enum Stopped {
    /// It never will be.
    Refused(String),
    /// It is tried again.
    Later(Box<dyn std::error::Error + Send + Sync>),
    /// What the database says, and whether it is tried again.
    Job(JobError),
}

impl From<PoolError> for Stopped {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Refused(_) => Self::Refused(error.to_string()),
            PoolError::Passing(error) => Self::Later(error.into()),
        }
    }
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Job(error.into())
    }
}

/// Retry: everything, for ever.
impl TenantJobHandler for SettleAccount {
    // Less than an account is held.
    const TIMEOUT: Duration = Duration::from_secs(45);

    async fn run(self, call: &JobCall) -> Result<Finished, JobError> {
        let look = async |tx: &mut TenantTx| {
            let Some(account) = accounts::find(tx, self.user).await? else { return Ok::<_, DbError>(None) };
            Ok(Some(Seen {
                role: users::find(tx, self.user).await?.map(|user| user.role),
                provider: providers::find_shared(tx, account.provider).await?,
                is_another: accounts::is_another(tx, &account).await?,
                account,
            }))
        };
        let Some(seen) = call.snapshot(look).await? else {
            return call.done(json!({ "account": null })).await;
        };
        if seen.account.is_held(call.id(), call.at()) {
            return Err(JobError::Postpone("another job is asking for the account".into()));
        }
        let settling = Settling { call, seen: &seen };
        let stopped = match (seen.role, seen.account.stage) {
            (Some(_), Stage::Linked) => return call.done(json!({ "account": Stage::Linked.as_str() })).await,
            (Some(role), Stage::Asked | Stage::Making) => settling.make(role).await,
            (None, _) => settling.remove().await,
        };
        match stopped {
            Ok(finished) => Ok(finished),
            Err(Stopped::Refused(reason)) => settling.withdraw(&reason).await,
            Err(Stopped::Later(error)) => Err(settling.later(error)),
            Err(Stopped::Job(error)) => Err(error),
        }
    }
}

struct Settling<'a> {
    call: &'a JobCall,
    seen: &'a Seen,
}

impl Settling<'_> {
    fn person(&self) -> UserId {
        self.seen.account.person
    }

    fn counted(&self, outcome: AccountOutcome) {
        self.call.metrics().identity.account(outcome);
    }

    fn later(&self, error: Box<dyn std::error::Error + Send + Sync>) -> JobError {
        self.counted(AccountOutcome::Unsettled);
        if self.call.attempt() > FAILURES { JobError::Postpone(error) } else { JobError::Retry(error) }
    }

    fn reach<'p>(&'p self, provider: &SharedProvider) -> Result<Reached<'p>, Stopped> {
        self.call.pools().reach(provider).map_err(|error| match error {
            NotAsked::NoCredentials => Stopped::Job(JobError::Postpone(error.into())),
            NotAsked::Host | NotAsked::NoPool | NotAsked::Circuit => Stopped::Later(error.into()),
        })
    }

    /// Whether somebody in the pool is of this tenant: others are never linked and never removed.
    fn is_ours(&self, user: &PoolUser) -> bool {
        user.attributes.get(TENANT_CLAIM).is_some_and(|tenant| *tenant == self.call.tenant().to_string())
    }

    /// Looks for the account, makes it where there is none, and links it.
    async fn make(&self, role: RoleName) -> Result<Finished, Stopped> {
        let account = &self.seen.account;
        let refused = |reason: &str| Stopped::Refused(reason.to_owned());
        let provider = self.seen.provider.as_ref().ok_or_else(|| refused("the identity provider is gone"))?;
        if provider.joined.is_none() || !provider.settings.makes_users {
            return Err(refused("the identity provider makes no users for this tenant any more"));
        }
        if !provider.enabled {
            return Err(Stopped::Later("the identity provider is switched off".into()));
        }
        if self.seen.is_another {
            return Err(Stopped::Later("another account of this address is settled first".into()));
        }
        let reached = self.reach(provider)?;
        let found = reached.ask(async |pool| pool.find(&account.email).await).await?;
        let was_asked_for = account.stage == Stage::Making;
        if let Some(user) = found {
            return self.link(&user, was_asked_for).await;
        }
        self.hold().await?;
        let attributes = self.attributes(provider, role);
        let attributes: Vec<(&str, &str)> =
            attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match reached.ask(async |pool| pool.add(&account.email, &attributes).await).await? {
            Added::Now(user) => self.link(&user, true).await,
            // An earlier request of ours whose answer was lost, or somebody else's: who it is says the tenant in it.
            Added::Exists => match reached.ask(async |pool| pool.find(&account.email).await).await? {
                Some(user) => self.link(&user, true).await,
                None => Err(Stopped::Later("the account came and went".into())),
            },
        }
    }

    fn attributes(&self, provider: &SharedProvider, role: RoleName) -> BTreeMap<String, String> {
        let text = |text: &str| text.to_owned();
        let mut attributes = BTreeMap::from([
            (text("email"), self.seen.account.email.clone()),
            (text("email_verified"), text("true")),
            (text(TENANT_CLAIM), self.call.tenant().to_string()),
        ]);
        let claim = provider.settings.role_claim.as_deref().unwrap_or(COGNITO_ROLE_CLAIM);
        let mapped = provider.settings.role_map.iter().find(|(_, mapped)| **mapped == role);
        // Any other claim is none that a pool keeps of its people.
        if let Some((said, _)) = mapped.filter(|_| claim.starts_with("custom:")) {
            attributes.insert(text(claim), said.clone());
        }
        attributes
    }

    /// Notes that the pool is about to be asked to make the account, if that is still to be done.
    async fn hold(&self) -> Result<(), Stopped> {
        let (person, job, until) = (self.person(), self.call.id(), self.call.at() + HELD);
        let note = async |tx: &mut TenantTx| {
            let role = users::lock_role(tx, person).await?;
            let account = accounts::lock(tx, person).await?;
            let is_due = account.is_some_and(|account| {
                account.stage != Stage::Linked && !account.is_held(job, self.call.at())
            });
            if role.is_none() || !is_due {
                return Ok::<_, DbError>(false);
            }
            accounts::hold(tx, person, job, until).await?;
            Ok(true)
        };
        if self.call.write(note).await? { Ok(()) } else { Err(Stopped::Later(CHANGED.into())) }
    }

    /// Links the account to the person and ends the job, in one transaction.
    async fn link(&self, user: &PoolUser, made_here: bool) -> Result<Finished, Stopped> {
        if !self.is_ours(user) {
            return Err(Stopped::Refused(
                "somebody of another tenant, or of none, has this address there".to_owned(),
            ));
        }
        let subject =
            user.attributes.get("sub").ok_or_else(|| Stopped::Later("the account has no sub".into()))?;
        let (call, person, provider) = (self.call, self.person(), self.seen.account.provider);
        let mut taken = false;
        let link = async |tx: &mut TenantTx| {
            if users::lock_role(tx, person).await?.is_none() || accounts::lock(tx, person).await?.is_none() {
                return Err(JobError::retry(CHANGED));
            }
            match identities::find(tx, provider, subject).await? {
                None => {
                    let (id, at) = (FederatedIdentityId::mint(call.at()), call.at());
                    let new = NewIdentity { id, provider, subject, user: person, created_by: "system", at };
                    identities::insert(tx, &new).await?;
                }
                Some(Linked::To(linked, _)) if linked == person => {}
                Some(_) => {
                    taken = true;
                    return Err(JobError::retry("the account is linked to somebody else"));
                }
            }
            accounts::linked(tx, person, &user.username, made_here).await?;
            let changes =
                json!({ "identity_provider": provider, "subject": subject, "made_here": made_here });
            self.record(tx, changes).await?;
            Ok(Some(json!({ "account": Stage::Linked.as_str(), "made_here": made_here })))
        };
        match call.finish(link).await {
            Ok(finished) => {
                self.counted(if made_here { AccountOutcome::Made } else { AccountOutcome::Found });
                Ok(finished)
            }
            Err(_) if taken => {
                Err(Stopped::Refused("the account there is that of another person".to_owned()))
            }
            Err(error) => Err(Stopped::Job(error)),
        }
    }

    /// The provider has refused for good: the person who was made for it is removed again. What it may have been asked for before is
    /// looked after as with everybody who is removed.
    async fn withdraw(&self, reason: &str) -> Result<Finished, JobError> {
        let (call, person, provider) = (self.call, self.person(), self.seen.account.provider);
        let withdraw = async |tx: &mut TenantTx| {
            let locked = users::lock(tx, person, None).await?;
            let stage = accounts::lock(tx, person).await?.map(|account| account.stage);
            let Some(stage) = stage.filter(|stage| *stage != Stage::Linked) else {
                return Err(JobError::retry(CHANGED));
            };
            // Nobody would be left who could give anybody rights.
            let is_needed = locked
                .as_ref()
                .is_some_and(|locked| locked.user.role == RoleName::OWNER && !locked.has_other_owners);
            if stage == Stage::Making && !is_needed {
                accounts::release(tx, person).await?;
                call.enqueue(tx, &SettleAccount { user: person }).await?;
            } else {
                accounts::delete(tx, person).await?;
            }
            let Some(Locked { user, .. }) = locked else {
                return Ok(Some(json!({ "account": "refused", "removed": false })));
            };
            if !is_needed {
                users::delete(tx, person).await?;
                revoke(tx, Revoked::User(person)).await?;
            }
            let changes = json!({
                "email": user.email, "role": user.role, "identity_provider": provider, "refused": reason, "removed": !is_needed,
            });
            self.record(tx, changes).await?;
            Ok(Some(json!({ "account": "refused", "reason": reason, "removed": !is_needed })))
        };
        let finished = call.finish(withdraw).await?;
        self.counted(AccountOutcome::Refused);
        tracing::warn!(user.id = %person, reason, "an identity provider has refused a person, who was removed again");
        Ok(finished)
    }

    /// The person is gone: so is the account, if it came to be because of us.
    async fn remove(&self) -> Result<Finished, Stopped> {
        let ProviderAccount { email, username, stage, made_here, .. } = &self.seen.account;
        let is_ours_to_remove = *made_here || *stage == Stage::Making;
        let removed = match &self.seen.provider {
            Some(provider) if is_ours_to_remove => {
                let reached = self.reach(provider)?;
                let name = username.as_ref().unwrap_or(email);
                let found = reached.ask(async |pool| pool.find(name).await).await.map_err(unmoved)?;
                match found {
                    Some(user) if self.is_ours(&user) && !self.is_anothers(&user).await? => {
                        reached.ask(async |pool| pool.remove(&user.username).await).await.map_err(unmoved)?
                    }
                    _ => false,
                }
            }
            _ => false,
        };
        let (person, provider) = (self.person(), self.seen.account.provider);
        let forget = async |tx: &mut TenantTx| {
            // Somebody may be asking for it by now, because nothing was known of the removal when they began.
            let account = accounts::lock(tx, person).await?;
            if account.is_some_and(|account| account.is_held(self.call.id(), self.call.at())) {
                return Err(JobError::retry(CHANGED));
            }
            accounts::delete(tx, person).await?;
            let changes = json!({ "identity_provider": provider, "removed_there": removed });
            self.record(tx, changes).await?;
            Ok(Some(json!({ "account": "removed", "removed_there": removed })))
        };
        let finished = self.call.finish(forget).await.map_err(Stopped::Job)?;
        self.counted(AccountOutcome::Removed);
        Ok(finished)
    }

    /// Whether somebody of the pool is linked to another person, who is here.
    async fn is_anothers(&self, user: &PoolUser) -> Result<bool, Stopped> {
        let Some(subject) = user.attributes.get("sub") else { return Ok(false) };
        let look = async |tx: &mut TenantTx| identities::find(tx, self.seen.account.provider, subject).await;
        let linked = self.call.read::<_, DbError>(look).await?;
        Ok(matches!(linked, Some(Linked::To(person, _)) if person != self.person()))
    }

    async fn record(&self, tx: &mut TenantTx, changes: Value) -> Result<(), DbError> {
        let (target, request_id) = (self.person().to_string(), self.call.id().to_string());
        let entry = Entry {
            at: self.call.at(),
            actor: "system",
            act: None,
            action: SettleAccount::KIND,
            target: &target,
            request_id: &request_id,
            address: None,
            changes,
        };
        audit::record(tx, &entry).await
    }
}

const CHANGED: &str = "the person or the account was changed meanwhile";

/// Who is gone here is not brought back by a refusal there: it is asked again.
fn unmoved(error: PoolError) -> Stopped {
    Stopped::Later(error.into())
}
