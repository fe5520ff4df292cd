//! What the encoder threads take next: entries, and segments of large files.
//!
//! A thread is woken only when it waits and there is something for it: a wakeup costs more than
//! the encoding of a small file.

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
    /// Encoder threads wait here for work.
    work: Condvar,
    /// The taker waits here for places.
    places: Condvar,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Task>,
    large: VecDeque<Lane>,
    /// Threads that read segments now.
    readers: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Pieces of work that were taken, ever.
    taken: u64,
    /// The taker waits for places.
    full: bool,
    closed: bool,
}

/// A large file and its next segment that nobody has taken.
struct Lane {
    file: Arc<LargeTask>,
    next: u64,
}

/// Large files that are open and not read whole; a thread that took an entry may add one more.
pub const OPEN_FILES: usize = 16;

/// Entries that wait at most, beside the batch that filled the queue: enough for all threads, few
/// enough to be nothing in memory.
const WAITING: usize = 512;

impl WorkQueue {
    /// Adds entries, waiting for places before. False when the queue is closed.
    pub(super) fn push(&self, tasks: Vec<Task>) -> bool {
        let mut inner = self.inner();
        while inner.entries.len() >= WAITING && !inner.closed {
            inner.full = true;
            inner = wait(&self.places, inner);
        }
        if inner.closed {
            return false;
        }
        let added = tasks.len();
        inner.entries.extend(tasks);
        self.wake(&inner, added);
        true
    }

    /// Adds an entry that is taken once more; it does not wait, as there are few.
    pub(super) fn push_again(&self, task: Task) {
        let mut inner = self.inner();
        inner.entries.push_front(task);
        self.wake(&inner, 1);
    }

    /// Adds the segments of a file.
    pub(super) fn push_large(&self, file: Arc<LargeTask>) {
        let mut inner = self.inner();
        let segments = usize::try_from(file.file.segments()).unwrap_or(usize::MAX);
        inner.large.push_back(Lane { file, next: 1 });
        self.wake(&inner, segments);
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
                inner.taken += 1;
                return Some(work);
            }
            if let Some(task) = inner.entries.pop_front() {
                inner.taken += 1;
                if inner.full && inner.entries.len() <= WAITING / 2 {
                    inner.full = false;
                    self.places.notify_one();
                }
                return Some(Work::Entry(task));
            }
            if inner.closed {
                return None;
            }
            inner.idle += 1;
            inner = wait(&self.work, inner);
            inner.idle -= 1;
        }
    }

    /// Pieces of work that were taken, ever.
    pub(super) fn taken(&self) -> u64 {
        self.inner().taken
    }

    /// Whether there is work that no thread has time for.
    pub(super) fn is_short_of_threads(&self) -> bool {
        let inner = self.inner();
        inner.idle == 0 && !(inner.entries.is_empty() && inner.large.is_empty())
    }

    /// Whether entries wait, which need less room than segments.
    pub(super) fn has_entries(&self) -> bool {
        !self.inner().entries.is_empty()
    }

    /// A segment was read: its thread takes other work.
    pub(super) fn segment_done(&self) {
        self.inner().readers -= 1;
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
        self.work.notify_all();
        self.places.notify_all();
    }

    /// Wakes as many of the waiting threads as there are new pieces of work. None waits while there
    /// is any: without entries every thread may read segments.
    fn wake(&self, inner: &Inner, pieces: usize) {
        match pieces.min(inner.idle) {
            0 => {}
            woken if woken == inner.idle => self.work.notify_all(),
            woken => (0..woken).for_each(|_| self.work.notify_one()),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a>(condition: &Condvar, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
    condition
        .wait(inner)
        .unwrap_or_else(PoisonError::into_inner)
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
