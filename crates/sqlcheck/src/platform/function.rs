//! A function as the statement that makes it says: its name, its parameters, what it returns, its body.
//!
//! Owns the reading of `CREATE FUNCTION`. Knows bodies that are strings; the other form (`RETURN …`, `BEGIN ATOMIC … END`) has
//! none here, and the rules refuse it.

use crate::{
    Complaint,
    relations::word,
    tokens::{Statement, Token, Word, statements},
};

/// A parameter that a caller gives.
#[derive(Debug)]
pub(super) struct Parameter {
    /// `None` when it has no name.
    pub(super) name: Option<String>,
    /// The first word of its type.
    kind: String,
}

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    /// The file that makes it, below the migrations of its set.
    pub(super) file: String,
    /// Where the statement begins.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    /// The first word of the type that it returns; empty when it returns none.
    returns: String,
    /// The line on which its body begins, and the statements of it, whose lines are counted from 1; `None` when it has no string.
    pub(super) body: Option<(usize, Vec<Statement>)>,
}

impl Function {
    /// The function that a statement makes; `None` when it makes none.
    pub(super) fn read(file: &str, statement: &Statement) -> Result<Option<Self>, Complaint> {
        if !is_function(statement) {
            return Ok(None);
        }
        let line = statement.first().map_or(1, |first| first.line);
        let at = statement.iter().position(|token| token.is("function")).unwrap_or_default() + 1;
        let at = if statement.get(at + 1).is_some_and(|dot| dot.is_symbol('.')) { at + 2 } else { at };
        let (inner, behind) = in_parentheses(statement.get(at + 1..).unwrap_or_default());
        let returns =
            behind.iter().position(|token| token.is("returns")).map_or("", |at| word(behind, at + 1));
        let body = behind.iter().find_map(|token| match &token.word {
            Word::Text(text) => Some((token.line, text)),
            _ => None,
        });
        let body = match body {
            Some((line, text)) => Some((line, statements(text).map_err(|inner| moved(line, inner))?)),
            None => None,
        };
        Ok(Some(Self {
            file: file.to_owned(),
            line,
            name: word(statement, at).to_owned(),
            parameters: split(inner).into_iter().filter_map(parameter).collect(),
            returns: returns.to_owned(),
            body,
        }))
    }

    /// Whether it is what a purge calls: `forget`, of a uuid and an integer, which returns a bigint.
    pub(super) fn is_forget(&self) -> bool {
        let kinds: Vec<&str> = self.parameters.iter().map(|one| one.kind.as_str()).collect();
        self.name == "forget"
            && matches!(kinds[..], ["uuid", "integer" | "int" | "int4"])
            && matches!(self.returns.as_str(), "bigint" | "int8")
    }

    /// Whether its body removes no more rows than its second parameter says.
    pub(super) fn has_limit(&self) -> bool {
        let name = self.parameters.get(1).and_then(|one| one.name.as_deref());
        self.statements().any(|statement| {
            statement.iter().enumerate().any(|(at, token)| {
                let is_named = name.is_some_and(|name| word(statement, at + 1) == name);
                let is_second = statement.get(at + 1).is_some_and(|dollar| dollar.is_symbol('$'))
                    && statement
                        .get(at + 2)
                        .is_some_and(|second| second.word == Word::Number("2".to_owned()));
                token.is("limit") && (is_named || is_second)
            })
        })
    }

    /// The statements of its body.
    pub(super) fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.body.iter().flat_map(|(_, statements)| statements)
    }

    /// A complaint about a token of its body.
    pub(super) fn complain(&self, token: &Token, why: impl Into<String>) -> Complaint {
        let line = self.body.as_ref().map_or(self.line, |(line, _)| *line);
        moved(line, Complaint::new(token.line, why))
    }
}

/// Whether it makes a function.
fn is_function(statement: &Statement) -> bool {
    word(statement, 0) == "create" && (word(statement, 1) == "function" || word(statement, 3) == "function")
}

/// A complaint about a text that begins on this line.
fn moved(line: usize, inner: Complaint) -> Complaint {
    Complaint { line: line + inner.line - 1, why: inner.why }
}

/// What stands in the parentheses that these tokens begin with, and what stands behind them.
fn in_parentheses(tokens: &[Token]) -> (&[Token], &[Token]) {
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        if token.is_symbol('(') {
            depth += 1;
        } else if token.is_symbol(')') {
            depth = depth.saturating_sub(1);
        }
        depth == 0
    });
    let Some((inner, behind)) = end.and_then(|end| tokens.split_at_checked(end)) else {
        return (&[], tokens);
    };
    (inner.get(1..).unwrap_or_default(), behind)
}

/// The parts between commas that are in no parentheses of their own.
pub(super) fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    let at_comma = |token: &Token| {
        if token.is_symbol('(') {
            depth += 1;
        } else if token.is_symbol(')') {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is_symbol(',')
    };
    tokens.split(at_comma).filter(|part| !part.is_empty()).collect()
}

/// `[mode] [name] type [default …]`; `None` for what the function gives back.
fn parameter(tokens: &[Token]) -> Option<Parameter> {
    let has_mode = matches!(word(tokens, 0), "in" | "out" | "inout" | "variadic");
    let rest = tokens.get(usize::from(has_mode)..).unwrap_or_default();
    if word(tokens, 0) == "out" {
        return None;
    }
    // A type of two words and a name before a type look the same but for their words.
    let is_long = matches!(
        (word(rest, 0), word(rest, 1)),
        ("double", "precision")
            | ("character" | "bit", "varying")
            | ("timestamp" | "time", "with" | "without")
            | (_, "default" | "")
    );
    let at = usize::from(!is_long);
    Some(Parameter { name: (!is_long).then(|| word(rest, 0).to_owned()), kind: word(rest, at).to_owned() })
}
