use proptest::prelude::*;

use super::{
    super::{EntryError, PermissionPattern, RoleContent},
    *,
};

fn entries(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn own(access: &AccessRegistry, texts: &[&str]) -> RoleContent {
    access.content("clerk".parse().unwrap(), Some(&entries(texts)))
}

/// What a tenant's own role with these entries holds.
fn held(access: &AccessRegistry, texts: &[&str]) -> Vec<&'static str> {
    let role = access.own_role("clerk".parse().unwrap(), texts);
    access.tenants().names(role.permissions()).collect()
}

/// What a role lacks to give another one; nothing when it may.
fn lacks(access: &AccessRegistry, own: &RoleContent, other: &RoleContent) -> String {
    access.may_grant(own, other).err().map(|lacking| lacking.to_string()).unwrap_or_default()
}

#[test]
fn an_entry_is_a_permission_or_stands_for_all_of_either_part() {
    for good in ["read:users", "read:*", "*:users", "*:*", "a9_:b", &format!("r:{}", "x".repeat(62))] {
        assert_eq!(good.parse::<PermissionPattern>().unwrap().as_str(), good);
    }
    for bad in [
        "",
        "*",
        ":",
        "*:",
        ":*",
        "read",
        "read:",
        ":users",
        "read:re*",
        "re*:users",
        "**:users",
        "read:**",
        "*:*:*",
        "read:users:all",
        "READ:users",
        "read: users",
        " read:users",
        "read:users\n",
        "read:üsers",
        "read:_x",
        "operator read:tenants",
        &format!("r:{}", "x".repeat(63)),
    ] {
        assert!(bad.parse::<PermissionPattern>().is_err(), "{bad:?} was accepted");
    }
    let covers =
        |one: &str, other: &str| PermissionPattern::stored(one).covers(&PermissionPattern::stored(other));
    for (one, other) in [("*:*", "read:*"), ("read:*", "read:users"), ("*:users", "*:users"), ("a:b", "a:b")]
    {
        assert!(covers(one, other), "{one} {other}");
    }
    for (one, other) in
        [("read:*", "*:users"), ("read:*", "write:users"), ("read:users", "read:*"), ("*:users", "*:*")]
    {
        assert!(!covers(one, other), "{one} {other}");
    }
}

#[test]
fn an_own_role_holds_what_exists_of_its_entries() {
    let access = registry();
    assert_eq!(held(&access, &["read:users", "write:roles"]), ["read:users", "write:roles"]);
    assert_eq!(held(&access, &["*:users"]), ["read:users", "write:users"]);
    let all: Vec<_> = access.tenants().all().collect();
    assert_eq!(held(&access, &["*:*"]), all);
    assert!(held(&access, &["read:*"]).iter().all(|name| name.starts_with("read:")));
    // What is gone, not yet there, an operators' permission or no entry at all holds nothing.
    assert_eq!(
        held(&access, &["read:invoices", "read:tenants", "*", "", "read:", "*:", "read:users:x"]),
        [""; 0]
    );
    assert_eq!(held(&access, &[]), [""; 0]);
    // What another part of a program declares is covered from then on.
    let newer = AccessRegistry::assemble(&[one("read:invoices", &[BuiltIn::Owner])]).unwrap();
    for entry in ["read:invoices", "read:*", "*:invoices", "*:*"] {
        assert!(held(&newer, &[entry]).contains(&"read:invoices"), "{entry}");
    }
    // The name of a built-in role is that role, whatever a row says.
    let admin = access.own_role(RoleName::ADMIN, &["*:*"]);
    assert_eq!(admin, access.tenants().role(RoleName::ADMIN));
    assert_eq!(
        access.content(RoleName::READ_ONLY, Some(&entries(&["*:*"]))).role(),
        access.tenants().role(RoleName::READ_ONLY)
    );
}

#[test]
fn a_built_in_role_holds_something() {
    let access = registry();
    for side in [access.tenants(), access.operators()] {
        assert!(side.roles().iter().all(|role| !role.permissions().is_empty()));
    }
}

#[test]
fn what_a_role_holds_is_handed_on_by_those_who_hold_it() {
    let access = registry();
    let built_in = |name| access.content(name, None);
    let (admin, owner) = (built_in(RoleName::ADMIN), built_in(RoleName::OWNER));
    assert_eq!(lacks(&access, &admin, &own(&access, &["read:users", "write:roles"])), "");
    assert_eq!(lacks(&access, &admin, &own(&access, &["read:users", "write:owners"])), "write:owners");
    let lead = own(&access, &["read:users", "write:users", "read:jobs", "read:usage", "read:scaling"]);
    assert_eq!(lacks(&access, &lead, &built_in(RoleName::READ_ONLY)), "");
    assert_eq!(lacks(&access, &lead, &built_in(RoleName::DEVELOPER)), "read:roles");
    assert_eq!(lacks(&access, &lead, &lead), "");
    // One permission of an owner makes no owner.
    assert_eq!(lacks(&access, &own(&access, &["*:users", "*:owners"]), &owner), "read:roles");
}

/// A role with a wildcard, or with a name that means nothing here, will hold what its giver may never have had.
#[test]
fn what_comes_later_is_handed_on_by_an_owner_or_under_an_entry_that_covers_it() {
    let access = registry();
    let built_in = |name| access.content(name, None);
    let (admin, owner) = (built_in(RoleName::ADMIN), built_in(RoleName::OWNER));
    for entry in ["read:*", "*:users", "read:invoices", "*:invoices"] {
        let role = own(&access, &[entry]);
        assert_eq!(lacks(&access, &owner, &role), "", "{entry}");
        // An administrator holds all that is read today.
        assert_eq!(lacks(&access, &admin, &role), entry);
        assert_eq!(lacks(&access, &own(&access, &["*:*"]), &role), "", "{entry}");
        assert_eq!(lacks(&access, &role, &role), "", "{entry}");
    }
    assert_eq!(lacks(&access, &own(&access, &["read:*"]), &own(&access, &["read:*", "read:invoices"])), "");
    let all_that_is_read: Vec<_> = access.tenants().all().filter(|name| name.starts_with("read:")).collect();
    assert_eq!(lacks(&access, &own(&access, &all_that_is_read), &own(&access, &["read:*"])), "read:*");
    // A caller whose role is gone hands nothing on, not even a role that holds nothing and will.
    let gone = access.content("gone".parse().unwrap(), None);
    assert!(gone.is_unknown());
    assert_eq!(lacks(&access, &gone, &own(&access, &["read:invoices"])), "read:invoices");
    assert_eq!(lacks(&access, &admin, &gone), "write:owners");
}

#[test]
fn a_permission_that_does_not_exist_is_refused_with_those_that_are_written_nearly_so() {
    let access = registry();
    for good in ["read:users", "read:*", "*:users", "*:*"] {
        assert_eq!(access.read_entry(good).unwrap().as_str(), good);
    }
    let refused = |text: &str| access.read_entry(text).unwrap_err();
    for (text, told) in [
        ("raed:users", "must be a permission that exists, like read:users"),
        ("read:user", "must be a permission that exists, like read:users"),
        ("read:usrs", "must be a permission that exists, like read:users"),
        ("*:user", "must be a permission that exists, like *:users"),
        ("reads:*", "must be a permission that exists, like read:*"),
        ("read:unicorns", "must be a permission that exists, one of those that the role owner holds"),
        ("*:unicorns", "must be a permission that exists, one of those that the role owner holds"),
        ("read:tenants", "is a permission of operators, which no role of a tenant holds"),
    ] {
        assert_eq!(refused(text).to_string(), told, "{text}");
    }
    assert!(matches!(refused("read:re*"), EntryError::Form(_)));
}

#[test]
fn a_tenants_own_role_is_not_called_like_a_built_in_one() {
    let access = registry();
    for good in ["clerk", "owners", "bulkhead", "a"] {
        assert_eq!(access.read_own_role(good).unwrap().as_str(), good);
        assert_eq!(access.read_role(good).unwrap().as_str(), good);
    }
    for taken in ["owner", "admin", "developer", "read_only", "support", "billing", "bulkhead_x", "bulkhead_"]
    {
        let told = access.read_own_role(taken).unwrap_err().to_string();
        assert_eq!(told, "must not be the name of a built-in role, nor begin with bulkhead_", "{taken}");
    }
    for bad in ["", "Owner", "ownér", "ｏwner", "a b", "a-b", "owner\u{200b}", &"a".repeat(32)] {
        assert!(access.read_own_role(bad).is_err() && access.read_role(bad).is_err(), "{bad:?}");
    }
    assert_eq!(access.read_role("read_only"), Ok(RoleName::READ_ONLY));
    for bad in ["support", "King", "bulkhead_x"] {
        assert_eq!(
            access.read_role(bad).unwrap_err().to_string(),
            "must be owner, admin, developer or read_only, or another one that /v1/roles lists"
        );
    }
}

/// Words of which some are declared and some are not.
fn entry() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec!["read", "write", "send", "*"]);
    let resource = prop::sample::select(vec!["users", "owners", "roles", "jobs", "invoices", "*"]);
    (action, resource).prop_map(|(action, resource)| format!("{action}:{resource}"))
}

proptest! {
    /// Whatever two roles say, and whatever a newer program declares: who may give a role now holds all that it comes to hold.
    #[test]
    fn no_own_role_hands_on_what_it_does_not_hold_now_or_later(
        mine in prop::collection::vec(entry(), 0..6),
        theirs in prop::collection::vec(entry(), 0..6),
    ) {
        let (now, later) = (
            registry(),
            AccessRegistry::assemble(&[
                one("send:invoices", &[BuiltIn::Owner]),
                one("read:invoices", &BuiltIn::ALL),
                one("send:jobs", &[BuiltIn::Owner, BuiltIn::Admin]),
            ])
            .unwrap(),
        );
        let name: RoleName = "clerk".parse().unwrap();
        let (own, other) = (now.content(name, Some(&mine)), now.content(name, Some(&theirs)));
        if now.may_grant(&own, &other).is_ok() {
            for access in [&now, &later] {
                let (own, other) = (access.own_role(name, &mine), access.own_role(name, &theirs));
                prop_assert!(own.permissions().is_superset(other.permissions()), "{:?} gives {:?}", mine, theirs);
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        let access = registry();
        drop((access.read_entry(&text), access.read_own_role(&text), access.own_role("clerk".parse().unwrap(), &[&text])));
    }
}
