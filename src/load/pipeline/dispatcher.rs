//! The dispatcher: reads entries from the state and queues them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::attempt::Attempt;
use super::checkpoint::Checkpoint;
use super::queue::WorkQueue;
use super::{PassRun, Task};
use crate::entry::{Entry, EntryId};
use crate::progress::Progress;
use crate::state::{FileBatch, Pass, Reader, StateError};

/// Entries in one query.
const BATCH: u32 = 512;
/// Maximum number of entries that are taken and not settled. A pass keeps them in memory and stores them with
/// each batch.
const OUTSTANDING: usize = 8192;
/// How often the dispatcher checks whether the outcome writer has caught up.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// Queues the outstanding entries of an earlier run, its failed entries if requested, then all others.
pub(super) fn dispatch(
    run: &PassRun<'_>,
    reader: Reader,
    checkpoint: &Mutex<Checkpoint>,
    queue: &WorkQueue,
) -> Result<(), StateError> {
    let dispatcher = Dispatcher {
        run,
        reader,
        checkpoint,
        queue,
    };
    dispatcher.outstanding()?;
    if run.retry_problems {
        dispatcher.problems()?;
    }
    dispatcher.entries()
}

struct Dispatcher<'a> {
    run: &'a PassRun<'a>,
    reader: Reader,
    checkpoint: &'a Mutex<Checkpoint>,
    queue: &'a WorkQueue,
}

impl Dispatcher<'_> {
    fn outstanding(&self) -> Result<(), StateError> {
        let ids: Vec<EntryId> =
            self.with_checkpoint(|checkpoint| checkpoint.outstanding().collect());
        for id in ids {
            // Failed entries are queued by `problems`, if at all.
            let entry = match self.reader.has_problem(id)? {
                true => None,
                false => self.reader.entry(id)?,
            };
            match entry {
                None => self.with_checkpoint(|checkpoint| checkpoint.settle(id)),
                Some(entry) => {
                    if !self.push(vec![entry], false) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn problems(&self) -> Result<(), StateError> {
        let mut after = EntryId::new(0);
        let end = self.with_checkpoint(|checkpoint| checkpoint.cursor());
        loop {
            let entries = self
                .reader
                .failed_entries(self.run.pass, after, end, BATCH)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            after = last.id;
            self.wait_for_outcome_writer();
            self.with_checkpoint(|checkpoint| {
                checkpoint.take(entries.iter().map(|entry| entry.id), 0)
            });
            // They are read again, so they no longer count as failed. Those that fail again are added again.
            let bytes = entries.iter().map(Entry::regular_bytes).sum();
            Progress::take(&self.run.progress.bytes_failed, bytes);
            if !self.push(entries, true) {
                return Ok(());
            }
        }
    }

    fn entries(&self) -> Result<(), StateError> {
        loop {
            if self.run.stop.is_requested() {
                return Ok(());
            }
            self.wait_for_outcome_writer();
            let batch = self.next()?;
            if batch.entries.is_empty() {
                self.with_checkpoint(|checkpoint| {
                    checkpoint.take(std::iter::empty(), batch.cursor)
                });
                // Query once more, for entries that were recorded since the last query.
                if !self.run.more.wait() && self.next()?.entries.is_empty() {
                    return Ok(());
                }
                continue;
            }
            self.with_checkpoint(|checkpoint| {
                checkpoint.take(batch.entries.iter().map(|entry| entry.id), batch.cursor);
            });
            if !self.push(batch.entries, false) {
                return Ok(());
            }
        }
    }

    fn next(&self) -> Result<FileBatch, StateError> {
        let after = self.with_checkpoint(|checkpoint| checkpoint.cursor());
        match self.run.pass {
            Pass::Files => self.reader.next_files(after, BATCH),
            Pass::Links => self.reader.next_inodes(after, BATCH),
            Pass::Directories => self.reader.next_directories(after, BATCH),
        }
    }

    /// Waits while too many entries are outstanding. The outcome writer settles them in batches.
    fn wait_for_outcome_writer(&self) {
        while self.with_checkpoint(|checkpoint| checkpoint.outstanding_count()) > OUTSTANDING
            && !self.run.stop.is_requested()
        {
            std::thread::sleep(CHECK_INTERVAL);
        }
    }

    /// Queues entries. Returns false if the run is stopping.
    fn push(&self, entries: Vec<Entry>, failed_before: bool) -> bool {
        let tasks = entries.into_iter().map(|entry| Task {
            entry,
            attempt: match failed_before {
                true => Attempt::AfterFailure,
                false => Attempt::First,
            },
            failed_before,
        });
        !self.run.stop.is_requested() && self.queue.push(tasks.collect())
    }

    fn with_checkpoint<T>(&self, work: impl FnOnce(&mut Checkpoint) -> T) -> T {
        work(
            &mut self
                .checkpoint
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
