//! A container in memory, for tests and benchmarks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Availability, BlobEntry, BlobName, Container, ContainerError, ContainerErrorKind, ListMarker,
    ListPage, MAX_BLOB_BYTES, Operation, PutBody, Stamp,
};

/// Blobs in a map.
#[derive(Debug, Default)]
pub struct InMemory {
    blobs: Mutex<Blobs>,
}

#[derive(Debug, Default)]
struct Blobs {
    is_removed: bool,
    archived: BTreeSet<String>,
    by_name: BTreeMap<String, PutBody>,
}

impl InMemory {
    /// Creates an empty container.
    pub fn new() -> Self {
        Self::default()
    }

    /// Deletes the container itself: every call fails from now on, as with a service.
    pub fn remove_container(&self) {
        let mut blobs = self.lock();
        blobs.is_removed = true;
        blobs.by_name.clear();
    }

    /// Moves a blob to the archive tier: it is listed as archived and cannot be read, as with a service.
    pub fn archive(&self, name: &BlobName) {
        self.lock().archived.insert(name.as_str().to_owned());
    }

    /// Returns all blobs, ordered by name.
    pub fn blobs(&self) -> BTreeMap<String, PutBody> {
        self.lock().by_name.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Blobs> {
        // A panic under this lock leaves no partial change.
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(
        &self,
        operation: Operation,
        blob: Option<&BlobName>,
    ) -> Result<MutexGuard<'_, Blobs>, ContainerError> {
        let blobs = self.lock();
        if blobs.is_removed {
            return Err(self.error(ContainerErrorKind::ContainerMissing, operation, blob));
        }
        Ok(blobs)
    }

    fn error(
        &self,
        kind: ContainerErrorKind,
        operation: Operation,
        blob: Option<&BlobName>,
    ) -> ContainerError {
        ContainerError::new(kind, operation, self.location()).with_optional_blob(blob)
    }
}

#[async_trait]
impl Container for InMemory {
    fn location(&self) -> &str {
        "memory"
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        if content.bytes.len() as u64 > MAX_BLOB_BYTES {
            return Err(self.error(ContainerErrorKind::TooLarge, Operation::Put, Some(name)));
        }
        self.opened(Operation::Put, Some(name))?
            .by_name
            .insert(name.as_str().into(), content);
        Ok(())
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        let error = |kind| self.error(kind, Operation::Get, Some(name));
        let blobs = self.opened(Operation::Get, Some(name))?;
        if blobs.archived.contains(name.as_str()) {
            return Err(error(ContainerErrorKind::Archived));
        }
        match blobs.by_name.get(name.as_str()) {
            None => Err(error(ContainerErrorKind::BlobMissing)),
            Some(body) if body.bytes.len() as u64 > at_most => {
                Err(error(ContainerErrorKind::TooLarge))
            }
            Some(body) => Ok(body.bytes.clone()),
        }
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        let start = match from {
            Some(ListMarker(last)) => {
                let last = String::from_utf8(last).map_err(|_| {
                    self.error(ContainerErrorKind::Protocol, Operation::List, None)
                        .with_detail("the marker belongs to another container")
                })?;
                Bound::Excluded(last)
            }
            None => Bound::Included(prefix.to_owned()),
        };
        let blobs = self.opened(Operation::List, None)?;
        let mut matching = blobs
            .by_name
            .range::<String, _>((start, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix));
        let page: Vec<BlobEntry> = matching
            .by_ref()
            .take(at_most.max(1) as usize)
            .map(|(name, body)| BlobEntry {
                name: name.clone(),
                size: body.bytes.len() as u64,
                availability: match blobs.archived.contains(name) {
                    true => Availability::Archived,
                    false => Availability::Online,
                },
                stamp: Some(Stamp::of(name, &[&body.bytes])),
            })
            .collect();
        let next = match (matching.next(), page.last()) {
            (Some(_), Some(last)) => Some(ListMarker(last.name.clone().into_bytes())),
            _ => None,
        };
        Ok(ListPage { blobs: page, next })
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        self.opened(Operation::Delete, Some(name))?
            .by_name
            .remove(name.as_str());
        Ok(())
    }
}
