//! The scan: walks the source breadth first and records what it finds.
//!
//! Several threads list directories at the same time; one thread commits the listings in the
//! order of the directories' ids, so that ids depend on the tree only (docs/design.md, Order).
//! A directory is listed only when its own row is committed: what the container says of its
//! access time was noted before the scan could change it.

mod again;
mod lister;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::EntryId;
use crate::monitor::{Event, Monitor, Progress};
use crate::problem::{Problem, ProblemLimit};
use crate::source::SourceTree;
use crate::state::{ListingChunk, Reader, State, StateError};
use crate::stop::StopFlag;

use lister::{Lister, Piece};

/// Directories that are listed ahead of the one whose turn it is.
const LISTED_AHEAD: usize = 64;
/// Pieces of one listing that wait for its turn. With [`lister::CHUNK_ENTRIES`] it bounds the
/// memory of the scan: 64 × 2 × 1,024 entries.
const PIECES_WAITING: usize = 2;
/// Entries in one transaction.
const BATCH_ENTRIES: usize = 8192;

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
    /// Threads that list.
    pub threads: usize,
    /// Stops the run when too many entries fail.
    pub limit: &'a ProblemLimit,
    /// Looked at between two directories.
    pub stop: &'a StopFlag,
    /// Figures.
    pub progress: &'a Progress,
    /// Hears of problems.
    pub monitor: &'a dyn Monitor,
    /// Called after each commit: there may be new work.
    pub committed: &'a (dyn Fn() + Sync),
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// Every directory was listed, or has a problem.
    Complete,
    /// It was asked to stop.
    Stopped,
}

/// A directory to list, and where its pieces go.
struct Job {
    directory: EntryId,
    pieces: SyncSender<Piece>,
}

type Jobs = Arc<Mutex<Receiver<Job>>>;

impl Scan<'_> {
    /// Walks what is not walked yet.
    ///
    /// # Errors
    /// When the state cannot be read or written. What the source refuses is a stored problem.
    pub fn run(&self) -> Result<ScanEnd, StateError> {
        let reader = self.state.reader()?;
        std::thread::scope(|threads| {
            let (jobs, queue) = sync_channel(LISTED_AHEAD);
            let queue: Jobs = Arc::new(Mutex::new(queue));
            for _ in 0..self.threads.max(1) {
                let lister = Lister {
                    source: self.source,
                    reader: self.state.reader()?,
                    spool_folder: self.state.folder(),
                    preserve_hardlinks: self.preserve_hardlinks,
                    stop: self.stop,
                };
                let queue = Arc::clone(&queue);
                threads.spawn(move || {
                    while let Some(job) = take(&queue) {
                        lister.list(job.directory, &job.pieces);
                    }
                });
            }
            let mut committer = Committer {
                scan: self,
                reader,
                jobs,
                waiting: VecDeque::new(),
                cursor: 0,
                exhausted: false,
                batch: Vec::new(),
                batch_entries: 0,
            };
            committer.run()
        })
    }
}

impl Scan<'_> {
    /// Tells of an entry that failed, and stops when those are too many.
    fn report(
        &self,
        reader: &Reader,
        path: &[Vec<u8>],
        problem: Problem,
    ) -> Result<(), StateError> {
        Progress::add(&self.progress.failed, 1);
        self.monitor.event(&Event::Problem {
            path: &path.join(&b'/'),
            problem,
        });
        if self.limit.is_reached(reader.problem_count()?) {
            self.stop.request();
        }
        Ok(())
    }
}

fn take(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.recv().ok()
}

struct Committer<'a> {
    scan: &'a Scan<'a>,
    reader: Reader,
    jobs: SyncSender<Job>,
    /// Directories being listed, in the order of their ids.
    waiting: VecDeque<(EntryId, Receiver<Piece>)>,
    /// The last directory that was given to the listers.
    cursor: u64,
    /// No directory was found behind the cursor since the last commit.
    exhausted: bool,
    batch: Vec<ListingChunk>,
    batch_entries: usize,
}

impl Committer<'_> {
    fn run(&mut self) -> Result<ScanEnd, StateError> {
        loop {
            if self.scan.stop.is_requested() {
                self.commit()?;
                return Ok(ScanEnd::Stopped);
            }
            self.hand_out()?;
            let Some((directory, pieces)) = self.waiting.front() else {
                if self.batch.is_empty() {
                    return Ok(ScanEnd::Complete);
                }
                self.commit()?;
                continue;
            };
            let directory = *directory;
            let piece = match pieces.try_recv() {
                Ok(piece) => piece,
                // Nothing is ready: use the time to commit what is.
                Err(TryRecvError::Empty) if !self.batch.is_empty() => {
                    self.commit()?;
                    continue;
                }
                Err(_) => match pieces.recv() {
                    Ok(piece) => piece,
                    // A lister ends without a last piece only when it panicked; the panic
                    // reaches the caller when the threads are joined.
                    Err(RecvError) => return Ok(ScanEnd::Stopped),
                },
            };
            self.take(directory, piece)?;
        }
    }

    /// Gives directories to the listers, as far ahead as is allowed.
    fn hand_out(&mut self) -> Result<(), StateError> {
        while !self.exhausted && self.waiting.len() < LISTED_AHEAD {
            let room = LISTED_AHEAD - self.waiting.len();
            let targets =
                self.reader
                    .next_unlisted(self.cursor, room as u32, self.scan.retry_problems)?;
            self.exhausted = targets.len() < room;
            for directory in targets {
                let (pieces, receiver) = sync_channel(PIECES_WAITING);
                // The queue holds LISTED_AHEAD jobs, so this does not block.
                if self.jobs.send(Job { directory, pieces }).is_err() {
                    return Ok(());
                }
                self.waiting.push_back((directory, receiver));
                self.cursor = directory.get();
            }
        }
        Ok(())
    }

    fn take(&mut self, directory: EntryId, piece: Piece) -> Result<(), StateError> {
        match piece {
            Piece::Chunk { entries, last } => {
                self.batch_entries += entries.len();
                self.batch.push(ListingChunk {
                    directory,
                    entries,
                    last,
                });
                if last {
                    self.waiting.pop_front();
                }
                if self.batch_entries >= BATCH_ENTRIES {
                    self.commit()?;
                }
            }
            Piece::Problem(problem) => {
                self.waiting.pop_front();
                self.commit()?;
                self.fail(directory, problem)?;
            }
            // The next look at the stop flag ends the scan.
            Piece::Stopped => self.waiting.clear(),
            Piece::Error(error) => return Err(error),
        }
        Ok(())
    }

    fn fail(&mut self, directory: EntryId, problem: Problem) -> Result<(), StateError> {
        self.scan.state.listing_failed(directory, &problem)?;
        self.scan
            .report(&self.reader, &self.reader.path(directory)?, problem)
    }

    fn commit(&mut self) -> Result<(), StateError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        crash_point(CrashPoint::ScanListed);
        self.scan.state.record(&self.batch)?;
        crash_point(CrashPoint::ScanCommitted);
        Progress::add(&self.scan.progress.found, self.batch_entries as u64);
        for chunk in std::mem::take(&mut self.batch) {
            self.report_names(&chunk)?;
        }
        self.batch_entries = 0;
        self.exhausted = false;
        (self.scan.committed)();
        Ok(())
    }

    fn report_names(&self, chunk: &ListingChunk) -> Result<(), StateError> {
        let failed = chunk.entries.iter().filter_map(|found| found.failure());
        for (name, problem) in failed {
            let mut path = self.reader.path(chunk.directory)?;
            path.push(name.to_vec());
            self.scan.report(&self.reader, &path, problem)?;
        }
        Ok(())
    }
}
