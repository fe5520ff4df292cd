//! The progress of a run, for displays.
//!
//! The stages count in [`Progress`]. [`ProgressSampler`] takes a [`Snapshot`] of it twice a second, with rates and
//! an estimate. [`history`] stores snapshots in the state folder for `status` and `report`.

mod bottleneck;
mod estimate;
pub mod extremes;
pub mod history;
mod sampler;
pub(crate) mod snapshot;
mod window;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::container::limit::LimiterFigures;
pub use crate::container::limit::Requests;
use crate::events::Phase;
use crate::state::{Counter, Reader, StateError};

use extremes::Rankings;
pub use sampler::ProgressSampler;
pub use snapshot::{Bottleneck, Rates, Snapshot};

/// The counters of a run, for displays only. The database has the authoritative ones.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries recorded by the scan in this run.
    pub found: AtomicU64,
    /// Bytes of the regular files among them, each hard-linked inode counted once.
    pub bytes_found: AtomicU64,
    /// Entries settled in this run.
    pub done: AtomicU64,
    /// Entries that failed in this run.
    pub failed: AtomicU64,
    /// Bytes of regular files that failed, which will not be read: in this run or, unless they are retried, in
    /// earlier ones.
    pub bytes_failed: AtomicU64,
    /// Bytes read from the source in this run.
    pub bytes_read: AtomicU64,
    /// Bytes read of large files that are not settled yet.
    pub read_ahead: AtomicU64,
    /// Bytes uploaded in this run.
    pub bytes_put: AtomicU64,
    /// Objects uploaded in this run.
    pub objects: AtomicU64,
    /// The current limits of the container's limiter, and its requests.
    pub limiter: Arc<LimiterFigures>,
    /// Calls to the container in backoff after a transient failure.
    pub retrying: Arc<AtomicUsize>,
    /// Threads that wait until uploads release memory.
    pub waiting_for_room: Arc<AtomicUsize>,
    /// The largest and the slowest files.
    pub(crate) rankings: Rankings,
    phase: AtomicU8,
    scan_complete: AtomicBool,
    finished: AtomicBool,
    before: OnceLock<Before>,
}

/// The counters of earlier runs of the transfer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) found: u64,
    /// Further names of inodes that are in the container.
    pub(crate) links_done: u64,
    pub(crate) bytes_found: u64,
    pub(crate) done: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_put: u64,
    pub(crate) objects: u64,
}

/// The counts from which the number of entries in the container follows.
pub(crate) struct EntryCounts {
    /// Known entries.
    pub(crate) found: u64,
    /// Failed entries.
    pub(crate) failed: u64,
    /// Settled entries.
    pub(crate) settled: u64,
    /// Further names of inodes in the container. They are uploaded with their inode and not settled.
    pub(crate) links: u64,
    /// Whether the root is in the container. It is uploaded last and not settled.
    pub(crate) is_finished: bool,
}

impl EntryCounts {
    /// Entries in the container.
    pub(crate) fn done(&self) -> u64 {
        let max = self.found.saturating_sub(self.failed);
        match self.is_finished {
            true => max,
            // A directory that is uploaded again because entries in it failed is settled twice.
            false => max.min(self.settled.saturating_add(self.links)),
        }
    }
}

impl Progress {
    /// Adds to a counter.
    pub fn add(figure: &AtomicU64, amount: u64) {
        figure.fetch_add(amount, Ordering::Relaxed);
    }

    /// Subtracts from a counter, down to 0.
    pub(crate) fn take(figure: &AtomicU64, amount: u64) {
        // Cannot fail, because the closure always returns Some.
        let _: Result<u64, u64> =
            figure.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                Some(now.saturating_sub(amount))
            });
    }

    /// Reads a counter.
    pub fn get(figure: &AtomicU64) -> u64 {
        figure.load(Ordering::Relaxed)
    }

    /// Reads the counters of earlier runs.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub(crate) fn begin(&self, state: &Reader) -> Result<(), StateError> {
        let totals = state.totals()?;
        // Once in a run. A later call has no effect.
        let begun = self.before.set(Before {
            found: totals.entries() + state.unknown_count()?,
            links_done: state.links_done()?,
            bytes_found: totals.get(Counter::FoundBytes),
            done: totals.get(Counter::Done),
            bytes_read: totals.get(Counter::BytesRead),
            bytes_put: totals.get(Counter::BytesPut),
            objects: totals.get(Counter::Objects),
        });
        if begun.is_ok() {
            Progress::add(&self.bytes_failed, state.problem_bytes()?);
        }
        Ok(())
    }

    pub(crate) fn before(&self) -> Before {
        self.before.get().copied().unwrap_or_default()
    }

    /// Returns the phase that the run is in.
    pub fn phase(&self) -> Phase {
        Phase::ALL
            .into_iter()
            .find(|phase| *phase as u8 == self.phase.load(Ordering::Relaxed))
            .unwrap_or(Phase::Scan)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        if phase != Phase::Scan {
            self.scan_is_complete();
        }
    }

    /// Records that all entries of the source are known.
    pub(crate) fn scan_is_complete(&self) {
        self.scan_complete.store(true, Ordering::Relaxed);
    }

    /// Records that the root is in the container.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    /// Returns whether the root is in the container, which is uploaded last.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Returns whether all entries of the source are known.
    pub fn is_scan_complete(&self) -> bool {
        self.scan_complete.load(Ordering::Relaxed)
    }
}
