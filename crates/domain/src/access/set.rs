//! Sets of permissions, as the numbers that a registry has given them.

/// The number of a permission in the registry that gave it. It means nothing in another registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionBit(u8);

impl PermissionBit {
    /// How many there are.
    pub const COUNT: usize = 256;

    pub(super) const fn new(number: u8) -> Self {
        Self(number)
    }

    const fn mask(self) -> u64 {
        1 << (self.0 & 63)
    }
}

/// Permissions of one registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PermissionSet([u64; 4]);

impl PermissionSet {
    /// No permission.
    pub const EMPTY: Self = Self([0; 4]);

    /// Whether a permission is in it.
    pub const fn contains(self, bit: PermissionBit) -> bool {
        let Self([a, b, c, d]) = self;
        let word = match bit.0 >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        word & bit.mask() != 0
    }

    /// The set with one more permission.
    #[must_use]
    pub const fn with(self, bit: PermissionBit) -> Self {
        let (Self([a, b, c, d]), mask) = (self, bit.mask());
        Self(match bit.0 >> 6 {
            0 => [a | mask, b, c, d],
            1 => [a, b | mask, c, d],
            2 => [a, b, c | mask, d],
            _ => [a, b, c, d | mask],
        })
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        let Self([a, b, c, d]) = self;
        a | b | c | d == 0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let (Self([a, b, c, d]), Self([e, f, g, h])) = (self, other);
        Self([a & e, b & f, c & g, d & h])
    }

    /// Whether everything in `other` is in this set.
    pub const fn is_superset(self, other: Self) -> bool {
        let (Self([a, b, c, d]), Self([e, f, g, h])) = (self, other);
        (e & !a) | (f & !b) | (g & !c) | (h & !d) == 0
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        let (Self([a, b, c, d]), Self([e, f, g, h])) = (self, other);
        Self([a & !e, b & !f, c & !g, d & !h])
    }
}
