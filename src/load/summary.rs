//! How a run ended, in figures.

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
    /// The container is whole.
    Finished,
    /// It was whole before.
    WasFinished,
    /// The container is whole but for entries with problems, which were left out.
    FinishedWithout,
    /// Entries have problems; the root is not written.
    Problems,
    /// So many have problems that the run stopped.
    TooManyProblems,
    /// It was asked to stop.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Finished => "finished",
            End::WasFinished => "was finished before",
            End::FinishedWithout => "finished without failed entries",
            End::Problems => "at rest with failed entries",
            End::TooManyProblems => "stopped, as too many entries failed",
            End::Stopped => "stopped",
        })
    }
}

/// The figures of a transfer.
#[derive(Debug, Clone)]
pub struct Summary {
    /// How the run ended.
    pub end: End,
    /// Of the whole transfer, from the database.
    pub totals: Totals,
    /// Entries with a problem.
    pub problems: u64,
    /// What the format has no place for.
    pub lost: Vec<Lost>,
    /// Those of them that hide a subtree.
    pub subtrees: Subtrees,
    /// Files that changed while they were read, and are in the container.
    pub changed: u64,
    /// How long this run took.
    pub elapsed: Duration,
    /// Figures of this run.
    pub progress: Arc<Progress>,
}

impl Summary {
    /// How the run ended, in words: with what is missing below directories, if anything is.
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
