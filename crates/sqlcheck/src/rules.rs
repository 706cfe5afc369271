//! The rules for migrations of a tenant's schema.
//!
//! A migration runs once for each tenant, with that tenant's schema as the only one in the path, beside others of the same
//! transaction, and while programs of two releases serve. So it names nothing outside of that schema, does not touch the
//! transaction or the session, makes nothing that is shared or cached by name, and takes nothing away that the release before
//! still reads.

use std::collections::BTreeSet;

use crate::{
    Complaint,
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

/// Behind these words stands the name of a relation, perhaps after `only`, `if exists` and the like.
const BEFORE_A_RELATION: [&str; 9] =
    ["table", "index", "sequence", "view", "from", "join", "into", "update", "references"];
/// What may stand between.
const BETWEEN: [&str; 5] = ["only", "if", "not", "exists", "concurrently"];
/// In statements that begin with these words `on` is another such word; elsewhere a condition follows it.
const ON_A_RELATION: [&str; 4] = ["create", "comment", "grant", "revoke"];

/// Schemas that are not the tenant's. What begins with `x_` is an extension's on the platform's side.
const SCHEMAS: [&str; 7] =
    ["platform", "gate", "public", "pg_catalog", "pg_temp", "information_schema", "tenant_roles"];

/// Functions that change the session, or read SQL or names from text.
const FUNCTIONS: [&str; 6] =
    ["set_config", "dblink", "query_to_xml", "pg_notify", "pg_advisory_lock", "pg_terminate_backend"];

/// The tables that SQL makes, in the order in which it does. SQL that cannot be read makes none; [`judge`] refuses it.
pub fn tables_created(sql: &str) -> Vec<String> {
    let statements = statements(sql).unwrap_or_default();
    statements.iter().filter_map(created).map(|(_, name)| name).collect()
}

/// What is wrong with a migration of a tenant's schema, in a set whose earlier migrations have made the tables `own`.
pub fn judge(sql: &str, direction: Direction, own: &BTreeSet<String>) -> Vec<Complaint> {
    let statements = match statements(sql) {
        Ok(statements) => statements,
        Err(complaint) => return vec![complaint],
    };
    let mut own = own.clone();
    own.extend(tables_created(sql));
    let mut found = Vec::new();
    for statement in &statements {
        found.extend(kind(statement));
        found.extend(names(statement));
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

fn is_schema(name: &str) -> bool {
    SCHEMAS.contains(&name) || name.starts_with("x_") || name.starts_with("t_") && name.len() == 28
}

/// Whether the name at this place is a relation's, by the words before it.
fn is_relation(statement: &Statement, at: usize) -> bool {
    let is_any = |token: &Token, words: &[&str]| words.iter().any(|word| token.is(word));
    let before = statement.iter().take(at).rev().find(|token| !is_any(token, &BETWEEN));
    let on = statement.first().is_some_and(|first| is_any(first, &ON_A_RELATION));
    before.is_some_and(|token| is_any(token, &BEFORE_A_RELATION) || on && token.is("on"))
}

/// Tables of other sets that it changes. To refer to them is allowed, in a foreign key and in a query.
fn strangers(statement: &Statement, own: &BTreeSet<String>) -> Option<Complaint> {
    let (line, name) = changed(statement)?;
    let stranger = !own.contains(&name);
    stranger.then(|| Complaint::new(line, format!("{name} is not a table of this set")))
}

/// The table that a statement changes, when it changes one by its name.
fn changed(statement: &Statement) -> Option<(usize, String)> {
    let word = |at: usize| statement.get(at).and_then(Token::name).unwrap_or_default();
    let first = match (word(0), word(1)) {
        ("alter" | "drop", "table") | ("insert", "into") | ("delete", "from") => 2,
        ("update", _) => 1,
        ("create", "index" | "unique") => statement.iter().position(|token| token.is("on"))? + 1,
        _ => return None,
    };
    named(statement, first)
}

/// The name at this place, or behind words like `if exists`.
fn named(statement: &Statement, first: usize) -> Option<(usize, String)> {
    let token = statement.iter().skip(first).find(|token| !BETWEEN.iter().any(|word| token.is(word)))?;
    Some((token.line, token.name()?.to_owned()))
}

/// The table that a statement makes.
fn created(statement: &Statement) -> Option<(usize, String)> {
    let is_table = statement.first()?.is("create") && statement.get(1)?.is("table");
    is_table.then(|| named(statement, 2)).flatten()
}

/// What this statement takes away although the release before may still read it.
fn contracts(statement: &Statement) -> Vec<Complaint> {
    let mut found = Vec::new();
    let word = |at: usize| statement.get(at).and_then(Token::name).unwrap_or_default();
    for (at, token) in statement.iter().enumerate() {
        let takes = match (word(at), word(at + 1)) {
            ("drop", "column") => "drops a column",
            ("drop", "table") if at == 0 => "drops a table",
            ("rename", _) if at > 0 => "renames something",
            ("type", _) if word(0) == "alter" => "changes the type of a column",
            _ => continue,
        };
        let why = format!(
            "it {takes} while programs of two releases run; the first line of a migration that may is {CONTRACT}after <version>"
        );
        found.push(Complaint::new(token.line, why));
    }
    found
}

/// Tables that the tenant's role could not use.
fn without_grant(statements: &[Statement]) -> Vec<Complaint> {
    let granted = |name: &str| {
        statements.iter().any(|statement| {
            statement.first().is_some_and(|first| first.is("grant"))
                && statement.iter().any(|token| token.name() == Some(name))
                && statement.iter().any(|token| token.word == Word::Tenant)
        })
    };
    let made = statements.iter().filter_map(created);
    made.filter(|(_, name)| !granted(name))
        .map(|(line, name)| Complaint::new(line, format!("{name} is not granted to :\"tenant\"")))
        .collect()
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
        ] {
            assert_eq!(complaints(sql), [""; 0], "{sql}");
        }
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
            ("ALTER TABLE theirs ADD COLUMN x int", "theirs is not a table of this set"),
            ("ALTER TABLE IF EXISTS theirs ADD COLUMN x int", "theirs is not a table of this set"),
            ("DROP TABLE theirs", "theirs is not a table of this set"),
            ("CREATE INDEX a ON theirs (x)", "theirs is not a table of this set"),
            ("UPDATE theirs SET x = 1", "theirs is not a table of this set"),
            ("INSERT INTO theirs VALUES (1)", "theirs is not a table of this set"),
            ("DELETE FROM theirs", "theirs is not a table of this set"),
            ("ALTER TABLE mine DROP COLUMN x", "drops a column"),
            ("DROP TABLE mine", "drops a table"),
            ("ALTER TABLE mine RENAME TO yours", "renames"),
            ("ALTER TABLE mine ALTER COLUMN x TYPE text", "changes the type"),
            ("ALTER TABLE mine ALTER COLUMN x SET DATA TYPE text", "changes the type"),
            ("CREATE TABLE notes (id int)", "notes is not granted"),
            ("CREATE TABLE notes (id int); GRANT SELECT ON mine TO :\"tenant\"", "notes is not granted"),
            ("SELECT 'a", "is not closed"),
        ] {
            let found = complaints(sql);
            assert!(found.iter().any(|found| found.contains(why)), "{sql}: {found:?}");
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
