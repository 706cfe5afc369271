//! How much is counted at once.

use std::{fmt, num::NonZeroU64};

/// How much of a meter is counted at once: more than nothing, at most 10¹² of the meter's unit, to the thousandth.
/// `gate.count_usage` and the tables of PostgreSQL ask for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity(NonZeroU64);

impl Quantity {
    /// One of the meter's unit.
    pub const ONE: Self = Self::constant(1_000);

    /// The most that is counted at once.
    pub const MAX: Self = Self::constant(1_000_000_000_000_000);

    const fn constant(thousandths: u64) -> Self {
        match NonZeroU64::new(thousandths) {
            Some(thousandths) => Self(thousandths),
            None => panic!("a quantity is more than 0"),
        }
    }

    /// So many of the meter's unit.
    pub fn whole(units: u64) -> Result<Self, QuantityError> {
        Self::thousandths(units.checked_mul(1_000).ok_or(QuantityError::TooMuch)?)
    }

    /// So many thousandths of the meter's unit, for meters whose quantities are not whole.
    pub fn thousandths(thousandths: u64) -> Result<Self, QuantityError> {
        let quantity = Self(NonZeroU64::new(thousandths).ok_or(QuantityError::Nothing)?);
        if quantity <= Self::MAX { Ok(quantity) } else { Err(QuantityError::TooMuch) }
    }

    /// Both together; [`Self::MAX`] when that is more.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0.get())).min(Self::MAX)
    }

    /// Whether it is so many of the meter's unit, without a part of one.
    pub const fn is_whole(self) -> bool {
        self.0.get().is_multiple_of(1_000)
    }

    /// In thousandths of the meter's unit.
    pub const fn in_thousandths(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, rest) = (self.0.get() / 1_000, self.0.get() % 1_000);
        if rest == 0 { write!(f, "{units}") } else { write!(f, "{units}.{rest:03}") }
    }
}

/// Why something is no quantity; a phrase that follows the quantity's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is nothing.
    #[error("must be more than 0")]
    Nothing,
    /// It is too much.
    #[error("must be at most {}", Quantity::MAX)]
    TooMuch,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whole_is_a_thousand_thousandths(units in any::<u64>()) {
            let thousandths = units.checked_mul(1_000).map(Quantity::thousandths);
            prop_assert_eq!(Quantity::whole(units), thousandths.unwrap_or(Err(QuantityError::TooMuch)));
        }
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        assert_eq!(Quantity::whole(0), Err(QuantityError::Nothing));
        assert_eq!(Quantity::thousandths(1).unwrap().to_string(), "0.001");
        assert_eq!(Quantity::whole(1_000_000_000_000), Ok(Quantity::MAX));
        let refused = Quantity::thousandths(Quantity::MAX.in_thousandths() + 1).unwrap_err();
        assert_eq!(refused.to_string(), "must be at most 1000000000000");
        assert_eq!(Quantity::ONE, Quantity::whole(1).unwrap());
        assert_eq!(Quantity::ONE.saturating_add(Quantity::ONE), Quantity::whole(2).unwrap());
        assert_eq!(Quantity::MAX.saturating_add(Quantity::ONE), Quantity::MAX);
    }
}
