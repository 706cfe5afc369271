//! The rules for functions that a tenant's transaction may call.
//!
//! Such a function runs as the owner of every tenant's rows, so that it is the function that keeps tenants apart: it asks
//! `gate.tenant()` which tenant calls, and takes the answer from nothing that the caller gives. Its text shows that in three
//! ways. No parameter is called `tenant…`. A column `tenant_id` is compared with `gate.tenant()`, or with such a column, and
//! with nothing else. Each statement that names a table with such a column calls `gate.tenant()` itself. The same holds for the
//! functions that it calls in turn.
//!
//! Refuses what hides names from a reader of the text: SQL that is put together (`EXECUTE`) and a body that is no string.
//! Chosen over a proof by the grammar of SQL: what is written to get round these rules is malice, which a migration has easier
//! ways for.

use std::collections::{BTreeMap, BTreeSet};

use super::function::{Function, split};
use crate::{
    Complaint, Fault,
    relations::word,
    tokens::{Statement, Token},
};

/// The names of functions that a statement grants, with their lines.
pub(super) fn granted(statement: &Statement) -> Vec<(usize, String)> {
    if !matches!((word(statement, 0), word(statement, 3)), ("grant", "function")) {
        return Vec::new();
    }
    let end = statement.iter().rposition(|token| token.is("to")).unwrap_or(statement.len());
    let list = statement.get(4..end).unwrap_or_default();
    let name = |part: &&[Token]| {
        let is_qualified = part.get(1).is_some_and(|dot| dot.is_symbol('.'));
        let token = part.get(if is_qualified { 2 } else { 0 })?;
        Some((token.line, token.name()?.to_owned()))
    };
    split(list).iter().filter_map(name).collect()
}

/// What is wrong with the functions that tenants may call: those that are granted, and those that these call.
pub(super) fn judge(
    set: &str,
    functions: &[Function],
    granted: &BTreeSet<String>,
    tables: &BTreeSet<String>,
) -> Vec<Fault> {
    let mut by_name: BTreeMap<&str, Vec<&Function>> = BTreeMap::new();
    for function in functions {
        by_name.entry(function.name.as_str()).or_default().push(function);
    }
    let (mut faults, mut seen) = (Vec::new(), BTreeSet::new());
    let mut open: Vec<&str> = granted.iter().map(String::as_str).collect();
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        for function in by_name.get(name).into_iter().flatten() {
            let found = judge_one(set, function, tables);
            faults
                .extend(found.into_iter().map(|complaint| Fault { file: function.file.clone(), complaint }));
            for (token, called) in named(set, function).filter(|(_, called)| by_name.contains_key(called)) {
                if called == "forget" {
                    let complaint =
                        function.complain(token, "forget is for the purge, and no function calls it");
                    faults.push(Fault { file: function.file.clone(), complaint });
                } else {
                    open.push(called);
                }
            }
        }
    }
    faults
}

fn judge_one(set: &str, function: &Function, tables: &BTreeSet<String>) -> Vec<Complaint> {
    let name = &function.name;
    let mut found = Vec::new();
    let given = function.parameters.iter().filter_map(|one| one.name.as_deref());
    for parameter in given.filter(|name| name.starts_with("tenant")) {
        let why = format!(
            "{name} is called by tenants and takes {parameter}: gate.tenant() says which tenant calls"
        );
        found.push(Complaint::new(function.line, why));
    }
    if function.body.is_none() {
        found.push(Complaint::new(
            function.line,
            format!("{name} is called by tenants, and its body is no string"),
        ));
        return found;
    }
    if !function.statements().any(asks_for_tenant) {
        let why = format!("{name} is called by tenants, and does not ask gate.tenant() which one");
        found.push(Complaint::new(function.line, why));
    }
    for statement in function.statements() {
        let table = names_of(set, statement).find(|(_, table)| tables.contains(*table));
        if let Some((token, table)) = table.filter(|_| !asks_for_tenant(statement)) {
            let why = format!("a statement with the rows of tenants in {table} does not call gate.tenant()");
            found.push(function.complain(token, why));
        }
        for (at, token) in statement.iter().enumerate() {
            if token.is("execute") {
                found.push(function.complain(
                    token,
                    format!("{name} is called by tenants, and runs SQL that is put together"),
                ));
            }
            if token.name() == Some("tenant_id") && !is_sound(statement, at) {
                found.push(
                    function.complain(token, "tenant_id is compared with gate.tenant() and nothing else"),
                );
            }
        }
    }
    found
}

/// The names behind the set's own schema in a function's body.
fn named<'a>(set: &'a str, function: &'a Function) -> impl Iterator<Item = (&'a Token, &'a str)> {
    function.statements().flat_map(move |statement| names_of(set, statement))
}

fn names_of<'a>(set: &'a str, statement: &'a Statement) -> impl Iterator<Item = (&'a Token, &'a str)> {
    let own = move |at: usize| {
        word(statement, at).strip_prefix("x_") == Some(set)
            && statement.get(at + 1).is_some_and(|dot| dot.is_symbol('.'))
    };
    (0..statement.len()).filter(move |at| own(*at)).filter_map(|at| {
        let token = statement.get(at + 2)?;
        Some((token, token.name()?))
    })
}

fn asks_for_tenant(statement: &Statement) -> bool {
    (0..statement.len()).any(|at| is_gate_tenant(statement.get(at..).unwrap_or_default()))
}

/// Whether these tokens begin with `gate.tenant()`.
fn is_gate_tenant(tokens: &[Token]) -> bool {
    let symbol = |at: usize, symbol| tokens.get(at).is_some_and(|token: &Token| token.is_symbol(symbol));
    word(tokens, 0) == "gate"
        && symbol(1, '.')
        && word(tokens, 2) == "tenant"
        && symbol(3, '(')
        && symbol(4, ')')
}

/// Whether these tokens begin with a column `tenant_id`, perhaps with its table before it.
fn is_column(tokens: &[Token]) -> bool {
    let is_qualified = tokens.get(1).is_some_and(|dot| dot.is_symbol('.'));
    word(tokens, if is_qualified { 2 } else { 0 }) == "tenant_id"
}

/// Whether the column `tenant_id` at this place is compared with `gate.tenant()` or such a column, or with nothing.
fn is_sound(statement: &Statement, at: usize) -> bool {
    let behind = statement.get(at + 1..).unwrap_or_default();
    let is_qualified =
        at.checked_sub(1).and_then(|dot| statement.get(dot)).is_some_and(|dot| dot.is_symbol('.'));
    let before = statement.get(..if is_qualified { at.saturating_sub(2) } else { at }).unwrap_or_default();
    let sound_behind = match behind {
        [equals, rest @ ..] if equals.is_symbol('=') => is_gate_tenant(rest) || is_column(rest),
        [token, ..] => !compares(token),
        [] => true,
    };
    let sound_before = match before {
        [rest @ .., equals] if equals.is_symbol('=') => {
            let end = rest.len();
            is_gate_tenant(rest.get(end.saturating_sub(5)..).unwrap_or_default())
                || rest.last().is_some_and(|token| token.name() == Some("tenant_id"))
        }
        [.., token] => !compares(token),
        [] => true,
    };
    sound_behind && sound_before
}

/// Whether it stands between two things that are compared.
fn compares(token: &Token) -> bool {
    ['=', '<', '>', '!', '~', '|', '&', '+', '-', ':'].iter().any(|symbol| token.is_symbol(*symbol))
        || ["in", "is", "not", "between", "like", "ilike", "any"].iter().any(|word| token.is(word))
}
