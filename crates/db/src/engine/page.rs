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

use diesel::{
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{BigInt, Nullable, SqlType, is_nullable::NotNull},
};
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
    /// How many rows a query for this page asks for: one more than wanted, for whether it exists tells if there is another
    /// page.
    pub fn probe(self) -> i64 {
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
    /// The page in the rows of a query that has asked for [`PageRequest::probe`] of them.
    pub fn cut(mut rows: Vec<T>, request: PageRequest) -> Self {
        let limit = usize::from(request.limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { rows, more }
    }

    /// The same for rows that a query has read with [`within_page`]: those whose content it left out come as `None`.
    pub fn cut_by_bytes(rows: Vec<Option<T>>, request: PageRequest) -> Self {
        let found = rows.len();
        let within: Vec<T> = rows.into_iter().map_while(|row| row).collect();
        let is_over = within.len() < found;
        let page = Self::cut(within, request);
        Self { more: page.more || is_over, ..page }
    }
}

/// A column of large content in a list: SQL that yields it while the rows before it, in the order of `id`, have less than
/// [`PAGE_BYTES`] together, and `NULL` from then on. `bytes` is a column with the content's size, so no content is read to
/// be measured. The query is ordered by `id`, and its rows are cut with [`Page::cut_by_bytes`].
pub const fn within_page<Id, Bytes, Content>(
    id: Id,
    bytes: Bytes,
    content: Content,
) -> WithinPage<Id, Bytes, Content> {
    WithinPage { id, bytes, content }
}

/// What [`within_page`] makes. Not written with `diesel::dsl::sql`, which keeps a statement from being prepared once for all
/// its uses.
#[derive(Clone, Copy, Debug, QueryId)]
pub struct WithinPage<Id, Bytes, Content> {
    id: Id,
    bytes: Bytes,
    content: Content,
}

impl<Id, Bytes, Content> Expression for WithinPage<Id, Bytes, Content>
where
    Id: Expression,
    Bytes: Expression,
    Content: Expression,
    Content::SqlType: SqlType<IsNull = NotNull>,
    Nullable<Content::SqlType>: diesel::expression::TypedExpressionType,
{
    type SqlType = Nullable<Content::SqlType>;
}

impl<Id, Bytes, Content> QueryFragment<Pg> for WithinPage<Id, Bytes, Content>
where
    Id: QueryFragment<Pg>,
    Bytes: QueryFragment<Pg>,
    Content: QueryFragment<Pg>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        pass.push_sql("CASE WHEN sum(");
        self.bytes.walk_ast(pass.reborrow())?;
        pass.push_sql(") OVER (ORDER BY ");
        self.id.walk_ast(pass.reborrow())?;
        pass.push_sql(" ROWS UNBOUNDED PRECEDING) - ");
        self.bytes.walk_ast(pass.reborrow())?;
        pass.push_sql(" < ");
        pass.push_bind_param::<BigInt, _>(&const { PAGE_BYTES as i64 })?;
        pass.push_sql(" THEN ");
        self.content.walk_ast(pass.reborrow())?;
        pass.push_sql(" END");
        Ok(())
    }
}

impl<From, Id, Bytes, Content> SelectableExpression<From> for WithinPage<Id, Bytes, Content>
where
    Self: AppearsOnTable<From>,
    Id: SelectableExpression<From>,
    Bytes: SelectableExpression<From>,
    Content: SelectableExpression<From>,
{
}

impl<From, Id, Bytes, Content> AppearsOnTable<From> for WithinPage<Id, Bytes, Content>
where
    Self: Expression,
    Id: AppearsOnTable<From>,
    Bytes: AppearsOnTable<From>,
    Content: AppearsOnTable<From>,
{
}

impl<Id, Bytes, Content> ValidGrouping<()> for WithinPage<Id, Bytes, Content> {
    type IsAggregate = is_aggregate::No;
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;

    use super::*;

    diesel::table! {
        notes (id) {
            id -> Uuid,
            body_bytes -> Int4,
            body -> Text,
        }
    }

    #[test]
    fn content_is_read_until_the_page_is_full() {
        let query = notes::table.select((notes::id, within_page(notes::id, notes::body_bytes, notes::body)));
        let sql = diesel::debug_query::<Pg, _>(&query).to_string();
        assert_eq!(
            sql,
            "SELECT \"notes\".\"id\", CASE WHEN sum(\"notes\".\"body_bytes\") OVER (ORDER BY \"notes\".\"id\" ROWS \
             UNBOUNDED PRECEDING) - \"notes\".\"body_bytes\" < $1 THEN \"notes\".\"body\" END FROM \"notes\" -- binds: \
             [1048576]"
        );
    }

    #[test]
    fn a_page_ends_where_content_was_left_out() {
        let request = PageRequest { after: None, limit: 3 };
        let cut = |rows: &[Option<u8>]| {
            let page = Page::cut_by_bytes(rows.to_vec(), request);
            (page.rows, page.more)
        };
        assert_eq!(cut(&[Some(1), Some(2)]), (vec![1, 2], false));
        assert_eq!(cut(&[Some(1), None, None]), (vec![1], true));
        assert_eq!(cut(&[Some(1), Some(2), Some(3), Some(4)]), (vec![1, 2, 3], true));
    }
}
