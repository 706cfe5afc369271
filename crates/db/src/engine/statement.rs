//! Statements, and which of them a connection has prepared.
//!
//! PostgreSQL analyses a prepared statement anew whenever the `search_path` is another one than the last time, so a
//! statement that tenants share costs about half the throughput. From its third transaction on a connection, a tenant has
//! statements of its own there: the same text, and a comment with its schema's name, by which diesel's cache tells them
//! apart. Each costs the server about 13 kB, so a connection that has many forgets them all.

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
};

use bulkhead_domain::SchemaName;
use diesel::{
    pg::{Pg, PgQueryBuilder},
    query_builder::{AstPass, Query, QueryBuilder as _, QueryFragment, QueryId},
    result::QueryResult,
};

/// After how many transactions on a connection a tenant gets statements of its own: preparing pays off after a few uses.
const SHARED_USES: u8 = 2;

/// Tenants that a connection counts the uses of, at most; then it counts anew.
const COUNTED: usize = 16_384;

/// A statement, marked as a schema's own.
pub(crate) struct Marked<Q> {
    pub(crate) query: Q,
    pub(crate) schema: Option<SchemaName>,
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Marked<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(pass.reborrow())?;
        if let Some(schema) = &self.schema {
            pass.push_sql(" -- ");
            pass.push_sql(schema.as_str());
        }
        Ok(())
    }
}

/// Without an id of its own type, so that diesel's cache goes by the text.
impl<Q> QueryId for Marked<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Marked<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Pg> + QueryId> Marked<Q> {
    /// What tells this statement from every other one on a connection; `None` when diesel prepares it for each use.
    pub(crate) fn key(&self) -> QueryResult<Option<StatementKey>> {
        if !self.query.is_safe_to_cache_prepared(&Pg)? {
            return Ok(None);
        }
        if let Some(id) = Q::query_id() {
            return Ok(Some(StatementKey::Typed(id, self.schema)));
        }
        let mut text = PgQueryBuilder::default();
        self.to_sql(&mut text, &Pg)?;
        Ok(Some(StatementKey::Text(text.finish())))
    }
}

/// Names one statement: by its type where the type tells its text, by the text itself otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StatementKey {
    Typed(TypeId, Option<SchemaName>),
    Text(String),
}

/// What a connection has prepared.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    ready: HashSet<StatementKey>,
    uses: HashMap<SchemaName, u8>,
}

impl Statements {
    /// Counts a tenant's transaction; whether it shall have statements of its own.
    pub(crate) fn count_use(&mut self, schema: SchemaName) -> bool {
        if self.uses.len() >= COUNTED && !self.uses.contains_key(&schema) {
            self.uses.clear();
        }
        let uses = self.uses.entry(schema).or_default();
        *uses = uses.saturating_add(1);
        *uses > SHARED_USES
    }

    /// Whether this very statement has been run here before, and so is prepared.
    pub(crate) fn is_ready(&self, key: &StatementKey) -> bool {
        self.ready.contains(key)
    }

    /// Notes that a statement has been run.
    pub(crate) fn ran(&mut self, key: StatementKey) {
        self.ready.insert(key);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Notes that the connection has forgotten all of them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
