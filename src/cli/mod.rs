//! The command line: words into options, events into lines, ends into an exit status. Only this
//! module prints.

mod arguments;
mod cat;
mod command;
mod completions;
mod dry_run;
mod dry_run_report;
mod du;
mod extract;
mod find;
mod hint;
mod load;
mod log_file;
mod long_line;
mod ls;
mod man;
mod matching;
mod metrics;
mod output;
mod overview;
mod printer;
mod quoting;
mod record;
mod report;
mod sas_source;
mod signals;
mod size;
mod stat;
mod status;
mod terminal;
mod verify;
mod visit;

use std::process::ExitCode;

use clap::Parser;

use crate::container::sas::redacted;
use crate::load::LoadError;

use arguments::Arguments;

/// The exit status: 0 done; 1 failed or stopped, run again to resume; 2 the command is wrong;
/// 3 done or at rest with failed entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Problems = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        ExitCode::from(status as u8)
    }
}

/// Runs the command with the process's arguments.
pub fn main() -> ExitCode {
    signals::survive_file_size_limit();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let status = match words.first() {
        None => {
            terminal::err(&overview::first());
            Ok(Status::Usage)
        }
        Some(word) if command::is_command(Some(word)) => command::run(),
        Some(_) if dry_run::is_requested(std::env::args_os()) => dry_run::run(),
        Some(_) => match Arguments::try_parse() {
            Ok(arguments) => load::run(&arguments),
            Err(error) => {
                let status = arguments::explain(&error);
                if let Some(hint) = hint::of_words(&words, error.kind()) {
                    terminal::err(&redacted(&format!("hint: {hint}")));
                }
                Ok(status)
            }
        },
    };
    match status {
        Ok(status) => status.into(),
        Err(failure) => {
            // A token in the wrong place, such as that of a path, is no token to what reports it.
            terminal::err(&format!("clfsload: {}", redacted(&failure.message)));
            failure.status.into()
        }
    }
}

/// Why the command ends early, in a sentence.
struct Failure {
    message: String,
    status: Status,
}

impl Failure {
    fn usage(message: impl ToString) -> Self {
        Failure {
            message: message.to_string(),
            status: Status::Usage,
        }
    }
}

impl Failure {
    /// What could not be done, though the command is right.
    fn failed(message: impl ToString) -> Self {
        Failure {
            message: message.to_string(),
            status: Status::Failed,
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Failure {
            message: error.to_string(),
            status: match error.is_usage() {
                true => Status::Usage,
                false => Status::Failed,
            },
        }
    }
}

/// Raises the soft limit of open files to the hard one (getrlimit(2)): the soft one is often 1,024
/// for programs that use select(2), which this one does not.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where that is not allowed, the limit stays as it is, and the load makes fewer requests at the same time.
    let _: rustix::io::Result<()> = setrlimit(Resource::Nofile, raised);
}
