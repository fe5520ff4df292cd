//! The output of the reading commands: names and lines on standard output, problems on standard error, or one JSON
//! object per line.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use serde::Serialize;

use super::quoting::NameStyle;
use super::record::ErrorRecord;
use super::terminal::{Prefix, message};
use crate::cli::{Failure, Status};
use crate::read::{ReadError, TreePath, UnreadDirectories, WalkProblem};
use crate::text::Hex;

/// The options of the output.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OutputArguments {
    /// Print one JSON object per line; docs/reading.md lists the fields
    #[arg(long, conflicts_with_all = ["zero", "literal"])]
    pub(crate) json: bool,
    /// End each line with a NUL byte instead of a newline, and do not quote names
    #[arg(short = '0', long)]
    pub(crate) zero: bool,
    /// Print names without quotes on a terminal too
    #[arg(short = 'N', long)]
    pub(crate) literal: bool,
}

/// Why a command ends early.
pub(crate) enum EarlyExit {
    /// Standard output was closed (`| head`).
    Closed,
    /// An error that does not concern a single entry.
    Failed(Failure),
}

impl From<io::Error> for EarlyExit {
    /// Converts an error of standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(Failure::not_printed(&error)),
        }
    }
}

impl From<ReadError> for EarlyExit {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.into())
    }
}

/// Prints the results of a reading command, and keeps its exit status and the number of unread directories.
pub(crate) struct Printer {
    out: BufWriter<File>,
    terminal: bool,
    style: NameStyle,
    end: u8,
    json: bool,
    status: Status,
    unread: UnreadDirectories,
}

impl Printer {
    pub(crate) fn new(arguments: &OutputArguments) -> Result<Self, Failure> {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let descriptor = stdout.as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(|error| Failure::not_printed(&error))?;
        Ok(Self {
            out: BufWriter::new(File::from(descriptor)),
            terminal,
            style: NameStyle::suited(terminal, arguments.zero, arguments.literal),
            end: if arguments.zero { 0 } else { b'\n' },
            json: arguments.json,
            status: Status::Done,
            unread: UnreadDirectories::default(),
        })
    }

    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Appends a name or a path in the style of the output.
    pub(crate) fn append(&self, line: &mut Vec<u8>, name: &[u8]) {
        self.style.append(line, name);
    }

    /// Appends `/a/b`.
    pub(crate) fn append_path(&self, line: &mut Vec<u8>, path: &TreePath) {
        self.style.append(line, &path.absolute());
    }

    /// Prints a line; the terminator is added.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<(), EarlyExit> {
        self.out.write_all(line)?;
        self.out.write_all(&[self.end])?;
        self.flush_terminal()
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), EarlyExit> {
        Ok(self.out.write_all(bytes)?)
    }

    /// Prints a record as a line of JSON.
    pub(crate) fn record(&mut self, record: &impl Serialize) -> Result<(), EarlyExit> {
        serde_json::to_writer(&mut self.out, record).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        self.flush_terminal()
    }

    /// Flushes on a terminal, so that a line appears immediately.
    fn flush_terminal(&mut self) -> Result<(), EarlyExit> {
        if self.terminal {
            self.out.flush()?;
        }
        Ok(())
    }

    /// Reports that something at `path` was skipped because of damage.
    pub(crate) fn damaged(
        &mut self,
        path: &TreePath,
        problem: &dyn Display,
    ) -> Result<(), EarlyExit> {
        self.problem(Status::Problems, path, problem)
    }

    /// Reports that a requested operation on `path` is not possible.
    pub(crate) fn refused(
        &mut self,
        path: &TreePath,
        problem: &dyn Display,
    ) -> Result<(), EarlyExit> {
        self.problem(Status::Failed, path, problem)
    }

    fn problem(
        &mut self,
        status: Status,
        path: &TreePath,
        problem: &dyn Display,
    ) -> Result<(), EarlyExit> {
        self.report(status, &format!("{path}: {problem}"));
        self.problem_record(path, problem)
    }

    fn problem_record(&mut self, path: &TreePath, problem: &dyn Display) -> Result<(), EarlyExit> {
        match self.json {
            true => self.record(&ErrorRecord::new(path, problem)),
            false => Ok(()),
        }
    }

    fn report(&mut self, status: Status, text: &str) {
        if self.status != Status::Failed {
            self.status = status;
        }
        message(Prefix::Error, text);
    }

    /// Reports that the entry at `path` could not be read. An error that is not damage ends the command.
    pub(crate) fn unreadable(
        &mut self,
        path: &TreePath,
        error: ReadError,
    ) -> Result<(), EarlyExit> {
        match error {
            // These messages contain the path.
            ReadError::NoEntry { .. } | ReadError::NotADirectory { .. } => {
                self.report(Status::Failed, &error.to_string());
                self.problem_record(path, &error)
            }
            error if error.is_damage() => self.damaged(path, &error),
            error => Err(error.into()),
        }
    }

    /// Counts a problem that was reported before.
    pub(crate) fn count_unread(&mut self, problem: &WalkProblem) {
        self.unread.count(problem);
    }

    /// Reports what a walk skipped.
    pub(crate) fn report_skipped(&mut self, problem: WalkProblem) -> Result<(), EarlyExit> {
        self.unread.count(&problem);
        match problem {
            WalkProblem::Unreadable { path, error }
            | WalkProblem::PartUnreadable { path, error } => self.unreadable(&path, error),
            WalkProblem::BadEntry { path, blob, entry } => {
                let mut text = format!("an entry in the blob {blob}: {}", entry.error);
                if let Some(name) = &entry.name {
                    text += &format!("; its name is {:?}", crate::text::Escaped(name).to_string());
                }
                if let Some(handle) = &entry.handle {
                    text += &format!("; it names {}", Hex(handle));
                }
                self.damaged(&path, &text)
            }
            WalkProblem::NoChild { path } => self.damaged(
                &path,
                &"no entry can have this name, or its filehandle has no type",
            ),
            WalkProblem::Again { path, handle } => self.damaged(
                &path,
                &format!("the directory {handle} has another name too; it is not read again"),
            ),
        }
    }

    /// Does the same as [`Printer::end`], for entries that were requested by name: an incomplete file or inode
    /// is a failure, other than an incomplete list.
    pub(crate) fn end_of_named(self, outcome: Result<(), EarlyExit>) -> Result<Status, Failure> {
        Ok(match self.end(outcome)? {
            Status::Problems => Status::Failed,
            status => status,
        })
    }

    /// Flushes the output, reports unread directories, and returns the exit status.
    pub(crate) fn end(mut self, outcome: Result<(), EarlyExit>) -> Result<Status, Failure> {
        let flushed = self.out.flush().map_err(EarlyExit::from);
        for line in self.unread.lines() {
            message(Prefix::Error, line);
        }
        match outcome.and(flushed) {
            Ok(()) | Err(EarlyExit::Closed) => Ok(self.status),
            Err(EarlyExit::Failed(failure)) => Err(failure),
        }
    }
}
