//! Why something could not be read from a container.

use std::path::{Path, PathBuf};

use clfs_format::{FormatError, ObjectId};

use super::identity::Mismatch;
use super::index::IndexError;
use crate::container::ContainerError;
use crate::container::sas::SasProblem;
use crate::monitor::Escaped;

/// Why something could not be read. Holds no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The container failed.
    #[error("{0}")]
    Container(ContainerError),
    /// A blob that was listed is not there.
    #[error("{error}; it was there when the container was listed{}", stale(index))]
    Gone {
        /// What the container said.
        error: ContainerError,
        /// The kept index that named the blob.
        index: Option<PathBuf>,
    },
    /// The container has the blob and does not hand it out, though it may hand out others.
    #[error("{0}")]
    Unreadable(ContainerError),
    /// The blob is in the archive tier.
    #[error("the blob {blob} is {problem}")]
    Archived {
        /// The blob.
        blob: String,
        /// What that means, and what to do.
        problem: String,
    },
    /// An object has more names than any cache leaves.
    #[error("the object {0} has too many names to look at")]
    TooManyNames(ObjectId),
    /// No blob holds this object.
    #[error("the object {0} is not in the container")]
    Missing(ObjectId),
    /// There is no root directory.
    #[error(
        "{0} has no root directory: it is no CLFS container, or a load into it was never finished; clfsload verify tells more"
    )]
    NoRoot(String),
    /// The blob is encrypted.
    #[error(
        "the blob {blob} is encrypted ({method}): it can be read only with the key of the cluster that wrote it, which this program cannot use"
    )]
    Encrypted {
        /// The blob.
        blob: String,
        /// The wrapper's number and what it stands for.
        method: &'static str,
    },
    /// The blob is no object of the format.
    #[error("the blob {blob}: {error}")]
    Format {
        /// The blob.
        blob: String,
        /// What is wrong, and where.
        error: FormatError,
    },
    /// The blob is larger than any object.
    #[error("the blob {blob} has {size} bytes, more than any object of its kind")]
    TooLarge {
        /// The blob.
        blob: String,
        /// Its bytes.
        size: u64,
    },
    /// The blob holds another object than the one that it is read as.
    #[error(
        "the blob {blob} is not the object that is needed here: {mismatch}; restore it from another copy of the container"
    )]
    OtherObject {
        /// The blob.
        blob: String,
        /// How it shows that.
        mismatch: Mismatch,
    },
    /// An object does not fit where it is used.
    #[error("the blob {blob} does not belong there: {problem}")]
    Misplaced {
        /// The blob.
        blob: String,
        /// What does not fit.
        problem: String,
    },
    /// A path that the container does not have.
    #[error("/{}: there is no such entry in the container", Escaped(path))]
    NoEntry {
        /// The path.
        path: Vec<u8>,
    },
    /// A path whose parent is no directory.
    #[error("/{}: not a directory", Escaped(path))]
    NotADirectory {
        /// The path of what is none.
        path: Vec<u8>,
    },
    /// The SAS token cannot be used.
    #[error("{0}")]
    Token(SasProblem),
    /// The index failed.
    #[error("the index {}: {error}", path.display())]
    Index {
        /// The file, or the folder in which it was to be made.
        path: PathBuf,
        /// Why.
        error: IndexError,
    },
    /// The process is ending.
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

    /// Whether the fault lies in one object, so that others may still be read; otherwise it is the
    /// container, the network or this machine that fails, and going on makes no sense.
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

/// A listing that fails is a failure of reading.
impl From<ContainerError> for ReadError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}

/// What to do when an index names a blob that is gone.
fn stale(index: &Option<PathBuf>) -> String {
    match index {
        None => String::new(),
        Some(path) => format!(
            ": the index {} is older than the container; remove it and run again",
            path.display()
        ),
    }
}
