//! Printing of lines, messages and documents.

use std::fmt::{self, Display};
use std::io::{ErrorKind, Write};

use crate::cli::{Failure, Status};
use crate::events::{Event, Level};

/// The prefix of a message on standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prefix {
    Error,
    Warning,
    Note,
    Hint,
}

impl Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Prefix::Error => "error: ",
            Prefix::Warning => "warning: ",
            Prefix::Note => "note: ",
            Prefix::Hint => "hint: ",
        })
    }
}

/// Prints a line to standard output. It does not use `println!`, which panics if the terminal or pipe was closed:
/// that must not end a transfer.
pub(crate) fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints a line to standard error. Errors are ignored, as in [`out`].
pub(crate) fn err(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Prints a message to standard error.
pub(crate) fn message(prefix: Prefix, text: impl Display) {
    err(&format!("{prefix}{text}"));
}

/// Prints a warning to standard error.
pub(crate) fn warning(text: &str) {
    message(Prefix::Warning, text);
}

/// Prints a note to standard error.
pub(crate) fn note(text: &str) {
    message(Prefix::Note, text);
}

/// Prints an event to standard error, if its level is above debug.
pub(crate) fn event_message(event: &Event<'_>) {
    match event.level() {
        Level::Debug => {}
        Level::Info => message(Prefix::Note, event),
        Level::Warning => message(Prefix::Warning, event),
        Level::Error => message(Prefix::Error, event),
    }
}

/// Prints a document to standard output, for a file or a pager. A closed pipe (`| head`) is not a failure.
pub(crate) fn document(text: &[u8]) -> Result<Status, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::not_printed(&error)),
        _ => Ok(Status::Done),
    }
}
