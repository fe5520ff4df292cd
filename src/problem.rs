//! Why an entry could not be loaded.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use clfs_format::limits::{NAME_BYTES, SYMLINK_TARGET_BYTES};

/// The reason of a problem; stored with the entry, counted, and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// No permission to open, list or stat it.
    PermissionDenied,
    /// It was in the listing, and is not there now.
    Vanished,
    /// Size or modification time changed twice between the look at it and the read.
    Changed,
    /// Something else stands in its place now: another type or, for a link, another inode.
    TypeChanged,
    /// A directory that is not the one of the scan.
    Replaced,
    /// A directory on which another file system was mounted at the time of the scan.
    NotMounted,
    /// A directory that is one of those above it.
    ContainsItself,
    /// A symlink whose target is longer than the format holds.
    LinkTargetTooLong,
    /// A name longer than the format holds.
    NameTooLong,
    /// The format cannot hold it for another reason.
    NotRepresentable,
    /// Any other error of the source.
    InputOutput,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 11] = [
        Reason::PermissionDenied,
        Reason::Vanished,
        Reason::Changed,
        Reason::TypeChanged,
        Reason::Replaced,
        Reason::NotMounted,
        Reason::ContainsItself,
        Reason::LinkTargetTooLong,
        Reason::NameTooLong,
        Reason::NotRepresentable,
        Reason::InputOutput,
    ];

    /// The word for it in the database and in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Reason::PermissionDenied => "permission-denied",
            Reason::Vanished => "vanished",
            Reason::Changed => "changed",
            Reason::TypeChanged => "type-changed",
            Reason::Replaced => "replaced",
            Reason::NotMounted => "not-mounted",
            Reason::ContainsItself => "contains-itself",
            Reason::LinkTargetTooLong => "link-target-too-long",
            Reason::NameTooLong => "name-too-long",
            Reason::NotRepresentable => "not-representable",
            Reason::InputOutput => "input-output",
        }
    }

    /// The reason with that code.
    pub fn from_code(code: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::PermissionDenied => write!(f, "no permission to read it"),
            Reason::Vanished => write!(f, "it is not there any more"),
            Reason::Changed => write!(f, "changed while it was read"),
            Reason::TypeChanged => write!(f, "something else is in its place now"),
            Reason::Replaced => write!(f, "another directory or file system is in its place now"),
            Reason::NotMounted => write!(
                f,
                "the file system that belongs here is not mounted: mount it again"
            ),
            Reason::ContainsItself => write!(
                f,
                "it contains itself: it is the same directory as one above it"
            ),
            Reason::LinkTargetTooLong => {
                write!(
                    f,
                    "its link target is longer than {SYMLINK_TARGET_BYTES} bytes"
                )
            }
            Reason::NameTooLong => write!(f, "its name is longer than {NAME_BYTES} bytes"),
            Reason::NotRepresentable => write!(f, "the CLFS format cannot hold it"),
            Reason::InputOutput => write!(f, "the source answered with an error"),
        }
    }
}

/// Why an entry could not be loaded, with the operating system's word where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// `errno` of the call that failed.
    pub errno: Option<i32>,
}

impl Problem {
    /// A problem without a failed call behind it.
    pub fn new(reason: Reason) -> Self {
        Problem {
            reason,
            errno: None,
        }
    }

    /// The problem behind a failed call on an entry that the scan had seen.
    pub fn from_errno(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        let reason = match errno {
            Errno::ACCESS | Errno::PERM => Reason::PermissionDenied,
            Errno::NOENT | Errno::STALE => Reason::Vanished,
            // openat(2) with O_NOFOLLOW or O_DIRECTORY; ENXIO: a fifo or socket instead of a file.
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => Reason::TypeChanged,
            Errno::NAMETOOLONG => Reason::NameTooLong,
            // The answers of `Directory::look` for mounts that are missing, or others.
            Errno::NODEV => Reason::NotMounted,
            Errno::XDEV => Reason::Replaced,
            _ => Reason::InputOutput,
        };
        Problem {
            reason,
            errno: Some(errno.raw_os_error()),
        }
    }
}

/// Whether an error tells of this process's limits rather than of the entry: it would meet any
/// other entry too.
pub fn is_exhaustion(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// How many entries may fail in one run, on top of those that an earlier run left.
#[derive(Debug)]
pub struct ProblemLimit {
    at: Option<u64>,
    reached: AtomicBool,
}

impl ProblemLimit {
    /// A limit of `at_most` further problems, or none.
    pub fn new(at_most: Option<u64>, problems_before: u64) -> Self {
        ProblemLimit {
            at: at_most.map(|limit| problems_before.saturating_add(limit)),
            reached: AtomicBool::new(false),
        }
    }

    /// Whether so many problems are too many; remembered. They are counted only where it matters: the
    /// count reads all of them.
    ///
    /// # Errors
    /// Those of the count.
    pub fn is_reached<E>(&self, problems: impl FnOnce() -> Result<u64, E>) -> Result<bool, E> {
        let reached = match self.at {
            Some(limit) => problems()? >= limit,
            None => false,
        };
        Ok(self.reached.fetch_or(reached, Ordering::AcqRel) || reached)
    }

    /// Whether it was reached before.
    pub fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            None => write!(f, "{}", self.reason),
            Some(errno) => write!(
                f,
                "{} ({})",
                self.reason,
                io::Error::from_raw_os_error(errno)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_for_a_limit_only_and_one_that_was_reached_stays_so() {
        let never = || -> Result<u64, ()> { Err(()) };
        let unlimited = ProblemLimit::new(None, 7);
        assert_eq!(unlimited.is_reached(never), Ok(false));
        let limit = ProblemLimit::new(Some(3), 7);
        assert_eq!(limit.is_reached(never), Err(()));
        let reached = |problems| limit.is_reached(|| Ok::<u64, ()>(problems));
        assert_eq!((reached(9), limit.was_reached()), (Ok(false), false));
        assert_eq!((reached(10), reached(9)), (Ok(true), Ok(true)));
        assert!(limit.was_reached());
    }
}
