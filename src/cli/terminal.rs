//! What is printed: each line by itself.

use std::io::Write;

/// A line to standard output. A terminal or pipe that is gone is no reason to end a transfer, so
/// it is not `println!`, which panics then.
pub(super) fn out(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// A line to standard error, likewise.
pub(super) fn err(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
