//! Which migrations a schema has, as the ledger keeps it: their ids as an `int4multirange`.
//!
//! Ids without gaps melt into one range, so the value stays as small as one range however many migrations there are, and
//! thousands of tenants have few values between them. diesel knows no such type: it is bound and read as text.

use std::{fmt, ops::Range, str::FromStr};

use crate::engine::error::DbError;

/// A set of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids(Vec<Range<i32>>);

impl Ids {
    pub(crate) fn contains(&self, id: i32) -> bool {
        self.0.iter().any(|range| range.contains(&id))
    }

    /// These and one more.
    pub(super) fn with(&self, id: i32) -> Self {
        self.each().chain([id]).collect()
    }

    /// These but for some.
    pub(super) fn without(&self, some: impl Iterator<Item = i32>) -> Self {
        let some: Self = some.collect();
        self.each().filter(|id| !some.contains(*id)).collect()
    }

    fn each(&self) -> impl Iterator<Item = i32> {
        self.0.iter().cloned().flatten()
    }
}

impl FromIterator<i32> for Ids {
    fn from_iter<T: IntoIterator<Item = i32>>(ids: T) -> Self {
        let mut sorted: Vec<i32> = ids.into_iter().collect();
        sorted.sort_unstable();
        let mut ranges: Vec<Range<i32>> = Vec::new();
        for id in sorted {
            match ranges.last_mut() {
                Some(last) if last.contains(&id) => {}
                Some(last) if last.end == id => last.end = id.saturating_add(1),
                _ => ranges.push(id..id.saturating_add(1)),
            }
        }
        Self(ranges)
    }
}

/// As PostgreSQL writes it.
impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> =
            self.0.iter().map(|Range { start, end }| format!("[{start},{end})")).collect();
        write!(f, "{{{}}}", ranges.join(","))
    }
}

/// Reads what PostgreSQL writes of bounded ranges.
impl FromStr for Ids {
    type Err = DbError;

    fn from_str(text: &str) -> Result<Self, DbError> {
        let unreadable = || DbError::Unreadable(format!("{text} is no set of migrations"));
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(unreadable)?;
        let range = |part: &str| {
            let (start, end) = part.strip_prefix('[')?.split_once(',')?;
            Some(start.parse().ok()?..end.parse().ok()?)
        };
        // Between two ranges is the only comma that follows a parenthesis.
        let parts = inner.split_terminator(')').map(|part| range(part.trim_start_matches(',')));
        parts.collect::<Option<Vec<_>>>().map(Self).ok_or_else(unreadable)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(ids in prop::collection::btree_set(0..100_i32, 0..40)) {
            let set: Ids = ids.iter().copied().collect();
            prop_assert_eq!(&set.to_string().parse::<Ids>().unwrap(), &set);
            let found: BTreeSet<i32> = (0..100).filter(|id| set.contains(*id)).collect();
            prop_assert_eq!(&found, &ids);
            let (with, without) = (set.with(50), set.without([50, 51].into_iter()));
            for id in 0..100 {
                prop_assert_eq!(with.contains(id), ids.contains(&id) || id == 50);
                prop_assert_eq!(without.contains(id), ids.contains(&id) && !(50..52).contains(&id));
            }
        }
    }

    #[test]
    fn it_is_written_as_postgresql_writes_it() {
        let text = |ids: &[i32]| ids.iter().copied().collect::<Ids>().to_string();
        assert_eq!(text(&[]), "{}");
        assert_eq!(text(&[3, 1, 2, 2, 7]), "{[1,4),[7,8)}");
    }

    #[test]
    fn what_is_no_set_of_ids_is_refused() {
        for text in ["", "{", "[1,2)", "{[1,2]}", "{(,)}", "{[1,)}", "{[1,2),(,)}", "{[a,b)}", "{[1,2),}x"] {
            assert!(text.parse::<Ids>().is_err(), "{text}");
        }
    }
}
