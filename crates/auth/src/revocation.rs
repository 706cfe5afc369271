//! What this node knows of revocations.
//!
//! The database holds the truth; every node reads it every other second and judges verified credentials by what it read.
//! Proofs and revocations are ordered without comparing the clocks of two machines ([`Since`]). A token carries the
//! moment at which the database proved it, under the lock that a revocation has to take before its own moment. An API
//! key that was looked up carries how much the node knew when the look-up began: a revocation that the node learns
//! later may not have been in what the look-up saw. In doubt, that is in the same millisecond, a credential is
//! refused.
//!
//! What is kept is bounded, group by group: a group is a tenant, or the operators. Over its bound a group's
//! revocations are coarsened to one, which covers everything up to the newest of them. That costs its people a refresh
//! and its API keys a look-up, and other groups nothing. Over the bound of the process the largest groups are
//! coarsened, and when that is not enough the oldest revocations are forgotten.
//!
//! Refuses to judge from old knowledge, or by what it has forgotten: the answer is then [`Standing::Unknown`], and
//! the database has to be asked about this one credential.

use std::collections::HashMap;

use bulkhead_domain::{ApiKeyId, OperatorId, SessionId, TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use uuid::Uuid;

use crate::{
    jwt::{LEEWAY, MAX_LIFETIME},
    principal::Principal,
};

/// How soon every node that can read knows what was revoked: what the documents promise.
pub const KNOWN_WITHIN: TimeDelta = TimeDelta::seconds(2);

/// How old the last successful read may be for its knowledge to count.
pub const FRESH_FOR: TimeDelta = TimeDelta::seconds(5);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Revocations of one tenant, or of the operators; the database coarsens at the same number.
    pub group: usize,
    /// Revocations in all.
    pub total: usize,
}

impl Default for Bounds {
    /// A thousand of each group, 100,000 in all: about 10 MB.
    fn default() -> Self {
        Self { group: 1_000, total: 100_000 }
    }
}

/// Principals that are revoked together, and whose revocations are bounded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The principals of a tenant.
    Tenant(TenantId),
    /// The operators.
    Operators,
}

/// The credentials of a group that a revocation covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// All of the group's.
    Everything,
    /// A person's, with every session.
    User(UserId),
    /// An API key, and the tokens issued for it.
    ApiKey(ApiKeyId),
    /// One login of a person or of an operator.
    Session(SessionId),
    /// An operator's, with every session.
    Operator(OperatorId),
}

/// A revocation: some credentials of a group are no longer good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The group whose credentials it covers.
    pub group: Group,
    /// Which of them it covers.
    pub target: Target,
    /// When, by the database's clock: tokens proven up to this moment are no longer good.
    pub at: DateTime<Utc>,
}

impl Revocation {
    /// Reads the columns of a stored revocation. `None` when they make no sense together: a reader must then treat its
    /// read as failed, not skip the row.
    pub fn from_columns(tenant: Option<Uuid>, kind: &str, id: Uuid, at: DateTime<Utc>) -> Option<Self> {
        let group = tenant.map_or(Group::Operators, |tenant| Group::Tenant(TenantId::from_uuid(tenant)));
        let target = match (kind, group) {
            ("everything", _) => Target::Everything,
            ("session", _) => Target::Session(SessionId::from_uuid(id)),
            ("user", Group::Tenant(_)) => Target::User(UserId::from_uuid(id)),
            ("api_key", Group::Tenant(_)) => Target::ApiKey(ApiKeyId::from_uuid(id)),
            ("operator", Group::Operators) => Target::Operator(OperatorId::from_uuid(id)),
            _ => return None,
        };
        Some(Self { group, target, at })
    }
}

/// From when on a credential was known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// A token: when the database proved what it stands for, by the database's clock.
    Proven(DateTime<Utc>),
    /// A credential whose row was looked up: how much the node knew before the look-up began.
    LookedUp(Knowledge),
}

/// How much a node knew at some moment; grows with every read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Knowledge(u64);

/// What the node's knowledge says about a verified credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Good.
    Good,
    /// Revoked.
    Revoked,
    /// The node's knowledge is too old or incomplete: only the database can tell.
    Unknown,
}

/// What one read of the database has returned. Together, reads must return every revocation within
/// [`Revocations::horizon`] but those that `left_out` admits; in any order, and repeated if need be.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The revocations.
    pub rows: Vec<Revocation>,
    /// Revocations of this moment and before may be missing.
    pub left_out: Option<DateTime<Utc>>,
    /// When the read was made, by the database's clock.
    pub now: DateTime<Utc>,
    /// When it was begun, by the node's clock.
    pub read_at: DateTime<Utc>,
}

/// The node's view of the revocations that can still matter.
#[derive(Debug, Default)]
pub struct Revocations {
    view: RwLock<View>,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct View {
    groups: HashMap<Group, Entries>,
    /// When the last successful read began.
    read_at: Option<DateTime<Utc>>,
    knowledge: Knowledge,
    /// Covers the revocations that the view does not hold.
    forgotten: Option<Mark>,
}

/// The revocations of a group. Those in `targets` are younger than `everything`, or are of API keys, which are judged
/// by when the node learnt of a revocation.
#[derive(Debug, Default)]
struct Entries {
    everything: Option<Mark>,
    targets: HashMap<Target, Mark>,
}

/// A revocation, as it is compared with proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// Milliseconds since the epoch: tokens have no finer times.
    at: i64,
    /// The read by which the node learnt of it.
    learnt: Knowledge,
}

impl Mark {
    fn hits(self, since: Since) -> bool {
        match since {
            Since::Proven(at) => at.timestamp_millis() <= self.at,
            Since::LookedUp(knowledge) => knowledge < self.learnt,
        }
    }

    /// The mark that covers all that either of the two covers.
    fn and(self, other: Self) -> Self {
        Self { at: self.at.max(other.at), learnt: self.learnt.max(other.learnt) }
    }
}

impl Revocations {
    /// Knows nothing yet, and says so until the first read.
    pub fn new(bounds: Bounds) -> Self {
        Self { view: RwLock::default(), bounds }
    }

    /// How long a revocation matters: for the longest life of a token, the leeway of its expiry, and a minute in case
    /// clocks disagree. The first read of a node must reach back this far.
    pub fn horizon() -> TimeDelta {
        MAX_LIFETIME + LEEWAY + TimeDelta::minutes(1)
    }

    /// How many rows a read needs to return at most.
    pub fn capacity(&self) -> usize {
        self.bounds.total
    }

    /// Takes in what a read has returned.
    pub fn apply(&self, batch: Batch) {
        let oldest = (batch.now - Self::horizon()).timestamp_millis();
        let mut view = self.view.write();
        view.knowledge.0 += 1;
        let mark = |at: DateTime<Utc>| Mark { at: at.timestamp_millis(), learnt: view.knowledge };
        let left_out = batch.left_out.map(mark);
        let rows: Vec<_> = batch.rows.into_iter().map(|row| (row.group, row.target, mark(row.at))).collect();
        for (group, target, mark) in rows.into_iter().filter(|(_, _, mark)| mark.at >= oldest) {
            view.groups.entry(group).or_default().add(target, mark, self.bounds.group);
        }
        view.forget(left_out);
        view.forget_before(oldest);
        view.shrink_to(self.bounds.total);
        view.read_at = Some(batch.read_at);
    }

    /// Whether a principal's credential is still trusted.
    pub fn standing(&self, principal: &Principal, since: Since, now: DateTime<Utc>) -> Standing {
        let view = self.view.read();
        if view.is_revoked(principal, since) {
            Standing::Revoked
        } else if view.is_fresh(now) && !view.forgotten.is_some_and(|mark| mark.hits(since)) {
            Standing::Good
        } else {
            Standing::Unknown
        }
    }

    /// Whether the view is recent enough to call a credential good.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.view.read().is_fresh(now)
    }

    /// How much the node knows now. Take it before a look-up begins.
    pub fn knowledge(&self) -> Knowledge {
        self.view.read().knowledge
    }

    /// How many revocations are held; a group that was coarsened has one.
    pub fn len(&self) -> usize {
        self.view.read().len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl View {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back makes the last read lie in the future: no better than a read too long ago.
        self.read_at.is_some_and(|at| (now - at).abs() <= FRESH_FOR)
    }

    fn is_revoked(&self, principal: &Principal, since: Since) -> bool {
        match *principal {
            Principal::User { tenant, id, session, acting: None, .. } => {
                self.hits(Group::Tenant(tenant.get()), Target::User(id), Some(session), since)
            }
            // It ends with either of the two.
            Principal::User { tenant, id, session, acting: Some(operator), .. } => {
                self.hits(Group::Tenant(tenant.get()), Target::User(id), None, since)
                    || self.hits(Group::Operators, Target::Operator(operator), Some(session), since)
            }
            Principal::ApiKey { tenant, id, .. } => {
                self.hits(Group::Tenant(tenant.get()), Target::ApiKey(id), None, since)
            }
            Principal::Operator { id, session, .. } => {
                self.hits(Group::Operators, Target::Operator(id.get()), Some(session), since)
            }
            // It is looked up for each request, with its operator.
            Principal::OperatorKey { .. } => false,
        }
    }

    /// Whether something of this group was revoked that covers the credential of `own`, or of its login.
    fn hits(&self, group: Group, own: Target, session: Option<SessionId>, since: Since) -> bool {
        let Some(entries) = self.groups.get(&group) else { return false };
        let hit = |target| entries.targets.get(&target).is_some_and(|mark| mark.hits(since));
        entries.everything.is_some_and(|mark| mark.hits(since))
            || hit(own)
            || session.is_some_and(|session| hit(Target::Session(session)))
    }

    fn len(&self) -> usize {
        self.groups.values().map(Entries::len).sum()
    }

    /// Notes that revocations up to this mark are not held.
    fn forget(&mut self, mark: Option<Mark>) {
        self.forgotten = [self.forgotten, mark].into_iter().flatten().reduce(Mark::and);
    }

    fn forget_before(&mut self, moment: i64) {
        let matters = |mark: &Mark| mark.at >= moment;
        self.forgotten = self.forgotten.filter(matters);
        self.groups.retain(|_, entries| {
            entries.everything = entries.everything.filter(matters);
            entries.targets.retain(|_, mark| matters(mark));
            entries.len() > 0
        });
        // A flood is over: give its memory back.
        if self.groups.capacity() > 1024 && self.groups.len() < self.groups.capacity() / 4 {
            self.groups.shrink_to_fit();
        }
    }

    /// Coarsens the largest groups, and when all are as small as can be forgets the oldest revocations.
    fn shrink_to(&mut self, total: usize) {
        let mut held = self.len();
        if held <= total {
            return;
        }
        let mut groups: Vec<&mut Entries> = self.groups.values_mut().collect();
        groups.sort_unstable_by_key(|entries| std::cmp::Reverse(entries.len()));
        for entries in groups {
            if held <= total {
                return;
            }
            held = held + 1 - entries.len();
            entries.coarsen();
        }
        if held > total {
            // An eighth more than needed, so that this is not done again for every revocation.
            let mut moments: Vec<i64> =
                self.groups.values().filter_map(|entries| entries.everything).map(|mark| mark.at).collect();
            let (_, last, _) = moments.select_nth_unstable((held - total + total / 8).min(held - 1));
            let last = *last;
            let oldest = self.groups.values().filter_map(|entries| entries.everything);
            let oldest = oldest.filter(|mark| mark.at <= last).reduce(Mark::and);
            self.forget(oldest);
            self.groups.retain(|_, entries| entries.everything.is_some_and(|mark| mark.at > last));
        }
    }
}

impl Entries {
    fn len(&self) -> usize {
        self.targets.len() + usize::from(self.everything.is_some())
    }

    fn add(&mut self, target: Target, mark: Mark, bound: usize) {
        if target == Target::Everything {
            let everything = self.everything.map_or(mark, |known| known.and(mark));
            self.everything = Some(everything);
            self.targets.retain(|_, mark| mark.at > everything.at);
            self.targets.shrink_to_fit();
            return;
        }
        let is_covered = self.everything.is_some_and(|everything| mark.at <= everything.at);
        if is_covered && !matches!(target, Target::ApiKey(_)) {
            return;
        }
        self.targets.entry(target).and_modify(|known| *known = known.and(mark)).or_insert(mark);
        if self.targets.len() > bound {
            self.coarsen();
        }
    }

    /// Puts one mark in the place of all, which covers all that they cover.
    fn coarsen(&mut self) {
        let marks = self.targets.drain().map(|(_, mark)| mark);
        self.everything = marks.chain(self.everything).reduce(Mark::and);
        self.targets.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
