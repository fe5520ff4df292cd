//! What all parts of a verification share: the container, where to report, how deep to look.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{Filehandle, NameKind, Object, ObjectId, ObjectName, ObjectType};
use tokio::task::JoinSet;

use super::deviation::unreadable;
use super::finding::Found;
use super::identity::Identity;
use super::scratch::Recorder;
use crate::container::Availability;
use crate::read::index::{Index, Listed};
use crate::read::{Fetched, ReadError, Reader};

/// Objects that are judged side by side; the reader bounds its requests by itself.
const AT_A_TIME: usize = 64;

/// How much of a container is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// All but the segments of files: those need only be there.
    Quick,
    /// Every blob.
    #[default]
    Full,
}

/// A verification under way.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) reader: Arc<Reader>,
    pub(super) index: Arc<Index>,
    pub(super) depth: Depth,
    /// What all inodes must agree in; none when no inode could be read.
    pub(super) identity: Option<Identity>,
    pub(super) records: Recorder,
    pub(super) counters: Arc<Counters>,
}

/// What was read and what was not.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Bytes of regular files, as their inodes say.
    pub(super) file_bytes: AtomicU64,
    /// Segments of files that were only looked up.
    pub(super) segments_unread: AtomicU64,
    /// Objects that nothing names, in a container without a root that can be read.
    pub(super) unnamed: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        // Sizes are what inodes claim.
        let add = |sum: u64| Some(sum.saturating_add(more));
        let _: Result<u64, u64> = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

impl Check {
    /// The blob of an object, if it was listed.
    pub(super) fn find(&self, id: &ObjectId) -> Result<Option<Listed>, ReadError> {
        let found = self.index.find(id);
        found.map_err(|error| self.index_failed(error))
    }

    pub(super) fn index_failed(&self, error: crate::read::index::IndexError) -> ReadError {
        ReadError::Index {
            path: self.index.path().to_path_buf(),
            error,
        }
    }

    /// The finding of an object that is not read and is in the archive tier.
    pub(super) fn archived(&self, listed: &Listed, entity: Option<Filehandle>) -> Option<Found> {
        if listed.availability == Availability::Online {
            return None;
        }
        let error = self
            .reader
            .archived(listed.name.to_string(), listed.availability);
        Some(unreadable(&error, &listed.name, entity))
    }

    /// Fetches a blob.
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

/// Looks at a payload as that of an object of this type, whatever the blob's name says: a wrong type
/// in the name is one finding, and no reason not to look further.
pub(super) fn inspect_as(fetched: &Fetched, used_as: ObjectType) -> clfs_format::Inspection<'_> {
    Object::inspect(&named_as(&fetched.name, used_as), &fetched.payload)
}

fn named_as(name: &ObjectName, used_as: ObjectType) -> ObjectName {
    let kind = match name.kind {
        NameKind::V1 => NameKind::V1,
        NameKind::V2 { owner_hash, .. } => NameKind::V2 {
            object_type: used_as,
            owner_hash,
        },
    };
    ObjectName { kind, ..*name }
}

/// The owner hash in a blob's name.
pub(super) fn owner_hash(name: &ObjectName) -> Option<u64> {
    match name.kind {
        NameKind::V1 => None,
        NameKind::V2 { owner_hash, .. } => Some(owner_hash),
    }
}

/// Tasks side by side, a bounded number; all are ended when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Crew(JoinSet<Result<(), ReadError>>);

impl Crew {
    /// Starts a task when there is room.
    ///
    /// # Errors
    /// When a task before it failed.
    pub(super) async fn start(
        &mut self,
        task: impl Future<Output = Result<(), ReadError>> + Send + 'static,
    ) -> Result<(), ReadError> {
        while self.0.len() >= AT_A_TIME {
            self.one().await?;
        }
        self.0.spawn(task);
        Ok(())
    }

    /// Waits for all of them.
    ///
    /// # Errors
    /// When one failed.
    pub(super) async fn finish(mut self) -> Result<(), ReadError> {
        while !self.0.is_empty() {
            self.one().await?;
        }
        Ok(())
    }

    async fn one(&mut self) -> Result<(), ReadError> {
        match self.0.join_next().await {
            None => Ok(()),
            Some(Ok(done)) => done,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(ReadError::Stopped),
            },
        }
    }
}

/// Runs what may block on a thread for that.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ReadError::Stopped),
        },
    }
}
