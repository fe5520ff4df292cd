//! Points at which a test kills the process as `kill -9` does.
//!
//! `CLFSLOAD_CRASH_AT=AfterPut` kills it the first time it reaches [`CrashPoint::AfterPut`], `AfterPut:7` the
//! seventh time. Only builds with debug assertions read the variable; release builds contain none of this.

/// A point in the run at which tests simulate a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CrashPoint {
    /// The tables of a new state are committed, under the unfinished name.
    StateUnpublished,
    /// The new state has its final name; the container is empty.
    StatePublished,
    /// The bucket object is in the container; the state does not record that.
    BucketPut,
    /// Listings are complete and not recorded.
    ScanListed,
    /// Listings are recorded and not committed.
    RecordUncommitted,
    /// Listings are committed.
    ScanCommitted,
    /// An object is encoded and not uploaded.
    BeforePut,
    /// An object is in the container; its upload is not recorded.
    AfterPut,
    /// The temporary file of a blob in a folder container is durable and not renamed.
    TemporaryWritten,
    /// The file is renamed; the name is not durable.
    BlobRenamed,
    /// A segment of a large file is queued for upload; others may be missing.
    SegmentEncoded,
    /// All segments of a large file are queued for upload; its inode is not.
    BeforeLargeInode,
    /// The inode of a large file is queued for upload.
    AfterLargeInode,
    /// Outcomes are written and not committed.
    SettleUncommitted,
    /// Outcomes are committed.
    SettleCommitted,
    /// Before the objects of an inode with several names.
    LinkedInode,
    /// Before the objects of a directory.
    DirectoryBegun,
    /// A segment of a large directory is queued for upload; its inode is not.
    DirectorySegment,
    /// Everything except log and root is in the container.
    BeforeLog,
    /// The log is in the container; the root is not.
    BeforeRoot,
    /// The root is in the container; the state does not record that.
    AfterRoot,
    /// The state records the end of the transfer.
    Finished,
}

#[cfg(debug_assertions)]
impl CrashPoint {
    /// All crash points.
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

/// Kills the process here if a test requests it.
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
        /// How often the point is passed before the crash.
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
            // SIGKILL runs no destructor and flushes nothing. If it cannot be sent, neither does abort.
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort();
        }
    }

    /// Panics for an unknown point, because a test that names one must not pass.
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
            _ => panic!("{VARIABLE}={text}: unknown crash point, or a count below 1"),
        }
    }
}
