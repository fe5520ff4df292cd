//! The scan: walks the source breadth first and records what it finds.
//!
//! A crew of threads lists directories and looks at names at the same time, as many as the source
//! keeps busy; one thread commits the listings in the order of the directories' ids, so that ids
//! depend on the tree only (docs/design.md, Order).
//! A directory is listed only when its own row is committed: what the container says of its
//! access time was noted before the scan could change it.

mod again;
mod ahead;
mod committer;
mod device_numbers;
mod lister;
mod piece;
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

/// What a scan works with.
pub struct Scan<'a> {
    /// Where entries are recorded.
    pub state: &'a State,
    /// What is walked.
    pub source: &'a SourceTree,
    /// Whether several names of one inode are recorded as links.
    pub preserve_hardlinks: bool,
    /// Whether directories that failed in an earlier run are listed again.
    pub retry_problems: bool,
    /// The most threads that list and look; see [`crate::crew`].
    pub threads: usize,
    /// Stops the run when too many entries fail.
    pub limit: &'a ProblemLimit,
    /// Looked at after each answer of the source.
    pub stop: &'a StopFlag,
    /// Figures.
    pub progress: &'a Progress,
    /// Hears of problems.
    pub monitor: &'a dyn Monitor,
    /// Called after each commit: there may be new work.
    pub committed: &'a (dyn Fn() + Sync),
    /// Receives the examined entries.
    pub visitor: Option<&'a dyn EntryVisitor>,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// Every directory was listed, or has a problem.
    Complete,
    /// It was asked to stop.
    Stopped,
}

/// Sends the members of the crew home when it is dropped.
struct Closing<'a>(&'a Ahead);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Scan<'_> {
    /// Walks what is not walked yet.
    ///
    /// # Errors
    /// When the state cannot be read or written. What the source refuses is a stored problem.
    pub fn run(&self) -> Result<ScanEnd, StateError> {
        let reader = self.state.reader()?;
        let listers = Listers::new(self);
        let listers = &listers;
        std::thread::scope(|threads| {
            // However the committer ends, the members must not wait for more.
            let _closing = Closing(&listers.ahead);
            for _ in 0..listers.crew.few() {
                lister::recruit(threads, listers).map_err(StateError::Exhausted)?;
            }
            let recruit = || {
                // Without another thread it goes on with those that there are.
                drop(lister::recruit(threads, listers));
            };
            Committer::new(self, reader, &listers.ahead, &recruit).run()
        })
    }

    /// Tells of an entry that failed.
    fn report(&self, path: &[Vec<u8>], problem: Problem) {
        Progress::add(&self.progress.failed, 1);
        self.monitor.event(&Event::Problem {
            path: &path.join(&b'/'),
            problem,
        });
    }

    /// Counts an entry that had no problem before, and stops the run when these are too many; true
    /// then.
    fn count_problem(&self) -> bool {
        let too_many = self.limit.add();
        if too_many {
            self.stop.request();
        }
        too_many
    }
}
