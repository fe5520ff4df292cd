//! What all parts of a verification share: the container, the depth, the recorder and the counters.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{Filehandle, Inspection, NameKind, Object, ObjectId, ObjectName, ObjectType};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::finding::{NewFinding, unreadable_finding};
use super::inode::ContainerIds;
use super::run::PhaseError;
use super::scratch::Recorder;
use crate::container::Availability;
use crate::read::index::{Index, IndexError, Listed};
use crate::read::{Fetched, ReadError, Reader, blocking, joined};

/// Objects that are checked concurrently; the reader limits its requests itself.
const CONCURRENT_OBJECTS: usize = 64;

/// How much of a container is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Everything except the segments of files, which must only exist.
    Quick,
    /// Every blob.
    #[default]
    Full,
}

/// The container that is checked, and where findings are recorded.
#[derive(Debug)]
pub(super) struct Checker {
    pub(super) reader: Arc<Reader>,
    pub(super) index: Arc<Index>,
    pub(super) depth: Depth,
    /// The ids that all inodes must have; none if no inode could be read.
    pub(super) ids: Option<ContainerIds>,
    pub(super) recorder: Recorder,
    pub(super) counters: Arc<Counters>,
}

/// What was read and what was not.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Bytes of regular files, by the sizes in their inodes.
    pub(super) file_bytes: AtomicU64,
    /// Segments of files that were only looked up.
    pub(super) segments_unread: AtomicU64,
    /// Directories whose entries are not all known.
    pub(super) partial_directories: AtomicU64,
    /// Files and directories whose segments are not all known.
    pub(super) partial_block_maps: AtomicU64,
    /// Inodes that no known entry names, while not all entries are known.
    pub(super) possible_orphans: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        // Sizes are claims of inodes, so that their sum may overflow.
        let add = |sum: u64| Some(sum.saturating_add(more));
        let _: Result<u64, u64> = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

impl Checker {
    /// Returns the blob of an object, if it was listed.
    pub(super) async fn find(&self, id: &ObjectId) -> Result<Option<Listed>, ReadError> {
        self.index.lookup(*id).await
    }

    pub(super) fn index_error(&self, error: IndexError) -> ReadError {
        self.index.failed(error)
    }

    /// Returns the finding for an archived object that is not read.
    pub(super) fn archived(
        &self,
        listed: &Listed,
        entity: Option<Filehandle>,
    ) -> Option<NewFinding> {
        if listed.availability == Availability::Online {
            return None;
        }
        let error = self
            .reader
            .archived(listed.name.to_string(), listed.availability);
        Some(unreadable_finding(&error, &listed.name, entity))
    }

    /// Downloads and unpacks a blob.
    ///
    /// # Errors
    /// The inner error is damage to this object; the outer one ends the verification.
    pub(super) async fn fetch(
        &self,
        listed: &Listed,
    ) -> Result<Result<Fetched, ReadError>, ReadError> {
        match self.reader.fetch(listed).await {
            Err(error) if !error.is_damage() => Err(error),
            fetched => Ok(fetched),
        }
    }
}

/// Inspects a payload as an object of this type, whatever type the blob's name has: a wrong type in
/// the name is one finding, and the object is still checked.
pub(super) fn inspect_as(fetched: &Fetched, used_as: ObjectType) -> Inspection<'_> {
    let kind = match fetched.name.kind {
        NameKind::V1 => NameKind::V1,
        NameKind::V2 { owner_hash, .. } => NameKind::V2 {
            object_type: used_as,
            owner_hash,
        },
    };
    let name = ObjectName {
        kind,
        ..fetched.name
    };
    Object::inspect(&name, &fetched.payload)
}

/// Returns the owner hash in a blob's name.
pub(super) fn owner_hash(name: &ObjectName) -> Option<u64> {
    match name.kind {
        NameKind::V1 => None,
        NameKind::V2 { owner_hash, .. } => Some(owner_hash),
    }
}

/// Runs a task for each item of the pages that `next_page` returns, some of them concurrently. `next_page`
/// runs on one thread that may block, at most two pages ahead.
///
/// # Errors
/// The first error of a task, which stops the others, or the error of `next_page`.
pub(super) async fn for_each_item<T, F>(
    mut next_page: impl FnMut() -> Result<Option<Vec<T>>, PhaseError> + Send + 'static,
    task: impl Fn(T) -> F,
) -> Result<(), PhaseError>
where
    T: Send + 'static,
    F: Future<Output = Result<(), ReadError>> + Send + 'static,
{
    let (sender, mut pages) = mpsc::channel(1);
    let producer = blocking(move || {
        while let Some(page) = next_page()? {
            // A task has failed.
            if sender.blocking_send(page).is_err() {
                break;
            }
        }
        Ok(())
    });
    let consumer = async move {
        let mut tasks = JoinSet::new();
        while let Some(page) = pages.recv().await {
            for item in page {
                if tasks.len() >= CONCURRENT_OBJECTS {
                    join_one(&mut tasks).await?;
                }
                tasks.spawn(task(item));
            }
        }
        while !tasks.is_empty() {
            join_one(&mut tasks).await?;
        }
        Ok::<_, ReadError>(())
    };
    let (produced, consumed) = tokio::join!(producer, consumer);
    consumed?;
    produced?
}

async fn join_one(tasks: &mut JoinSet<Result<(), ReadError>>) -> Result<(), ReadError> {
    match tasks.join_next().await {
        None => Ok(()),
        Some(ended) => joined(ended)?,
    }
}
