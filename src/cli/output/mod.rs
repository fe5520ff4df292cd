//! The output: messages and records of all commands; of a load, a live display or lines for people, and JSON or AzCopy's
//! lines for programs.

mod azcopy;
pub(crate) mod figures;
mod json;
mod lines;
mod live;
pub(crate) mod log_file;
pub(crate) mod long_line;
pub(crate) mod metrics;
pub(crate) mod printer;
pub(crate) mod quoting;
pub(crate) mod record;
pub(crate) mod summary;
pub(crate) mod terminal;

use std::sync::Arc;
use std::time::Duration;

use crate::events::Event;
use crate::load::Summary;
use crate::progress::Snapshot;
use crate::state::State;

use super::args::load::{LoadArguments, Target};
use super::{Failure, Status};

use azcopy::Azcopy;
use json::Json;
use lines::Lines;
use live::Live;

/// The format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Presents the events and the progress of a load. Its methods may be called from any thread.
pub(crate) trait Output: Send + Sync {
    /// Presents an event.
    fn event(&self, event: &Event<'_>);
    /// Presents the current progress, twice a second.
    fn snapshot(&self, snapshot: &Snapshot);
    /// Prints an information line that does not belong to an event.
    fn line(&self, line: &str);
    /// Presents the result of a run. No snapshot follows.
    fn end(&self, ending: &Ending<'_>);
    /// Presents the result of `--verify` and the exit status of the command.
    fn verified(&self, _found: Status, _exit: Status) {}
    /// Reports an exit of the process before the run has ended.
    fn stopped(&self) {}
    /// Reports that the command failed. The caller prints the message to standard error.
    fn failure(&self, failure: &Failure);
}

/// The result of a run, for its summary.
pub(crate) struct Ending<'a> {
    pub(crate) summary: &'a Summary,
    pub(crate) state: &'a State,
    /// The last progress.
    pub(crate) last: Option<&'a Snapshot>,
    /// What to do next, as sentences.
    pub(crate) next: Vec<String>,
    /// Whether `--verify` follows.
    pub(crate) verifies: bool,
}

/// Returns the output of a load.
pub(crate) fn of_load(arguments: &LoadArguments, target: Target<'_>) -> Arc<dyn Output> {
    let progress = !arguments.no_progress;
    let every = |default| {
        let seconds = arguments.progress_interval.unwrap_or(default);
        progress.then(|| Duration::from_secs(seconds))
    };
    let state = target.state.to_path_buf();
    match arguments.output {
        _ if arguments.azcopy => Arc::new(Azcopy::new()),
        Format::Json => Arc::new(Json::new(every(5))),
        Format::Text if progress && Live::is_possible() => Arc::new(Live::new(state)),
        Format::Text => Arc::new(Lines::new(every(30), state)),
    }
}
