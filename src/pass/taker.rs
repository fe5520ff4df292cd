//! Takes entries from the state into the queue.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::attempt::Attempt;
use super::ledger::Ledger;
use super::queue::WorkQueue;
use super::{PassRun, Task};
use crate::entry::{Entry, EntryId};
use crate::progress::Progress;
use crate::state::{FileBatch, Pass, Reader, StateError};

/// Entries read at once.
const BATCH: u32 = 512;
/// Entries taken and not settled: what a pass keeps in memory and stores with each batch.
const OUTSTANDING: usize = 8192;
/// How often the taker looks whether the settler caught up.
const SETTLER_LOOK: Duration = Duration::from_millis(2);

/// Takes what an earlier run left, what failed in one, then everything else.
pub(super) fn take(
    run: &PassRun<'_>,
    reader: Reader,
    ledger: &Mutex<Ledger>,
    queue: &WorkQueue,
) -> Result<(), StateError> {
    let taker = Taker {
        run,
        reader,
        ledger,
        queue,
    };
    taker.outstanding()?;
    if run.retry_problems {
        taker.problems()?;
    }
    taker.entries()
}

struct Taker<'a> {
    run: &'a PassRun<'a>,
    reader: Reader,
    ledger: &'a Mutex<Ledger>,
    queue: &'a WorkQueue,
}

impl Taker<'_> {
    fn outstanding(&self) -> Result<(), StateError> {
        let ids: Vec<EntryId> = self.with_ledger(|ledger| ledger.outstanding().collect());
        for id in ids {
            // One with a problem comes with the problems, or not at all.
            let entry = match self.reader.has_problem(id)? {
                true => None,
                false => self.reader.entry(id)?,
            };
            match entry {
                None => self.with_ledger(|ledger| ledger.settle(id)),
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
        let end = self.with_ledger(|ledger| ledger.cursor());
        loop {
            let entries = self
                .reader
                .failed_entries(self.run.pass, after, end, BATCH)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            after = last.id;
            self.wait_for_settler();
            self.with_ledger(|ledger| ledger.take(entries.iter().map(|entry| entry.id), 0));
            // From here on they are to be read again; those that fail again are added again.
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
            self.wait_for_settler();
            let batch = self.next()?;
            if batch.entries.is_empty() {
                self.with_ledger(|ledger| ledger.take(std::iter::empty(), batch.cursor));
                // One more look after the last word, for entries that came in between.
                if !self.run.more.wait() && self.next()?.entries.is_empty() {
                    return Ok(());
                }
                continue;
            }
            self.with_ledger(|ledger| {
                ledger.take(batch.entries.iter().map(|entry| entry.id), batch.cursor);
            });
            if !self.push(batch.entries, false) {
                return Ok(());
            }
        }
    }

    fn next(&self) -> Result<FileBatch, StateError> {
        let after = self.with_ledger(|ledger| ledger.cursor());
        match self.run.pass {
            Pass::Files => self.reader.next_files(after, BATCH),
            Pass::Links => self.reader.next_inodes(after, BATCH),
            Pass::Directories => self.reader.next_directories(after, BATCH),
        }
    }

    /// Waits while too much is taken and not settled; the settler works in batches.
    fn wait_for_settler(&self) {
        while self.with_ledger(|ledger| ledger.outstanding_count()) > OUTSTANDING
            && !self.run.stop.is_requested()
        {
            std::thread::sleep(SETTLER_LOOK);
        }
    }

    /// False when the run is stopping.
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

    fn with_ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
