//! What this node knows of trust that was taken back.
//!
//! The database holds the truth; every node reads it every other second and judges verified credentials by what it read.
//! A credential is revoked when it was issued at or before the moment of the revocation, compared to the millisecond: a
//! login right after a password change is a later one and works. Moments come from the clocks of the database and of
//! the nodes, which are taken to agree to the millisecond or so (NTP); in doubt, that is in the same millisecond, the
//! credential is refused.
//!
//! Refuses to judge from old or incomplete knowledge: the answer is then [`Standing::Unknown`], and the database has to
//! be asked.

use std::collections::HashMap;

use bulkhead_domain::{ApiKeyId, OperatorId, SessionId, TenantId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::RwLock;
use uuid::Uuid;

use crate::{
    jwt::{LEEWAY, MAX_LIFETIME},
    principal::Principal,
};

/// How old the last successful read may be for its knowledge to count.
pub const FRESH_FOR: TimeDelta = TimeDelta::seconds(5);

/// How many revocations are kept; about 10 MB. A view that would need more stops judging until the surplus is history.
const CAPACITY: usize = 100_000;

/// Whose credentials are no longer good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevokedSubject {
    /// A person, with every session.
    User(TenantId, UserId),
    /// An API key, and the tokens issued for it.
    ApiKey(TenantId, ApiKeyId),
    /// One login of a person.
    Session(TenantId, SessionId),
    /// An operator, with every session.
    Operator(OperatorId),
    /// One login of an operator.
    OperatorSession(SessionId),
}

impl RevokedSubject {
    /// Reads the columns of a stored revocation. `None` when they make no sense together: a reader must then treat its
    /// read as failed, not skip the row.
    pub fn from_columns(tenant: Option<Uuid>, kind: &str, id: Uuid) -> Option<Self> {
        match (kind, tenant.map(TenantId::from_uuid)) {
            ("user", Some(tenant)) => Some(Self::User(tenant, UserId::from_uuid(id))),
            ("api_key", Some(tenant)) => Some(Self::ApiKey(tenant, ApiKeyId::from_uuid(id))),
            ("session", Some(tenant)) => Some(Self::Session(tenant, SessionId::from_uuid(id))),
            ("session", None) => Some(Self::OperatorSession(SessionId::from_uuid(id))),
            ("operator", None) => Some(Self::Operator(OperatorId::from_uuid(id))),
            _ => None,
        }
    }
}

/// Trust taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whose.
    pub subject: RevokedSubject,
    /// When: credentials issued up to this moment are no longer good.
    pub at: DateTime<Utc>,
}

/// What the node's knowledge says about a verified credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Good.
    Good,
    /// Taken back.
    Revoked,
    /// The node's knowledge is too old or incomplete: only the database can tell.
    Unknown,
}

/// The node's view of the revocations that can still matter.
#[derive(Debug)]
pub struct Revocations {
    view: RwLock<View>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct View {
    latest: HashMap<RevokedSubject, DateTime<Utc>>,
    /// When the last successful read began.
    read_at: Option<DateTime<Utc>>,
    /// Until then the view lacks revocations that there was no room for.
    incomplete_until: Option<DateTime<Utc>>,
}

impl Revocations {
    /// Knows nothing yet, and says so until the first read.
    pub fn new() -> Self {
        Self { view: RwLock::default(), capacity: CAPACITY }
    }

    /// How long a revocation matters: for the longest life of a token, the leeway of its expiry, and a minute in case
    /// clocks disagree. The first read of a node must reach back this far.
    pub fn horizon() -> TimeDelta {
        MAX_LIFETIME + LEEWAY + TimeDelta::minutes(1)
    }

    /// Takes in what a read returned. `read_at` is when the read BEGAN. Together with earlier reads it must have
    /// returned every revocation within [`Self::horizon`]; rows may be repeated and in any order.
    pub fn apply(&self, rows: impl IntoIterator<Item = Revocation>, read_at: DateTime<Utc>) {
        let mut view = self.view.write();
        view.forget_before(read_at - Self::horizon());
        for Revocation { subject, at } in rows {
            if at < read_at - Self::horizon() {
                continue;
            }
            if view.latest.len() < self.capacity || view.latest.contains_key(&subject) {
                let latest = view.latest.entry(subject).or_insert(at);
                *latest = at.max(*latest);
            } else {
                let gone = at.checked_add_signed(Self::horizon()).unwrap_or(DateTime::<Utc>::MAX_UTC);
                view.incomplete_until = Some(view.incomplete_until.map_or(gone, |until| until.max(gone)));
            }
        }
        view.read_at = Some(read_at);
    }

    /// Whether a principal's credential, issued at `issued_at`, is still trusted.
    pub fn standing(&self, principal: &Principal, issued_at: DateTime<Utc>, now: DateTime<Utc>) -> Standing {
        let view = self.view.read();
        if view.is_revoked(principal, issued_at) {
            Standing::Revoked
        } else if view.can_judge(now) {
            Standing::Good
        } else {
            Standing::Unknown
        }
    }

    /// Whether the view is recent and complete enough to call a credential good.
    pub fn fresh(&self, now: DateTime<Utc>) -> bool {
        self.view.read().can_judge(now)
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl View {
    fn can_judge(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back makes the last read lie in the future: no better than a read too long ago.
        let recent = self.read_at.is_some_and(|at| (now - at).abs() <= FRESH_FOR);
        recent && self.incomplete_until.is_none_or(|until| until < now)
    }

    fn is_revoked(&self, principal: &Principal, issued_at: DateTime<Utc>) -> bool {
        let hit = |subject| self.latest.get(&subject).is_some_and(|at| millis(issued_at) <= millis(*at));
        match principal {
            Principal::User { tenant, id, session, .. } => {
                let tenant = tenant.get();
                hit(RevokedSubject::User(tenant, *id))
                    || session.is_some_and(|session| hit(RevokedSubject::Session(tenant, session)))
            }
            Principal::ApiKey { tenant, id, .. } => hit(RevokedSubject::ApiKey(tenant.get(), *id)),
            Principal::Operator { id, session, .. } => {
                hit(RevokedSubject::Operator(id.get()))
                    || session.is_some_and(|session| hit(RevokedSubject::OperatorSession(session)))
            }
        }
    }

    fn forget_before(&mut self, moment: DateTime<Utc>) {
        self.latest.retain(|_, at| *at >= moment);
        // A flood is over: give its memory back.
        if self.latest.capacity() > 1024 && self.latest.len() < self.latest.capacity() / 4 {
            self.latest.shrink_to_fit();
        }
    }
}

/// Issue times have milliseconds, the database has microseconds.
fn millis(moment: DateTime<Utc>) -> i64 {
    moment.timestamp_millis()
}

#[cfg(test)]
mod tests {
    use bulkhead_domain::{OperatorRole, Role};
    use proptest::prelude::*;

    use super::*;
    use crate::principal::tests::{key, operator, user};

    const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_500).unwrap();

    fn session(byte: u8) -> SessionId {
        SessionId::from_uuid(Uuid::from_bytes([byte; 16]))
    }

    fn ms(millis: i64) -> TimeDelta {
        TimeDelta::milliseconds(millis)
    }

    /// What is revoked when a principal is, with every session.
    fn whole(principal: &Principal) -> RevokedSubject {
        match principal {
            Principal::User { tenant, id, .. } => RevokedSubject::User(tenant.get(), *id),
            Principal::ApiKey { tenant, id, .. } => RevokedSubject::ApiKey(tenant.get(), *id),
            Principal::Operator { id, .. } => RevokedSubject::Operator(id.get()),
        }
    }

    fn view(rows: impl IntoIterator<Item = (RevokedSubject, DateTime<Utc>)>) -> Revocations {
        let revocations = Revocations::new();
        revocations.apply(rows.into_iter().map(|(subject, at)| Revocation { subject, at }), NOW);
        revocations
    }

    #[test]
    fn a_node_that_has_read_nothing_knows_nothing() {
        let person = user(1, Role::Owner, None);
        assert_eq!(Revocations::new().standing(&person, NOW, NOW), Standing::Unknown);
        assert_eq!(view([]).standing(&person, NOW, NOW), Standing::Good);
    }

    #[test]
    fn knowledge_counts_for_five_seconds_and_revocations_longer() {
        let (person, gone) = (user(1, Role::Owner, None), user(2, Role::Owner, None));
        let revocations = view([(whole(&gone), NOW)]);
        for (now, fresh) in [(0, true), (5_000, true), (5_001, false), (-5_000, true), (-5_001, false)] {
            let now = NOW + ms(now);
            assert_eq!(revocations.fresh(now), fresh, "{now}");
            let expected = if fresh { Standing::Good } else { Standing::Unknown };
            assert_eq!(revocations.standing(&person, NOW, now), expected, "{now}");
            assert_eq!(revocations.standing(&gone, NOW, now), Standing::Revoked, "{now}");
        }
        revocations.apply([], NOW + ms(6_000));
        assert_eq!(revocations.standing(&person, NOW, NOW + ms(6_001)), Standing::Good);
    }

    #[test]
    fn a_login_in_the_same_second_but_after_the_revocation_works() {
        let at = NOW;
        let Principal::User { tenant, id, .. } = user(1, Role::Owner, None) else { panic!("not a user") };
        let revocations = view([(RevokedSubject::User(tenant.get(), id), at)]);
        let person = user(1, Role::Owner, Some(session(9)));
        assert_eq!(revocations.standing(&person, at - ms(1), NOW), Standing::Revoked);
        assert_eq!(revocations.standing(&person, at, NOW), Standing::Revoked);
        assert_eq!(revocations.standing(&person, at + TimeDelta::microseconds(999), NOW), Standing::Revoked);
        assert_eq!(revocations.standing(&person, at + ms(1), NOW), Standing::Good);
    }

    #[test]
    fn each_subject_hits_exactly_its_own() {
        let people = [
            user(1, Role::Owner, None),
            user(1, Role::Owner, Some(session(5))),
            user(1, Role::Owner, Some(session(6))),
            user(7, Role::Owner, Some(session(5))),
            key(1, Role::Owner),
            key(7, Role::Owner),
            operator(OperatorRole::Admin),
        ];
        let ids = |byte: u8| Uuid::from_bytes([byte; 16]);
        let tenant_id = Some(ids(1));
        for (kind, tenant, id, hits) in [
            ("user", tenant_id, ids(2), [true, true, true, false, false, false, false]),
            ("session", tenant_id, ids(5), [false, true, false, false, false, false, false]),
            ("api_key", tenant_id, ids(3), [false, false, false, false, true, false, false]),
            ("operator", None, ids(4), [false, false, false, false, false, false, true]),
            ("session", None, ids(5), [false; 7]),
        ] {
            let subject = RevokedSubject::from_columns(tenant, kind, id).unwrap();
            let revocations = view([(subject, NOW)]);
            let found = people.map(|person| revocations.standing(&person, NOW, NOW) == Standing::Revoked);
            assert_eq!(found, hits, "{subject:?}");
        }
        for (tenant, kind) in [
            (tenant_id, "tenant"),
            (None, "user"),
            (None, "api_key"),
            (tenant_id, "operator"),
            (tenant_id, "role"),
        ] {
            assert_eq!(RevokedSubject::from_columns(tenant, kind, ids(1)), None, "{kind} of {tenant:?}");
        }
    }

    #[test]
    fn an_operator_session_is_revoked_alone() {
        let revocations = view([(RevokedSubject::OperatorSession(session(5)), NOW)]);
        let Principal::Operator { id, role, .. } = operator(OperatorRole::Admin) else {
            panic!("not an operator")
        };
        for (number, expected) in [(5, Standing::Revoked), (6, Standing::Good)] {
            let person = Principal::Operator { id, role, session: Some(session(number)) };
            assert_eq!(revocations.standing(&person, NOW, NOW), expected);
        }
    }

    #[test]
    fn what_is_over_is_forgotten_and_not_before() {
        let person = user(1, Role::Owner, None);
        let revocations = view([(whole(&person), NOW)]);
        let last_moment = NOW + Revocations::horizon();
        revocations.apply([], last_moment);
        assert_eq!(revocations.standing(&person, NOW, last_moment), Standing::Revoked);
        revocations.apply([], last_moment + ms(1));
        assert_eq!(revocations.view.read().latest.len(), 0);
        // No token from before the revocation can still be alive by then.
        assert!(Revocations::horizon() > MAX_LIFETIME + LEEWAY);
    }

    #[test]
    fn without_room_for_every_revocation_nothing_is_called_good() {
        let revocations = Revocations { view: RwLock::default(), capacity: 2 };
        let person = |byte| user(byte, Role::Owner, None);
        let rows = (1..=3).map(|byte| Revocation { subject: whole(&person(byte)), at: NOW });
        revocations.apply(rows, NOW);
        assert_eq!(revocations.view.read().latest.len(), 2);
        for byte in 1..=4 {
            assert_ne!(revocations.standing(&person(byte), NOW, NOW), Standing::Good, "{byte}");
        }
        let later = NOW + Revocations::horizon() + ms(1);
        revocations.apply([], later);
        assert_eq!(revocations.standing(&person(3), later, later), Standing::Good);
    }

    proptest! {
        #[test]
        fn batches_order_and_repetition_do_not_matter(
            rows in prop::collection::vec((0_u8..4, -5_000_i64..0), 0..20),
            cut: prop::sample::Index,
            who in 0_u8..4,
            issued in -5_000_i64..0,
        ) {
            let row = |(byte, at): &(u8, i64)| Revocation { subject: whole(&key(*byte, Role::ReadOnly)), at: NOW + ms(*at) };
            let expected = rows.iter().any(|(byte, at)| *byte == who && issued <= *at);
            let (first, second) = rows.split_at(cut.index(rows.len() + 1));
            let revocations = Revocations::new();
            revocations.apply(second.iter().map(row), NOW);
            revocations.apply(first.iter().rev().map(row), NOW);
            revocations.apply(rows.iter().map(row), NOW);
            let standing = revocations.standing(&key(who, Role::ReadOnly), NOW + ms(issued), NOW);
            prop_assert_eq!(standing == Standing::Revoked, expected);
        }
    }
}
