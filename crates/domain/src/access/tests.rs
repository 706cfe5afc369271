use proptest::prelude::*;

use super::{
    AccessError, AccessRegistry, BuiltIn, BuiltInOperator, OperatorPermission, OperatorPermissionDef,
    Permission, PermissionBit, PermissionDef, PermissionList, PermissionSet, Role, RoleName, Side,
    core_list::CORE, permission,
};

mod own;

fn registry() -> AccessRegistry {
    AccessRegistry::assemble(&[]).unwrap()
}

/// A list of one tenants' permission.
fn one(permission: &'static str, held_by: &'static [BuiltIn]) -> PermissionList {
    let def = PermissionDef { permission: Permission::new(permission), held_by };
    PermissionList { owner: "billing", tenants: Vec::leak(vec![def]), operators: &[] }
}

/// A list of one operators' permission.
fn one_of_operators(permission: &'static str, held_by: &'static [BuiltInOperator]) -> PermissionList {
    let def = OperatorPermissionDef { permission: OperatorPermission::new(permission), held_by };
    PermissionList { owner: "billing", tenants: &[], operators: Vec::leak(vec![def]) }
}

/// Whether a built-in role gives another role, which no tenant has of its own.
fn may_grant(access: &AccessRegistry, own: RoleName, role: RoleName) -> bool {
    access.may_grant(&access.content(own, None), &access.content(role, None)).is_ok()
}

fn refused(lists: &[PermissionList]) -> String {
    AccessRegistry::assemble(lists).unwrap_err().to_string()
}

/// A line for each permission, which the highest role holds, with a mark for each role: what stands in the test below is a
/// decision for every pair.
fn grid(side: &Side) -> String {
    let mark = |role: &Role, name: &str| {
        if side.names(role.permissions()).any(|held| held == name) { "x" } else { "." }
    };
    let line = |name: &str| {
        let marks: Vec<&str> = side.roles().iter().map(|role| mark(role, name)).collect();
        format!("{name:<29}{}", marks.join(" "))
    };
    side.names(side.roles()[0].permissions()).map(line).collect::<Vec<_>>().join("\n")
}

/// `expected` without what indents it.
fn assert_grid(grid: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(grid, expected.join("\n"), "is it decided who holds each permission?");
}

#[test]
fn for_every_permission_and_every_role_it_is_said_who_holds_it() {
    let access = registry();
    let names = |side: &Side| side.roles().iter().map(|role| role.name().to_string()).collect::<Vec<_>>();
    assert_eq!(names(access.tenants()), ["owner", "admin", "developer", "read_only"]);
    assert_grid(
        &grid(access.tenants()),
        "
        read:users                   x x x .
        write:users                  x x . .
        write:owners                 x . . .
        read:roles                   x x x .
        write:roles                  x x . .
        read:api_keys                x x x .
        write:api_keys               x x x .
        read:identity_providers      x x . .
        write:identity_providers     x x . .
        read:jobs                    x x x x
        read:usage                   x x x x
        read:scaling                 x x x x
        read:audit                   x x . .
        read:settings                x x . .
        write:settings               x . . .
        ",
    );
    assert_eq!(names(access.operators()), ["admin", "support", "billing"]);
    assert_grid(
        &grid(access.operators()),
        "
        read:tenants                 x x x
        write:tenants                x . .
        read:operations              x x .
        read:all_usage               x x x
        read:signing_keys            x x .
        write:signing_keys           x . .
        read:audit                   x x .
        read:operators               x x .
        write:operators              x . .
        read:operator_keys           x x .
        write:operator_keys          x . .
        impersonate:tenant           x . .
        read:all_identity_providers  x x .
        write:all_identity_providers x . .
        ",
    );
}

#[test]
fn roles_that_only_read_hold_no_permission_to_write() {
    let access = registry();
    for (side, role) in [
        (access.tenants(), RoleName::READ_ONLY),
        (access.operators(), RoleName::SUPPORT),
        (access.operators(), RoleName::BILLING),
    ] {
        let held = side.role(role).permissions();
        assert_ne!(held, PermissionSet::EMPTY, "{role}");
        assert!(side.names(held).all(|name| name.starts_with("read:")), "{role}");
    }
}

#[test]
fn a_role_is_granted_exactly_by_those_who_hold_as_much() {
    let access = registry();
    let grants = |own: RoleName| {
        let roles = BuiltIn::ALL.map(BuiltIn::name).into_iter();
        roles
            .filter(|role| may_grant(&access, own, *role))
            .map(|role| role.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(grants(RoleName::OWNER), "owner admin developer read_only");
    assert_eq!(grants(RoleName::ADMIN), "admin developer read_only");
    assert_eq!(grants(RoleName::DEVELOPER), "developer read_only");
    assert_eq!(grants(RoleName::READ_ONLY), "read_only");
}

#[test]
fn a_role_that_is_not_known_holds_nothing_and_only_owners_take_it_away() {
    let access = registry();
    let auditor: RoleName = "auditor".parse().unwrap();
    for side in [access.tenants(), access.operators()] {
        let role = side.role(auditor);
        assert_eq!((role.name(), role.permissions()), (auditor, PermissionSet::EMPTY));
    }
    // A role of operators is none of tenants.
    assert_eq!(access.tenants().role(RoleName::SUPPORT).permissions(), PermissionSet::EMPTY);
    let may = |own| may_grant(&access, own, auditor);
    assert_eq!([RoleName::OWNER, RoleName::ADMIN, auditor].map(may), [true, false, false]);
    let refused = access.tenants().parse("auditor").unwrap_err().to_string();
    assert_eq!(refused, "must be owner, admin, developer or read_only");
    assert_eq!(
        access.operators().parse("owner").unwrap_err().to_string(),
        "must be admin, support or billing"
    );
    assert_eq!(access.operators().parse("support"), Ok(RoleName::SUPPORT));
}

#[test]
fn what_another_part_declares_is_held_as_it_says() {
    let list = one("write:invoices", &[BuiltIn::Owner, BuiltIn::Admin]);
    let access =
        AccessRegistry::assemble(&[list, one_of_operators("write:invoices", &[BuiltInOperator::Admin])])
            .unwrap();
    let name = Permission::new("write:invoices");
    let bit = access.bit(name).unwrap();
    let holds = |role| access.tenants().role(role).permissions().contains(bit);
    assert_eq!(BuiltIn::ALL.map(BuiltIn::name).map(holds), [true, true, false, false]);
    // The operators' permission is another one, although it is written alike.
    let operators = access.operator_bit(OperatorPermission::new("write:invoices")).unwrap();
    assert_ne!(bit, operators);
    assert!(access.operators().role(RoleName::ADMIN).permissions().contains(operators));
    assert!(!access.operators().role(RoleName::ADMIN).permissions().contains(bit));
    assert_eq!(registry().bit(name), None);
    assert_eq!(access.operator_bit(OperatorPermission::new("read:invoices")), None);
}

#[test]
fn a_permission_is_declared_once() {
    let again = one("read:users", &[BuiltIn::Owner]);
    assert_eq!(refused(&[again]), "the permission read:users is declared by core and by billing");
    let twice = one("read:invoices", &[BuiltIn::Owner]);
    assert_eq!(
        refused(&[twice, twice]),
        "the permission read:invoices is declared by billing and by billing"
    );
    let operators = one_of_operators("read:tenants", &[BuiltInOperator::Admin]);
    assert_eq!(
        refused(&[operators]),
        "the permission operator read:tenants is declared by core and by billing"
    );
}

#[test]
fn a_role_holds_what_the_roles_below_it_hold() {
    use BuiltIn::{Admin, Developer, Owner, ReadOnly};
    for (held_by, below, above) in [
        (&[ReadOnly][..], "read_only", "developer"),
        (&[Owner, Admin, ReadOnly], "read_only", "developer"),
        (&[Owner, Developer], "developer", "admin"),
        (&[Admin, Developer, ReadOnly], "admin", "owner"),
    ] {
        let list = one("read:invoices", Vec::leak(held_by.to_vec()));
        let line = format!(
            "the permission read:invoices of billing is held by {below} and not by {above}, which is above it"
        );
        assert_eq!(refused(&[list]), line);
    }
    assert_eq!(refused(&[one("read:x", &[])]), "the permission read:x of billing is held by no role");
    for held_by in [&[BuiltInOperator::Support], &[BuiltInOperator::Billing]] {
        let refused = AccessRegistry::assemble(&[one_of_operators("read:x", held_by)]).unwrap_err();
        assert!(matches!(refused, AccessError::NotNested { above: RoleName::ADMIN, .. }), "{refused}");
    }
}

#[test]
fn there_is_room_for_as_many_permissions_as_a_set_has_and_no_more() {
    let list = |count: usize| {
        let def = |number| {
            let permission = Permission::new(String::leak(format!("read:r{number}")));
            PermissionDef { permission, held_by: &[BuiltIn::Owner] }
        };
        PermissionList { owner: "billing", tenants: Vec::leak((0..count).map(def).collect()), operators: &[] }
    };
    let left = PermissionBit::COUNT - CORE.tenants.len() - CORE.operators.len();
    let access = AccessRegistry::assemble(&[list(left)]).unwrap();
    let owner = access.tenants().role(RoleName::OWNER).permissions();
    assert_eq!(access.tenants().names(owner).count(), left + CORE.tenants.len());
    let line = format!("the permission read:r{left} of billing is one too many: there may be 256 of them");
    assert_eq!(refused(&[list(left + 1)]), line);
}

#[test]
fn a_permission_is_written_as_action_and_resource() {
    for good in ["read:x", "a:b", "write:api_keys", "read_2:x9", &format!("r:{}", "x".repeat(62))] {
        Permission::new(String::leak(good.to_owned()));
    }
    for bad in [
        "",
        "read",
        "read:",
        ":users",
        "read:users:all",
        "Read:users",
        "read:Users",
        "read users",
        "read:_x",
        "9:x",
        "read:9x",
        "read:*",
        "read-all:x",
        "read:üser",
        &format!("r:{}", "x".repeat(63)),
    ] {
        let text = String::leak(bad.to_owned());
        assert!(std::panic::catch_unwind(|| Permission::new(text)).is_err(), "{bad:?} was accepted");
        assert!(std::panic::catch_unwind(|| OperatorPermission::new(text)).is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn the_name_of_a_role_is_a_short_word() {
    for good in ["a", "owner", "read_only", "r2_d2", &"a".repeat(31)] {
        assert_eq!(good.parse::<RoleName>().unwrap().as_str(), good);
    }
    assert_eq!("owner".parse(), Ok(RoleName::OWNER));
    for bad in ["", "Owner", "2x", "_x", "a-b", "a b", "ä", "a\0", &"a".repeat(32), &"a".repeat(300)] {
        assert!(bad.parse::<RoleName>().is_err(), "{bad:?} was accepted");
    }
}

/// A principal is copied some four times a request, and a hundred thousand of them are remembered.
#[test]
fn a_role_stays_small() {
    assert_eq!((size_of::<RoleName>(), size_of::<PermissionSet>(), size_of::<Role>()), (32, 32, 64));
}

fn set_of(numbers: &[u8]) -> PermissionSet {
    numbers.iter().fold(PermissionSet::EMPTY, |set, number| set.with(PermissionBit::new(*number)))
}

proptest! {
    #[test]
    fn a_set_contains_exactly_what_was_put_into_it(numbers: Vec<u8>, asked: u8) {
        let set = set_of(&numbers);
        prop_assert_eq!(set.contains(PermissionBit::new(asked)), numbers.contains(&asked));
    }

    #[test]
    fn a_superset_contains_every_member_of_the_other(a: Vec<u8>, b: Vec<u8>, shared: Vec<u8>) {
        for (a, b) in [(a.clone(), b.clone()), ([a, shared.clone()].concat(), shared)] {
            let expected = b.iter().all(|number| a.contains(number));
            prop_assert_eq!(set_of(&a).is_superset(set_of(&b)), expected);
        }
    }

    /// Whatever is declared, no role grants what it lacks.
    #[test]
    fn no_role_grants_more_than_it_holds(lowest in prop::collection::vec(0_usize..4, 0..40)) {
        let def = |(number, lowest): (usize, &usize)| PermissionDef {
            permission: Permission::new(String::leak(format!("read:r{number}"))),
            held_by: Vec::leak(BuiltIn::ALL[..=*lowest].to_vec()),
        };
        let defs = Vec::leak(lowest.iter().enumerate().map(def).collect());
        let list = PermissionList { owner: "billing", tenants: defs, operators: &[] };
        let access = AccessRegistry::assemble(&[list]).unwrap();
        for own in access.tenants().roles() {
            let all = access.tenants().roles().iter();
            for role in all.filter(|role| may_grant(&access, own.name(), role.name())) {
                let holds = |name| own.permissions().contains(access.bit(Permission::new(name)).unwrap());
                prop_assert!(access.tenants().names(role.permissions()).all(holds));
            }
        }
        let owners = access.bit(permission::WRITE_OWNERS).unwrap();
        let hold_it = access.tenants().roles().iter().filter(|role| role.permissions().contains(owners));
        prop_assert_eq!(hold_it.map(Role::name).collect::<Vec<_>>(), vec![RoleName::OWNER]);
    }
}
