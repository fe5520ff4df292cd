//! What the tasks of one extraction share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clfs_format::FileType;

use super::Observer;
use super::budget::Budget;
use super::claims::Claims;
use super::problem::{ExtractError, Failure, Problem, Reason};
use super::record::Record;
use super::scratch::Scratch;
use super::summary::{Counters, add};
use super::tree::{Node, Tree};
use super::wanted::Missing;
use crate::read::{ReadError, Reader, TreePath};
use crate::stop::StopFlag;

pub(super) struct Parts {
    pub(super) reader: Arc<Reader>,
    pub(super) tree: Tree,
    pub(super) record: Record,
    pub(super) scratch: Scratch,
    pub(super) checksum: bool,
    pub(super) keep_damaged: bool,
    pub(super) superuser: bool,
    pub(super) counters: Arc<Counters>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) stop: Arc<StopFlag>,
}

pub(super) struct Run {
    parts: Parts,
    pub(super) claims: Claims,
    /// For the content of files that is on its way.
    pub(super) budget: Budget,
    failed: Mutex<Option<ExtractError>>,
}

impl std::ops::Deref for Run {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Run {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            claims: Claims::default(),
            budget: Budget::new(),
            failed: Mutex::new(None),
        }
    }

    pub(super) fn dry_run(&self) -> bool {
        self.tree.making().dry_run
    }

    /// What `work` reads from the container, unless the run is asked to stop before.
    pub(super) async fn reading<T>(
        &self,
        work: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        tokio::select! {
            // What is there already is taken.
            biased;
            read = work => read,
            () = self.stop.requested(Duration::ZERO) => Err(ReadError::Stopped),
        }
    }

    /// Tells of something that was left out.
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

    /// Reports what an entry lacks that was extracted.
    pub(super) fn missing(&self, path: &TreePath, file_type: FileType, missing: Missing) {
        if let Missing(Some(error)) = missing {
            self.problem(path.clone(), Some(file_type), Reason::Incomplete(error));
        }
    }

    /// Tells why work on an entry ended: a problem, or the end of the run.
    pub(super) fn failed(&self, path: TreePath, file_type: Option<FileType>, failure: Failure) {
        match failure {
            Failure::LeftOut(reason) => self.problem(path, file_type, *reason),
            Failure::Local(error) => self.halt(ExtractError::Local { path, error }),
            Failure::Run(error) => self.halt(*error),
        }
    }

    /// Ends the run; the first reason counts.
    fn halt(&self, error: ExtractError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get_or_insert(error);
    }

    /// Whether the run is to end early.
    pub(super) fn halted(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some() || self.stop.is_requested()
    }

    /// How the run ended.
    pub(super) fn end(&self, walked: Result<(), ExtractError>) -> Result<(), ExtractError> {
        if let Err(error) = walked {
            self.halt(error);
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // Calls that the stop flag broke off have errors of their own.
        if self.stop.is_requested() {
            return Err(ExtractError::Stopped);
        }
        failed.take().map_or(Ok(()), Err)
    }

    /// Something in a directory is done. Finishes those in which nothing is under way any more.
    pub(super) async fn release(self: &Arc<Self>, node: &Arc<Node>) {
        let Some(mut done) = node.release() else {
            return;
        };
        let run = Arc::clone(self);
        let finished = blocking(move || {
            loop {
                run.finish(&done);
                let Some(parent) = done.parent() else { break };
                match parent.release() {
                    Some(parent) => done = parent,
                    None => break,
                }
            }
        });
        if let Err(error) = finished.await {
            self.halt(error);
        }
    }

    fn finish(&self, node: &Arc<Node>) {
        // What was given up is not done: the next run finishes it.
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

/// Work that waits for the disk, on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ExtractError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ExtractError::Thread)
}
