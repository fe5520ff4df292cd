//! What the encoder threads take next: entries, and segments of large files.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{LargeTask, Task};

/// A piece of work for one thread.
pub(super) enum Work {
    /// An entry.
    Entry(Task),
    /// Segment `index` of a file.
    Segment(Arc<LargeTask>, u64),
}

/// A bounded queue of entries, with the open large files beside it.
#[derive(Default)]
pub(super) struct WorkQueue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Task>,
    large: VecDeque<Lane>,
    /// Threads that read segments now.
    readers: usize,
    closed: bool,
}

/// A large file and its next segment that nobody has taken.
struct Lane {
    file: Arc<LargeTask>,
    next: u64,
}

/// Large files that are open and not read whole; a thread that took an entry may add one more.
const OPEN_FILES: usize = 16;

/// Entries that wait. Enough for all threads, few enough to be nothing in memory.
const WAITING: usize = 256;

impl WorkQueue {
    /// Adds an entry, waiting for a place. False when the queue is closed.
    pub(super) fn push(&self, task: Task) -> bool {
        let mut inner = self.inner();
        while inner.entries.len() >= WAITING && !inner.closed {
            inner = self.wait(inner);
        }
        if inner.closed {
            return false;
        }
        inner.entries.push_back(task);
        self.changed.notify_all();
        true
    }

    /// Adds an entry that is taken once more; it does not wait, as there are few.
    pub(super) fn push_again(&self, task: Task) {
        self.inner().entries.push_front(task);
        self.changed.notify_all();
    }

    /// Adds the segments of a file.
    pub(super) fn push_large(&self, file: Arc<LargeTask>) {
        self.inner().large.push_back(Lane { file, next: 1 });
        self.changed.notify_all();
    }

    /// The next piece of work; none when the queue is closed and empty.
    ///
    /// At most `segment_readers` threads read segments while entries wait, so that small files
    /// go on beside large ones; all of them when [`OPEN_FILES`] are waiting to be read, as each
    /// further entry may be another.
    pub(super) fn take(&self, segment_readers: usize) -> Option<Work> {
        let mut inner = self.inner();
        loop {
            let lane_allowed = inner.readers < segment_readers
                || inner.entries.is_empty()
                || inner.large.len() >= OPEN_FILES;
            if lane_allowed && let Some(work) = inner.next_segment() {
                return Some(work);
            }
            if let Some(task) = inner.entries.pop_front() {
                self.changed.notify_all();
                return Some(Work::Entry(task));
            }
            if inner.closed {
                return None;
            }
            inner = self.wait(inner);
        }
    }

    /// A segment was read: its thread takes other work.
    pub(super) fn segment_done(&self) {
        self.inner().readers -= 1;
        self.changed.notify_all();
    }

    /// Nothing more will be pushed. What waits is dropped when `drop_waiting`: it stays
    /// outstanding for the next run.
    pub(super) fn close(&self, drop_waiting: bool) {
        let mut inner = self.inner();
        inner.closed = true;
        if drop_waiting {
            inner.entries.clear();
            inner.large.clear();
        }
        self.changed.notify_all();
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.changed
            .wait(inner)
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_segment(&mut self) -> Option<Work> {
        let lane = self.large.front_mut()?;
        let work = Work::Segment(Arc::clone(&lane.file), lane.next);
        lane.next += 1;
        if lane.next > lane.file.file.segments() {
            self.large.pop_front();
        }
        self.readers += 1;
        Some(work)
    }
}
