//! The output of a load: a live display or lines for people, JSON or AzCopy's lines for programs.

mod azcopy;
pub(super) mod figures;
mod json;
mod lines;
mod live;
mod sparing;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use crate::events::Event;
use crate::load::Summary;
use crate::progress::Snapshot;
use crate::state::State;

pub(super) use crate::text::human;

use super::{Failure, Status};

use lines::Lines;
use live::Live;
pub(super) use summary::lines as summary_lines;

/// Presents the events and the progress of a load. Its methods may be called from any thread.
pub(super) trait Output: Send + Sync {
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
    /// The process exits now, before the run has ended.
    fn stopped(&self) {}
    /// The command failed. The caller prints the message to standard error.
    fn failure(&self, failure: &Failure);
}

/// The result of a run, for its summary.
pub(super) struct Ending<'a> {
    pub(super) summary: &'a Summary,
    pub(super) state: &'a State,
    /// The last progress.
    pub(super) last: Option<&'a Snapshot>,
    /// What to do next, as sentences.
    pub(super) next: Vec<String>,
    /// Whether `--verify` follows.
    pub(super) verifies: bool,
}

pub(super) use azcopy::Azcopy;
pub(super) use json::Json;

/// The output for people.
pub(super) fn for_people(
    progress: bool,
    every: std::time::Duration,
    state: PathBuf,
) -> Arc<dyn Output> {
    match progress && Live::is_possible() {
        true => Arc::new(Live::new(state)),
        false => Arc::new(Lines::new(progress.then_some(every), state)),
    }
}
