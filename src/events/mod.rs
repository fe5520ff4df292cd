//! Events and progress that the library reports to its caller.
//!
//! The library never prints. [`Event`]'s `Display` is the only wording of each event; terminal, log and JSON use it.
//!
//! # Example
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use clfsload::events::{Event, Monitor};
//! # use clfsload::container::ContainerLocation;
//! # use clfsload::load::{LoadOptions, Mode, prepare};
//!
//! #[derive(Default)]
//! struct Messages(Mutex<Vec<String>>);
//!
//! impl Monitor for Messages {
//!     fn event(&self, event: &Event<'_>) {
//!         let line = format!("{}: {event}", event.level().name());
//!         self.0.lock().unwrap().push(line);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let location = ContainerLocation::Folder { path: scratch.path().join("container") };
//! # let options = LoadOptions::new(scratch.path().join("state"), "fixtures/tree".into(), location);
//! # let load = prepare(options, Mode::New, Arc::new(|_| ()))?;
//! let messages = Messages::default();
//! load.run(&messages)?;
//! assert!(!messages.0.into_inner().unwrap().is_empty());
//! # Ok(())
//! # }
//! ```

mod fields;

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::container::notice::Notice;
use crate::entry::MountBelow;
use crate::loss::Lost;
use crate::problem::Problem;
use crate::progress::Snapshot;
use crate::text::{Escaped, below_source};

/// The maximum number of mounts that a message lists.
const SHOWN_MOUNTS: usize = 5;

/// The severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for the search of an error.
    Debug,
    /// Normal operation.
    Info,
    /// Something unexpected that does not stop the load.
    Warning,
    /// A failed entry.
    Error,
}

impl Level {
    /// Its name in the log and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The phases of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The scan of the source. Files are loaded at the same time.
    Scan,
    /// Inodes with several names.
    Links,
    /// Directories.
    Directories,
    /// Log, bucket and root.
    Finish,
}

impl Phase {
    /// Its name in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Phase::Scan => "scan",
            Phase::Links => "links",
            Phase::Directories => "directories",
            Phase::Finish => "finish",
        }
    }

    /// All phases, in their order.
    pub const ALL: [Phase; 4] = [Phase::Scan, Phase::Links, Phase::Directories, Phase::Finish];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Scan => "scan and files",
            Phase::Links => "hard links",
            Phase::Directories => "directories",
            Phase::Finish => "finish",
        })
    }
}

/// An event of a load.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run starts.
    Started {
        /// The source folder.
        source: &'a std::path::Path,
        /// The container, without secrets.
        container: &'a str,
        /// Whether it resumes an earlier run.
        resumed: bool,
    },
    /// A phase starts.
    Phase(Phase),
    /// An entry failed.
    Problem {
        /// Its path below the source, raw bytes.
        path: &'a [u8],
        /// The reason.
        problem: Problem,
    },
    /// A file changed between the scan and the read, and is reread.
    Reread {
        /// Its path below the source, raw bytes.
        path: &'a [u8],
    },
    /// A file changed while it was read, and is stored nevertheless.
    StoredChanged {
        /// Its path below the source, raw bytes.
        path: &'a [u8],
    },
    /// Entries with times that the format cannot store.
    ClampedTimes {
        /// Their number.
        entries: u64,
    },
    /// Entries with attributes that the format cannot store.
    Lost(&'a Lost),
    /// An earlier version, which did not examine ACLs, started the transfer.
    AclsNotExamined {
        /// The source folder.
        source: &'a std::path::Path,
        /// The container, without secrets.
        container: &'a str,
    },
    /// Inodes with more names than the format can store.
    SplitInodes {
        /// Their number.
        inodes: u64,
    },
    /// Names with the inode number of another file, but other attributes.
    UnlikeNames {
        /// Their number.
        names: u64,
        /// The path of the first below the source, raw bytes.
        path: &'a [u8],
    },
    /// The source of a new transfer is empty.
    SourceEmpty {
        /// The source folder.
        path: &'a std::path::Path,
    },
    /// A mount point in /etc/fstab on which nothing is mounted.
    SourceNotMounted {
        /// The source folder, or a directory below it.
        path: &'a std::path::Path,
    },
    /// An earlier version, which did not record the file systems below the source, started the transfer.
    MountsNotRecorded {
        /// Those that are mounted now.
        mounts: &'a [MountBelow],
    },
    /// A notice about the container or its token.
    Container(&'a Notice<'a>),
    /// The source does not respond.
    SourceStalled {
        /// The path of the entry below the source, raw bytes.
        path: &'a [u8],
        /// The time since the call.
        since: Duration,
    },
    /// A stop of the run was requested.
    Stopping,
    /// The run did not stop in time after the request.
    StoppedWaiting,
    /// A detail for the search of an error.
    Detail(&'a str),
}

impl Event<'_> {
    /// Its severity.
    pub fn level(&self) -> Level {
        match self {
            Event::Container(notice) => notice_level(notice),
            Event::Started { .. } | Event::Phase(_) | Event::Stopping => Level::Info,
            Event::Problem { .. } => Level::Error,
            Event::Reread { .. }
            | Event::StoredChanged { .. }
            | Event::ClampedTimes { .. }
            | Event::Lost(_)
            | Event::AclsNotExamined { .. }
            | Event::SplitInodes { .. }
            | Event::UnlikeNames { .. }
            | Event::SourceEmpty { .. }
            | Event::SourceNotMounted { .. }
            | Event::MountsNotRecorded { .. }
            | Event::SourceStalled { .. }
            | Event::StoppedWaiting => Level::Warning,
            Event::Detail(_) => Level::Debug,
        }
    }
}

fn notice_level(notice: &Notice<'_>) -> Level {
    match notice {
        Notice::AttemptFailed { .. } => Level::Debug,
        Notice::OutageBegins { .. }
        | Notice::OutageLasts { .. }
        | Notice::ThrottleBegins { .. }
        | Notice::TokenExpires { .. } => Level::Warning,
        Notice::OutageEnds { .. } | Notice::ThrottleEnds { .. } | Notice::TokenRenewed { .. } => {
            Level::Info
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started {
                source,
                container,
                resumed,
            } => {
                let verb = if *resumed { "resuming" } else { "loading" };
                let source = Escaped(source.as_os_str().as_bytes());
                write!(f, "{verb} {source} into {container}")
            }
            Event::Phase(phase) => write!(f, "phase: {phase}"),
            Event::Problem { path, problem } => {
                write!(f, "{}: {problem}", Escaped(below_source(path)))
            }
            Event::Reread { path } => write!(
                f,
                "{}: changed since the scan; reading it again",
                Escaped(below_source(path))
            ),
            Event::StoredChanged { path } => write!(
                f,
                "{}: changed while it was read; stored with the size and times from before the read, and may \
                 mix old and new content",
                Escaped(below_source(path))
            ),
            Event::ClampedTimes { entries } => write!(
                f,
                "{entries} entries have times before 1970 or after 2106, which CLFS cannot store; the nearest time \
                 that it can store was used"
            ),
            Event::Lost(lost) => write!(f, "{lost}"),
            Event::AclsNotExamined { source, container } => write!(
                f,
                "ACLs of entries found by an earlier version of clfsload were not examined: in the container, the \
                 group may have the permissions of an ACL's mask. Compare the modes with: clfsload verify --quick \
                 --source {} {container}",
                Escaped(source.as_os_str().as_bytes())
            ),
            Event::SplitInodes { inodes } => write!(
                f,
                "{inodes} files have more than {} names; each was stored as several files",
                clfs_format::limits::LINKS
            ),
            Event::UnlikeNames { names, path } => write!(
                f,
                "names with the inode number of another file, but other attributes: {names} (first: {}); loaded as \
                 separate files, not as hard links",
                Escaped(below_source(path))
            ),
            Event::SourceEmpty { path } => write!(
                f,
                "the source {} is empty: is its file system mounted?",
                Escaped(path.as_os_str().as_bytes())
            ),
            Event::SourceNotMounted { path } => write!(
                f,
                "nothing is mounted on {}, which is a mount point in /etc/fstab and empty: mount it \
                 first, if it belongs to the source",
                Escaped(path.as_os_str().as_bytes())
            ),
            Event::MountsNotRecorded { mounts } => {
                write!(
                    f,
                    "an earlier version of clfsload started this transfer and did not record the file systems \
                     below the source; check that none is missing. Recorded since: "
                )?;
                if mounts.is_empty() {
                    return f.write_str("none");
                }
                for (at, mount) in mounts.iter().enumerate().take(SHOWN_MOUNTS) {
                    let separator = if at == 0 { "" } else { ", " };
                    write!(f, "{separator}{}", Escaped(&mount.path))?;
                }
                match mounts.len().saturating_sub(SHOWN_MOUNTS) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            Event::Container(notice) => write!(f, "{notice}"),
            Event::SourceStalled { path, since } => write!(
                f,
                "waiting for the source: {} has not responded for {} s; other files continue",
                Escaped(below_source(path)),
                since.as_secs()
            ),
            Event::StoppedWaiting => f.write_str(
                "stopped without waiting for calls that do not return. Completed work is recorded: resume with the \
                 same command without --new",
            ),
            Event::Stopping => f.write_str(
                "stopping after the uploads in flight finish. Press Ctrl-C again to quit now",
            ),
            Event::Detail(text) => f.write_str(text),
        }
    }
}

/// Receives the events and the progress of a load.
pub trait Monitor: Send + Sync {
    /// Receives an event.
    fn event(&self, event: &Event<'_>);

    /// Receives the current progress, twice a second.
    fn snapshot(&self, _: &Snapshot) {}
}

/// Ignores all events.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _: &Event<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_itself_is_a_dot() {
        let problem = Problem::new(crate::problem::Reason::PermissionDenied);
        let message = Event::Problem { path: b"", problem }.to_string();
        assert!(message.starts_with(".: "), "{message}");
    }
}
