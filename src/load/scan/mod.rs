//! The scan: walks the source breadth first and records its entries.
//!
//! The workers of an adaptive pool list directories and examine names concurrently. One thread commits the
//! listings in the order of the directories' ids, so that ids depend on the tree only (docs/design.md, Order).
//! A directory is listed only after its own row is committed, so that its access time is recorded before the
//! listing changes it.

mod ahead;
mod committer;
mod device_numbers;
mod lister;
mod piece;
mod reexamine;
mod visitor;

use crate::events::{Event, Monitor};
use crate::problem::{Problem, ProblemLimit};
use crate::progress::Progress;
use crate::source::SourceTree;
use crate::state::{State, StateError};
use crate::stop::StopFlag;

pub use ahead::OPEN_AHEAD;

use ahead::Ahead;
use committer::Committer;
use lister::Listers;

pub use visitor::EntryVisitor;

/// The inputs of a scan.
pub struct Scan<'a> {
    /// The state that records the entries.
    pub state: &'a State,
    /// The source to walk.
    pub source: &'a SourceTree,
    /// Whether several names of one inode are recorded as links.
    pub preserve_hardlinks: bool,
    /// Whether to retry directories that failed in an earlier run.
    pub retry_problems: bool,
    /// Maximum number of workers; see [`crate::load::adaptive_pool`].
    pub threads: usize,
    /// Stops the run when too many entries fail.
    pub limit: &'a ProblemLimit,
    /// Checked after each call to the source.
    pub stop: &'a StopFlag,
    /// Counters of the run.
    pub progress: &'a Progress,
    /// Receives problems.
    pub monitor: &'a dyn Monitor,
    /// Called after each commit, because there may be new entries to load.
    pub committed: &'a (dyn Fn() + Sync),
    /// Receives each examined entry.
    pub visitor: Option<&'a dyn EntryVisitor>,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// Every directory was listed or failed.
    Complete,
    /// A stop was requested.
    Stopped,
}

/// Closes the queue, which ends the workers, when it is dropped.
struct Closing<'a>(&'a Ahead);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Scan<'_> {
    /// Lists the directories that are not listed yet.
    ///
    /// # Errors
    /// If the state cannot be read or written. Errors of the source are recorded as problems.
    pub fn run(&self) -> Result<ScanEnd, StateError> {
        let reader = self.state.reader()?;
        let listers = Listers::new(self);
        let listers = &listers;
        std::thread::scope(|threads| {
            // However the committer ends, the workers must not wait for more.
            let _closing = Closing(&listers.ahead);
            for _ in 0..listers.pool.min() {
                lister::start_worker(threads, listers).map_err(StateError::Exhausted)?;
            }
            let start_worker = || {
                // If no thread can be started, the scan continues with the existing ones.
                drop(lister::start_worker(threads, listers));
            };
            Committer::new(self, reader, &listers.ahead, &start_worker).run()
        })
    }

    /// Reports a failed entry.
    fn report(&self, path: &[u8], problem: Problem) {
        Progress::add(&self.progress.failed, 1);
        self.monitor.event(&Event::Problem { path, problem });
    }

    /// Counts an entry that had no problem before. If there are too many, requests a stop and returns true.
    fn count_problem(&self) -> bool {
        let too_many = self.limit.add();
        if too_many {
            self.stop.request();
        }
        too_many
    }
}
