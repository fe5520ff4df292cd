//! The result of a run, with the totals of the transfer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LoadError;
use crate::loss::Lost;
use crate::progress::Progress;
use crate::state::{State, Subtrees, Totals};

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The container is complete.
    Finished,
    /// An earlier run completed the container.
    WasFinished,
    /// The container is complete except for failed entries, which were skipped.
    FinishedWithout,
    /// Entries failed; the root was not written.
    Problems,
    /// The run stopped because too many entries failed.
    TooManyProblems,
    /// The run was stopped.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Finished => "finished",
            End::WasFinished => "was already finished",
            End::FinishedWithout => "finished without failed entries",
            End::Problems => "paused with failed entries",
            End::TooManyProblems => "stopped because too many entries failed",
            End::Stopped => "stopped",
        })
    }
}

/// The result of a run, with the totals of the transfer.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How the run ended.
    pub end: End,
    /// Counts of the complete transfer, from the database.
    pub totals: Totals,
    /// Failed entries.
    pub problems: u64,
    /// Attributes that the format cannot store.
    pub lost: Vec<Lost>,
    /// Failed entries with a missing subtree.
    pub subtrees: Subtrees,
    /// Files that changed while they were read and were stored all the same.
    pub changed: u64,
    /// The duration of this run.
    pub elapsed: Duration,
    /// The counters of this run.
    pub progress: Arc<Progress>,
}

impl Summary {
    /// Describes how the run ended, with the missing subtrees if there are any.
    pub fn ended(&self) -> String {
        match self.end {
            End::FinishedWithout if self.subtrees.any() => {
                format!("finished incomplete: {}", self.subtrees)
            }
            end => end.to_string(),
        }
    }

    pub(super) fn read(
        state: &State,
        end: End,
        elapsed: Duration,
        progress: &Arc<Progress>,
    ) -> Result<Self, LoadError> {
        let reader = state.reader()?;
        Ok(Summary {
            end,
            totals: reader.totals()?,
            problems: reader.problem_count()?,
            lost: reader.lost()?,
            subtrees: reader.subtrees()?,
            changed: reader.changed_count()?,
            elapsed,
            progress: Arc::clone(progress),
        })
    }
}
