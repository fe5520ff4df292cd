//! Figures of a run while it goes: counted by those who do the work, read by displays.
//!
//! The stages count in [`Progress`]; [`Observer`] makes a [`Snapshot`] of it twice a second, with
//! rates and an estimate; [`history`] keeps snapshots in the state folder for `status` and `report`.

mod estimate;
pub mod extremes;
pub mod history;
mod observer;
pub(crate) mod snapshot;
mod votes;
mod window;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::container::limit::LimiterFigures;
pub use crate::container::limit::Requests;
use crate::monitor::Phase;
use crate::state::{Counter, Reader, StateError};

use extremes::Rankings;
pub use observer::Observer;
pub use snapshot::{Limiting, Rates, Snapshot};

/// Figures of a run so far; the database has the ones that count.
#[derive(Debug, Default)]
pub struct Progress {
    /// Entries recorded by the scan in this run.
    pub found: AtomicU64,
    /// Bytes of the regular files among them, further names left out.
    pub bytes_found: AtomicU64,
    /// Entries settled in this run.
    pub done: AtomicU64,
    /// Entries that failed in this run.
    pub failed: AtomicU64,
    /// Bytes of regular files that failed, in this run or, unless they are tried again, before:
    /// they are not to be read.
    pub bytes_failed: AtomicU64,
    /// Bytes read from the source in this run.
    pub bytes_read: AtomicU64,
    /// Bytes read of large files that are not settled yet.
    pub under_way: AtomicU64,
    /// Bytes uploaded in this run.
    pub bytes_put: AtomicU64,
    /// Objects uploaded in this run.
    pub objects: AtomicU64,
    /// What the limiter of the container allows now.
    pub limiter: Arc<LimiterFigures>,
    /// Calls to the container that failed for a passing reason and wait for their next try.
    pub retrying: Arc<AtomicUsize>,
    /// Threads that wait for objects to leave before they read on.
    pub waiting_for_room: Arc<AtomicUsize>,
    /// Files that stand out.
    pub(crate) rankings: Rankings,
    phase: AtomicU8,
    scan_complete: AtomicBool,
    finished: AtomicBool,
    before: OnceLock<Before>,
}

/// What earlier runs of the transfer did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    pub(crate) found: u64,
    /// Further names of files that are in the container.
    pub(crate) links_done: u64,
    pub(crate) bytes_found: u64,
    pub(crate) done: u64,
    pub(crate) bytes_read: u64,
    pub(crate) bytes_put: u64,
    pub(crate) objects: u64,
}

/// How many entries are in the container.
pub(crate) struct Standing {
    /// Entries that are known, and those of them that failed.
    pub(crate) found: u64,
    pub(crate) failed: u64,
    /// Entries that were settled.
    pub(crate) settled: u64,
    /// Further names, which go with their inode and are not settled: those that are in the container.
    pub(crate) links: u64,
    /// Whether the root is in the container, which comes last and is not settled.
    pub(crate) is_finished: bool,
}

impl Standing {
    /// Those that are in the container.
    pub(crate) fn done(&self) -> u64 {
        let most = self.found.saturating_sub(self.failed);
        match self.is_finished {
            true => most,
            // Directories that are put again, since other entries failed, count once more.
            false => most.min(self.settled.saturating_add(self.links)),
        }
    }
}

impl Progress {
    /// Adds to one of the figures.
    pub fn add(figure: &AtomicU64, amount: u64) {
        figure.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes from one of the figures that shrink too, down to 0.
    pub(crate) fn take(figure: &AtomicU64, amount: u64) {
        // It always returns something, so this cannot fail.
        let _: Result<u64, u64> =
            figure.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                Some(now.saturating_sub(amount))
            });
    }

    /// Reads one of the figures.
    pub fn get(figure: &AtomicU64) -> u64 {
        figure.load(Ordering::Relaxed)
    }

    /// What the run begins with.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn begin(&self, state: &Reader) -> Result<(), StateError> {
        let totals = state.totals()?;
        // Once in a run: a later call changes nothing.
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

    /// The phase that the run is in.
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

    /// All entries of the source are known.
    pub(crate) fn scan_is_complete(&self) {
        self.scan_complete.store(true, Ordering::Relaxed);
    }

    /// The root is in the container.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    /// Whether the root is in the container, which comes last and is settled by itself.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Whether all entries of the source are known.
    pub fn is_scan_complete(&self) -> bool {
        self.scan_complete.load(Ordering::Relaxed)
    }
}
