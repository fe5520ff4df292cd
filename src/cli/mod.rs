//! The command line: arguments to options, events to lines, results to an exit status. Only this module prints.

mod args;
mod commands;
mod output;
mod session;

use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::container::credential::sas::redacted;
use crate::load::LoadError;
use crate::read::ReadError;
use crate::state::StateError;
use crate::survey::SurveyError;
use crate::verify::VerifyError;

use output::terminal::{Prefix, message};

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
    session::signals::survive_file_size_limit();
    let status = match args::parse(std::env::args_os()) {
        Ok(command) => commands::run(&command),
        Err(status) => Ok(status),
    };
    match status {
        Ok(status) => status.into(),
        Err(failure) => {
            message(Prefix::Error, &failure.message);
            failure.status.into()
        }
    }
}

/// Why the command failed, in one sentence, and its exit status. Further lines are hints and notes.
struct Failure {
    /// Without secrets: an error may quote a token that was given in the wrong place, such as that of a path.
    message: String,
    status: Status,
}

impl Failure {
    fn usage(message: impl ToString) -> Self {
        Failure {
            message: redacted(&message.to_string()),
            status: Status::Usage,
        }
    }

    /// Creates a failure of a correct command.
    fn failed(message: impl ToString) -> Self {
        Failure {
            message: redacted(&message.to_string()),
            status: Status::Failed,
        }
    }

    fn of(error: &dyn std::error::Error, is_usage: bool) -> Self {
        match is_usage {
            true => Failure::usage(error),
            false => Failure::failed(error),
        }
    }

    /// Creates a failure to write to standard output.
    fn not_printed(error: &std::io::Error) -> Self {
        Failure::failed(format!("standard output: {error}"))
    }

    /// Creates the failure of a runtime that could not start its threads.
    fn no_threads(error: std::io::Error) -> Self {
        Failure::failed(format!("the threads could not be started: {error}"))
    }

    /// Adds a line with a prefix.
    fn with(mut self, prefix: Prefix, text: &str) -> Self {
        self.message += &format!("\n{prefix}{}", redacted(text));
        self
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Failure::of(&error, error.is_usage())
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Failure::of(&error, matches!(error, StateError::Nothing(_)))
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure::of(&error, matches!(error, ReadError::Token(_)))
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        Failure::of(&error, matches!(error, SurveyError::TemporaryInSource(_)))
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Read(error) => error.into(),
            error => Failure::failed(error),
        }
    }
}

/// Locks a mutex. What it guards here is consistent even if another thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
