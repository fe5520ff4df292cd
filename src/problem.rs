//! Why an entry could not be loaded.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clfs_format::limits::{NAME_BYTES, SYMLINK_TARGET_BYTES};

/// The reason of a problem. It is stored with the entry, counted and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// No permission to open, list or stat it.
    PermissionDenied,
    /// It was listed, but no longer exists.
    Vanished,
    /// Its size or modification time changed during two reads in a row.
    Changed,
    /// Another entry is in its place: of another type or, for a hard link, with another inode number.
    TypeChanged,
    /// A directory, or a file that is a mount point, that is not the one of the scan.
    Replaced,
    /// A directory or file on which something was mounted at the time of the scan.
    NotMounted,
    /// A directory that is one of those above it.
    ContainsItself,
    /// A symlink whose target is longer than the format can store.
    LinkTargetTooLong,
    /// A name longer than the format can store.
    NameTooLong,
    /// The format cannot store it for another reason.
    NotRepresentable,
    /// Any other error of the source.
    InputOutput,
}

impl Reason {
    /// All reasons.
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

    /// Its name in the database and in JSON.
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

    /// Returns the reason with that code.
    pub fn from_code(code: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::PermissionDenied => write!(f, "no permission to read it"),
            Reason::Vanished => write!(f, "it no longer exists"),
            Reason::Changed => write!(f, "changed while it was read"),
            Reason::TypeChanged => write!(f, "another entry is in its place now"),
            Reason::Replaced => write!(
                f,
                "another file, directory or file system is in its place now: restore the right one, or, if inode \
                 numbers are unstable on this file system, add --source-identity attributes"
            ),
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
            Reason::NotRepresentable => write!(f, "the CLFS format cannot store it"),
            Reason::InputOutput => write!(f, "the source returned an error"),
        }
    }
}

/// Why an entry could not be loaded, with the system's error if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The reason.
    pub reason: Reason,
    /// `errno` of the call that failed.
    pub errno: Option<i32>,
}

impl Problem {
    /// Creates a problem without a failed system call.
    pub fn new(reason: Reason) -> Self {
        Problem {
            reason,
            errno: None,
        }
    }

    /// Returns the problem of a name that the source lists but does not find.
    pub fn listed_but_missing() -> Self {
        Problem {
            reason: Reason::InputOutput,
            errno: Some(rustix::io::Errno::NOENT.raw_os_error()),
        }
    }

    /// Returns the problem that results from a failed system call on a scanned entry.
    pub fn from_errno(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        let reason = match errno {
            Errno::ACCESS | Errno::PERM => Reason::PermissionDenied,
            Errno::NOENT | Errno::STALE => Reason::Vanished,
            // openat(2) with O_NOFOLLOW or O_DIRECTORY; ENXIO: a fifo or socket instead of a file.
            Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO => Reason::TypeChanged,
            Errno::NAMETOOLONG => Reason::NameTooLong,
            _ => Reason::InputOutput,
        };
        Problem {
            reason,
            errno: Some(errno.raw_os_error()),
        }
    }
}

/// Returns whether an error comes from a limit of this process rather than from the entry: any other entry
/// would fail too.
pub fn is_exhaustion(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// The number of entries that may fail in one run, in addition to those of earlier runs.
///
/// A problem is counted when it occurs, before it is stored: thousands of entries may follow before the next
/// transaction.
#[derive(Debug)]
pub struct ProblemLimit {
    at: Option<u64>,
    /// The number of entries that have a problem now.
    problems: AtomicU64,
    reached: AtomicBool,
}

impl ProblemLimit {
    /// Creates a limit of `at_most` further problems; `None` is no limit.
    pub fn new(at_most: Option<u64>, problems_before: u64) -> Self {
        ProblemLimit {
            at: at_most.map(|limit| problems_before.saturating_add(limit)),
            problems: AtomicU64::new(problems_before),
            reached: AtomicBool::new(false),
        }
    }

    /// Counts an entry with a new problem. Returns whether the limit has been reached, now or before.
    pub fn add(&self) -> bool {
        let problems = self
            .problems
            .fetch_add(1, Ordering::AcqRel)
            .saturating_add(1);
        if self.at.is_some_and(|limit| problems >= limit) {
            self.reached.store(true, Ordering::Release);
        }
        self.was_reached()
    }

    /// Subtracts entries whose problem was solved.
    pub fn solved(&self, entries: u64) {
        // The closure always returns `Some`, so this cannot fail.
        let _: Result<u64, u64> =
            self.problems
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |problems| {
                    Some(problems.saturating_sub(entries))
                });
    }

    /// Returns whether the limit has been reached.
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
    fn a_limit_is_reached_by_new_problems_and_stays_so() {
        let unlimited = ProblemLimit::new(None, 7);
        assert!((0..1000).all(|_| !unlimited.add()));
        let limit = ProblemLimit::new(Some(3), 7);
        assert!(!limit.add() && !limit.add());
        // A solved problem lowers the count, also one of an earlier run.
        limit.solved(4);
        assert!((0..4).all(|_| !limit.add()) && !limit.was_reached());
        assert!(limit.add() && limit.was_reached());
        limit.solved(100);
        assert!(limit.was_reached());
    }
}
