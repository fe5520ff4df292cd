//! Where a load tells what it does: for people on a terminal or in a log of lines, and for machines.

mod azcopy;
pub(super) mod figures;
mod json;
mod lines;
mod live;
mod sparing;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use crate::load::Summary;
use crate::monitor::Event;
use crate::progress::Snapshot;
use crate::state::State;

pub(super) use crate::amount;

use super::{Failure, Status};

use lines::Lines;
use live::Live;
pub(super) use summary::lines as summary_lines;

/// A way of telling what a load does. All may be called from any thread.
pub(super) trait Output: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
    /// The figures of this moment, twice a second.
    fn snapshot(&self, snapshot: &Snapshot);
    /// A line of the normal course that belongs to no event.
    fn line(&self, line: &str);
    /// The run came to an end of its own. No snapshot comes after it.
    fn end(&self, ending: &Ending<'_>);
    /// What the run loaded was verified: what that found, and the exit status of all.
    fn verified(&self, _found: Status, _exit: Status) {}
    /// The process ends at once.
    fn stopped(&self) {}
    /// The command failed. The message is printed by the caller, to standard error.
    fn failure(&self, failure: &Failure);
}

/// How a run ended, and what may be told of it.
pub(super) struct Ending<'a> {
    pub(super) summary: &'a Summary,
    pub(super) state: &'a State,
    /// The last figures.
    pub(super) last: Option<&'a Snapshot>,
    /// What to do next, in sentences.
    pub(super) next: Vec<String>,
    /// Whether the container is verified before the command ends.
    pub(super) verifies: bool,
}

pub(super) use azcopy::Azcopy;
pub(super) use json::Json;

/// The output for a person.
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
