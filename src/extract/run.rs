//! State that the threads of one extraction share.
//!
//! Everything here runs on threads of the runtime that may block: system calls and SQLite wait there, and only
//! requests to the container are futures ([`Run::read`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clfs_format::{FileType, Filehandle, ObjectId};
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::attributes::Missing;
use super::links::Links;
use super::problem::{ExtractError, Failure, Problem, Reason};
use super::record::ExtractionRecord;
use super::tree::{Node, Tree};
use super::{Counters, Observer, add};
use crate::read::index::Listed;
use crate::read::{ReadError, Reader, TreePath};
use crate::stop::StopFlag;

pub(super) struct Run {
    pub(super) reader: Arc<Reader>,
    pub(super) tree: Tree,
    pub(super) record: ExtractionRecord,
    pub(super) links: Links,
    pub(super) checksum: bool,
    pub(super) keep_damaged: bool,
    pub(super) superuser: bool,
    pub(super) counters: Arc<Counters>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) stop: Arc<StopFlag>,
    pub(super) runtime: Handle,
    pub(super) inode_locks: InodeLocks,
    /// For the content of files in flight.
    pub(super) budget: Budget,
    /// The first error that ends the run.
    pub(super) end: Mutex<Option<ExtractError>>,
}

impl Run {
    pub(super) fn is_dry(&self) -> bool {
        self.tree.policy().dry_run
    }

    /// Waits for a read from the container, unless a stop is requested first.
    pub(super) fn read<T>(
        &self,
        read: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        self.runtime.block_on(async {
            tokio::select! {
                // Data that is available already is used.
                biased;
                read = read => read,
                () = self.stop.requested(Duration::ZERO) => Err(ReadError::Stopped),
            }
        })
    }

    /// Returns the blob with the current version of an object. Looks it up on this thread, which may block.
    pub(super) fn locate(&self, id: &ObjectId) -> Result<Listed, ReadError> {
        let Some(index) = self.reader.index() else {
            return self.read(self.reader.locate(id));
        };
        let found = index.find(id);
        let found = found.map_err(|error| index.failed(error))?;
        found.ok_or(ReadError::Missing(*id))
    }

    /// Calls `visit` with the names in a directory of the container, until it returns false. Skips damaged
    /// parts: the walk reports them.
    pub(super) fn each_name_in_container(
        &self,
        directory: &TreePath,
        mut visit: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Failure> {
        let directory = self.read(self.reader.resolve(directory))?.entity;
        let mut segments = self.reader.entry_segments(&directory);
        loop {
            match self.read(segments.next()) {
                Ok(Some(segment)) => {
                    let mut entries = segment.entries().filter_map(Result::ok);
                    if !entries.all(|entry| visit(entry.name)) {
                        return Ok(());
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reports a problem.
    pub(super) fn problem(&self, path: TreePath, file_type: Option<FileType>, reason: Reason) {
        add(&self.counters.problems, 1);
        if matches!(reason, Reason::KeptDamaged { .. }) {
            add(&self.counters.kept_damaged, 1);
        }
        self.observer.problem(&Problem {
            path,
            file_type,
            reason,
        });
    }

    /// Reports an attribute that an extracted entry lacks.
    pub(super) fn missing(&self, path: &TreePath, file_type: FileType, missing: Missing) {
        if let Missing(Some(error)) = missing {
            self.problem(path.clone(), Some(file_type), Reason::Incomplete(error));
        }
    }

    /// Handles a failure of an entry: reports a problem, or ends the run.
    pub(super) fn failed(&self, path: TreePath, file_type: Option<FileType>, failure: Failure) {
        match failure {
            Failure::Skipped(reason) => {
                let other = match &*reason {
                    Reason::SameName { other } => Some(other.clone()),
                    _ => None,
                };
                self.problem(path.clone(), file_type, *reason);
                if let Some(other) = other {
                    self.report_same_name(&path, &other);
                }
            }
            Failure::Local(error) => self.halt(ExtractError::Local { path, error }),
            Failure::Run(error) => self.halt(*error),
        }
    }

    /// Reports the extracted one of two entries that have the same name in the destination, if it belongs to
    /// the container.
    fn report_same_name(&self, path: &TreePath, other: &[u8]) {
        let root = TreePath::root();
        let parent = path.parent().unwrap_or(&root);
        let mut is_entry = false;
        let searched = self.each_name_in_container(parent, |name| {
            is_entry |= name == other;
            !is_entry
        });
        let other = parent.child(other);
        if is_entry {
            let with = path.name().unwrap_or_default().to_vec();
            self.problem(other, None, Reason::SharesName { with });
        } else if let Err(failure) = searched {
            self.failed(other, None, failure);
        }
    }

    /// Ends the run. The first error is kept.
    fn halt(&self, error: ExtractError) {
        self.first_error().get_or_insert(error);
    }

    /// Returns whether the run is ending early.
    pub(super) fn halted(&self) -> bool {
        self.first_error().is_some() || self.stop.is_requested()
    }

    /// Returns how the run ended.
    pub(super) fn end(&self, walked: Result<(), ExtractError>) -> Result<(), ExtractError> {
        if let Err(error) = walked {
            self.halt(error);
        }
        // A stop makes calls fail with other errors.
        if self.stop.is_requested() {
            return Err(ExtractError::Stopped);
        }
        self.first_error().take().map_or(Ok(()), Err)
    }

    fn first_error(&self) -> MutexGuard<'_, Option<ExtractError>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a piece of work in a directory. Finishes the directories in which no work remains.
    pub(super) fn release(&self, node: &Arc<Node>) {
        let mut next = node.release();
        while let Some(node) = next {
            self.finish(&node);
            next = node.parent().and_then(|parent| parent.release());
        }
    }

    fn finish(&self, node: &Arc<Node>) {
        // Work was abandoned, so the directory is not finished: the next run finishes it.
        if self.halted() {
            return;
        }
        match self.tree.finish(node) {
            Ok((finished, missing)) => {
                add(&self.counters.directories, finished.into());
                self.missing(node.path(), FileType::Directory, missing);
            }
            Err(failure) => {
                self.failed(node.path().clone(), Some(FileType::Directory), failure);
            }
        }
    }
}

/// Bytes of one permit.
const UNIT: u64 = 64 << 10;
/// Bytes of segments that are downloaded, waiting or being written: room for 20 segments.
const BYTES: u64 = 160 << 20;
/// The maximum share of one file: four segments of 8 MiB read ahead, and one being written.
const BYTES_OF_A_FILE: u64 = 40 << 20;

/// Limits the bytes of files in flight from the container to the disk. Files wait in turn.
#[derive(Debug)]
pub(super) struct Budget(Semaphore);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Semaphore::new((BYTES / UNIT) as usize))
    }

    /// Waits until a file of this size may be downloaded.
    pub(super) async fn acquire(&self, bytes: u64) -> Result<SemaphorePermit<'_>, ExtractError> {
        // At most 640.
        let units = bytes.min(BYTES_OF_A_FILE).div_ceil(UNIT) as u32;
        let permit = self.0.acquire_many(units).await;
        permit.map_err(|_| ExtractError::Stopped)
    }
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Locks on the inodes in progress: the further names of a file wait until its first name is written.
#[derive(Debug, Default)]
pub(super) struct InodeLocks(Mutex<HashMap<Filehandle, Turn>>);

#[derive(Debug)]
pub(super) struct InodeLock<'a> {
    locks: &'a InodeLocks,
    handle: Filehandle,
    turn: Option<OwnedMutexGuard<()>>,
}

impl InodeLocks {
    /// Waits until no other thread holds the lock of the inode. Blocks the thread.
    pub(super) fn lock(&self, handle: Filehandle) -> InodeLock<'_> {
        let turn = Arc::clone(self.turns().entry(handle).or_default());
        InodeLock {
            locks: self,
            handle,
            turn: Some(turn.blocking_lock_owned()),
        }
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<Filehandle, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InodeLock<'_> {
    fn drop(&mut self) {
        let mut turns = self.locks.turns();
        drop(self.turn.take());
        // Waiting threads hold a reference too.
        let turn = turns.get(&self.handle);
        if turn.is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.handle);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn large_files_wait_for_each_other() {
        let budget = Budget::new();
        let mut held = Vec::new();
        for size in [u64::MAX, 1 << 40, 40 << 20, (40 << 20) - UNIT, 0, 1] {
            held.push(budget.acquire(size).await.unwrap());
        }
        let small = budget.acquire(1);
        tokio::pin!(small);
        assert!(futures::poll!(&mut small).is_pending());
        held.clear();
        drop(small.await.unwrap());
    }

    #[test]
    fn an_inode_is_locked_once_and_forgotten_afterwards() {
        let locks = InodeLocks::default();
        let first = locks.lock(Filehandle::ROOT);
        let other = locks.lock(Filehandle::NULL);
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| drop(locks.lock(Filehandle::ROOT)));
            // It waits once it holds a reference too.
            let references = || locks.turns().get(&Filehandle::ROOT).map(Arc::strong_count);
            while !waiting.is_finished() && references() < Some(3) {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop((first, other));
        });
        assert!(locks.turns().is_empty());
    }
}
