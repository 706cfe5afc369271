//! The rules for migrations of a tenant's schema.
//!
//! A migration runs once for each tenant, with that tenant's schema as the only one in the path, beside others of the same
//! transaction, and while programs of two releases serve. So it names nothing outside of that schema, does not touch the
//! transaction or the session, makes nothing that is shared or cached by name, and takes nothing away that the release before
//! still reads.

use std::collections::BTreeSet;

use crate::{
    Complaint,
    relations::{actions, changed, created, granted, is_relation, tables, word},
    tokens::{Statement, Token, Word, statements},
};

/// Whether SQL takes a step or takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It takes the step.
    Up,
    /// It takes the step back.
    Down,
}

/// The first line of a migration that takes something away says since when nothing reads it.
const CONTRACT: &str = "-- contract: ";

/// What a statement may begin with.
const STATEMENTS: [&[&str]; 21] = [
    &["create", "table"],
    &["create", "index"],
    &["create", "unique", "index"],
    &["create", "sequence"],
    &["create", "view"],
    &["alter", "table"],
    &["alter", "index"],
    &["alter", "sequence"],
    &["alter", "view"],
    &["drop", "table"],
    &["drop", "index"],
    &["drop", "sequence"],
    &["drop", "view"],
    &["comment", "on"],
    &["grant"],
    &["revoke"],
    &["insert"],
    &["update"],
    &["delete"],
    &["with"],
    &["select"],
];

/// Schemas that are not the tenant's. What begins with `x_` is an extension's on the platform's side.
const SCHEMAS: [&str; 7] =
    ["platform", "gate", "public", "pg_catalog", "pg_temp", "information_schema", "tenant_roles"];

/// Functions that change the session, or read SQL or names from text.
const FUNCTIONS: [&str; 6] =
    ["set_config", "dblink", "query_to_xml", "pg_notify", "pg_advisory_lock", "pg_terminate_backend"];

/// The tables that SQL makes, in the order in which it does. SQL that cannot be read makes none; [`judge`] refuses it.
pub fn tables_created(sql: &str) -> Vec<String> {
    tables(&statements(sql).unwrap_or_default()).into_iter().map(|(_, name)| name).collect()
}

/// The tables, views, indexes and sequences that SQL makes by their names.
pub fn relations_created(sql: &str) -> BTreeSet<String> {
    statements(sql).unwrap_or_default().iter().filter_map(created).map(|(_, name)| name).collect()
}

/// What is wrong with a migration of a tenant's schema, in a set whose earlier migrations have made the relations `own`.
pub fn judge(sql: &str, direction: Direction, own: &BTreeSet<String>) -> Vec<Complaint> {
    let statements = match statements(sql) {
        Ok(statements) => statements,
        Err(complaint) => return vec![complaint],
    };
    let mut own = own.clone();
    own.extend(relations_created(sql));
    let mut found = Vec::new();
    for statement in &statements {
        found.extend(kind(statement));
        found.extend(names(statement));
        found.extend(grantees(statement));
        found.extend(strangers(statement, &own));
        if direction == Direction::Up && !sql.starts_with(CONTRACT) {
            found.extend(contracts(statement));
        }
    }
    if direction == Direction::Up {
        found.extend(without_grant(&statements));
    }
    found
}

/// Refuses a statement of a kind that a migration may not contain.
fn kind(statement: &Statement) -> Option<Complaint> {
    let first = statement.first()?;
    let begins = |words: &&[&str]| {
        words.len() <= statement.len() && words.iter().zip(statement).all(|(word, token)| token.is(word))
    };
    if STATEMENTS.iter().any(begins) {
        return None;
    }
    let words = statement.iter().take(2).filter_map(Token::name).collect::<Vec<_>>().join(" ");
    Some(Complaint::new(first.line, format!("a migration has no statement that begins with {words}")))
}

/// Names outside of the schema, and words that a migration may not use anywhere.
fn names(statement: &Statement) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (at, token) in statement.iter().enumerate() {
        let behind = |steps: usize| statement.get(at + steps);
        if token.is("concurrently") {
            found.push(Complaint::new(token.line, "concurrently needs a transaction of its own"));
        }
        if let Word::Text(text) = &token.word {
            let schema = text.split_once('.').map_or("", |(schema, _)| schema).to_lowercase();
            if is_schema(&schema) {
                found.push(Complaint::new(token.line, format!("'{text}' names the schema {schema}")));
            }
        }
        let Some(name) = token.name() else { continue };
        let called = behind(1).is_some_and(|next| next.is_symbol('('));
        if called && FUNCTIONS.contains(&name) {
            found.push(Complaint::new(token.line, format!("a migration does not call {name}")));
        }
        let Some(member) = behind(2).filter(|_| behind(1).is_some_and(|dot| dot.is_symbol('.'))) else {
            continue;
        };
        let is_call = behind(3).is_some_and(|next| next.is_symbol('('));
        if is_schema(name) || is_call || is_relation(statement, at) {
            let member = member.name().unwrap_or("*");
            found.push(Complaint::new(token.line, format!("{name}.{member} is qualified with a schema")));
        }
    }
    found
}

pub(crate) fn is_schema(name: &str) -> bool {
    SCHEMAS.contains(&name) || name.starts_with("x_") || name.starts_with("t_") && name.len() == 28
}

/// Tables and other relations of other sets that it changes. To refer to them is allowed, in a foreign key and in a query.
fn strangers(statement: &Statement, own: &BTreeSet<String>) -> Vec<Complaint> {
    let strangers = changed(statement).into_iter().filter(|(_, name)| !own.contains(name));
    // PostgreSQL names the sequence of a column by its table.
    let is_of_a_column = |name: &str| {
        name.ends_with("_seq")
            && own
                .iter()
                .any(|table| name.strip_prefix(table.as_str()).is_some_and(|rest| rest.starts_with('_')))
    };
    strangers
        .filter(|(_, name)| !is_of_a_column(name))
        .map(|(line, name)| Complaint::new(line, format!("{name} is not of this set")))
        .collect()
}

/// A right is given to the tenant's role, on relations by their names, and nowhere else.
fn grantees(statement: &Statement) -> Option<Complaint> {
    let first = statement.first().filter(|first| first.is("grant") || first.is("revoke"))?;
    let word = if first.is("grant") { "to" } else { "from" };
    let is_list = granted(statement).is_some_and(|names| !names.is_empty());
    let mut whom =
        statement.iter().rev().take_while(|token| !token.is(word)).filter(|token| !token.is_symbol(','));
    let is_tenant = whom.next().is_some_and(|token| token.word == Word::Tenant) && whom.next().is_none();
    let why = "a migration grants rights on relations by their names, and to :\"tenant\" alone";
    (!(is_list && is_tenant)).then(|| Complaint::new(first.line, why))
}

/// What this statement takes away although the release before may still read it.
fn contracts(statement: &Statement) -> Vec<Complaint> {
    let complain = |token: &Token, takes: &str| {
        let why = format!(
            "it {takes} while programs of two releases run; the first line of a migration that may is {CONTRACT}after <version>"
        );
        Complaint::new(token.line, why)
    };
    let Some(first) = statement.first() else { return Vec::new() };
    let takes = match (word(statement, 0), word(statement, 1)) {
        ("drop", "table") => "drops a table",
        ("drop", "view") => "drops a view",
        ("alter", _) => {
            let each = actions(statement).into_iter();
            return each.filter_map(|action| Some(complain(action.first()?, taken(action)?))).collect();
        }
        _ => return Vec::new(),
    };
    vec![complain(first, takes)]
}

/// What one action of an ALTER takes away.
fn taken(action: &[Token]) -> Option<&'static str> {
    let is_column = usize::from(word(action, 1) == "column");
    match word(action, 0) {
        "drop" if word(action, 1) != "constraint" => Some("drops a column"),
        "rename" => Some("renames something"),
        // Behind the name of the column.
        "alter" => {
            match (word(action, 2 + is_column), word(action, 3 + is_column), word(action, 4 + is_column)) {
                ("type", ..) | ("set", "data", "type") => Some("changes the type of a column"),
                _ => None,
            }
        }
        "set" if word(action, 1) == "schema" => Some("moves something"),
        _ => None,
    }
}

/// Tables that the tenant's role could not use.
fn without_grant(statements: &[Statement]) -> Vec<Complaint> {
    let is_granted = |name: &str| {
        statements.iter().any(|statement| {
            statement.first().is_some_and(|first| first.is("grant"))
                && granted(statement).is_some_and(|names| names.iter().any(|(_, granted)| granted == name))
                && statement.iter().any(|token| token.word == Word::Tenant)
        })
    };
    let made = tables(statements).into_iter().filter(|(_, name)| !is_granted(name));
    made.map(|(line, name)| Complaint::new(line, format!("{name} is not granted to :\"tenant\""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> BTreeSet<String> {
        ["mine"].map(str::to_owned).into()
    }

    fn complaints(sql: &str) -> Vec<String> {
        judge(sql, Direction::Up, &own()).into_iter().map(|complaint| complaint.why).collect()
    }

    #[test]
    fn what_a_migration_is_made_of_is_accepted() {
        for sql in [
            "CREATE TABLE notes (id uuid PRIMARY KEY, committed_at timestamptz, user_id uuid REFERENCES users (id) ON DELETE CASCADE);
             CREATE INDEX notes_user ON notes (user_id); GRANT SELECT, INSERT ON notes TO :\"tenant\"; COMMENT ON TABLE notes IS 'commit; rollback'",
            "CREATE TABLE IF NOT EXISTS a (x int DEFAULT 1.5); GRANT SELECT ON a TO :\"tenant\"",
            "ALTER TABLE mine ADD COLUMN colour text CHECK (colour IN ('a.b', 'c'));",
            "UPDATE mine SET x = t.y FROM other AS t WHERE t.id = mine.id",
            "INSERT INTO mine SELECT m.x FROM mine m JOIN other o ON o.id = m.id",
            "DELETE FROM ONLY mine WHERE x = 'platform of mine'",
            "CREATE UNIQUE INDEX mine_x ON mine (lower(x)) WHERE x <> ''; ALTER TABLE mine ALTER COLUMN x SET NOT NULL",
            "-- contract: after 0.2.0\nALTER TABLE mine DROP COLUMN x; ALTER TABLE mine RENAME y TO z",
            "/* SET search_path = platform; */ SELECT 1 -- COMMIT",
            "UPDATE mine SET x = 1 FROM other b WHERE mine.x IS DISTINCT FROM b.x AND mine.y IS NOT DISTINCT FROM b.y",
            "UPDATE mine AS m SET x = extract(year FROM m.x), y = substring(m.y FROM m.z), z = trim(both ' ' FROM m.z)",
            "CREATE VIEW both_of AS SELECT m.x FROM mine m JOIN other o ON o.id = m.id; GRANT SELECT ON both_of TO :\"tenant\"",
            "CREATE TABLE a (type text, rename text, column_type int); GRANT SELECT ON TABLE a TO :\"tenant\"",
            "ALTER TABLE mine ADD COLUMN type text, ADD COLUMN rename text, ALTER COLUMN type SET NOT NULL, ALTER type DROP DEFAULT",
            "ALTER TABLE mine DROP CONSTRAINT mine_x_check, ADD CHECK (x IN (1, 2))",
            "CREATE SEQUENCE numbers; ALTER SEQUENCE numbers RESTART; DROP SEQUENCE numbers; ALTER SEQUENCE mine_id_seq RESTART",
            "CREATE INDEX mine_y ON mine (y); DROP INDEX IF EXISTS mine_y",
            "WITH old AS (DELETE FROM mine RETURNING *) INSERT INTO mine SELECT * FROM old ON CONFLICT (id) DO UPDATE SET x = 1",
            "WITH locked AS (SELECT * FROM other o FOR UPDATE OF o) SELECT * FROM locked FOR NO KEY UPDATE",
            "REVOKE INSERT ON mine FROM :\"tenant\"",
        ] {
            assert_eq!(complaints(sql), [""; 0], "{sql}");
        }
    }

    fn is_refused(sql: &str, why: &str) {
        let found = complaints(sql);
        assert!(found.iter().any(|found| found.contains(why)), "{sql}: {found:?}");
    }

    #[test]
    fn what_a_migration_may_not_do_is_refused() {
        for (sql, why) in [
            ("COMMIT", "begins with commit"),
            ("select 1; rollback", "begins with rollback"),
            ("SET search_path = a", "begins with set search_path"),
            ("RESET ROLE", "begins with reset role"),
            ("DO $$ BEGIN END $$", "begins with do"),
            ("CREATE TYPE a AS ENUM ('b')", "begins with create type"),
            ("CREATE SCHEMA a", "begins with create schema"),
            ("CREATE TEMP TABLE a ()", "begins with create temp"),
            ("CREATE FUNCTION a() RETURNS int LANGUAGE sql AS 'SELECT 1'", "begins with create function"),
            ("DROP OWNED BY a", "begins with drop owned"),
            ("TRUNCATE mine", "begins with truncate"),
            ("CREATE INDEX CONCURRENTLY a ON mine (x)", "concurrently"),
            ("SELECT * FROM platform.tenants", "platform.tenants is qualified"),
            ("SELECT * FROM other.things", "other.things is qualified"),
            ("SELECT * FROM mine JOIN ONLY other.things ON true", "other.things is qualified"),
            ("SELECT gate.tenant()", "gate.tenant is qualified"),
            ("SELECT other.f(1)", "other.f is qualified"),
            ("SELECT \"platform\".x", "platform.x is qualified"),
            (
                "ALTER TABLE mine ADD COLUMN y uuid REFERENCES platform.tenants",
                "platform.tenants is qualified",
            ),
            ("SELECT 'platform.tenants'::regclass", "'platform.tenants' names the schema platform"),
            ("SELECT nextval('X_notes.numbers')", "names the schema x_notes"),
            ("SELECT set_config('role', 'x', true)", "does not call set_config"),
        ] {
            is_refused(sql, why);
        }
    }

    #[test]
    fn what_is_of_other_sets_is_not_changed() {
        for (sql, why) in [
            ("ALTER TABLE theirs ADD COLUMN x int", "theirs is not of this set"),
            ("ALTER TABLE IF EXISTS theirs ADD COLUMN x int", "theirs is not of this set"),
            ("DROP TABLE theirs", "theirs is not of this set"),
            ("CREATE INDEX a ON theirs (x)", "theirs is not of this set"),
            ("UPDATE theirs SET x = 1", "theirs is not of this set"),
            ("INSERT INTO theirs VALUES (1)", "theirs is not of this set"),
            ("DELETE FROM theirs", "theirs is not of this set"),
        ] {
            is_refused(sql, why);
        }
    }

    #[test]
    fn what_takes_away_or_lacks_a_grant_is_refused() {
        for (sql, why) in [
            ("ALTER TABLE mine DROP COLUMN x", "drops a column"),
            ("DROP TABLE mine", "drops a table"),
            ("ALTER TABLE mine RENAME TO yours", "renames"),
            ("ALTER TABLE mine ALTER COLUMN x TYPE text", "changes the type"),
            ("ALTER TABLE mine ALTER COLUMN x SET DATA TYPE text", "changes the type"),
            ("ALTER TABLE mine DROP x", "drops a column"),
            ("ALTER TABLE mine DROP IF EXISTS x", "drops a column"),
            ("ALTER TABLE mine ADD COLUMN y int, DROP x", "drops a column"),
            ("ALTER TABLE mine ALTER type TYPE text", "changes the type"),
            ("ALTER TABLE mine SET SCHEMA elsewhere", "moves something"),
            ("CREATE VIEW a AS SELECT 1; DROP VIEW a", "drops a view"),
            ("DROP VIEW theirs", "theirs is not of this set"),
            ("DROP INDEX theirs_x", "theirs_x is not of this set"),
            ("DROP SEQUENCE IF EXISTS theirs_id_seq", "theirs_id_seq is not of this set"),
            ("ALTER INDEX theirs_x SET (fillfactor = 70)", "theirs_x is not of this set"),
            ("ALTER SEQUENCE minel_seq RESTART", "minel_seq is not of this set"),
            ("-- contract: after 0.2.0\nDROP TABLE mine, theirs", "theirs is not of this set"),
            ("WITH a AS (SELECT 1) DELETE FROM theirs", "theirs is not of this set"),
            ("WITH a AS (DELETE FROM ONLY theirs RETURNING *) SELECT * FROM a", "theirs is not of this set"),
            (
                "WITH a AS (UPDATE theirs AS t SET x = 1 RETURNING *) SELECT * FROM a",
                "theirs is not of this set",
            ),
            (
                "WITH a AS (INSERT INTO theirs VALUES (1) RETURNING *) SELECT * FROM a",
                "theirs is not of this set",
            ),
            ("COMMENT ON TABLE theirs IS 'x'", "theirs is not of this set"),
            ("COMMENT ON COLUMN theirs.x IS 'x'", "theirs is not of this set"),
            ("GRANT SELECT ON mine, theirs TO :\"tenant\"", "theirs is not of this set"),
            (
                "GRANT SELECT ON ALL TABLES IN SCHEMA a TO :\"tenant\"",
                "grants rights on relations by their names",
            ),
            ("GRANT SELECT ON mine TO PUBLIC", "to :\"tenant\" alone"),
            ("GRANT SELECT ON mine TO :\"tenant\", bulkhead_tenants", "to :\"tenant\" alone"),
            ("GRANT bulkhead_owner TO :\"tenant\"", "grants rights on relations by their names"),
            ("CREATE VIEW a AS SELECT * FROM mine JOIN other.things t ON true", "other.things is qualified"),
            ("SELECT extract(year FROM x) FROM other.things", "other.things is qualified"),
            ("CREATE TABLE notes (id int)", "notes is not granted"),
            ("CREATE TABLE notes (id int); GRANT SELECT ON mine TO :\"tenant\"", "notes is not granted"),
            ("SELECT 'a", "is not closed"),
        ] {
            is_refused(sql, why);
        }
    }

    #[test]
    fn a_way_back_may_take_away_and_needs_no_grant() {
        let down = "DROP TABLE mine; ALTER TABLE mine DROP COLUMN x; CREATE TABLE old (x int)";
        assert_eq!(judge(down, Direction::Down, &own()), []);
        assert_eq!(judge("\n DROP TABLE theirs", Direction::Down, &own())[0].line, 2);
    }

    #[test]
    fn tables_are_found_by_their_names() {
        let sql = "create table A (x int); CREATE TABLE IF NOT EXISTS \"B c\" (); CREATE VIEW d AS SELECT 1; -- CREATE TABLE e";
        assert_eq!(tables_created(sql), ["a", "B c"]);
    }
}
