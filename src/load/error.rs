//! Why a load was refused or failed.

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::container::ContainerError;
use crate::container::credential::sas::SasProblem;
use crate::process_limits::Explained;
use crate::source::{Difference, MountsError};
use crate::state::StateError;

/// Why a load was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The command was refused before the load started.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An error of the state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// An error of the container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// The container of a new transfer has blobs.
    #[error(
        "the container {location} is not empty (it holds {found}, for example): empty it or choose another container"
    )]
    NotEmpty {
        /// The container.
        location: String,
        /// One of its blobs.
        found: String,
    },
    /// The container is not the one of the transfer.
    #[error(
        "the container {location} is not the one of this transfer ({what}): correct the container, or use the state folder that belongs to it"
    )]
    OtherContainer {
        /// The container.
        location: String,
        /// The difference that proves it.
        what: String,
    },
    /// The mounts below the source are unknown.
    #[error(transparent)]
    Mounts(#[from] MountsError),
    /// An error of one of the transfer's own files.
    #[error("cannot {action} {}: {}", .path.display(), Explained(.source))]
    Io {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An object of the load that the format rejects.
    #[error("{0}: this is a bug in clfsload; please report it")]
    Internal(String),
}

/// Why a command was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The source cannot be opened.
    #[error("the source {} cannot be used: {source}", .path.display())]
    Source {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The source is not a folder.
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
        "cannot identify the source {}: its mode, owner and times differ from the recorded ones, and no recorded \
         entry that was compared matches. Mount the recorded source. If it is mounted, add \
         --source-identity accept. Nothing was written",
        .0.display()
    )]
    SourceUnproven(PathBuf),
    /// A source of which nothing was recorded that identifies it.
    #[error(
        "cannot identify the source {}: its mode, owner and times differ from the recorded ones, and no entry in it \
         was recorded yet. Mount the recorded source. If it is mounted, start again with --new, a new state folder \
         and an empty container. Nothing was written",
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
    /// The source and the other folder overlap.
    #[error(
        "{what} {} and the source {} overlap: one contains the other, and the transfer would load its own files. \
         Choose another folder",
        .folder.display(), .tree.display()
    )]
    Overlap {
        /// The state folder, or the container's.
        what: &'static str,
        /// Its path.
        folder: PathBuf,
        /// The source.
        tree: PathBuf,
    },
    /// The container's folder and the state folder overlap.
    #[error(
        "the state folder {} and the container's folder {} overlap: one contains the other, and a container holds \
         only blobs. Choose another folder",
        .state.display(), .blobs.display()
    )]
    StateInContainer {
        /// The state folder.
        state: PathBuf,
        /// The container's folder.
        blobs: PathBuf,
    },
    /// The parent of a folder that would be created does not exist.
    #[error(
        "{what} {} cannot be created: the folder {} does not exist. Mount or create it first",
        .folder.display(), .parent.display()
    )]
    NoParent {
        /// The state folder, or the container's.
        what: &'static str,
        /// Its path.
        folder: PathBuf,
        /// Its missing parent.
        parent: PathBuf,
    },
    /// The SAS token cannot be used.
    #[error(transparent)]
    Token(#[from] SasProblem),
    /// `--memory` is below the minimum.
    #[error(
        "--memory of {given} bytes is too small: give at least {}M, because one piece of a large file and its compressed form need that much",
        .minimum >> 20
    )]
    Memory {
        /// What was given.
        given: u64,
        /// The minimum.
        minimum: u64,
    },
    /// `--memory` is too small for `--concurrency`.
    #[error(
        "{given} concurrent requests do not fit into {memory} bytes of memory: each needs 8 KiB and its object. Give a --memory of at least {}M (better several times that) or a lower --concurrency",
        .minimum.div_ceil(1 << 20)
    )]
    MemoryOfRequests {
        /// What was given.
        given: NonZeroUsize,
        /// The memory for objects in flight.
        memory: u64,
        /// The memory that the smallest objects would need.
        minimum: u64,
    },
    /// The limit of open files is too low for `--concurrency`.
    #[error(
        "{given} concurrent requests need as many open files, in addition to up to {others} of source and state, but this process may open {open_files}: raise the limit (ulimit -n) or give a --concurrency of at most {possible}"
    )]
    Descriptors {
        /// What was given.
        given: NonZeroUsize,
        /// Files that may be open in addition to the connections.
        others: u64,
        /// The limit of open files.
        open_files: u64,
        /// The maximum number of requests that the limit allows.
        possible: usize,
    },
    /// The limit of open files is below the minimum.
    #[error(
        "this process may open {open_files} files, but needs at least {minimum}: raise the limit (ulimit -n)"
    )]
    OpenFiles {
        /// The limit of open files.
        open_files: u64,
        /// The minimum.
        minimum: u64,
    },
    /// A resume with another option than the transfer was started with.
    #[error(
        "this transfer was started with {option} {recorded}: give {recorded}{}, not {given}",
        if .option.starts_with("--") { " or leave the option out" } else { "" }
    )]
    Conflict {
        /// The option or argument.
        option: &'static str,
        /// Its value in the state.
        recorded: String,
        /// Its value in the command.
        given: String,
    },
}

impl LoadError {
    /// Returns whether the command itself is wrong: nothing was started, and the same command fails again.
    pub fn is_usage(&self) -> bool {
        match self {
            // Other errors may be transient: a server that does not respond, an expired ticket.
            LoadError::Refused(Refusal::Source { source, .. }) => matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
            LoadError::Refused(_) => true,
            LoadError::State(error) => matches!(
                error,
                StateError::Exists(_) | StateError::Missing(_) | StateError::Foreign { .. }
            ),
            _ => false,
        }
    }
}
