//! Statements, and which of them a connection has prepared.
//!
//! PostgreSQL analyses a prepared statement anew whenever the `search_path` is another one than the last time, so a
//! statement that tenants share costs about half the throughput. From its third transaction on a connection, a tenant has
//! statements of its own there: the same text, and a comment with its schema's name, by which diesel's cache tells them
//! apart. Each costs the server about 13 kB, so a connection that has many forgets them all.
//!
//! A query whose type determines its text is put into words once for each connection, and not for each use.
//!
//! A tenant's transaction also looks at the text of each statement before the connection prepares it, and refuses what
//! is not plain work on rows ([`check_rows_only`]). This guards against mistakes: code that runs inside the process is
//! trusted, and the server would run `SET ROLE` for it.

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use bulkhead_domain::SchemaName;
use diesel::{
    pg::{Pg, PgQueryBuilder},
    query_builder::{AstPass, Query, QueryBuilder as _, QueryFragment, QueryId},
    result::QueryResult,
};

use crate::engine::error::{DbError, DbResult};

/// After how many transactions on a connection a tenant gets statements of its own: preparing pays off after a few uses.
const SHARED_USES: u8 = 2;

/// The number of tenants whose transactions a connection counts, at most. At the next tenant it begins to count anew.
const COUNTED: usize = 16_384;

/// A statement, marked as a schema's own. Public because the bounds of [`crate::TenantTx::load`] name it; only this crate
/// makes one.
#[derive(Debug)]
pub struct Marked<Q> {
    pub(crate) query: Q,
    pub(crate) schema: Option<SchemaName>,
    /// The text of `query`, where it is known.
    pub(crate) text: Option<Arc<str>>,
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Marked<Q> {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(pass.reborrow())?;
        if let Some(schema) = &self.schema {
            pass.push_sql(MARK);
            pass.push_sql(schema.as_str());
        }
        Ok(())
    }

    /// As the walk above writes it, without a walk where the text is known.
    fn to_sql(&self, out: &mut PgQueryBuilder, backend: &Pg) -> QueryResult<()> {
        match &self.text {
            Some(text) => out.push_sql(text),
            None => self.query.to_sql(out, backend)?,
        }
        if let Some(schema) = &self.schema {
            out.push_sql(MARK);
            out.push_sql(schema.as_str());
        }
        Ok(())
    }
}

/// What stands between a statement and its schema's name.
const MARK: &str = " -- ";

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
        self.text().map(|text| Some(StatementKey::Text(text)))
    }

    /// Refuses the statement unless it is work on rows; `key` is what [`Self::key`] has made of it.
    pub(crate) fn check_rows_only(&self, key: Option<&StatementKey>) -> DbResult<()> {
        match key {
            Some(StatementKey::Text(text)) => check_rows_only(text),
            Some(StatementKey::Typed(..)) | None => check_rows_only(&self.text()?),
        }
    }

    /// Names the statement, as [`Self::key`] does, and takes its text from those that are known; a text that is not is added.
    pub(crate) fn name(&mut self, known: &mut Texts) -> QueryResult<Option<StatementKey>> {
        if let Some(id) = Q::query_id()
            && let Some(text) = known.get(&id)
        {
            self.text = Some(Arc::clone(text));
            return Ok(Some(StatementKey::Typed(id, self.schema)));
        }
        let key = self.key()?;
        if let Some(StatementKey::Typed(id, _)) = &key {
            let mut text = PgQueryBuilder::default();
            self.query.to_sql(&mut text, &Pg)?;
            let text: Arc<str> = text.finish().into();
            known.insert(*id, Arc::clone(&text));
            self.text = Some(text);
        }
        Ok(key)
    }

    fn text(&self) -> QueryResult<String> {
        let mut text = PgQueryBuilder::default();
        self.to_sql(&mut text, &Pg)?;
        Ok(text.finish())
    }
}

/// The texts of queries whose types determine them; all of those are safe to be prepared.
pub(crate) type Texts = HashMap<TypeId, Arc<str>>;

/// The first words of statements that work on rows and do nothing else.
const ON_ROWS: [&str; 8] = ["select", "insert", "update", "delete", "merge", "with", "values", "table"];

/// Refuses a statement that could change what the transaction may do: everything but work on rows (`SET`, `RESET`,
/// `COMMIT`, `DO`, `CALL`, `LOCK`, definitions), and any mention of a function that does so from inside a query
/// ([`OUTLIVING`]). The server itself refuses a second statement behind the first, because the extended protocol takes one.
pub(crate) fn check_rows_only(sql: &str) -> DbResult<()> {
    let first = first_word(sql);
    if !ON_ROWS.iter().any(|word| first.eq_ignore_ascii_case(word)) {
        return Err(DbError::Setup(format!("a tenant's transaction does not run `{first}` statements")));
    }
    match OUTLIVING.iter().find(|name| has_word(sql, name)) {
        Some(name) => Err(DbError::Setup(format!("a tenant's transaction does not run `{name}`"))),
        None => Ok(()),
    }
}

/// Functions whose effect outlives the transaction, or changes what the rest of it may do: the settings, and locks that a
/// session holds and COMMIT does not give back.
const OUTLIVING: [&str; 6] = [
    "set_config",
    "pg_settings",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
];

/// Whether a text has this name in it, and not as a part of another one. Case does not matter.
fn has_word(sql: &str, name: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    sql.match_indices(name).any(|(at, found)| {
        let before = sql.get(..at).and_then(|text| text.chars().next_back());
        let behind = sql.get(at + found.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })
}

/// The first word of a statement, behind white space, comments and opening parentheses; empty when something else stands
/// there.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '(');
        let comment_end = if let Some(line) = rest.strip_prefix("--") {
            line.split_once('\n')
        } else if let Some(block) = rest.strip_prefix("/*") {
            // A comment inside a comment ends later for the server than here; what stands there is then refused.
            block.split_once("*/")
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return &rest[..end];
        };
        match comment_end {
            Some((_comment, after)) => rest = after,
            None => return "",
        }
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
    pub(crate) texts: Texts,
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

#[cfg(test)]
mod tests {
    use bulkhead_domain::TenantId;
    use diesel::prelude::*;
    use uuid::Uuid;

    use super::*;

    diesel::table! {
        things (id) { id -> Int4, name -> Text }
    }

    #[test]
    fn a_text_that_is_known_is_what_the_walk_would_write_for_every_value_and_schema() {
        let schema = |n| Some(SchemaName::of(TenantId::from_uuid(Uuid::from_u128(n))));
        let mut known = Texts::new();
        for (id, schema) in [(1, None), (2, schema(1)), (3, schema(2)), (4, None)] {
            let query = || things::table.filter(things::id.eq(id)).select(things::name);
            let mut marked = Marked { query: query(), schema, text: None };
            let key = marked.name(&mut known).unwrap();
            let walked = Marked { query: query(), schema, text: None };
            assert_eq!((&key, marked.text().unwrap()), (&walked.key().unwrap(), walked.text().unwrap()));
            assert!(marked.text.is_some() && matches!(key, Some(StatementKey::Typed(_, of)) if of == schema));
        }
        assert_eq!(known.len(), 1);
        let mut other = Marked { query: things::table.select(things::id), schema: None, text: None };
        let walked = other.text().unwrap();
        other.name(&mut known).unwrap();
        assert_eq!(other.text.as_deref(), Some(walked.as_str()), "each query has its own");
        assert_eq!(known.len(), 2);
        // A list of values makes another text for each length, which no type tells.
        for ids in [vec![1], vec![1, 2]] {
            let query = diesel::sql_query(format!("SELECT name FROM things WHERE id IN ({ids:?})"));
            let mut marked = Marked { query, schema: None, text: None };
            let key = marked.name(&mut known).unwrap();
            assert!(marked.text.is_none() && !matches!(key, Some(StatementKey::Typed(..))));
        }
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn work_on_rows_passes() {
        for sql in [
            "SELECT 1",
            "  select 1 -- t_0",
            "-- a comment\n/* and another */ (SELECT 1) UNION (SELECT 2)",
            "INSERT INTO a VALUES (1)",
            "WITH old AS (DELETE FROM a RETURNING id) SELECT id FROM old",
            "UPDATE a SET role = 'b'",
            "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
            "VALUES (1)",
            "TABLE a",
            "SELECT * FROM dataset_config",
            "SELECT reset_configs FROM a",
            "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2)",
        ] {
            assert!(check_rows_only(sql).is_ok(), "{sql}");
        }
    }

    #[test]
    fn what_changes_the_transaction_is_refused() {
        for sql in [
            "SET ROLE postgres",
            "set local search_path = t_b",
            "RESET ROLE",
            "COMMIT",
            "ROLLBACK",
            "BEGIN",
            "SAVEPOINT a",
            "DO $$ BEGIN SET ROLE postgres; END $$",
            "CALL a()",
            "LOCK TABLE a",
            "CREATE TABLE a ()",
            "COPY a TO STDOUT",
            "EXECUTE a",
            "/* select */ SET ROLE postgres",
            "-- select\nSET ROLE postgres",
            "/* /* */ */ SELECT 1",
            "SELECT set_config('role', 'postgres', false)",
            "SELECT pg_catalog.\"set_config\"('role', 'postgres', false)",
            "SELECT SET_CONFIG('role', 'postgres', false)",
            "SELECT 1,set_config('role', 'postgres', false)",
            "UPDATE pg_settings SET setting = 'postgres' WHERE name = 'role'",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_lock_shared(1)",
            "; SELECT 1",
            "/* SELECT 1",
            "--",
            "",
        ] {
            assert!(matches!(check_rows_only(sql), Err(DbError::Setup(_))), "{sql}");
        }
    }
}
