//! Printing of lines and documents.

use std::io::{ErrorKind, Write};

use super::{Failure, Status};

/// Prints a line to standard output. It does not use `println!`, which panics if the terminal or pipe was closed:
/// that must not end a transfer.
pub(super) fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// Prints a line to standard error. Errors are ignored, as in [`out`].
pub(super) fn err(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Prints a document to standard output, for a file or a pager. A closed pipe (`| head`) is not a failure.
pub(super) fn document(text: &[u8]) -> Result<Status, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output: {error}")))
        }
        _ => Ok(Status::Done),
    }
}
