//! What was left out of an extraction and why, and what ends one.

use std::fmt;
use std::io;
use std::path::PathBuf;

use clfs_format::{FileType, ObjectName};
use rustix::io::Errno;

use super::record_error::RecordError;
use crate::monitor::Escaped;
use crate::problem::is_exhaustion;
use crate::read::{BadEntry, ReadError, TreePath};

/// What was tried in the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Looking at what stands there.
    Look,
    /// Opening a directory.
    Open,
    /// Making the entry.
    Make,
    /// Writing content.
    Write,
    /// Reading what stands there.
    Read,
    /// Giving it its owner.
    SetOwner,
    /// Giving it its permissions.
    SetMode,
    /// Giving it its times.
    SetTimes,
    /// Putting it in its place.
    Place,
    /// Removing what is in the way, or left by a killed run.
    Remove,
    /// Giving a file a further name.
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
            Self::Look => "looking at what is there",
            Self::Open => "opening the directory",
            Self::Make => "making it",
            Self::Write => "writing its content",
            Self::Read => "reading what is there",
            Self::SetOwner => "setting its owner",
            Self::SetMode => "setting its permissions",
            Self::SetTimes => "setting its times",
            Self::Place => "putting it in its place",
            Self::Remove => "removing what is in the way",
            Self::Link => "linking it",
        })
    }
}

/// A call on the destination that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{action}: {}", io::Error::from(*errno))]
pub struct LocalError {
    /// What was tried.
    pub action: Action,
    /// The system's answer.
    pub errno: Errno,
}

impl LocalError {
    /// Whether any other entry would meet the same error.
    fn ends_the_run(&self) -> bool {
        matches!(self.errno, Errno::NOSPC | Errno::DQUOT | Errno::ROFS) || is_exhaustion(self.errno)
    }
}

/// Why an entry was left out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// The container does not give it.
    Read(ReadError),
    /// The destination does not take it.
    Local(LocalError),
    /// A directory, or for a directory a file, stands in its place and is not removed.
    InTheWay,
    /// Another entry of the directory has the same name, and was first.
    DuplicateName,
    /// A directory that has another path already.
    SecondPath,
    /// The destination takes its name and that of another entry of its directory for one, and the
    /// other one stands there.
    OneName {
        /// The name of the other one.
        other: Vec<u8>,
    },
    /// Something stands under its name, but its directory lists no such name: the destination takes it
    /// and another name for one, and does not show which.
    OtherName,
    /// It was extracted; another entry was not, since the destination takes both names for one.
    SharesName {
        /// The name of the other one.
        with: Vec<u8>,
    },
    /// The destination's file system does not take its name.
    NameRefused {
        /// The system's answer.
        errno: Errno,
        /// Bytes of the name.
        bytes: usize,
        /// The most bytes that the file system says a name may have.
        most: u64,
    },
    /// The destination's file system would store another name.
    NameChanged {
        /// The name it would store.
        other: Vec<u8>,
    },
    /// It was extracted, but for an attribute that the destination refuses.
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
    /// Its directory names it as one type, its inode is of another.
    TypeMismatch,
    /// A symlink without a target, or with a NUL in it.
    Target,
    /// Devices are the superuser's.
    Device,
    /// Its content is damaged, and what can be read of it was written under another name.
    KeptDamaged {
        /// The first thing that could not be read.
        error: ReadError,
        /// The name in the same directory.
        name: Vec<u8>,
        /// What is missing: offset and bytes of each gap, in order; the first of them.
        gaps: Vec<(u64, u64)>,
        /// How many gaps there are.
        gap_count: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Local(error) => write!(f, "{error}"),
            Self::InTheWay => f.write_str(
                "something of another type stands in its place and is not removed: move it away and run again",
            ),
            Self::DuplicateName => {
                f.write_str("its directory has another entry of this name, which was first")
            }
            Self::OneName { other } => write!(
                f,
                "the destination takes this name and {} for one name, and {0} stands there: extract one of them to another folder",
                Escaped(other)
            ),
            Self::OtherName => f.write_str(
                "the destination takes its name and another one for one name, and something stands there: extract it to another folder",
            ),
            Self::SharesName { with } => write!(
                f,
                "the destination takes this name and {} for one name: only this entry was extracted",
                Escaped(with)
            ),
            Self::NameRefused { errno: Errno::NAMETOOLONG, bytes, most } => write!(
                f,
                "its name has {bytes} bytes, and the destination's file system takes names of at most {most} bytes, or fewer when they are encrypted or encoded: extract it to another file system"
            ),
            Self::NameRefused { errno, .. } => write!(
                f,
                "the destination's file system does not take this name ({}); some refuse : ? * \" < > | \\, a dot or a space at the end, and bytes that are not UTF-8: extract it to another file system",
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
                f.write_str("it is a directory that has another path as well; it was brought out there")
            }
            Self::Name => f.write_str("this cannot be the name of a file"),
            Self::BadEntry { blob, entry } => {
                write!(f, "an entry of it cannot be read: the blob {blob}: {}", entry.error)?;
                match &entry.name {
                    Some(name) => write!(f, " (its name: {})", Escaped(name)),
                    None => Ok(()),
                }
            }
            Self::TypeMismatch => {
                f.write_str("its directory and its inode tell different types of it")
            }
            Self::Target => f.write_str("what it points to cannot be the target of a symlink"),
            Self::Device => f.write_str("only the superuser can make devices"),
            Self::KeptDamaged {
                error,
                name,
                gaps,
                gap_count,
            } => {
                write!(f, "{error}; the rest is in {}, without", Escaped(name))?;
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

/// An entry that was left out.
#[derive(Debug)]
pub struct Problem {
    /// Its path.
    pub path: TreePath,
    /// Its type, where that is known.
    pub file_type: Option<FileType>,
    /// Why.
    pub reason: Reason,
}

impl Problem {
    /// Whether the entry stands in the destination all the same.
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
            // It begins with the path.
            Reason::Read(error @ (ReadError::NoEntry { .. } | ReadError::NotADirectory { .. })) => {
                write!(f, "{error}")
            }
            reason => write!(f, "{}: {reason}", self.path),
        }
    }
}

/// Why an extraction ended early. What was brought out stays, and the same command goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The container fails, the token ended, or the network is down for too long.
    #[error("{0}")]
    Read(ReadError),
    /// The destination is not there and cannot be made, or is no directory.
    #[error("{}: {}: give another folder, or mend that", path.display(), io::Error::from(*errno))]
    Destination {
        /// The destination.
        path: PathBuf,
        /// The system's answer.
        errno: Errno,
    },
    /// The destination's file system does not let files be given to other owners.
    #[error(
        "{}: owners cannot be set there ({}): run the same command with --no-same-owner, so that everything belongs to the user who runs it, or extract to another file system; nothing was downloaded",
        path.display(),
        errno.map_or_else(|| "it ignores them".to_owned(), |errno| io::Error::from(errno).to_string())
    )]
    OwnersRefused {
        /// The destination.
        path: PathBuf,
        /// The system's answer; none when it accepted an owner and did not keep it.
        errno: Option<Errno>,
    },
    /// Another extraction is writing into the destination.
    #[error("{}: another clfsload extract is writing there; wait until it has ended", .0.display())]
    InUse(PathBuf),
    /// The disk is full, or this process may not hold more.
    #[error("{path}: {error}: make room, then run the same command again")]
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
    /// The database of names and links failed.
    #[error("the temporary database in {}: {error}", folder.display())]
    Scratch {
        /// The folder for temporary files.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What was written could not be made durable.
    #[error("{}: what was written could not be stored: {}: check the disk, then run again with --checksum", path.display(), io::Error::from(*errno))]
    Sync {
        /// The destination.
        path: PathBuf,
        /// The system's answer.
        errno: Errno,
    },
    /// A thread ended before its work.
    #[error("a thread of this program ended before its work: run the same command again")]
    Thread,
    /// The run was asked to stop.
    #[error("stopped: run the same command again to go on")]
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

/// Why work on an entry ends: it alone, or the run.
#[derive(Debug)]
pub(super) enum Failure {
    LeftOut(Box<Reason>),
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
        Self::LeftOut(Box::new(reason))
    }
}
