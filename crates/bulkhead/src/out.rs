//! What commands print. Whoever reads standard output may close it (`bulkhead openapi | head`): the rest is then for nobody,
//! which is no failure of the command.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// Prints a line on standard output.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unless_closed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// A line on standard error for people, who may not be there.
pub(crate) fn note(text: impl Display) {
    let _unread = writeln!(io::stderr(), "{text}");
}

/// What came of writing, where it does not matter that nobody reads any more.
pub(crate) fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
