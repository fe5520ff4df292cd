//! A piece of a directory's listing, as workers pass it to the committer.

use crate::problem::Problem;
use crate::source::OpenError;
use crate::state::{FoundEntry, StateError};

/// The result of one piece of work.
#[derive(Debug)]
pub(super) enum Piece {
    /// Entries, in the order of their names.
    Chunk {
        entries: Vec<FoundEntry>,
        last: bool,
    },
    /// The directory cannot be listed. Always the last piece.
    Problem(Problem),
    /// The run is stopping. Always the last piece.
    Stopped,
    /// The state failed, which ends the run. Always the last piece.
    Error(StateError),
}

impl Piece {
    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        match self {
            Piece::Chunk { entries, .. } => entries.len(),
            Piece::Problem(_) | Piece::Stopped | Piece::Error(_) => 0,
        }
    }

    /// Returns whether it is the last piece of its directory.
    pub(super) fn is_last(&self) -> bool {
        match self {
            Piece::Chunk { last, .. } => *last,
            Piece::Problem(_) | Piece::Stopped | Piece::Error(_) => true,
        }
    }
}

impl From<OpenError> for Piece {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Problem(problem) => Piece::Problem(problem),
            OpenError::State(error) => Piece::Error(error),
        }
    }
}

impl From<StateError> for Piece {
    fn from(error: StateError) -> Self {
        Piece::Error(error)
    }
}
