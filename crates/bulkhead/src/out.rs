//! What commands print. The reader of standard output may close it before the end (`bulkhead openapi | head`). The
//! rest then has no reader, which is no failure of the command.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
};

/// Prints a line on standard output.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unless_closed(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints a line on standard error, for a person. That it cannot be written is ignored: there may be no person who
/// reads.
pub(crate) fn note(text: impl Display) {
    let _unread = writeln!(io::stderr(), "{text}");
}

/// The result of a write, for which it is no failure that the reader has closed its end.
pub(crate) fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}
