//! What is printed: each line by itself.

use std::io::{ErrorKind, Write};

use super::{Failure, Status};

/// A line to standard output. A terminal or pipe that is gone is no reason to end a transfer, so
/// it is not `println!`, which panics then.
pub(super) fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A line to standard error, likewise.
pub(super) fn err(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// A whole document to standard output, for a file or a pager. One who has read enough of it
/// (`| head`) is no failure.
pub(super) fn document(text: &[u8]) -> Result<Status, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output: {error}")))
        }
        _ => Ok(Status::Done),
    }
}
