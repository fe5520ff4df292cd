//! The queue of the encoder threads: entries, and segments of large files.
//!
//! A thread is woken only if it waits and there is work for it, because a wakeup costs more than encoding
//! a small file.

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

/// A bounded queue of entries, and the list of open large files.
#[derive(Default)]
pub(super) struct WorkQueue {
    inner: Mutex<Inner>,
    /// Encoder threads wait here for work.
    work: Condvar,
    /// The dispatcher waits here while the queue is full.
    not_full: Condvar,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Task>,
    large: VecDeque<LargeQueue>,
    /// Threads that are reading segments.
    readers: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Total number of pieces of work that were taken.
    taken: u64,
    /// The dispatcher waits until the queue has drained.
    full: bool,
    closed: bool,
}

/// A large file and its next segment to read.
struct LargeQueue {
    file: Arc<LargeTask>,
    next: u64,
}

/// Maximum number of large files that are open and not read completely. Each thread that has taken an entry
/// may add one more.
pub const OPEN_FILES: usize = 16;

/// Maximum number of queued entries, besides the batch that fills the queue: enough for all threads, with
/// negligible memory.
const MAX_QUEUED: usize = 512;

impl WorkQueue {
    /// Waits until the queue is not full, then adds entries. Returns false if the queue is closed.
    pub(super) fn push(&self, tasks: Vec<Task>) -> bool {
        let mut inner = self.inner();
        while inner.entries.len() >= MAX_QUEUED && !inner.closed {
            inner.full = true;
            inner = wait(&self.not_full, inner);
        }
        if inner.closed {
            return false;
        }
        let added = tasks.len();
        inner.entries.extend(tasks);
        self.wake(&inner, added);
        true
    }

    /// Adds an entry that is retried. Does not wait, because such entries are few.
    pub(super) fn push_again(&self, task: Task) {
        let mut inner = self.inner();
        inner.entries.push_front(task);
        self.wake(&inner, 1);
    }

    /// Adds the segments of a file.
    pub(super) fn push_large(&self, file: Arc<LargeTask>) {
        let mut inner = self.inner();
        let segments = usize::try_from(file.file.segments()).unwrap_or(usize::MAX);
        inner.large.push_back(LargeQueue { file, next: 1 });
        self.wake(&inner, segments);
    }

    /// Waits for the next piece of work. Returns None once the queue is closed and empty.
    ///
    /// At most `segment_readers` threads read segments while entries are queued, so that small files
    /// make progress besides large ones. Once [`OPEN_FILES`] are open, all threads read segments, because
    /// the next entry may be another large file.
    pub(super) fn take(&self, segment_readers: usize) -> Option<Work> {
        let mut inner = self.inner();
        loop {
            let segment_allowed = inner.readers < segment_readers
                || inner.entries.is_empty()
                || inner.large.len() >= OPEN_FILES;
            if segment_allowed && let Some(work) = inner.next_segment() {
                inner.taken += 1;
                return Some(work);
            }
            if let Some(task) = inner.entries.pop_front() {
                inner.taken += 1;
                if inner.full && inner.entries.len() <= MAX_QUEUED / 2 {
                    inner.full = false;
                    self.not_full.notify_one();
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

    /// Returns the total number of pieces of work that were taken.
    pub(super) fn taken(&self) -> u64 {
        self.inner().taken
    }

    /// Returns whether work is queued and no thread is idle.
    pub(super) fn is_short_of_threads(&self) -> bool {
        let inner = self.inner();
        inner.idle == 0 && !(inner.entries.is_empty() && inner.large.is_empty())
    }

    /// Returns whether entries are queued, which need less memory than segments.
    pub(super) fn has_entries(&self) -> bool {
        !self.inner().entries.is_empty()
    }

    /// Records that a segment was read.
    pub(super) fn segment_done(&self) {
        self.inner().readers -= 1;
    }

    /// Closes the queue for new work. With `drop_queued`, drops the queued work, which remains outstanding for
    /// the next run.
    pub(super) fn close(&self, drop_queued: bool) {
        let mut inner = self.inner();
        inner.closed = true;
        if drop_queued {
            inner.entries.clear();
            inner.large.clear();
        }
        self.work.notify_all();
        self.not_full.notify_all();
    }

    /// Wakes one waiting thread for each new piece of work. No thread waits while work is queued, because
    /// without queued entries each thread may read segments.
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
        let large = self.large.front_mut()?;
        let work = Work::Segment(Arc::clone(&large.file), large.next);
        large.next += 1;
        if large.next > large.file.file.segments() {
            self.large.pop_front();
        }
        self.readers += 1;
        Some(work)
    }
}
