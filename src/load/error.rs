//! Why a load did not reach its end.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::container::ContainerError;
use crate::container::location::LocationError;
use crate::container::sas::SasProblem;
use crate::process_limits::Explained;
use crate::source::{Difference, MountsError};
use crate::state::StateError;

/// A load that was refused before it began, or ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The command asks for something that cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// ACCOUNT and CONTAINER name no place.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The container holds blobs before the transfer begins.
    #[error(
        "the container {location} is not empty (it holds {found}, for one): a transfer needs an empty one; empty it or choose another"
    )]
    NotEmpty {
        /// The container.
        location: String,
        /// One of its blobs.
        found: String,
    },
    /// The container is not the one of the transfer.
    #[error(
        "the container {location} is not the one that this state began ({what}): correct the container, or use the state folder that belongs to it"
    )]
    OtherContainer {
        /// The container.
        location: String,
        /// How that shows.
        what: String,
    },
    /// The mounts below the source are unknown.
    #[error(transparent)]
    Mounts(#[from] MountsError),
    /// A file of our own that cannot be used.
    #[error("cannot {action} {}: {}", .path.display(), Explained(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An object of our own that the format refuses.
    #[error("{0}: this is a fault of clfsload; please report it")]
    Internal(String),
}

/// A command that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No source.
    #[error("the source {} cannot be used: {source}", .path.display())]
    Source {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source that is no folder.
    #[error("the source {} is not a directory", .0.display())]
    SourceNotDirectory(PathBuf),
    /// A source that is not the one of the transfer.
    #[error(
        "another folder or file system is at {}: its {difference} is not the one that was recorded when this \
         transfer was started. Mount the recorded one, then run the same command. Nothing was written",
        .path.display()
    )]
    OtherSource {
        /// The source folder.
        path: PathBuf,
        /// The difference that proves it.
        difference: Difference,
    },
    /// A source that agrees with the recorded one in everything but inode numbers.
    #[error(
        "another folder or file system is at {}, or its inode numbers are not stable: its inode number is not the \
         recorded one, but other attributes agree. Mount the right one. If it is mounted, add \
         --source-identity attributes, which compares mode, owner and times instead. Nothing was written",
        .0.display()
    )]
    SourceRenumbered(PathBuf),
    /// A source that cannot be identified.
    #[error(
        "another folder or file system is at {}, or the recorded one was changed since: its mode, owner and times \
         do not show that it is the same, and none of the recorded entries that were compared does. Mount the right one. If you \
         are sure that it is mounted, add --source-identity accept. Nothing was written",
        .0.display()
    )]
    SourceUnproven(PathBuf),
    /// A source of which nothing was recorded that identifies it.
    #[error(
        "another folder or file system is at {}, or the recorded one was changed since: its mode, owner and times \
         do not show that it is the same, and no entry in it was recorded yet. Mount the right one. If it is mounted, start again with \
         --new, a new state folder and an empty container. Nothing was written",
        .0.display()
    )]
    SourceUnrecorded(PathBuf),
    /// A source that holds none of the recorded entries.
    #[error(
        "another folder or file system is at {}: none of the recorded entries that were compared is in it. Mount \
         the right one. If it is mounted, start again with --new, a new state folder and an empty container. \
         Nothing was written",
        .0.display()
    )]
    SourceEmptied(PathBuf),
    /// Two folders of which one lies in the other.
    #[error(
        "{what} {} and the source {} lie one in the other: the transfer would load its own files; choose a folder elsewhere",
        .folder.display(), .tree.display()
    )]
    Overlap {
        /// The state folder, or the container's.
        what: &'static str,
        /// Where it is.
        folder: PathBuf,
        /// The source.
        tree: PathBuf,
    },
    /// A state folder and a container of which one lies in the other.
    #[error(
        "the state folder {} and the container's folder {} lie one in the other: a container holds blobs only; choose a folder elsewhere",
        .state.display(), .blobs.display()
    )]
    StateInContainer {
        /// The state folder.
        state: PathBuf,
        /// The container's folder.
        blobs: PathBuf,
    },
    /// A folder that would be made in a folder that is not there.
    #[error(
        "{what} {} cannot be made: the folder {} does not exist; mount or make it first",
        .folder.display(), .parent.display()
    )]
    NoParent {
        /// The state folder, or the container's.
        what: &'static str,
        /// Where it would be.
        folder: PathBuf,
        /// The folder that it would lie in.
        parent: PathBuf,
    },
    /// A token that will not do.
    #[error(transparent)]
    Token(#[from] SasProblem),
    /// Too little memory to work with.
    #[error(
        "{given} bytes of memory for what is on its way are too few: give --memory at least {}M, as one piece of a large file and its compressed form take that much",
        .least >> 20
    )]
    Memory {
        /// What was given.
        given: u64,
        /// The least.
        least: u64,
    },
    /// More requests than the memory has room for.
    #[error(
        "{given} requests at the same time find no room in {memory} bytes of memory, where each takes 8 KiB and its object: give a --memory of at least {}M (better several times that) or a lower --concurrency",
        .least.div_ceil(1 << 20)
    )]
    MemoryOfRequests {
        /// What was given.
        given: NonZeroUsize,
        /// The memory for objects on their way.
        memory: u64,
        /// The memory that the smallest objects would take.
        least: u64,
    },
    /// More requests than this process may open connections.
    #[error(
        "{given} requests at the same time need as many open files, beside up to {others} of source and state, and this process may open {open_files}: raise the limit (ulimit -n) or give a --concurrency of at most {possible}"
    )]
    Descriptors {
        /// What was given.
        given: NonZeroUsize,
        /// Files that may be open beside the connections.
        others: u64,
        /// The limit of open files.
        open_files: u64,
        /// The most requests that the limit allows.
        possible: usize,
    },
    /// Fewer files than the work needs.
    #[error(
        "this process may open {open_files} files, and needs {least} at least: raise the limit (ulimit -n)"
    )]
    OpenFiles {
        /// The limit of open files.
        open_files: u64,
        /// The least that is enough.
        least: u64,
    },
    /// A resume with another option than the transfer was begun with.
    #[error(
        "this transfer was begun with {option} {begun}: give {begun}{}, not {given}",
        if .option.starts_with("--") { " or leave the option out" } else { "" }
    )]
    Conflict {
        /// The option or argument.
        option: &'static str,
        /// Its value in the state.
        begun: String,
        /// Its value in the command.
        given: String,
    },
}

impl LoadError {
    /// Whether the command itself is wrong: nothing was started, and the same command fails again.
    pub fn is_usage(&self) -> bool {
        match self {
            // Another error than these may pass: a server that does not respond, an expired ticket.
            LoadError::Refused(Refusal::Source { source, .. }) => matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
            LoadError::Refused(_) | LoadError::Location(_) => true,
            LoadError::State(error) => matches!(
                error,
                StateError::Exists(_) | StateError::Missing(_) | StateError::Foreign { .. }
            ),
            _ => false,
        }
    }
}
