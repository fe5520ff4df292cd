//! Why entries are skipped, and why an extraction ends early.

use std::fmt;
use std::io;
use std::path::PathBuf;

use clfs_format::{FileType, ObjectName};
use rustix::io::Errno;

use super::record::RecordError;
use crate::problem::is_exhaustion;
use crate::read::{BadEntry, ReadError, TreePath};
use crate::text::Escaped;

/// An operation on the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Reading the attributes of an existing entry, or the names of a directory.
    Stat,
    /// Opening a directory.
    Open,
    /// Creating the entry.
    Create,
    /// Writing content.
    Write,
    /// Reading the existing entry.
    Read,
    /// Setting the owner.
    SetOwner,
    /// Setting the permissions.
    SetMode,
    /// Setting the times.
    SetTimes,
    /// Renaming the temporary entry.
    Rename,
    /// Removing an existing entry, or a leftover of a killed run.
    Remove,
    /// Creating a hard link.
    Link,
}

impl Action {
    pub(super) fn failed(self, errno: Errno) -> LocalError {
        LocalError {
            action: self,
            errno,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stat => "examining the existing entry",
            Self::Open => "opening the directory",
            Self::Create => "creating it",
            Self::Write => "writing its content",
            Self::Read => "reading the existing entry",
            Self::SetOwner => "setting its owner",
            Self::SetMode => "setting its permissions",
            Self::SetTimes => "setting its times",
            Self::Rename => "renaming the temporary file",
            Self::Remove => "removing the existing entry",
            Self::Link => "creating a hard link",
        })
    }
}

/// A call on the destination that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{action} failed: {}", io::Error::from(*errno))]
pub struct LocalError {
    /// The operation.
    pub action: Action,
    /// The system's error.
    pub errno: Errno,
}

impl LocalError {
    /// Returns whether every other entry would fail with the same error.
    fn ends_the_run(&self) -> bool {
        matches!(self.errno, Errno::NOSPC | Errno::DQUOT | Errno::ROFS) || is_exhaustion(self.errno)
    }
}

/// Why an entry was skipped, or lacks something.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// It could not be read from the container.
    Read(ReadError),
    /// It could not be written to the destination.
    Local(LocalError),
    /// A directory, or for a directory a file, exists under its name and is not removed.
    InTheWay,
    /// An earlier entry of its directory has the same name.
    DuplicateName,
    /// A directory that was extracted under another path.
    SecondPath,
    /// The destination treats its name and that of another entry as the same, and the other entry exists.
    SameName {
        /// The name of the other entry.
        other: Vec<u8>,
    },
    /// The destination treats its name and another one as the same, but does not show which one exists.
    UnknownSameName,
    /// It was extracted; another entry was not, because the destination treats both names as the same.
    SharesName {
        /// The name of the other entry.
        with: Vec<u8>,
    },
    /// The destination's file system rejects its name.
    NameRejected {
        /// The system's error.
        errno: Errno,
        /// Bytes of the name.
        bytes: usize,
        /// The maximum length of a name in bytes, as the file system reports it.
        max: u64,
    },
    /// The destination's file system would store another name.
    NameChanged {
        /// The name it would store.
        other: Vec<u8>,
    },
    /// It was extracted without an attribute that the destination refused.
    Incomplete(LocalError),
    /// A name that cannot be used, such as `..` or one with a slash.
    Name,
    /// An entry that breaks a rule of the format.
    BadEntry {
        /// The blob that holds the entry.
        blob: ObjectName,
        /// The entry.
        entry: BadEntry,
    },
    /// Its directory and its inode have different types.
    TypeMismatch,
    /// A symlink without a target, or with a NUL in its target.
    Target,
    /// Only the superuser can create devices.
    Device,
    /// Its content is damaged. The readable parts were written under another name.
    KeptDamaged {
        /// The first error.
        error: ReadError,
        /// The name in the same directory.
        name: Vec<u8>,
        /// Offset and bytes of the first gaps, in order.
        gaps: Vec<(u64, u64)>,
        /// The number of gaps.
        gap_count: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Local(error) => write!(f, "{error}"),
            Self::InTheWay => f.write_str(
                "an entry of another type exists under its name and is not removed: move it away, then run the same command again",
            ),
            Self::DuplicateName => {
                f.write_str("its directory has an earlier entry of the same name, which was extracted")
            }
            Self::SameName { other } => write!(
                f,
                "the destination treats this name and {} as the same name, and {0} exists there: extract one of them to another folder",
                Escaped(other)
            ),
            Self::UnknownSameName => f.write_str(
                "the destination treats this name and that of an existing entry as the same name: extract it to another folder",
            ),
            Self::SharesName { with } => write!(
                f,
                "the destination treats this name and {} as the same name: only this entry was extracted",
                Escaped(with)
            ),
            Self::NameRejected { errno: Errno::NAMETOOLONG, bytes, max } => write!(
                f,
                "its name has {bytes} bytes, and the destination's file system accepts names of at most {max} bytes, or fewer if they are encrypted or encoded: extract it to another file system"
            ),
            Self::NameRejected { errno, .. } => write!(
                f,
                "the destination's file system rejects this name ({}); some reject : ? * \" < > | \\, a dot or a space at the end, and bytes that are not UTF-8: extract it to another file system",
                io::Error::from(*errno)
            ),
            Self::NameChanged { other } => write!(
                f,
                "the destination's file system would store it as {}: extract it to another file system",
                Escaped(other)
            ),
            Self::Incomplete(error) => write!(
                f,
                "it was extracted, but {error}{}",
                match error.action {
                    Action::SetOwner => ": to leave everything with your own user, use --no-same-owner",
                    _ => "",
                }
            ),
            Self::SecondPath => {
                f.write_str("this directory has another path, under which it was extracted")
            }
            Self::Name => f.write_str("this is not a valid file name"),
            Self::BadEntry { blob, entry } => {
                write!(f, "an entry of it cannot be read: the blob {blob}: {}", entry.error)?;
                match &entry.name {
                    Some(name) => write!(f, " (its name: {})", Escaped(name)),
                    None => Ok(()),
                }
            }
            Self::TypeMismatch => {
                f.write_str("the types in its directory entry and its inode differ")
            }
            Self::Target => f.write_str("its content cannot be the target of a symlink"),
            Self::Device => f.write_str("only the superuser can create devices"),
            Self::KeptDamaged {
                error,
                name,
                gaps,
                gap_count,
            } => {
                write!(f, "{error}; the readable parts are in {}, without", Escaped(name))?;
                for (number, (offset, bytes)) in gaps.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma} {bytes} bytes at {offset}")?;
                }
                match gap_count.saturating_sub(gaps.len() as u64) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more ranges"),
                }
            }
        }
    }
}

/// An entry that was skipped, or lacks something.
#[derive(Debug)]
pub struct Problem {
    /// Its path.
    pub path: TreePath,
    /// Its type, if it is known.
    pub file_type: Option<FileType>,
    /// Why.
    pub reason: Reason,
}

impl Problem {
    /// Returns whether the entry was extracted nevertheless.
    pub fn was_extracted(&self) -> bool {
        matches!(
            self.reason,
            Reason::Incomplete(_) | Reason::SharesName { .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            // The error begins with the path.
            Reason::Read(error @ (ReadError::NoEntry { .. } | ReadError::NotADirectory { .. })) => {
                write!(f, "{error}")
            }
            reason => write!(f, "{}: {reason}", self.path),
        }
    }
}

/// Why an extraction ended early. Extracted entries stay, and the same command resumes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The container fails, the token has expired, or the network was down for too long.
    #[error("{0}")]
    Read(ReadError),
    /// The destination cannot be created or opened, or is not a directory.
    #[error("{}: {}: fix that, or give another folder", path.display(), io::Error::from(*errno))]
    Destination {
        /// The destination.
        path: PathBuf,
        /// The system's error.
        errno: Errno,
    },
    /// The destination's file system does not store other owners.
    #[error(
        "{}: owners cannot be set there ({}): run the same command with --no-same-owner, so that everything belongs to the user who runs it, or extract to another file system; nothing was downloaded",
        path.display(),
        errno.map_or_else(|| "it ignores them".to_owned(), |errno| io::Error::from(errno).to_string())
    )]
    OwnersRefused {
        /// The destination.
        path: PathBuf,
        /// The system's error; none if it accepted an owner and ignored it.
        errno: Option<Errno>,
    },
    /// Another extraction is writing into the destination.
    #[error("{}: another clfsload extract is writing there: wait until it has finished", .0.display())]
    InUse(PathBuf),
    /// The disk is full, or a limit of this process is reached.
    #[error("{path}: {error}: free some space, then run the same command again")]
    Local {
        /// The entry.
        path: TreePath,
        /// What failed.
        error: LocalError,
    },
    /// The record cannot be used.
    #[error("the record {}: {error}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        error: RecordError,
    },
    /// The database of hard links failed.
    #[error("the temporary database in {}: {error}", folder.display())]
    Scratch {
        /// The folder for temporary files.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The files could not be flushed to the disk.
    #[error("{}: the files could not be flushed to the disk: {}: check the disk, then run the same command again with --checksum", path.display(), io::Error::from(*errno))]
    Sync {
        /// The destination.
        path: PathBuf,
        /// The system's error.
        errno: Errno,
    },
    /// A thread of this program panicked.
    #[error("a thread of this program ended unexpectedly: run the same command again")]
    Thread,
    /// A stop was requested.
    #[error("stopped: run the same command again to resume")]
    Stopped,
}

impl ExtractError {
    pub(super) fn of_reading(error: ReadError) -> Self {
        match error {
            ReadError::Stopped => Self::Stopped,
            error => Self::Read(error),
        }
    }
}

/// Why work on an entry ended: the entry is skipped, or the run ends.
#[derive(Debug)]
pub(super) enum Failure {
    Skipped(Box<Reason>),
    Local(LocalError),
    Run(Box<ExtractError>),
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        match error.ends_the_run() {
            true => Self::Local(error),
            false => Reason::Local(error).into(),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            error if error.is_damage() => Reason::Read(error).into(),
            error => ExtractError::of_reading(error).into(),
        }
    }
}

impl From<ExtractError> for Failure {
    fn from(error: ExtractError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Skipped(Box::new(reason))
    }
}
