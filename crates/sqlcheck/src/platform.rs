//! The rules for tables across tenants that a set other than the core's has.
//!
//! They lie in a schema of the set's own, which is the only one in the path while its migrations run. A tenant's transaction calls
//! functions there and reaches nothing else: so a function runs as its owner with a pinned path, names what it uses with its schema, and
//! takes the tenant from `gate.tenant()`. Where a table has a tenant's rows, `forget(uuid)` removes them when the tenant is purged.

use crate::{
    Complaint, Fault, Texts,
    relations::word,
    rules::is_schema,
    tokens::{Statement, Token, Word, statements},
};

/// What a statement may begin with.
const STATEMENTS: [&[&str]; 22] = [
    &["create", "table"],
    &["create", "index"],
    &["create", "unique", "index"],
    &["create", "sequence"],
    &["create", "function"],
    &["create", "or", "replace", "function"],
    &["alter", "table"],
    &["alter", "index"],
    &["alter", "sequence"],
    &["drop", "table"],
    &["drop", "index"],
    &["drop", "sequence"],
    &["drop", "function"],
    &["comment", "on"],
    &["grant", "execute", "on", "function"],
    &["revoke", "execute", "on", "function"],
    &["revoke", "all", "on", "function"],
    &["insert", "into"],
    &["update"],
    &["delete", "from"],
    &["with"],
    &["select"],
];

/// What is wrong with the migrations of a set's tables across tenants, which are given from the oldest to the newest.
pub fn judge_platform_set<'a>(set: &str, migrations: impl IntoIterator<Item = Texts<'a>>) -> Vec<Fault> {
    let (mut faults, mut has_forget, mut tenants_rows) = (Vec::new(), false, None);
    for Texts { name, up, down } in migrations {
        for (file, sql) in [("up.sql", up), ("down.sql", down)] {
            let file = format!("{name}/{file}");
            let read = match statements(sql) {
                Ok(read) => read,
                Err(complaint) => {
                    faults.push(Fault { file, complaint });
                    continue;
                }
            };
            for statement in &read {
                let found = judge(set, statement).into_iter();
                faults.extend(found.map(|complaint| Fault { file: file.clone(), complaint }));
                has_forget |= file.ends_with("up.sql") && is_forget(statement);
                let is_table =
                    matches!(word(statement, 0), "create" | "alter") && word(statement, 1) == "table";
                let column = statement.iter().find(|token| is_table && token.is("tenant_id"));
                tenants_rows = tenants_rows.or(column.map(|token| (file.clone(), token.line)));
            }
        }
    }
    if let Some((file, line)) = tenants_rows.filter(|_| !has_forget) {
        let complaint =
            Complaint::new(line, "a table has rows of tenants, and no function forget(uuid) removes them");
        faults.push(Fault { file, complaint });
    }
    faults
}

fn judge(set: &str, statement: &Statement) -> Vec<Complaint> {
    let Some(first) = statement.first() else { return Vec::new() };
    let mut found = Vec::new();
    let begins = |words: &&[&str]| words.iter().enumerate().all(|(at, one)| word(statement, at) == *one);
    if !STATEMENTS.iter().any(begins) {
        let words = statement.iter().take(3).filter_map(Token::name).collect::<Vec<_>>().join(" ");
        found.push(Complaint::new(
            first.line,
            format!("a migration has no statement that begins with {words}"),
        ));
    }
    found.extend(names(set, statement));
    if is_function(statement) {
        found.extend(function(set, statement));
    }
    if first.is("grant") {
        if statement.last().is_none_or(|last| !last.is("bulkhead_tenants")) {
            found.push(Complaint::new(first.line, "a function is granted to bulkhead_tenants alone"));
        }
        if statement.iter().any(|token| token.is("forget")) {
            found.push(Complaint::new(first.line, "forget is for the purge and granted to no one"));
        }
    }
    found
}

/// Whether it makes the function that a purge calls: `forget`, of one uuid.
fn is_forget(statement: &Statement) -> bool {
    let name =
        statement.iter().position(|token| token.is("function")).map_or(usize::MAX, |at| at.saturating_add(1));
    let arguments = statement.iter().skip(name.saturating_add(1)).take_while(|token| !token.is_symbol(')'));
    is_function(statement)
        && statement.get(name).is_some_and(|token| token.is("forget"))
        && arguments.filter(|token| token.name().is_some()).last().is_some_and(|last| last.is("uuid"))
}

fn is_function(statement: &Statement) -> bool {
    word(statement, 0) == "create" && (word(statement, 1) == "function" || word(statement, 3) == "function")
}

/// A function that a tenant calls does what its owner may, so nothing of the caller's decides what its names mean.
fn function(set: &str, statement: &Statement) -> Vec<Complaint> {
    let line = statement.first().map_or(1, |first| first.line);
    let has = |words: &[&str]| {
        statement
            .windows(words.len())
            .any(|window| window.iter().zip(words).all(|(token, word)| is(token, word)))
    };
    let mut found = Vec::new();
    if !has(&["security", "definer"]) {
        found.push(Complaint::new(line, "a function is SECURITY DEFINER"));
    }
    if !has(&["set", "search_path", "=", "pg_catalog", ",", "pg_temp"]) {
        found.push(Complaint::new(line, "a function has SET search_path = pg_catalog, pg_temp"));
    }
    for body in statement
        .iter()
        .filter_map(|token| if let Word::Text(text) = &token.word { Some(text) } else { None })
    {
        let inner = statements(body).unwrap_or_default();
        found.extend(
            inner
                .iter()
                .flat_map(|statement| names(set, statement))
                .map(|complaint| Complaint { line: line + complaint.line - 1, why: complaint.why }),
        );
    }
    found
}

fn is(token: &Token, word: &str) -> bool {
    token.is(word) || word.chars().next().is_some_and(|symbol| word.len() == 1 && token.is_symbol(symbol))
}

/// Names of schemas other than the set's own and gate.
fn names(set: &str, statement: &Statement) -> Vec<Complaint> {
    let mut found = Vec::new();
    for (at, token) in statement.iter().enumerate() {
        let is_qualifier = statement.get(at + 1).is_some_and(|dot| dot.is_symbol('.'));
        let Some(name) = token.name().filter(|_| is_qualifier) else { continue };
        if is_schema(name) && name != "gate" && name.strip_prefix("x_") != Some(set) {
            found.push(Complaint::new(token.line, format!("{name} is the schema of others")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: &str = "CREATE TABLE numbers (tenant_id uuid PRIMARY KEY, last bigint NOT NULL);
CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO x_invoices.numbers AS n VALUES (gate.tenant(), 1)
    ON CONFLICT (tenant_id) DO UPDATE SET last = n.last + 1 RETURNING last
$$;
CREATE FUNCTION forget(whose uuid) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'DELETE FROM x_invoices.numbers WHERE tenant_id = whose';
GRANT EXECUTE ON FUNCTION next_number TO bulkhead_tenants;";

    fn told(up: &str) -> Vec<String> {
        let texts = Texts { name: "n", up, down: "DROP FUNCTION forget, next_number; DROP TABLE numbers" };
        judge_platform_set("invoices", [texts]).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn what_such_tables_are_made_of_is_accepted() {
        assert_eq!(told(UP), [""; 0]);
    }

    #[test]
    fn what_opens_a_door_is_refused() {
        for (from, into, why) in [
            (
                "SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$",
                "AS $$",
                "a function is SECURITY DEFINER",
            ),
            (
                "SET search_path = pg_catalog, pg_temp AS $$",
                "SET search_path = public AS $$",
                "SET search_path = pg_catalog, pg_temp",
            ),
            ("x_invoices.numbers AS n", "platform.tenants AS n", "line 3: platform is the schema of others"),
            ("x_invoices.numbers AS n", "x_billing.numbers AS n", "x_billing is the schema of others"),
            ("FUNCTION forget", "FUNCTION forgot", "line 1: a table has rows of tenants"),
            ("forget(whose uuid)", "forget(whose text)", "line 1: a table has rows of tenants"),
            ("FUNCTION forget(whose", "FUNCTION forgot(forget", "line 1: a table has rows of tenants"),
            ("FUNCTION next_number TO", "FUNCTION forget TO", "forget is for the purge"),
            ("next_number TO bulkhead_tenants", "next_number TO PUBLIC", "granted to bulkhead_tenants alone"),
            (
                "GRANT EXECUTE ON FUNCTION next_number",
                "GRANT SELECT ON numbers",
                "begins with grant select on",
            ),
            ("GRANT EXECUTE", "COMMIT; GRANT EXECUTE", "begins with commit"),
            (
                "PRIMARY KEY, last",
                "PRIMARY KEY REFERENCES platform.tenants, last",
                "platform is the schema of others",
            ),
        ] {
            assert!(UP.contains(from), "{from}");
            let told = told(&UP.replacen(from, into, 1));
            assert!(told.iter().any(|fault| fault.contains(why)), "{into}: {told:?}");
        }
    }
}
