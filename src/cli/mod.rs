//! The command line: arguments to options, events to lines, results to an exit status. Only this module prints.

mod args;
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
mod signals;
mod size;
mod stat;
mod status;
mod terminal;
mod verify;
mod version;
mod visit;

use std::process::ExitCode;

use clap::Parser;

use crate::container::credential::sas::redacted;
use crate::load::LoadError;

use arguments::Arguments;

/// The exit status: 0 done; 1 failed or stopped (resumable); 2 the command is wrong; 3 done or paused with failed
/// entries.
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
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let status = match arguments.first() {
        None => {
            terminal::err(&overview::first());
            Ok(Status::Usage)
        }
        Some(first) if command::is_command(Some(first)) => command::run(),
        Some(_) if dry_run::is_requested(std::env::args_os()) => dry_run::run(),
        Some(_) => match Arguments::try_parse() {
            Ok(arguments) => load::run(&arguments),
            Err(error) => {
                let status = arguments::explain(&error);
                if let Some(hint) = hint::for_arguments(&arguments, error.kind()) {
                    terminal::err(&redacted(&format!("hint: {hint}")));
                }
                Ok(status)
            }
        },
    };
    match status {
        Ok(status) => status.into(),
        Err(failure) => {
            // An error may quote a token that was given in the wrong place, such as that of a path.
            terminal::err(&format!("clfsload: {}", redacted(&failure.message)));
            failure.status.into()
        }
    }
}

/// Why the command failed, in one sentence, and its exit status.
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

    /// A failure of a correct command.
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

/// Raises the soft limit of open files to the hard limit (getrlimit(2)). The soft limit is often 1,024 for the sake
/// of programs that use select(2), which this one does not.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // If this is not permitted, the limit stays, and the load has fewer concurrent requests.
    let _: rustix::io::Result<()> = setrlimit(Resource::Nofile, raised);
}
