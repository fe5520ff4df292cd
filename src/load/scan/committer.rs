//! Commits listings in the order of ids.

use std::time::{Duration, Instant};

use super::ahead::{Ahead, LISTED_AHEAD, PieceWait};
use super::device_numbers::DeviceNumbers;
use super::piece::Piece;
use super::{Scan, ScanEnd};
use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::EntryId;
use crate::load::adaptive_pool::STALL_THRESHOLD;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::state::{FoundEntry, ListingChunk, Reader, StateError};

/// Maximum number of entries in one transaction.
const BATCH_ENTRIES: usize = 8192;
/// Maximum time for which a batch is collected. Each commit flushes the disk and writes complete pages.
const BATCH_WAIT: Duration = Duration::from_millis(50);
/// If no piece is delivered for this time, stalled calls may block all workers, and another one is started.
const QUIET: Duration = STALL_THRESHOLD;

pub(super) struct Committer<'a> {
    scan: &'a Scan<'a>,
    reader: Reader,
    ahead: &'a Ahead,
    /// Starts another worker.
    start_worker: &'a dyn Fn(),
    /// The number of delivered pieces when it was last seen to change, and that time.
    delivered: (u64, Instant),
    /// The last directory that was queued.
    cursor: u64,
    /// Since the last commit, the state has no directories after the cursor.
    exhausted: bool,
    devices: DeviceNumbers<'a>,
    batch: Vec<ListingChunk>,
    batch_entries: usize,
    batch_began: Instant,
    /// The batch has directories, which are queued after its commit.
    batch_has_directories: bool,
}

impl<'a> Committer<'a> {
    pub(super) fn new(
        scan: &'a Scan<'a>,
        reader: Reader,
        ahead: &'a Ahead,
        start_worker: &'a dyn Fn(),
    ) -> Self {
        let now = Instant::now();
        Committer {
            scan,
            reader,
            ahead,
            start_worker,
            delivered: (0, now),
            cursor: 0,
            exhausted: false,
            devices: DeviceNumbers::new(scan.source),
            batch: Vec::new(),
            batch_entries: 0,
            batch_began: now,
            batch_has_directories: false,
        }
    }

    pub(super) fn run(&mut self) -> Result<ScanEnd, StateError> {
        let mut pieces = Vec::new();
        loop {
            if self.scan.stop.is_requested() {
                self.commit()?;
                return Ok(ScanEnd::Stopped);
            }
            self.queue_directories()?;
            let timeout = match self.batch.is_empty() {
                true => QUIET,
                false => BATCH_WAIT.saturating_sub(self.batch_began.elapsed()),
            };
            let room = BATCH_ENTRIES.saturating_sub(self.batch_entries);
            let wants_busy = self.batch_has_directories;
            match self.ahead.turn(room, timeout, wants_busy, &mut pieces) {
                PieceWait::Ready => {}
                PieceWait::Later => {
                    self.commit()?;
                    self.replace_stalled();
                }
                PieceWait::Empty if self.batch.is_empty() => return Ok(ScanEnd::Complete),
                PieceWait::Empty => self.commit()?,
            }
            for (directory, piece) in pieces.drain(..) {
                if self.scan.stop.is_requested() {
                    break;
                }
                if matches!(piece, Piece::Stopped) {
                    self.commit()?;
                    return Ok(ScanEnd::Stopped);
                }
                self.take(directory, piece)?;
            }
            if self.batch_entries >= BATCH_ENTRIES || self.batch_began.elapsed() >= BATCH_WAIT {
                self.commit()?;
            }
        }
    }

    /// Fills the queue with directories.
    fn queue_directories(&mut self) -> Result<(), StateError> {
        let room = self.ahead.room();
        // Several at once, because each call is a query.
        if self.exhausted || room < LISTED_AHEAD / 4 {
            return Ok(());
        }
        let retry = self.scan.retry_problems;
        let unlisted = self.reader.next_unlisted(self.cursor, room as u32, retry)?;
        self.exhausted = unlisted.len() < room;
        if let Some(last) = unlisted.last() {
            self.cursor = last.id.get();
            self.ahead.add(unlisted);
        }
        Ok(())
    }

    /// Starts another worker if stalled calls may block all of them. A blocked worker cannot measure its call,
    /// so the pool does not grow by itself.
    fn replace_stalled(&mut self) {
        let (before, since) = self.delivered;
        let delivered = self.ahead.delivered();
        if delivered != before {
            self.delivered = (delivered, Instant::now());
        } else if since.elapsed() >= QUIET && self.ahead.is_short_of_workers() {
            self.delivered = (delivered, Instant::now());
            (self.start_worker)();
        }
    }

    fn take(&mut self, directory: EntryId, piece: Piece) -> Result<(), StateError> {
        match piece {
            Piece::Chunk { mut entries, last } => {
                let last = self.count_problems(&mut entries) && last;
                for found in &mut entries {
                    if let FoundEntry::Known(entry) = found {
                        self.devices.replace(entry, &self.reader)?;
                    }
                }
                if self.batch.is_empty() {
                    self.batch_began = Instant::now();
                }
                // Each directory is a row, too, even an empty one.
                self.batch_entries += entries.len() + 1;
                self.batch_has_directories |= entries.iter().any(FoundEntry::is_directory);
                self.batch.push(ListingChunk {
                    directory,
                    entries,
                    last,
                });
            }
            Piece::Problem(problem) => {
                self.commit()?;
                self.fail(directory, problem)?;
            }
            // Handled by the caller.
            Piece::Stopped => {}
            Piece::Error(error) => return Err(error),
        }
        Ok(())
    }

    fn fail(&mut self, directory: EntryId, problem: Problem) -> Result<(), StateError> {
        let is_new = self.scan.state.listing_failed(directory, &problem)?;
        self.scan.report(&self.reader.path(directory)?, problem);
        if is_new {
            self.scan.count_problem();
        }
        Ok(())
    }

    /// Counts the names that failed. At the limit, drops the other entries and returns false: the next run
    /// resumes the listing after the last name.
    fn count_problems(&self, entries: &mut Vec<FoundEntry>) -> bool {
        let failed = entries.iter().enumerate();
        let mut failed = failed.filter(|(_, found)| found.failure().is_some());
        let Some(kept) = failed.find_map(|(at, _)| self.scan.count_problem().then_some(at + 1))
        else {
            return true;
        };
        let all = kept == entries.len();
        entries.truncate(kept);
        all
    }

    fn commit(&mut self) -> Result<(), StateError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        crash_point(CrashPoint::ScanListed);
        let recorded = self.scan.state.record(&self.batch)?;
        self.scan.limit.solved(recorded.solved);
        crash_point(CrashPoint::ScanCommitted);
        let progress = self.scan.progress;
        Progress::add(&progress.found, recorded.entries);
        Progress::add(&progress.bytes_found, recorded.bytes);
        for chunk in std::mem::take(&mut self.batch) {
            self.report_names(&chunk)?;
        }
        self.batch_entries = 0;
        self.batch_has_directories = false;
        self.exhausted = false;
        (self.scan.committed)();
        Ok(())
    }

    fn report_names(&mut self, chunk: &ListingChunk) -> Result<(), StateError> {
        let failed = chunk.entries.iter().filter_map(|found| found.failure());
        let mut failed = failed.peekable();
        if failed.peek().is_none() {
            return Ok(());
        }
        let mut path = self.reader.components(chunk.directory)?;
        for (name, problem) in failed {
            path.push(name.to_vec());
            self.scan.report(&path.join(&b'/'), problem);
            path.pop();
        }
        Ok(())
    }
}
