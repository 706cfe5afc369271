//! What the SQL of a migration does, as far as its text tells.
//!
//! Owns a tokenizer for PostgreSQL's SQL, the rules for migrations of a tenant's schema, and those for tables across tenants. A
//! rule looks at tokens and never at text, so a word in a comment, in a string or inside another word is none (`committed_at`
//! commits nothing). Is no parser: what it does not understand it refuses, and says why.
//!
//! Guards against mistakes and not against malice: a migration runs as the owner of every schema.
//!
//! Rejected: a list of forbidden words (it takes a column for a command and a comment for SQL), a full parser of PostgreSQL's
//! grammar (a library in C, for a dozen rules).

mod platform;
mod relations;
mod rules;
mod set;
mod tokens;

pub use self::{
    platform::judge_platform_set,
    rules::{Direction, judge, relations_created, tables_created},
    set::{Fault, Texts, judge_set, tables_of},
    tokens::{Statement, Token, Word, statements},
};

/// What is wrong with a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it; for people.
    pub why: String,
}

impl Complaint {
    pub(crate) fn new(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}
