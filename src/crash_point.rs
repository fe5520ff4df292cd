//! Places at which a test ends the process as `kill -9` would.
//!
//! `CLFSLOAD_CRASH_AT=AfterPut` ends it the first time it comes to [`CrashPoint::AfterPut`],
//! `AfterPut:7` the seventh time. Only builds with debug assertions look at the variable; in a
//! release build nothing of this is left.

/// A place where a crash is worth a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPoint {
    /// The tables of a new state are committed, under the unfinished name.
    StateUnpublished,
    /// The new state has its name; the container holds nothing.
    StatePublished,
    /// The bucket object is there, the state has no note of it.
    BucketPut,
    /// Listings are gathered, not recorded.
    ScanListed,
    /// Listings are recorded, not committed.
    RecordUncommitted,
    /// Listings are committed.
    ScanCommitted,
    /// An object is encoded, not put.
    BeforePut,
    /// An object is in the container; nobody was told.
    AfterPut,
    /// The folder container has a temporary file, durable, without its name.
    TemporaryWritten,
    /// The file has its name, which a power loss could still take back.
    BlobRenamed,
    /// A segment of a large file is handed over; others may be missing.
    SegmentEncoded,
    /// All segments of a large file are handed over, its inode is not.
    BeforeLargeInode,
    /// The inode of a large file is handed over.
    AfterLargeInode,
    /// Outcomes are written, not committed.
    SettleUncommitted,
    /// Outcomes are committed.
    SettleCommitted,
    /// The objects of inodes with several names begin.
    LinkedInode,
    /// The objects of a directory begin.
    DirectoryBegun,
    /// A segment of a large directory is handed over; its inode is not.
    DirectorySegment,
    /// Everything but log and root is in the container.
    BeforeLog,
    /// The log is there, the root is not.
    BeforeRoot,
    /// The root is there, the state has no note of it.
    AfterRoot,
    /// The end is noted.
    Finished,
}

#[cfg(debug_assertions)]
impl CrashPoint {
    /// All places.
    pub const ALL: [CrashPoint; 22] = [
        CrashPoint::StateUnpublished,
        CrashPoint::StatePublished,
        CrashPoint::BucketPut,
        CrashPoint::ScanListed,
        CrashPoint::RecordUncommitted,
        CrashPoint::ScanCommitted,
        CrashPoint::BeforePut,
        CrashPoint::AfterPut,
        CrashPoint::TemporaryWritten,
        CrashPoint::BlobRenamed,
        CrashPoint::SegmentEncoded,
        CrashPoint::BeforeLargeInode,
        CrashPoint::AfterLargeInode,
        CrashPoint::SettleUncommitted,
        CrashPoint::SettleCommitted,
        CrashPoint::LinkedInode,
        CrashPoint::DirectoryBegun,
        CrashPoint::DirectorySegment,
        CrashPoint::BeforeLog,
        CrashPoint::BeforeRoot,
        CrashPoint::AfterRoot,
        CrashPoint::Finished,
    ];
}

/// Ends the process here, if a test asked for it.
#[inline(always)]
pub(crate) fn crash_point(point: CrashPoint) {
    #[cfg(debug_assertions)]
    armed::reached(point);
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::CrashPoint;

    const VARIABLE: &str = "CLFSLOAD_CRASH_AT";

    struct Armed {
        point: CrashPoint,
        /// So many times it is passed before.
        passes: AtomicU64,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub(super) fn reached(point: CrashPoint) {
        let Some(armed) = ARMED.get_or_init(from_environment) else {
            return;
        };
        if armed.point != point {
            return;
        }
        let passed = |passes: u64| passes.checked_sub(1);
        let counted = armed
            .passes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, passed);
        if counted.is_err() {
            // SIGKILL: no destructor, no flush. Should it not arrive, abort runs none either.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
    }

    /// A test that names a place that is not there must not pass.
    #[allow(clippy::panic)]
    fn from_environment() -> Option<Armed> {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
        let point = CrashPoint::ALL
            .into_iter()
            .find(|point| format!("{point:?}") == name);
        match (point, count.parse::<u64>()) {
            (Some(point), Ok(count @ 1..)) => Some(Armed {
                point,
                passes: AtomicU64::new(count - 1),
            }),
            _ => panic!("{VARIABLE}={text}: no such place, or no count from 1"),
        }
    }
}
