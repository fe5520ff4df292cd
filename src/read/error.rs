//! Errors of reading a container.

use std::path::{Path, PathBuf};

use clfs_format::{FormatError, ObjectId};

use super::identity::Mismatch;
use super::index::IndexError;
use crate::container::ContainerError;
use crate::container::credential::sas::SasProblem;
use crate::text::Escaped;

/// Why something could not be read. Contains no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The container failed.
    #[error("{0}")]
    Container(ContainerError),
    /// A blob that was listed does not exist any more.
    #[error("{error}; it existed when the container was listed{}", stale(index))]
    Gone {
        /// The error of the container.
        error: ContainerError,
        /// The index that names the blob, if it is kept.
        index: Option<PathBuf>,
    },
    /// The blob could not be downloaded, although others may be readable.
    #[error("{0}")]
    Unreadable(ContainerError),
    /// The blob is in the archive tier.
    #[error("the blob {blob} is {problem}")]
    Archived {
        /// The blob.
        blob: String,
        /// The tier, and what to do.
        problem: String,
    },
    /// An object has more names than a cache leaves.
    #[error("the object {0} has too many names")]
    TooManyNames(ObjectId),
    /// The object does not exist.
    #[error("the object {0} is not in the container")]
    Missing(ObjectId),
    /// The root directory does not exist.
    #[error(
        "{0} has no root directory: it is not a CLFS container, or a load into it did not finish; clfsload verify reports more"
    )]
    NoRoot(String),
    /// The blob is encrypted.
    #[error(
        "the blob {blob} is encrypted ({method}): it can be read only with the key of the cluster that wrote it, which this program cannot use"
    )]
    Encrypted {
        /// The blob.
        blob: String,
        /// The number in the wrapper and its meaning.
        method: &'static str,
    },
    /// The blob is not a valid object.
    #[error("the blob {blob}: {error}")]
    Format {
        /// The blob.
        blob: String,
        /// The error of the decoder, with the place.
        error: FormatError,
    },
    /// The blob is larger than any object.
    #[error("the blob {blob} has {size} bytes, more than any object of its kind")]
    TooLarge {
        /// The blob.
        blob: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The blob holds another object than its name says.
    #[error(
        "the blob {blob} does not hold the object in its name: {mismatch}; restore it from another copy of the container"
    )]
    OtherObject {
        /// The blob.
        blob: String,
        /// How the object differs.
        mismatch: Mismatch,
    },
    /// An object cannot be used where it is referred to.
    #[error("the blob {blob} does not belong there: {problem}")]
    Misplaced {
        /// The blob.
        blob: String,
        /// Why not.
        problem: String,
    },
    /// The path does not exist in the container.
    #[error("/{}: there is no such entry in the container", Escaped(path))]
    NoEntry {
        /// The path.
        path: Vec<u8>,
    },
    /// A component of the path is not a directory.
    #[error("/{}: not a directory", Escaped(path))]
    NotADirectory {
        /// The path of this component.
        path: Vec<u8>,
    },
    /// The SAS token cannot be used.
    #[error("{0}")]
    Token(SasProblem),
    /// The index failed.
    #[error("the index {}: {error}", path.display())]
    Index {
        /// The file, or the folder in which it was to be created.
        path: PathBuf,
        /// The cause.
        error: IndexError,
    },
    /// The command is stopping.
    #[error("stopped")]
    Stopped,
}

impl ReadError {
    pub(crate) fn index(path: &Path, error: IndexError) -> Self {
        Self::Index {
            path: path.to_path_buf(),
            error,
        }
    }

    /// Returns whether one object is at fault, so that others may still be read. Otherwise the
    /// container, the network or this machine failed, and the command stops.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Missing(_)
            | Self::Unreadable(_)
            | Self::Archived { .. }
            | Self::TooManyNames(_)
            | Self::Gone { .. }
            | Self::Encrypted { .. }
            | Self::Format { .. }
            | Self::TooLarge { .. }
            | Self::OtherObject { .. }
            | Self::Misplaced { .. }
            | Self::NoEntry { .. }
            | Self::NotADirectory { .. } => true,
            Self::Container(_)
            | Self::Index { .. }
            | Self::NoRoot(_)
            | Self::Token(_)
            | Self::Stopped => false,
        }
    }
}

impl From<ContainerError> for ReadError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}

/// Returns what to do if an index names a blob that does not exist any more.
fn stale(index: &Option<PathBuf>) -> String {
    match index {
        None => String::new(),
        Some(path) => format!(
            ": the index {} is older than the container; remove it and run again",
            path.display()
        ),
    }
}
