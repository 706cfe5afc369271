//! Which relations a statement names, makes and changes.

use crate::tokens::{Statement, Token};

/// Behind these words stands the name of a relation, perhaps after `only`, `if exists` and the like.
const BEFORE_A_RELATION: [&str; 9] =
    ["table", "index", "sequence", "view", "from", "join", "into", "update", "references"];
/// What may stand between.
const BETWEEN: [&str; 5] = ["only", "if", "not", "exists", "concurrently"];
/// Kinds of relations that are made, altered and dropped by their names.
const KINDS: [&str; 4] = ["table", "view", "index", "sequence"];
/// Functions whose arguments are parted by `from`.
const WITH_FROM: [&str; 4] = ["extract", "substring", "trim", "overlay"];

/// A name, and the line on which it stands.
pub(crate) type Named = (usize, String);

fn is_any(token: &Token, words: &[&str]) -> bool {
    words.iter().any(|word| token.is(word))
}

/// The word or name at this place, empty when there is none.
pub(crate) fn word(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).and_then(Token::name).unwrap_or_default()
}

/// Whether the name at this place is a relation's, by the words before it.
pub(crate) fn is_relation(statement: &Statement, at: usize) -> bool {
    let Some(place) = statement.iter().take(at).rposition(|token| !is_any(token, &BETWEEN)) else {
        return false;
    };
    let Some(token) = statement.get(place) else { return false };
    if token.is("from") {
        return !is_comparison(statement, place) && !is_argument(statement, place);
    }
    is_any(token, &BEFORE_A_RELATION) || token.is("on") && takes_a_relation(statement)
}

/// Whether `on` stands before a relation; elsewhere a condition follows it.
fn takes_a_relation(statement: &Statement) -> bool {
    match word(statement, 0) {
        "comment" | "grant" | "revoke" => true,
        "create" => matches!(word(statement, 1), "index" | "unique"),
        _ => false,
    }
}

/// `is distinct from`.
fn is_comparison(statement: &Statement, from: usize) -> bool {
    let before = |steps: usize| from.checked_sub(steps).map_or("", |at| word(statement, at));
    before(1) == "distinct" && matches!(before(2), "is" | "not")
}

/// `extract(year from …)` and the like.
fn is_argument(statement: &Statement, from: usize) -> bool {
    let mut depth = 0_usize;
    for at in (0..from).rev() {
        let Some(token) = statement.get(at) else { continue };
        if token.is_symbol(')') {
            depth += 1;
        } else if token.is_symbol('(') {
            let Some(outer) = depth.checked_sub(1) else {
                return at.checked_sub(1).is_some_and(|name| WITH_FROM.contains(&word(statement, name)));
            };
            depth = outer;
        }
    }
    false
}

/// The place of the first token from here on that is none of the words like `if exists`.
fn skip(statement: &Statement, first: usize) -> usize {
    let words = statement.iter().skip(first).take_while(|token| is_any(token, &BETWEEN)).count();
    first + words
}

fn named(statement: &Statement, first: usize) -> Option<Named> {
    let token = statement.get(skip(statement, first))?;
    Some((token.line, token.name()?.to_owned()))
}

/// The names from here on, parted by commas. The part behind a name's dot belongs to it.
fn list(statement: &Statement, first: usize) -> Vec<Named> {
    let (mut found, mut at) = (Vec::new(), first);
    while let Some(name) = named(statement, at) {
        found.push(name);
        at = skip(statement, at) + 1;
        if !statement.get(at).is_some_and(|token| token.is_symbol(',')) {
            break;
        }
        at += 1;
    }
    found
}

/// The relation that a statement makes.
pub(crate) fn created(statement: &Statement) -> Option<Named> {
    if word(statement, 0) != "create" {
        return None;
    }
    match word(statement, 1) {
        "unique" => named(statement, 3),
        kind if KINDS.contains(&kind) => named(statement, 2),
        _ => None,
    }
}

/// The tables that statements make.
pub(crate) fn tables(statements: &[Statement]) -> Vec<Named> {
    statements.iter().filter(|statement| word(statement, 1) == "table").filter_map(created).collect()
}

/// The relations on which rights are given or taken; `None` when it is not done by their names.
pub(crate) fn granted(statement: &Statement) -> Option<Vec<Named>> {
    let on = statement.iter().position(|token| token.is("on"))?;
    match word(statement, on + 1) {
        "all" => None,
        "table" | "sequence" => Some(list(statement, on + 2)),
        _ => Some(list(statement, on + 1)),
    }
}

/// The relations that a statement changes, by the names that it calls them. What it makes is among them.
pub(crate) fn changed(statement: &Statement) -> Vec<Named> {
    let one = |first: usize| named(statement, first).into_iter().collect();
    match (word(statement, 0), word(statement, 1)) {
        ("drop", kind) if KINDS.contains(&kind) => list(statement, 2),
        ("alter", kind) if KINDS.contains(&kind) => one(2),
        ("create", "index" | "unique") => {
            let on = statement.iter().position(|token| token.is("on"));
            on.map_or_else(Vec::new, |on| one(on + 1))
        }
        ("comment", _) if KINDS.contains(&word(statement, 2)) || word(statement, 2) == "column" => one(3),
        // On a constraint of a table and the like.
        ("comment", _) => {
            let on = statement.iter().rposition(|token| token.is("on"));
            on.map_or_else(Vec::new, |on| one(on + 1))
        }
        ("grant" | "revoke", _) => granted(statement).unwrap_or_default(),
        ("create", _) if !statement.iter().any(|token| token.is("with")) => Vec::new(),
        _ => written(statement),
    }
}

/// The tables whose rows a statement changes, wherever in it that stands.
fn written(statement: &Statement) -> Vec<Named> {
    let mut found = Vec::new();
    for at in 0..statement.len() {
        let before = at.checked_sub(1).map_or("", |at| word(statement, at));
        let first = match (word(statement, at), word(statement, at + 1)) {
            ("insert", "into") | ("delete", "from") => at + 2,
            // Not `for update`, `for no key update`, `do update` and `on update`.
            ("update", _) if !matches!(before, "for" | "key" | "do" | "on") => at + 1,
            _ => continue,
        };
        found.extend(named(statement, first));
    }
    found
}

/// The actions of an ALTER, each without the comma behind it.
pub(crate) fn actions(statement: &Statement) -> Vec<&[Token]> {
    let behind_name = skip(statement, 2) + 1;
    let actions = statement.get(behind_name..).unwrap_or_default();
    let mut depth = 0_usize;
    actions
        .split(move |token| {
            if token.is_symbol('(') {
                depth += 1;
            } else if token.is_symbol(')') {
                depth = depth.saturating_sub(1);
            }
            depth == 0 && token.is_symbol(',')
        })
        .collect()
}
