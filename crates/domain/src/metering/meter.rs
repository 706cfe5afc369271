//! Meters: what is counted for billing, under names that programs declare.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use crate::text::TextError;

/// The longest name of a meter, in bytes.
const MAX_NAME: usize = 63;

/// The longest unit, in bytes.
const MAX_UNIT: usize = 32;

/// Whether a text has the form of a meter's name: a lower-case letter, then lower-case letters, digits and underscores,
/// 63 in all at most. `gate.count_usage` and the tables of PostgreSQL ask for the same.
const fn is_name(name: &str) -> bool {
    begins_and_goes_on(name.as_bytes(), MAX_NAME, b'_')
}

/// Whether a text is a unit: a lower-case letter, then lower-case letters, digits and hyphens, 32 in all at most.
const fn is_unit(unit: &str) -> bool {
    begins_and_goes_on(unit.as_bytes(), MAX_UNIT, b'-')
}

const fn begins_and_goes_on(bytes: &[u8], most: usize, joint: u8) -> bool {
    let mut rest = match bytes {
        [b'a'..=b'z', rest @ ..] if bytes.len() <= most => rest,
        _ => return false,
    };
    while let [byte, behind @ ..] = rest {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9') && *byte != joint {
            return false;
        }
        rest = behind;
    }
    true
}

/// The name of a meter that this program declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeterName(&'static str);

impl MeterName {
    /// A name: a lower-case letter, then lower-case letters, digits and underscores, 63 in all at most. In a constant
    /// another text does not compile.
    ///
    /// # Panics
    ///
    /// When the text is no name of a meter.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name), "a meter's name is a to z, then a to z, 0 to 9 and _, at most 63 in all");
        Self(name)
    }

    /// The word the database and the API use.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for MeterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The name of a meter that may be another program's: of a meter's form, whether or not this program has declared it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeterText(Cow<'static, str>);

impl MeterText {
    /// The word the database and the API use.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<MeterName> for MeterText {
    fn from(name: MeterName) -> Self {
        Self(Cow::Borrowed(name.0))
    }
}

impl FromStr for MeterText {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if is_name(text) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(TextError::new(
                "must be a meter's name: a to z, then a to z, 0 to 9 and _, at most 63 in all",
            ))
        }
    }
}

impl fmt::Display for MeterText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a meter's quantities are. Either kind adds up, from minutes to the months that are billed: a level that does not
/// (seats in use, bytes stored) is counted as what it comes to over time (seat-days, byte-hours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterKind {
    /// Whole things: requests, invoices.
    Count,
    /// What is measured, to the thousandth of its unit: milliseconds, byte-hours.
    Amount,
}

impl MeterKind {
    /// The word the database uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Amount => "amount",
        }
    }
}

/// A meter as its program declares it; [`meters!`](crate::meters) makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterDef {
    name: MeterName,
    unit: &'static str,
    kind: MeterKind,
}

impl MeterDef {
    /// A meter whose quantities are given in this unit, in the singular: a lower-case letter, then lower-case letters, digits
    /// and hyphens, 32 in all at most. In a constant another text does not compile.
    ///
    /// # Panics
    ///
    /// When the text is no unit.
    #[must_use]
    pub const fn new(name: MeterName, unit: &'static str, kind: MeterKind) -> Self {
        assert!(is_unit(unit), "a meter's unit is a to z, then a to z, 0 to 9 and -, at most 32 in all");
        Self { name, unit, kind }
    }

    /// What it is called.
    pub const fn name(&self) -> MeterName {
        self.name
    }

    /// The unit its quantities are given in, in the singular.
    pub const fn unit(&self) -> &'static str {
        self.unit
    }

    /// What its quantities are.
    pub const fn kind(&self) -> MeterKind {
        self.kind
    }
}

/// Declares meters: a constant with the name of each, and `METERS`, the list of all of them, for the crate's own use. A meter is
/// one line: the constant, with its visibility, its name, its unit, and [`Amount`](crate::metering::MeterKind::Amount) where
/// its quantities are not whole.
///
/// ```
/// bulkhead_domain::meters! {
///     /// Invoices that were sent to customers.
///     INVOICES_SENT = "invoices_sent", "invoice";
///     /// Time that was spent on drawing.
///     DRAWING_MS = "drawing_ms", "millisecond", Amount;
/// }
/// assert_eq!(INVOICES_SENT.as_str(), "invoices_sent");
/// assert_eq!(METERS.len(), 2);
/// ```
///
/// A misspelt name does not compile:
///
/// ```compile_fail
/// bulkhead_domain::meters! {
///     /// Invoices that were sent to customers.
///     INVOICES_SENT = "invoices-sent", "invoice";
/// }
/// ```
#[macro_export]
macro_rules! meters {
    ($($(#[$doc:meta])* $vis:vis $constant:ident = $name:literal, $unit:literal $(, $kind:ident)?;)+) => {
        $(
            $(#[$doc])*
            $vis const $constant: $crate::metering::MeterName = $crate::metering::MeterName::new($name);
        )+
        /// Every meter that is declared here.
        pub(crate) const METERS: &[$crate::metering::MeterDef] =
            &[$($crate::metering::MeterDef::new($constant, $unit, $crate::meters!(@kind $($kind)?))),+];
    };
    (@kind) => { $crate::metering::MeterKind::Count };
    (@kind $kind:ident) => { $crate::metering::MeterKind::$kind };
}

/// What every request is counted by.
pub mod requests {
    crate::meters! {
        /// Billable requests: authenticated, admitted and answered with a status below 500, save 401, 403, 429 and
        /// unknown routes. A replay of an idempotent request counts.
        pub API_REQUESTS = "api_requests", "request";
        /// Wall-clock time spent on billable requests, from admission to the finished response, without the time in which a
        /// request waits: for its body, or for large requests of the same tenant.
        pub COMPUTE_MS = "compute_ms", "millisecond", Amount;
        /// Bytes of request bodies.
        pub INGRESS_BYTES = "ingress_bytes", "byte";
        /// Bytes of response bodies.
        pub EGRESS_BYTES = "egress_bytes", "byte";
    }
}

/// Two parts of a program declare one meter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the meter {name} is declared by {first} and by {second}")]
pub struct MeterConflict {
    name: MeterName,
    first: &'static str,
    second: &'static str,
}

/// Every meter that a program declares. A meter that is not in it is no error: another release, or a part that was taken out,
/// may have counted it. Clones share the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterRegistry {
    meters: Arc<[MeterDef]>,
}

impl MeterRegistry {
    /// The core's meters, then those that parts of the program declare, each under the part's name. Fails when one meter is
    /// declared twice.
    pub fn new(
        declared: impl IntoIterator<Item = (&'static str, &'static [MeterDef])>,
    ) -> Result<Self, MeterConflict> {
        let mut meters: Vec<(&'static str, MeterDef)> = Vec::new();
        for (part, list) in std::iter::once(("core", requests::METERS)).chain(declared) {
            for meter in list {
                if let Some((first, _)) = meters.iter().find(|(_, known)| known.name == meter.name) {
                    return Err(MeterConflict { name: meter.name, first, second: part });
                }
                meters.push((part, *meter));
            }
        }
        Ok(Self { meters: meters.into_iter().map(|(_, meter)| meter).collect() })
    }

    /// The core's meters alone.
    pub fn core() -> Self {
        Self { meters: requests::METERS.into() }
    }

    /// Every meter, in the order in which they were declared.
    pub fn all(&self) -> &[MeterDef] {
        &self.meters
    }

    /// The meter of this name.
    pub fn find(&self, name: &str) -> Option<&MeterDef> {
        self.meters.iter().find(|meter| meter.name.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    mod sending {
        crate::meters! {
            /// Invoices.
            pub(super) SENT = "invoices_sent", "invoice";
            /// Paper.
            pub(super) PAPER = "paper_used", "square-metre", Amount;
        }
    }

    mod printing {
        crate::meters! {
            /// Pages.
            pub(super) PAGES = "pages_printed", "page";
            /// The same name as the other's.
            pub(super) PAPER = "paper_used", "sheet";
        }
    }

    proptest! {
        #[test]
        fn a_meters_name_is_what_its_form_says(text in "[a-z0-9_A-Z.-]{0,5}|[a-z]{60,66}|\\PC{0,4}") {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let is_one =
                text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(inner) && text.len() <= 63;
            prop_assert_eq!(text.parse::<MeterText>().is_ok(), is_one);
            prop_assert_eq!(is_name(&text), is_one);
        }
    }

    #[test]
    fn a_unit_is_a_word() {
        for unit in ["byte", "byte-hour", "b2"] {
            assert!(is_unit(unit), "{unit}");
        }
        for bad in ["", "=1+1", "Byte", "1b", "a b", "a_b", "a,b", "é", &"a".repeat(33)] {
            assert!(!is_unit(bad), "{bad}");
        }
    }

    #[test]
    fn a_registry_has_the_cores_meters_first_and_each_once() {
        let registry = MeterRegistry::new([("sending", sending::METERS)]).unwrap();
        let names: Vec<&str> = registry.all().iter().map(|meter| meter.name().as_str()).collect();
        assert_eq!(
            names,
            ["api_requests", "compute_ms", "ingress_bytes", "egress_bytes", "invoices_sent", "paper_used"]
        );
        let paper = registry.find("paper_used").unwrap();
        assert_eq!((paper.unit(), paper.kind()), ("square-metre", MeterKind::Amount));
        assert_eq!(registry.find(sending::SENT.as_str()).unwrap().kind(), MeterKind::Count);
        assert_eq!(registry.find("pages_printed"), None);
        assert_eq!(MeterRegistry::new([]).unwrap(), MeterRegistry::core());
    }

    #[test]
    fn one_meter_of_two_parts_is_refused_in_one_line() {
        let refused = |declared: [(&'static str, &'static [MeterDef]); 2]| {
            MeterRegistry::new(declared).unwrap_err().to_string()
        };
        assert_eq!(
            refused([("sending", sending::METERS), ("printing", printing::METERS)]),
            "the meter paper_used is declared by sending and by printing"
        );
        assert_eq!(
            refused([("printing", printing::METERS), ("again", requests::METERS)]),
            "the meter api_requests is declared by core and by again"
        );
        assert_eq!(
            refused([("sending", sending::METERS), ("sending", sending::METERS)]),
            "the meter invoices_sent is declared by sending and by sending"
        );
    }
}
