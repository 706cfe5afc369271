//! The view, alone.

use bulkhead_domain::RoleName;
use proptest::prelude::*;

use super::*;
use crate::principal::tests::{key, operator, tenant, user};

const NOW: DateTime<Utc> = DateTime::from_timestamp_millis(1_800_000_000_500).unwrap();

fn ids(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

fn session(byte: u8) -> SessionId {
    SessionId::from_uuid(ids(byte))
}

fn ms(millis: i64) -> TimeDelta {
    TimeDelta::milliseconds(millis)
}

/// The revocation of a principal, with every session.
fn whole(principal: &Principal, at: DateTime<Utc>) -> Revocation {
    let group = principal.tenant().map_or(Group::Operators, |tenant| Group::Tenant(tenant.get()));
    let target = match principal {
        Principal::User { id, .. } => Target::User(*id),
        Principal::ApiKey { id, .. } => Target::ApiKey(*id),
        Principal::Operator { id, .. } => Target::Operator(id.get()),
        Principal::OperatorKey { .. } => panic!("it is looked up each time"),
    };
    Revocation { group, target, at }
}

/// The revocation of a person of tenant `tenant_byte` who has the number `person`.
fn person(tenant_byte: u8, person: u128, at: DateTime<Utc>) -> Revocation {
    let target = Target::User(UserId::from_uuid(Uuid::from_u128(person)));
    Revocation { group: Group::Tenant(tenant(tenant_byte)), target, at }
}

fn read(revocations: &Revocations, rows: impl IntoIterator<Item = Revocation>, now: DateTime<Utc>) {
    revocations.apply(Batch { rows: rows.into_iter().collect(), left_out: None, now, read_at: now });
}

fn view(rows: impl IntoIterator<Item = Revocation>) -> Revocations {
    bounded(1_000, 100_000, rows)
}

fn bounded(group: usize, total: usize, rows: impl IntoIterator<Item = Revocation>) -> Revocations {
    let revocations = Revocations::new(Bounds { group, total });
    read(&revocations, rows, NOW);
    revocations
}

/// What is said of a principal whose token was proven at this moment.
fn token(revocations: &Revocations, principal: &Principal, proven_at: DateTime<Utc>) -> Standing {
    revocations.standing(principal, Since::Proven(proven_at), NOW)
}

#[test]
fn a_node_that_has_read_nothing_knows_nothing() {
    let person = user(1, RoleName::OWNER, None);
    assert_eq!(token(&Revocations::default(), &person, NOW), Standing::Unknown);
    assert_eq!(token(&view([]), &person, NOW), Standing::Good);
}

#[test]
fn knowledge_counts_for_five_seconds_and_revocations_longer() {
    let (person, gone) = (user(1, RoleName::OWNER, None), user(2, RoleName::OWNER, None));
    let revocations = view([whole(&gone, NOW)]);
    let since = Since::Proven(NOW);
    for (now, fresh) in [(0, true), (5_000, true), (5_001, false), (-5_000, true), (-5_001, false)] {
        let now = NOW + ms(now);
        assert_eq!(revocations.is_fresh(now), fresh, "{now}");
        let expected = if fresh { Standing::Good } else { Standing::Unknown };
        assert_eq!(revocations.standing(&person, since, now), expected, "{now}");
        assert_eq!(revocations.standing(&gone, since, now), Standing::Revoked, "{now}");
    }
    read(&revocations, [], NOW + ms(6_000));
    assert_eq!(revocations.standing(&person, since, NOW + ms(6_001)), Standing::Good);
}

#[test]
fn a_login_in_the_same_second_but_after_the_revocation_works() {
    let person = user(1, RoleName::OWNER, Some(session(9)));
    let revocations = view([whole(&person, NOW)]);
    assert_eq!(token(&revocations, &person, NOW - ms(1)), Standing::Revoked);
    assert_eq!(token(&revocations, &person, NOW), Standing::Revoked);
    assert_eq!(token(&revocations, &person, NOW + TimeDelta::microseconds(999)), Standing::Revoked);
    assert_eq!(token(&revocations, &person, NOW + ms(1)), Standing::Good);
}

#[test]
fn a_look_up_is_hit_by_what_was_learnt_after_it_began_whatever_the_clocks_say() {
    let program = key(1, RoleName::OWNER);
    let revocations = view([]);
    let before = Since::LookedUp(revocations.knowledge());
    read(&revocations, [], NOW);
    assert_eq!(revocations.standing(&program, before, NOW), Standing::Good);
    // A revocation with the time of an hour ago, and one of tomorrow.
    for at in [NOW - TimeDelta::minutes(60), NOW + TimeDelta::days(1)] {
        let revocations = view([]);
        let before = Since::LookedUp(revocations.knowledge());
        read(&revocations, [whole(&program, at)], NOW);
        assert_eq!(revocations.standing(&program, before, NOW), Standing::Revoked, "{at}");
        let after = Since::LookedUp(revocations.knowledge());
        assert_eq!(revocations.standing(&program, after, NOW), Standing::Good, "{at}");
    }
}

#[test]
fn each_target_hits_exactly_its_own() {
    let people = [
        user(1, RoleName::OWNER, None),
        user(1, RoleName::OWNER, Some(session(5))),
        user(1, RoleName::OWNER, Some(session(6))),
        user(7, RoleName::OWNER, Some(session(5))),
        key(1, RoleName::OWNER),
        key(7, RoleName::OWNER),
        operator(RoleName::ADMIN),
    ];
    let tenant_id = Some(ids(1));
    for (kind, tenant, id, hits) in [
        ("user", tenant_id, ids(2), [true, true, true, false, false, false, false]),
        ("session", tenant_id, ids(5), [false, true, false, false, false, false, false]),
        ("api_key", tenant_id, ids(3), [false, false, false, false, true, false, false]),
        ("everything", tenant_id, ids(1), [true, true, true, false, true, false, false]),
        ("operator", None, ids(4), [false, false, false, false, false, false, true]),
        ("session", None, ids(5), [false; 7]),
        ("everything", None, ids(0), [false, false, false, false, false, false, true]),
    ] {
        let revocations = view([Revocation::from_columns(tenant, kind, id, NOW).unwrap()]);
        let found = people.map(|person| token(&revocations, &person, NOW) == Standing::Revoked);
        assert_eq!(found, hits, "{kind} of {tenant:?}");
    }
    for (tenant, kind) in [
        (tenant_id, "tenant"),
        (None, "user"),
        (None, "api_key"),
        (tenant_id, "operator"),
        (tenant_id, "role"),
    ] {
        assert_eq!(Revocation::from_columns(tenant, kind, ids(1), NOW), None, "{kind} of {tenant:?}");
    }
}

#[test]
fn an_operator_session_is_revoked_alone() {
    let revocations = view([Revocation::from_columns(None, "session", ids(5), NOW).unwrap()]);
    let Principal::Operator { id, role, .. } = operator(RoleName::ADMIN) else { panic!("not an operator") };
    for (number, expected) in [(5, Standing::Revoked), (6, Standing::Good)] {
        let person = Principal::Operator { id, role, session: session(number) };
        assert_eq!(token(&revocations, &person, NOW), expected);
    }
}

#[test]
fn what_is_over_is_forgotten_and_not_before() {
    let person = user(1, RoleName::OWNER, None);
    let revocations = view([whole(&person, NOW)]);
    let last_moment = NOW + Revocations::horizon();
    let standing = |now| revocations.standing(&person, Since::Proven(NOW), now);
    read(&revocations, [], last_moment);
    assert_eq!(standing(last_moment), Standing::Revoked);
    read(&revocations, [], last_moment + ms(1));
    assert!(revocations.is_empty());
    // No token from before the revocation can still be alive by then.
    assert!(Revocations::horizon() > MAX_LIFETIME + LEEWAY);
}

#[test]
fn one_tenants_surplus_is_coarsened_and_costs_no_other_tenant_anything() {
    // Eleven are coarsened at a time, so five are left.
    let flood = (0..995_u32).map(|number| person(1, number.into(), NOW - ms((995 - number).into())));
    let revocations = bounded(10, 1_000, flood);
    assert!(revocations.len() <= 11, "{}", revocations.len());
    let (own, other) = (user(1, RoleName::OWNER, None), user(2, RoleName::OWNER, None));
    assert_eq!(token(&revocations, &own, NOW - ms(500)), Standing::Revoked);
    assert_eq!(token(&revocations, &own, NOW), Standing::Good);
    assert_eq!(token(&revocations, &other, NOW - ms(500)), Standing::Good);
    assert_eq!(token(&revocations, &operator(RoleName::ADMIN), NOW - ms(500)), Standing::Good);
    // What comes on top counts one by one again.
    read(&revocations, [whole(&own, NOW + ms(1))], NOW + ms(1));
    assert_eq!(token(&revocations, &own, NOW + ms(1)), Standing::Revoked);
    assert_eq!(token(&revocations, &key(1, RoleName::OWNER), NOW + ms(1)), Standing::Good);
}

#[test]
fn a_mark_of_the_database_takes_the_place_of_what_it_covers() {
    let revocations = view((0..100).map(|number| person(1, number, NOW - ms(10))));
    let mark = |at| Revocation { group: Group::Tenant(tenant(1)), target: Target::Everything, at };
    read(&revocations, [mark(NOW), person(1, 999, NOW + ms(5))], NOW);
    assert_eq!(revocations.len(), 2);
    assert_eq!(token(&revocations, &key(1, RoleName::OWNER), NOW), Standing::Revoked);
    assert_eq!(token(&revocations, &key(1, RoleName::OWNER), NOW + ms(1)), Standing::Good);
    let still = Principal::User {
        tenant: user(1, RoleName::OWNER, None).tenant().unwrap(),
        id: UserId::from_uuid(Uuid::from_u128(999)),
        role: *user(1, RoleName::OWNER, None).role(),
        session: SessionId::from_uuid(Uuid::from_u128(7)),
        acting: None,
    };
    assert_eq!(token(&revocations, &still, NOW + ms(5)), Standing::Revoked);
}

/// A mark of the database may come before rows that it covers. Those of keys count by when they are learnt, and stay.
#[test]
fn what_a_mark_covers_is_not_kept_beside_it() {
    let mark = Revocation { group: Group::Tenant(tenant(1)), target: Target::Everything, at: NOW };
    let revocations = view([mark]);
    read(&revocations, (0..100).map(|number| person(1, number, NOW - ms(5))), NOW);
    assert_eq!(revocations.len(), 1);
    read(&revocations, [person(1, 1, NOW + ms(1)), whole(&key(1, RoleName::OWNER), NOW)], NOW);
    assert_eq!(revocations.len(), 3);
    assert_eq!(token(&revocations, &user(1, RoleName::OWNER, None), NOW), Standing::Revoked);
}

#[test]
fn over_the_bound_of_the_process_the_largest_group_is_coarsened() {
    let large = (0..60).map(|number| person(1, number, NOW - ms(100)));
    let small = (2..20).map(|byte| whole(&user(byte, RoleName::OWNER, None), NOW - ms(100)));
    let revocations = bounded(1_000, 50, large.chain(small));
    assert_eq!(revocations.len(), 1 + 18);
    assert_eq!(token(&revocations, &key(1, RoleName::OWNER), NOW - ms(100)), Standing::Revoked);
    assert_eq!(token(&revocations, &key(2, RoleName::OWNER), NOW - ms(100)), Standing::Good);
    assert_eq!(token(&revocations, &user(2, RoleName::OWNER, None), NOW - ms(100)), Standing::Revoked);
}

#[test]
fn what_had_to_be_forgotten_makes_older_credentials_unknown_and_younger_ones_are_judged() {
    let each = |byte: u8| whole(&user(byte, RoleName::OWNER, None), NOW - ms(200 - i64::from(byte)));
    let revocations = Revocations::new(Bounds { group: 1_000, total: 80 });
    read(&revocations, [], NOW);
    let looked_up = Since::LookedUp(revocations.knowledge());
    read(&revocations, (0..=100).map(each), NOW);
    assert!((1..=80).contains(&revocations.len()), "{}", revocations.len());
    let never_revoked = key(200, RoleName::OWNER);
    assert_eq!(token(&revocations, &never_revoked, NOW - ms(200)), Standing::Unknown);
    assert_eq!(revocations.standing(&never_revoked, looked_up, NOW), Standing::Unknown);
    assert_eq!(token(&revocations, &never_revoked, NOW), Standing::Good);
    assert_eq!(token(&revocations, &user(0, RoleName::OWNER, None), NOW - ms(300)), Standing::Unknown);
    assert_eq!(token(&revocations, &user(100, RoleName::OWNER, None), NOW - ms(300)), Standing::Revoked);
    let later = NOW + Revocations::horizon();
    read(&revocations, [], later);
    assert_eq!(revocations.standing(&never_revoked, Since::Proven(NOW - ms(200)), later), Standing::Good);
}

#[test]
fn what_a_read_has_left_out_makes_older_credentials_unknown() {
    let revocations = Revocations::default();
    let left_out = Some(NOW - ms(50));
    revocations.apply(Batch { rows: Vec::new(), left_out, now: NOW, read_at: NOW });
    let person = user(1, RoleName::OWNER, None);
    assert_eq!(token(&revocations, &person, NOW - ms(50)), Standing::Unknown);
    assert_eq!(token(&revocations, &person, NOW - ms(49)), Standing::Good);
}

proptest! {
    #[test]
    fn batches_order_repetition_and_coarsening_never_make_revoked_credentials_good(
        rows in prop::collection::vec((0_u8..4, -5_000_i64..0), 0..40),
        cut: prop::sample::Index,
        who in 0_u8..4,
        issued in -5_000_i64..0,
        group in 1_usize..5,
        total in 1_usize..8,
    ) {
        let row = |(byte, at): &(u8, i64)| whole(&key(*byte, RoleName::READ_ONLY), NOW + ms(*at));
        let expected = rows.iter().any(|(byte, at)| *byte == who && issued <= *at);
        let (first, second) = rows.split_at(cut.index(rows.len() + 1));
        let plain = view(second.iter().map(row));
        read(&plain, first.iter().rev().map(row), NOW);
        read(&plain, rows.iter().map(row), NOW);
        let standing = token(&plain, &key(who, RoleName::READ_ONLY), NOW + ms(issued));
        prop_assert_eq!(standing == Standing::Revoked, expected);

        let small = bounded(group, total, second.iter().map(row));
        read(&small, first.iter().rev().map(row), NOW);
        prop_assert!(small.len() <= total, "{} of {}", small.len(), total);
        let standing = token(&small, &key(who, RoleName::READ_ONLY), NOW + ms(issued));
        prop_assert!(!expected || standing != Standing::Good);
    }
}

/// A token with which an operator acts as a person ends with either of the two, and with nobody else.
#[test]
fn who_acts_as_somebody_loses_that_with_either() {
    let (operator, login) = (OperatorId::from_uuid(Uuid::from_bytes([4; 16])), session(7));
    let Principal::User { tenant: of, id, role, .. } = user(1, RoleName::OWNER, None) else {
        panic!("not a user")
    };
    let acting = Principal::User { tenant: of, id, role, session: login, acting: Some(operator) };
    let standing = |group, target| {
        let revocations = Revocations::default();
        read(&revocations, [Revocation { group, target, at: NOW }], NOW);
        token(&revocations, &acting, NOW)
    };
    let theirs = Group::Tenant(tenant(1));
    for (group, target) in [
        (theirs, Target::User(id)),
        (theirs, Target::Everything),
        (Group::Operators, Target::Operator(operator)),
        (Group::Operators, Target::Session(login)),
        (Group::Operators, Target::Everything),
    ] {
        assert_eq!(standing(group, target), Standing::Revoked, "{target:?}");
    }
    for (group, target) in [
        (theirs, Target::Session(login)),
        (theirs, Target::User(UserId::from_uuid(Uuid::from_u128(9)))),
        (Group::Tenant(tenant(2)), Target::Everything),
        (Group::Operators, Target::Session(session(8))),
    ] {
        assert_eq!(standing(group, target), Standing::Good, "{target:?}");
    }
}
