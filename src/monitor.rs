//! How the library tells what happens: events for people and machines, figures for a display.
//!
//! The library never prints. [`Event`]'s `Display` is the one wording of each event; terminal,
//! log and JSON all take it from there.

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

/// Mounts that a message names.
const SHOWN_MOUNTS: usize = 5;

/// How grave an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Of interest when searching for a fault.
    Debug,
    /// The normal course.
    Info,
    /// Something to know.
    Warning,
    /// Something to act on.
    Error,
}

impl Level {
    /// The word for it.
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
    /// Walking the source; files are loaded at the same time.
    Scan,
    /// Inodes with several names.
    Links,
    /// Directories.
    Directories,
    /// Log, bucket and root.
    Finish,
}

impl Phase {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Scan => "scan",
            Phase::Links => "links",
            Phase::Directories => "directories",
            Phase::Finish => "finish",
        }
    }

    /// All of them, in their order.
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

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A transfer begins.
    Started {
        /// The source folder.
        source: &'a std::path::Path,
        /// The container, without secrets.
        container: &'a str,
        /// Whether it goes on from an earlier run.
        resumed: bool,
    },
    /// A phase begins.
    Phase(Phase),
    /// An entry failed.
    Problem {
        /// Its path below the source, raw bytes.
        path: &'a [u8],
        /// Why.
        problem: Problem,
    },
    /// A file changed between the scan and the read and is taken once more.
    TakenAgain {
        /// Its path below the source, raw bytes.
        path: &'a [u8],
    },
    /// A file changed while it was read, and is stored all the same.
    StoredChanged {
        /// Its path below the source, raw bytes.
        path: &'a [u8],
    },
    /// Entries with times that the format cannot hold.
    ClampedTimes {
        /// How many.
        entries: u64,
    },
    /// Entries with attributes that the format cannot hold.
    Lost(&'a Lost),
    /// A version of this program that did not examine ACLs started the transfer.
    AclsNotExamined {
        /// The source folder.
        source: &'a std::path::Path,
        /// The container, without secrets.
        container: &'a str,
    },
    /// Inodes with more names than the format holds.
    SplitInodes {
        /// How many.
        inodes: u64,
    },
    /// Names that have the inode number of another file, but other attributes.
    UnlikeNames {
        /// How many.
        names: u64,
        /// The path of the first below the source, raw bytes.
        path: &'a [u8],
    },
    /// The source of a new transfer holds nothing.
    SourceEmpty {
        /// The source folder.
        path: &'a std::path::Path,
    },
    /// A mount point of the table of file systems on which nothing is mounted.
    SourceNotMounted {
        /// The source folder, or a directory below it.
        path: &'a std::path::Path,
    },
    /// An earlier version, which did not record the file systems below the source, started the transfer.
    MountsNotRecorded {
        /// Those that are mounted now.
        mounts: &'a [MountBelow],
    },
    /// The container or its token has something to tell.
    Container(&'a Notice<'a>),
    /// The source does not answer.
    SourceStalled {
        /// The path of the entry below the source, raw bytes.
        path: &'a [u8],
        /// For how long.
        since: Duration,
    },
    /// The run was asked to stop.
    Stopping,
    /// The run did not come to rest in time after it was asked to stop.
    StoppedWaiting,
    /// Anything of interest only when searching for a fault.
    Detail(&'a str),
}

impl Event<'_> {
    /// How grave it is.
    pub fn level(&self) -> Level {
        match self {
            Event::Container(notice) => notice_level(notice),
            Event::Started { .. } | Event::Phase(_) | Event::Stopping => Level::Info,
            Event::Problem { .. } => Level::Error,
            Event::TakenAgain { .. }
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
            Event::TakenAgain { path } => write!(
                f,
                "{}: changed since the scan; it is read once more",
                Escaped(below_source(path))
            ),
            Event::StoredChanged { path } => write!(
                f,
                "{}: changed while it was read; it is stored with the size and times that it had before, \
                 and may mix old and new content",
                Escaped(below_source(path))
            ),
            Event::ClampedTimes { entries } => write!(
                f,
                "{entries} entries have times before 1970 or after 2106, which CLFS cannot hold; \
                 the nearest time that it can hold stands in the container"
            ),
            Event::Lost(lost) => write!(f, "{lost}"),
            Event::AclsNotExamined { source, container } => write!(
                f,
                "ACLs of entries found by an earlier version of clfsload were not examined: the group may have the \
                 permissions of an ACL's mask in the container. Compare modes with: clfsload verify --quick \
                 --source {} {container}",
                Escaped(source.as_os_str().as_bytes())
            ),
            Event::SplitInodes { inodes } => write!(
                f,
                "{inodes} files have more than {} names; each became several files in the container",
                clfs_format::limits::LINKS
            ),
            Event::UnlikeNames { names, path } => write!(
                f,
                "names with the inode number of another file, but other attributes: {names}, {} first; \
                 they are loaded as files of their own, not as links",
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
                     below the source; check that all of them are mounted. Mounted now: "
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
                "waiting for the source: {} does not answer for {} s now; other files go on",
                Escaped(below_source(path)),
                since.as_secs()
            ),
            Event::StoppedWaiting => f.write_str(
                "stopped without waiting for the rest, which does not answer; what is done is \
                 stored: run the same command without --new to go on",
            ),
            Event::Stopping => f.write_str(
                "stopping: what is on its way is finished first; once more stops at once",
            ),
            Event::Detail(text) => f.write_str(text),
        }
    }
}

/// The path of an entry as it is told: the source itself has none below it.
pub(crate) fn below_source(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

/// Control characters, line separators, and marks that turn the direction of what follows, which make
/// a name look like another.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// A path as a line can show it: what would be hidden and what is not UTF-8 as `\xNN`, a backslash
/// doubled.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str("\\\\")?,
                    character if is_hidden(character) => {
                        let mut bytes = [0; 4];
                        for byte in character.encode_utf8(&mut bytes).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    character => write!(f, "{character}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Hears of events.
pub trait Monitor: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);

    /// The figures of this moment; twice a second.
    fn snapshot(&self, _: &Snapshot) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Monitor for Silent {
    fn event(&self, _: &Event<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_on_their_line() {
        let shown = Escaped(b"a\nb\\c\xff\xc3\xa4\x1b[0m").to_string();
        assert_eq!(shown, "a\\x0ab\\\\c\\xff\u{e4}\\x1b[0m");
        assert_eq!(
            Escaped("\u{202e}gpj.exe".as_bytes()).to_string(),
            "\\xe2\\x80\\xaegpj.exe"
        );
    }

    #[test]
    fn the_source_itself_has_a_name() {
        let problem = Problem::new(crate::problem::Reason::PermissionDenied);
        let told = Event::Problem { path: b"", problem }.to_string();
        assert!(told.starts_with(".: "), "{told}");
    }
}
