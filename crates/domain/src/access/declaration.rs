//! The names of permissions, and how they are declared.

use std::fmt;

use super::role::{BuiltIn, BuiltInOperator};

/// The longest name of a permission, in bytes.
pub(super) const MAX: usize = 64;

/// Whether this is an action or a resource: a lower-case letter, then lower-case letters, digits and underscores.
pub(super) const fn is_word(bytes: &[u8]) -> bool {
    let [b'a'..=b'z', rest @ ..] = bytes else { return false };
    let mut rest = rest;
    while let [b'a'..=b'z' | b'0'..=b'9' | b'_', tail @ ..] = rest {
        rest = tail;
    }
    rest.is_empty()
}

/// The name that `text` is. It panics, in a constant while it is compiled, unless `text` is `action:resource`, each of the two a
/// lower-case letter and then lower-case letters, digits and underscores, 64 bytes at most.
const fn checked(text: &'static str) -> &'static str {
    assert!(text.len() <= MAX, "a permission's name has at most 64 bytes");
    let mut rest = text.as_bytes();
    let (mut colons, mut is_begun) = (0, false);
    while let [byte, tail @ ..] = rest {
        match *byte {
            b'a'..=b'z' => is_begun = true,
            b'0'..=b'9' | b'_' if is_begun => {}
            b':' if is_begun => {
                colons += 1;
                is_begun = false;
            }
            _ => panic!(
                "a permission's name is action:resource, in lower-case letters, digits and underscores"
            ),
        }
        rest = tail;
    }
    assert!(colons == 1 && is_begun, "a permission's name is action:resource");
    text
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(&'static str);

        impl $name {
            /// The permission that is written so. It panics, in a constant while it is compiled, unless `text` is
            /// `action:resource`: each of the two a lower-case letter, then lower-case letters, digits and underscores, 64
            /// bytes at most together.
            pub const fn new(text: &'static str) -> Self {
                Self(checked(text))
            }

            /// The permission as `action:resource`.
            pub const fn as_str(self) -> &'static str {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
    )*};
}
names! {
    /// A permission of a tenant's principals: its name.
    Permission
    /// A permission of operators: its name.
    OperatorPermission
}

/// A tenants' permission and the roles that hold it; every other role lacks it.
#[derive(Clone, Copy, Debug)]
pub struct PermissionDef {
    /// Which one.
    pub permission: Permission,
    /// Who holds it: every role that does, each by name. A role above one that holds it has to be among them.
    pub held_by: &'static [BuiltIn],
}

/// An operators' permission and the roles that hold it; every other role lacks it.
#[derive(Clone, Copy, Debug)]
pub struct OperatorPermissionDef {
    /// Which one.
    pub permission: OperatorPermission,
    /// Who holds it: every role that does, each by name. A role above one that holds it has to be among them.
    pub held_by: &'static [BuiltInOperator],
}

/// What one part of a program declares.
#[derive(Clone, Copy, Debug)]
pub struct PermissionList {
    /// The part's name, for messages.
    pub owner: &'static str,
    /// The permissions of tenants' principals.
    pub tenants: &'static [PermissionDef],
    /// The permissions of operators.
    pub operators: &'static [OperatorPermissionDef],
}

/// Declares permissions of tenants' principals, one in a line: a constant for each, and `ALL`, the definitions of all of them
/// in this order.
#[macro_export]
macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, held by [$($holder:ident),*];)*) => {
        $($(#[$doc])* pub const $name: $crate::access::Permission = $crate::access::Permission::new($text);)*

        /// All of these, with the roles that hold them.
        pub const ALL: &[$crate::access::PermissionDef] = &[$($crate::access::PermissionDef {
            permission: $name,
            held_by: &[$($crate::access::BuiltIn::$holder),*],
        }),*];
    };
}

/// Declares permissions of operators in the same way as [`permissions!`](crate::permissions).
#[macro_export]
macro_rules! operator_permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, held by [$($holder:ident),*];)*) => {
        $(
            $(#[$doc])*
            pub const $name: $crate::access::OperatorPermission = $crate::access::OperatorPermission::new($text);
        )*

        /// All of these, with the roles that hold them.
        pub const ALL: &[$crate::access::OperatorPermissionDef] = &[$($crate::access::OperatorPermissionDef {
            permission: $name,
            held_by: &[$($crate::access::BuiltInOperator::$holder),*],
        }),*];
    };
}
