//! `clfsload report`: a page about a transfer, for a browser.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failure, Status};
use crate::report::{self, ReportError};

/// Writes a page about a load for a browser, while it runs or after
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The state folder of the load
    #[arg(value_name = "STATE_DIR")]
    state: PathBuf,
}

const EXAMPLES: &str = "\
Example:
  clfsload report /var/clfsload/t1 > report.html

The page is one complete file: it can be sent, kept and printed, and loads nothing. It contains the paths of
failed, large and slow files.
Exit status: 0 written; 1 the state cannot be read, or the page cannot be written; 2 the command line is wrong.";

pub(crate) fn run(arguments: &Arguments) -> Result<Status, Failure> {
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
        // The reader closed the pipe (`| head`).
        Err(ReportError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(Status::Done)
        }
        Err(ReportError::Output(error)) => Err(Failure::not_printed(&error)),
        Err(ReportError::State(error)) => {
            // A partial page shows that it is incomplete.
            drop(out.flush());
            Err(error.into())
        }
    }
}
