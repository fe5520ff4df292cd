//! `clfsload report`: a transfer as a page for a browser.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use super::{Failure, Status};
use crate::report::{self, ReportError};

/// Writes a page about a load for a browser, while it runs or after
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The state folder of the load
    #[arg(value_name = "STATE_DIR")]
    state: PathBuf,
}

const EXAMPLES: &str = "\
Example:
  clfsload report /var/clfsload/t1 > report.html

The page is whole in itself: it can be sent, kept and printed, and loads nothing. It has the paths of failed,
large and slow files in it.
Exit status: 0 written; 1 the state cannot be read, or the page not be written; 2 the command is wrong.";

pub(super) fn run(arguments: &Arguments) -> Result<Status, Failure> {
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(Failure::usage(format!(
            "the report is a page for a browser: clfsload report {} > report.html",
            arguments.state.display()
        )));
    }
    let mut out = BufWriter::new(stdout.lock());
    let written = report::write(&arguments.state, &mut out);
    match written {
        Ok(()) => Ok(Status::Done),
        // Whoever reads it has had enough (`| head`).
        Err(ReportError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(Status::Done)
        }
        Err(ReportError::Output(error)) => {
            Err(Failure::failed(format!("standard output: {error}")))
        }
        Err(ReportError::State(error)) => {
            // What is in the buffer shows that the page is not whole.
            drop(out.flush());
            Err(error.into())
        }
    }
}
