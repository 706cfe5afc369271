//! SQL as tokens, by the lexical rules of PostgreSQL with `standard_conforming_strings` on.

use crate::Complaint;

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A word that is not quoted, in lower case: a key word or a name.
    Plain(String),
    /// A name in double quotes, without them.
    Quoted(String),
    /// A string, also one in dollars, without what encloses it.
    Text(String),
    /// A number, as it stands.
    Number(String),
    /// `:"tenant"`: the tenant's role.
    Tenant,
    /// A single character of anything else.
    Symbol(char),
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// What it is.
    pub word: Word,
}

impl Token {
    /// Whether it is this key word, in lower case.
    pub fn is(&self, word: &str) -> bool {
        matches!(&self.word, Word::Plain(plain) if plain == word)
    }

    /// Whether it is this character.
    pub fn is_symbol(&self, symbol: char) -> bool {
        self.word == Word::Symbol(symbol)
    }

    /// The name that it may stand for.
    pub fn name(&self) -> Option<&str> {
        match &self.word {
            Word::Plain(name) | Word::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// The tokens of a statement, without the semicolon at its end.
pub type Statement = Vec<Token>;

/// The statements of a text; empty ones are left out. Refuses a text that ends inside a string, a name or a comment.
pub fn statements(sql: &str) -> Result<Vec<Statement>, Complaint> {
    let mut found = vec![Vec::new()];
    let mut reader = Reader { rest: sql, line: 1 };
    while let Some(token) = reader.next()? {
        match (token.is_symbol(';'), found.last_mut()) {
            (false, Some(statement)) => statement.push(token),
            _ => found.push(Vec::new()),
        }
    }
    found.retain(|statement| !statement.is_empty());
    Ok(found)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<Token>, Complaint> {
        self.skip_blanks()?;
        let line = self.line;
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let word = if let Some(tenant) = self.rest.strip_prefix(":\"tenant\"") {
            self.rest = tenant;
            Word::Tenant
        } else if first == '\'' {
            Word::Text(self.enclosed('\'', false)?)
        } else if first == '"' {
            Word::Quoted(self.enclosed('"', false)?)
        } else if let Some(tag) = dollar_tag(self.rest) {
            Word::Text(self.in_dollars(tag)?)
        } else if begins_name(first) {
            self.name_or_prefixed_string()?
        } else if first.is_ascii_digit() {
            Word::Number(
                self.take(self.length(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')).to_owned(),
            )
        } else {
            self.take(first.len_utf8());
            Word::Symbol(first)
        };
        Ok(Some(Token { line, word }))
    }

    /// A name, or a string with a letter before it: `E'…'` has escapes, `B'…'`, `X'…'`, `N'…'` and `U&'…'` have none.
    fn name_or_prefixed_string(&mut self) -> Result<Word, Complaint> {
        let name = self.take(self.length(continues_name)).to_lowercase();
        match (name.as_str(), self.rest.chars().next()) {
            ("e", Some('\'')) => Ok(Word::Text(self.enclosed('\'', true)?)),
            ("b" | "x" | "n", Some('\'')) => Ok(Word::Text(self.enclosed('\'', false)?)),
            ("u", Some('&')) if self.rest.starts_with("&'") => {
                self.take(1);
                Ok(Word::Text(self.enclosed('\'', false)?))
            }
            ("u", Some('&')) if self.rest.starts_with("&\"") => {
                self.take(1);
                Ok(Word::Quoted(self.enclosed('"', false)?))
            }
            _ => Ok(Word::Plain(name)),
        }
    }

    /// The text between two of these marks. A doubled mark stands for one mark in the text.
    fn enclosed(&mut self, mark: char, has_escapes: bool) -> Result<String, Complaint> {
        let line = self.line;
        let mut text = String::new();
        self.take(1);
        let mut chars = self.rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && has_escapes {
                text.extend(chars.next().map(|(_, escaped)| escaped));
            } else if c != mark || chars.next_if(|(_, next)| *next == mark).is_some() {
                text.push(c);
            } else {
                self.take(at + 1);
                return Ok(text);
            }
        }
        Err(Complaint::new(line, format!("{mark} is not closed")))
    }

    fn in_dollars(&mut self, tag: &'a str) -> Result<String, Complaint> {
        let line = self.line;
        self.take(tag.len());
        let Some(end) = self.rest.find(tag) else {
            return Err(Complaint::new(line, format!("{tag} is not closed")));
        };
        let text = self.take(end).to_owned();
        self.take(tag.len());
        Ok(text)
    }

    fn skip_blanks(&mut self) -> Result<(), Complaint> {
        loop {
            let blanks = self.length(char::is_whitespace);
            self.take(blanks);
            if self.rest.starts_with("--") {
                self.take(self.length(|c| c != '\n'));
            } else if self.rest.starts_with("/*") {
                self.skip_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Skips a comment in `/* */`. Comments inside it nest.
    fn skip_comment(&mut self) -> Result<(), Complaint> {
        let line = self.line;
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return Ok(());
                }
            } else {
                let Some(c) = self.rest.chars().next() else {
                    return Err(Complaint::new(line, "the comment is not closed"));
                };
                self.take(c.len_utf8());
            }
        }
    }

    /// The length in bytes of the leading characters that fit.
    fn length(&self, fits: impl Fn(char) -> bool) -> usize {
        self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len())
    }

    /// Takes this many bytes, which end between two characters, and goes on behind them.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_name(c: char) -> bool {
    begins_name(c) || c.is_ascii_digit() || c == '$'
}

/// `$$` or `$name$` at the beginning; a parameter (`$1`) is none.
fn dollar_tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('$')?;
    let end = inner.find('$')?;
    let (name, _) = inner.split_at(end);
    let is_name = name.chars().next().is_none_or(begins_name)
        && name.chars().all(|c| begins_name(c) || c.is_ascii_digit());
    is_name.then(|| text.split_at(end + 2).0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(sql: &str) -> Vec<Vec<String>> {
        let word = |token: &Token| match &token.word {
            Word::Plain(name) => name.clone(),
            Word::Quoted(name) => format!("\"{name}\""),
            Word::Text(text) => format!("'{text}'"),
            Word::Number(number) => number.clone(),
            Word::Tenant => ":tenant".to_owned(),
            Word::Symbol(symbol) => symbol.to_string(),
        };
        statements(sql).unwrap().iter().map(|statement| statement.iter().map(word).collect()).collect()
    }

    #[test]
    fn statements_end_where_postgresql_ends_them() {
        for (sql, expected) in [
            ("SELECT 1; select 2", vec![vec!["select", "1"], vec!["select", "2"]]),
            ("a -- b; c\n; d", vec![vec!["a"], vec!["d"]]),
            ("a /* ; /* ; */ ; */ b;;", vec![vec!["a", "b"]]),
            ("'a;''b' \"c;\"\"d\"", vec![vec!["'a;'b'", "\"c;\"d\""]]),
            (r"E'a\';b' e'\\';c", vec![vec!["'a';b'", r"'\'"], vec!["c"]]),
            (r"'a\'; b", vec![vec![r"'a\'"], vec!["b"]]),
            ("$$a;b$$ $x$c;$$d$x$; e", vec![vec!["'a;b'", "'c;$$d'"], vec!["e"]]),
            ("$1 + a$b$c", vec![vec!["$", "1", "+", "a$b$c"]]),
            ("TO :\"tenant\"::text", vec![vec!["to", ":tenant", ":", ":", "text"]]),
            (
                "x'1F' b'01' n'é' u&'a;' U&\"b;\" 1.5e3",
                vec![vec!["'1F'", "'01'", "'é'", "'a;'", "\"b;\"", "1.5e3"]],
            ),
            ("", vec![]),
        ] {
            assert_eq!(plain(sql), expected, "{sql}");
        }
    }

    #[test]
    fn lines_are_counted_through_everything() {
        let sql = "a\n/* \n */ '\n' $$\n$$ \"\n\" -- \n b";
        let lines: Vec<usize> = statements(sql).unwrap().concat().iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 7]);
    }

    #[test]
    fn what_is_not_closed_is_refused_where_it_begins() {
        for sql in ["\n'a", "\n\"a", "\n$$a$", "\n$x$a$$", "\n/* /* */", "\nE'a\\'"] {
            assert_eq!(statements(sql).unwrap_err().line, 2, "{sql}");
        }
    }

    proptest! {
        /// No text is too odd, and none is read for ever.
        #[test]
        fn any_text_is_read_or_refused(sql in r#"([a-zé_$'";:/*\-\\ \n1]|\$\$){0,60}"#) {
            let _either = statements(&sql);
        }
    }
}
