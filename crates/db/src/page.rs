//! Keyset pagination: a page is what comes after the last id of the page before. No offsets, so a page costs the same
//! however deep it lies, and rows that come or go in between are neither shown twice nor skipped.

use uuid::Uuid;

/// Which page is wanted.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// The last id of the page before; `None` for the first page.
    pub after: Option<Uuid>,
    /// How many rows at most; the caller has checked it against the bounds of the API.
    pub limit: u16,
}

impl PageRequest {
    /// One more row than wanted: whether it exists tells if there is another page.
    pub(crate) fn probe(self) -> i64 {
        i64::from(self.limit) + 1
    }
}

/// A page of rows.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// Whether more rows follow.
    pub more: bool,
}

impl<T> Page<T> {
    /// Cuts the probe's extra row off.
    pub(crate) fn cut(mut rows: Vec<T>, request: PageRequest) -> Self {
        let limit = usize::from(request.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, more }
    }
}
