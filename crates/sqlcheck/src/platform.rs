//! The rules for tables across tenants that a set other than the core's has.
//!
//! They lie in a schema of the set's own, which is the only one in the path while its migrations run. A tenant's transaction
//! calls functions there and reaches nothing else: so a function runs as its owner with a pinned path, names what it uses with
//! its schema, and takes the tenant from `gate.tenant()` (`platform/granted.rs`).
//!
//! Where a table has a tenant's rows, the function `forget(whose uuid, up_to integer) RETURNS bigint` removes them when the
//! tenant is purged: at most `up_to` of them, and it returns how many it has removed. The purge calls it again and again, each
//! time in a transaction of its own that has the time of one statement, until it returns 0. So a tenant with many rows is
//! removed in portions, and a purge that is killed goes on where it was.

use std::collections::{BTreeMap, BTreeSet};

use self::function::Function;
use crate::{
    Complaint, Fault, Texts,
    relations::word,
    rules::is_schema,
    tokens::{Statement, Token, statements},
};

mod function;
mod granted;

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
    let mut read = Read::default();
    for Texts { name, up } in migrations {
        let file = format!("{name}/up.sql");
        match statements(up) {
            Ok(statements) => statements.iter().for_each(|statement| read.statement(set, &file, statement)),
            Err(complaint) => read.faults.push(Fault { file, complaint }),
        }
    }
    let Read { mut faults, functions, granted, tables } = read;
    let forget = functions.iter().filter(|one| one.is_forget());
    if let Some(unbounded) = forget.clone().find(|one| !one.has_limit()) {
        let why = "forget removes as many rows as its second parameter says: it has LIMIT and that parameter";
        faults.push(Fault { file: unbounded.file.clone(), complaint: Complaint::new(unbounded.line, why) });
    }
    if let Some((file, line)) = tables.values().min().filter(|_| forget.count() == 0) {
        let why =
            "a table has rows of tenants, and no function forget(uuid, integer) RETURNS bigint removes them";
        faults.push(Fault { file: file.clone(), complaint: Complaint::new(*line, why) });
    }
    faults.extend(granted::judge(set, &functions, &granted, &tables.into_keys().collect()));
    faults
}

/// What the migrations of a set make, and what is wrong with each statement.
#[derive(Default)]
struct Read {
    faults: Vec<Fault>,
    functions: Vec<Function>,
    /// The functions that tenants may call.
    granted: BTreeSet<String>,
    /// The tables with rows of tenants, each with the place that gives it the column `tenant_id`.
    tables: BTreeMap<String, (String, usize)>,
}

impl Read {
    fn statement(&mut self, set: &str, file: &str, statement: &Statement) {
        let mut found = judge(set, statement);
        match Function::read(file, statement) {
            Ok(Some(function)) => {
                found.extend(fence(set, statement, &function));
                self.functions.push(function);
            }
            Ok(None) => {}
            Err(complaint) => found.push(complaint),
        }
        self.granted.extend(granted::granted(statement).into_iter().map(|(_, name)| name));
        let is_table = matches!(word(statement, 0), "create" | "alter") && word(statement, 1) == "table";
        let column = statement.iter().find(|token| is_table && token.name() == Some("tenant_id"));
        if let Some((token, table)) = column.zip(table(statement)) {
            self.tables.entry(table).or_insert_with(|| (file.to_owned(), token.line));
        }
        self.faults.extend(found.into_iter().map(|complaint| Fault { file: file.to_owned(), complaint }));
    }
}

/// The table that a statement makes or alters.
fn table(statement: &Statement) -> Option<String> {
    let is_name = |token: &&Token| !["if", "not", "exists", "only"].iter().any(|word| token.is(word));
    let mut rest = statement.iter().skip(2).skip_while(|token| !is_name(token));
    let (first, second, third) = (rest.next()?, rest.next(), rest.next());
    let is_qualified = second.is_some_and(|dot| dot.is_symbol('.'));
    third.filter(|_| is_qualified).unwrap_or(first).name().map(str::to_owned)
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
    if first.is("grant") {
        let to = statement.iter().rposition(|token| token.is("to")).unwrap_or(statement.len());
        let is_tenants = matches!(statement.get(to + 1..), Some([whom]) if whom.is("bulkhead_tenants"));
        if !is_tenants {
            found.push(Complaint::new(first.line, "a function is granted to bulkhead_tenants alone"));
        }
        if granted::granted(statement).iter().any(|(_, name)| name == "forget") {
            found.push(Complaint::new(first.line, "forget is for the purge and granted to no one"));
        }
    }
    found
}

/// A function does what its owner may, so nothing of the caller's decides what its names mean.
fn fence(set: &str, statement: &Statement, function: &Function) -> Vec<Complaint> {
    let has = |words: &[&str]| {
        statement
            .windows(words.len())
            .any(|window| window.iter().zip(words).all(|(token, word)| is(token, word)))
    };
    let mut found = Vec::new();
    if !has(&["security", "definer"]) {
        found.push(Complaint::new(function.line, "a function is SECURITY DEFINER"));
    }
    if !has(&["set", "search_path", "=", "pg_catalog", ",", "pg_temp"]) {
        found.push(Complaint::new(function.line, "a function has SET search_path = pg_catalog, pg_temp"));
    }
    for (token, name) in function.statements().flat_map(|inner| foreign(set, inner)) {
        found.push(function.complain(token, format!("{name} is the schema of others")));
    }
    found
}

fn is(token: &Token, word: &str) -> bool {
    token.is(word) || word.chars().next().is_some_and(|symbol| word.len() == 1 && token.is_symbol(symbol))
}

fn names(set: &str, statement: &Statement) -> Vec<Complaint> {
    let found = foreign(set, statement);
    found.map(|(token, name)| Complaint::new(token.line, format!("{name} is the schema of others"))).collect()
}

/// Names of schemas other than the set's own and gate.
fn foreign<'a>(set: &'a str, statement: &'a Statement) -> impl Iterator<Item = (&'a Token, &'a str)> {
    statement.iter().enumerate().filter_map(move |(at, token)| {
        let is_qualifier = statement.get(at + 1).is_some_and(|dot| dot.is_symbol('.'));
        let name = token.name().filter(|_| is_qualifier)?;
        (is_schema(name) && name != "gate" && name.strip_prefix("x_") != Some(set)).then_some((token, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: &str = "CREATE TABLE numbers (tenant_id uuid PRIMARY KEY, last bigint NOT NULL);
CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO x_invoices.numbers AS n VALUES (gate.tenant(), 1)
    ON CONFLICT (tenant_id) DO UPDATE SET last = n.last + 1 RETURNING last
$$;
CREATE FUNCTION forget(whose uuid, up_to integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS '
    WITH gone AS (DELETE FROM x_invoices.numbers WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM x_invoices.numbers WHERE tenant_id = whose LIMIT up_to)) RETURNING 1)
    SELECT count(*) FROM gone';
GRANT EXECUTE ON FUNCTION next_number TO bulkhead_tenants;";

    fn told(up: &str) -> Vec<String> {
        judge_platform_set("invoices", [Texts { name: "n", up }]).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn what_such_tables_are_made_of_is_accepted() {
        assert_eq!(told(UP), [""; 0]);
        let counted = UP
            .replace("whose LIMIT up_to", "$1 LIMIT $2")
            .replace("(whose uuid, up_to integer)", "(uuid, int)");
        assert_eq!(told(&counted), [""; 0]);
    }

    /// Each change of the set above, and what is said of it.
    fn are_refused(changes: &[(&str, &str, &str)]) {
        for (from, into, why) in changes {
            assert!(UP.contains(from), "{from}");
            let told = told(&UP.replacen(from, into, 1));
            assert!(told.iter().any(|fault| fault.contains(why)), "{into}: {told:?}");
        }
    }

    #[test]
    fn what_opens_a_door_is_refused() {
        are_refused(&[
            (
                "SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$",
                "AS $$",
                "line 2: a function is SECURITY DEFINER",
            ),
            (
                "SET search_path = pg_catalog, pg_temp AS $$",
                "SET search_path = public AS $$",
                "line 2: a function has SET search_path = pg_catalog, pg_temp",
            ),
            ("x_invoices.numbers AS n", "platform.tenants AS n", "line 3: platform is the schema of others"),
            (
                "x_invoices.numbers AS n",
                "x_billing.numbers AS n",
                "line 3: x_billing is the schema of others",
            ),
            ("FUNCTION next_number TO", "FUNCTION forget TO", "line 10: forget is for the purge"),
            (
                "FUNCTION next_number TO",
                "FUNCTION next_number, forget(uuid, integer) TO",
                "line 10: forget is for the purge",
            ),
            (
                "next_number TO bulkhead_tenants",
                "next_number TO PUBLIC",
                "line 10: a function is granted to bulkhead_tenants alone",
            ),
            (
                "TO bulkhead_tenants",
                "TO public, bulkhead_tenants",
                "line 10: a function is granted to bulkhead_tenants alone",
            ),
            (
                "GRANT EXECUTE ON FUNCTION next_number",
                "GRANT SELECT ON numbers",
                "line 10: a migration has no statement that begins with grant select on",
            ),
            ("GRANT EXECUTE", "COMMIT; GRANT EXECUTE", "begins with commit"),
            (
                "PRIMARY KEY, last",
                "PRIMARY KEY REFERENCES platform.tenants, last",
                "line 1: platform is the schema of others",
            ),
            ("numbers AS n", "numbers AS \"n", "line 3: \" is not closed"),
        ]);
    }

    #[test]
    fn rows_of_tenants_are_forgotten_in_portions() {
        let none = "n/up.sql, line 1: a table has rows of tenants, and no function forget(uuid, integer) RETURNS bigint";
        are_refused(&[
            ("FUNCTION forget", "FUNCTION forgot", none),
            ("forget(whose uuid, up_to integer)", "forget(whose uuid)", none),
            ("whose uuid,", "whose text,", none),
            ("up_to integer", "up_to integer, more text", none),
            (
                "RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS '",
                "RETURNS void LANGUAGE sql AS '",
                none,
            ),
            ("FUNCTION forget(whose", "FUNCTION forgot(forget", none),
            (
                " LIMIT up_to",
                "",
                "n/up.sql, line 6: forget removes as many rows as its second parameter says",
            ),
            ("LIMIT up_to", "LIMIT 5000", "line 6: forget removes as many rows"),
        ]);
        let quoted = UP.replacen("(tenant_id uuid", "(\"tenant_id\" uuid", 1).replacen(
            "FUNCTION forget",
            "FUNCTION forgot",
            1,
        );
        assert!(told(&quoted).iter().any(|fault| fault.contains(none)));
        let later = "ALTER TABLE ONLY x_invoices.others\nADD COLUMN tenant_id uuid";
        assert_eq!(told(later), [none.replace("line 1", "line 2") + " removes them"]);
    }

    #[test]
    fn a_function_that_tenants_call_takes_the_tenant_from_gate() {
        let asks =
            "n/up.sql, line 2: next_number is called by tenants, and does not ask gate.tenant() which one";
        let compared = "line 4: tenant_id is compared with gate.tenant() and nothing else";
        are_refused(&[
            (
                "next_number()",
                "next_number(tenant uuid)",
                "n/up.sql, line 2: next_number is called by tenants and takes tenant:",
            ),
            (
                "next_number()",
                "next_number(n int, IN tenant_id uuid DEFAULT NULL)",
                "line 2: next_number is called by tenants and takes tenant_id:",
            ),
            ("next_number()", "next_number(\"tenant_of\" text)", "takes tenant_of:"),
            ("VALUES (gate.tenant(), 1)", "VALUES (whose, 1)", asks),
            ("VALUES (gate.tenant(), 1)", "VALUES ('gate.tenant()', 1) -- gate.tenant()", asks),
            ("RETURNING last", "WHERE n.tenant_id = whose RETURNING last", compared),
            ("RETURNING last", "WHERE whose = n.tenant_id RETURNING last", compared),
            ("RETURNING last", "WHERE tenant_id <> gate.tenant() RETURNING last", compared),
            ("RETURNING last", "WHERE tenant_id IN (whose) RETURNING last", compared),
            ("RETURNING last", "WHERE tenant_id IS NOT DISTINCT FROM $1 RETURNING last", compared),
            ("RETURNING last", "WHERE n.tenant_id::text = whose RETURNING last", compared),
            (
                "RETURNING last",
                "RETURNING last;\n SELECT last FROM x_invoices.numbers WHERE (tenant_id, last) = (whose, 1)",
                "line 5: a statement with the rows of tenants in numbers does not call gate.tenant()",
            ),
            (
                "RETURNING last",
                "RETURNING last;\nEXECUTE whose",
                "line 5: next_number is called by tenants, and runs SQL that is put together",
            ),
            (
                "RETURNING last",
                "RETURNING last;\n SELECT x_invoices.forget($1, 1)",
                "line 5: forget is for the purge, and no function calls it",
            ),
            (
                "AS $$\n",
                "RETURN gate.tenant(); SELECT $$\n",
                "line 2: next_number is called by tenants, and its body is no string",
            ),
        ]);
    }

    #[test]
    fn so_does_one_that_it_calls() {
        let helper = "CREATE FUNCTION helper(whose uuid) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT last FROM x_invoices.numbers WHERE tenant_id = whose';\n";
        assert_eq!(told(&format!("{UP}{helper}")), [""; 0], "tenants do not call it");
        let calls = UP.replacen("RETURNING last", "RETURNING last; SELECT x_invoices.helper($1)", 1);
        let told = told(&format!("{calls}\n{helper}"));
        assert!(
            told.contains(
                &"n/up.sql, line 12: tenant_id is compared with gate.tenant() and nothing else".to_owned()
            ),
            "{told:?}"
        );
    }

    #[test]
    fn what_keeps_tenants_apart_is_accepted() {
        for body in [
            "SELECT last FROM x_invoices.numbers WHERE tenant_id = gate.tenant()",
            "SELECT last FROM x_invoices.numbers n WHERE gate.tenant() = n.tenant_id AND last > $1",
            "SELECT a.last FROM x_invoices.numbers a JOIN x_invoices.numbers b ON b.tenant_id = a.tenant_id WHERE a.tenant_id = gate.tenant()",
            "SELECT tenant_id, last FROM x_invoices.numbers WHERE tenant_id = gate.tenant() ORDER BY tenant_id",
            "BEGIN RETURN QUERY SELECT last FROM x_invoices.numbers WHERE tenant_id = gate.tenant(); END",
        ] {
            let more = format!(
                "CREATE OR REPLACE FUNCTION x_invoices.look(above bigint, OUT tenant_id uuid, at timestamp with time zone, double precision) \
                 LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ {body} $$; \
                 GRANT EXECUTE ON FUNCTION x_invoices.look(bigint, timestamp with time zone, double precision), next_number() TO bulkhead_tenants"
            );
            assert_eq!(told(&format!("{UP}\n{more}")), [""; 0], "{body}");
        }
    }
}
