//! Keyset pagination: a page is what comes after the last id of the page before. No offsets, so a page costs the same
//! however deep it lies.
//!
//! What this promises: a row that is there when the first page is read, and is not removed before its place comes, is
//! shown exactly once, whatever comes and goes in between. What it does not: ids are minted before the row is
//! committed, so the order of ids is not the order in which rows appear. A row that is being written while pages are
//! read may appear before the place where the reader is, and is then not shown. So a client that follows a list from
//! the last id it has seen may miss rows, and has to go back by as long as a write may take
//! (`crates/api/src/http/openapi.md` says how). Rejected: ids from a sequence (the same, for it is not transactional
//! either), and the order of commits as a column of each table: one more index on each write, and pages that end at
//! the oldest transaction still running, which one slow tenant holds up.

use uuid::Uuid;

/// How many bytes the rows of a page may have before its last row, in lists whose rows can be large: the row that goes over
/// this ends the page. So a page has at least one row, and at most this much and one row.
pub const PAGE_BYTES: u32 = 1 << 20;

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

    /// The same for rows of which the last ones may be over [`PAGE_BYTES`]: those come as `None`.
    pub(crate) fn cut_by_bytes(rows: Vec<Option<T>>, request: PageRequest) -> Self {
        let found = rows.len();
        let within: Vec<T> = rows.into_iter().map_while(|row| row).collect();
        let is_over = within.len() < found;
        let page = Self::cut(within, request);
        Self { more: page.more || is_over, ..page }
    }
}
