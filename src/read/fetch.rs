//! Downloads a blob and unpacks its wrapper.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use clfs_format::{
    FormatError, Inspection, Object, ObjectId, ObjectName, ObjectType, Unsupported,
    inspect_wrapper, limits,
};

use super::index::Listed;
use super::{ReadError, Reader};
use crate::container::{Availability, BlobName, ContainerError, ContainerErrorKind, Operation};

/// Maximum number of bytes that the wrapper and an LZ4 frame add to a payload.
const WRAPPER_BYTES: u64 = 64 << 10;

/// Number of blobs that may fail in a row before a blob that was read earlier is read again: if it
/// cannot be read any more, the container has failed.
const FAILURES_BEFORE_PROBE: u32 = 100;

/// An object without its wrapper.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The current name.
    pub name: ObjectName,
    /// The payload: a sequence of handles.
    pub payload: Bytes,
    /// Rules of format.md §3 that the blob breaks although it can be read.
    pub deviations: Vec<FormatError>,
}

impl Fetched {
    /// Decodes the object; also returns what is unusual about it.
    pub fn inspect(&self) -> Inspection<'_> {
        Object::inspect(&self.name, &self.payload)
    }

    /// Returns a decoder's error with the name of the blob.
    pub fn error(&self, error: FormatError) -> ReadError {
        ReadError::Format {
            blob: self.name.to_string(),
            error,
        }
    }
}

/// Returns the maximum size of an unpacked object of a type. An inode holds 16 KiB of content, 1,023
/// pointers of both kinds and a name; the rest is room for what caches add (format.md §8).
fn payload_limit(object_type: ObjectType) -> usize {
    match object_type {
        ObjectType::Segment => limits::PAYLOAD_BYTES,
        _ => limits::INODE_PAYLOAD_BYTES,
    }
}

impl Reader {
    /// Finds and downloads an object.
    ///
    /// # Errors
    /// As [`Reader::locate`] and [`Reader::fetch`].
    pub async fn fetch_id(&self, id: &ObjectId) -> Result<Fetched, ReadError> {
        let listed = self.locate(id).await?;
        self.fetch(&listed).await
    }

    /// Downloads a blob and unpacks it.
    ///
    /// # Errors
    /// If it cannot be downloaded, is larger than objects of its type, is encrypted, or is damaged.
    pub async fn fetch(&self, listed: &Listed) -> Result<Fetched, ReadError> {
        let object_type = listed.name.object_type();
        let limit = payload_limit(object_type);
        let blob = listed.name.to_string();
        let max = limit as u64 + WRAPPER_BYTES;
        if listed.size > max {
            let size = listed.size;
            return Err(ReadError::TooLarge { blob, size });
        }
        // If the index is older, the blob may have been rehydrated since.
        if listed.availability != Availability::Online && self.listed_now {
            return Err(self.archived(blob, listed.availability));
        }
        let _segment = match object_type {
            ObjectType::Segment => Some(self.permit(&self.segments).await?),
            _ => None,
        };
        let _permit = self.permit(&self.requests).await?;
        let name = BlobName::new(blob.as_str()).map_err(|_| {
            let kind = ContainerErrorKind::Protocol;
            ContainerError::new(kind, Operation::Get, self.container.location())
        })?;
        let bytes = match self.container.get(&name, max).await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.failed(error).await),
        };
        self.failures.store(0, Relaxed);
        if object_type != ObjectType::Segment {
            *self.last_read() = Some((name, max));
        }
        self.unwrap(listed, bytes, limit)
    }

    /// Returns the error for an archived blob.
    pub(crate) fn archived(&self, blob: String, availability: Availability) -> ReadError {
        let url = format!("{}/{blob}", self.location());
        let problem = availability.problem(&url).unwrap_or_default();
        ReadError::Archived { blob, problem }
    }

    /// Returns the error as one of the blob or of the container.
    async fn failed(&self, error: ContainerError) -> ReadError {
        match error.kind() {
            ContainerErrorKind::Archived => {
                let blob = error.blob().unwrap_or_default().to_owned();
                let availability = match error.code() {
                    Some("BlobBeingRehydrated") => Availability::Rehydrating,
                    _ => Availability::Archived,
                };
                self.archived(blob, availability)
            }
            _ if error.is_of_one_blob() => ReadError::Unreadable(error),
            ContainerErrorKind::BlobMissing => ReadError::Gone {
                error,
                index: self.kept_index(),
            },
            // A bad sector or a file of another user: other blobs may be readable.
            ContainerErrorKind::Io
            | ContainerErrorKind::Refused
            | ContainerErrorKind::Conflict
            | ContainerErrorKind::TooLarge
            | ContainerErrorKind::Protocol
                if self.is_readable().await =>
            {
                ReadError::Unreadable(error)
            }
            _ => ReadError::Container(error),
        }
    }

    /// Counts a failure. After many in a row, returns whether the blob that was read last can still
    /// be read; if it can, the failures are those of single blobs.
    async fn is_readable(&self) -> bool {
        if self.failures.fetch_add(1, Relaxed) < FAILURES_BEFORE_PROBE {
            return true;
        }
        let last_read = self.last_read().clone();
        let Some((name, max)) = last_read else {
            return false;
        };
        let readable = self.container.get(&name, max).await.is_ok();
        if readable {
            self.failures.store(0, Relaxed);
        }
        readable
    }

    fn last_read(&self) -> MutexGuard<'_, Option<(BlobName, u64)>> {
        self.last_read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn unwrap(&self, listed: &Listed, bytes: Bytes, limit: usize) -> Result<Fetched, ReadError> {
        let failed = |error| match error {
            FormatError::Unsupported {
                kind: Unsupported::Encryption(code),
                ..
            } => ReadError::Encrypted {
                blob: listed.name.to_string(),
                method: encryption(code),
            },
            error => ReadError::Format {
                blob: listed.name.to_string(),
                error,
            },
        };
        let unwrapped = inspect_wrapper(&bytes, limit).map_err(failed)?;
        let payload = match unwrapped.payload {
            std::borrow::Cow::Borrowed(payload) => bytes.slice_ref(payload),
            std::borrow::Cow::Owned(payload) => Bytes::from(payload),
        };
        Ok(Fetched {
            name: listed.name,
            payload,
            deviations: unwrapped.deviations,
        })
    }
}

/// Describes an encryption by its number in the wrapper (format.md §3).
fn encryption(code: u16) -> &'static str {
    match code {
        1 => "1: AES-256-CBC with HMAC-SHA-256",
        2 => "2: AES-256-CBC with HMAC-SHA-512",
        _ => "unknown method",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU32};

    use async_trait::async_trait;
    use clfs_format::{BlockId, Filehandle, NameKind};

    use super::*;
    use crate::container::memory::InMemory;
    use crate::container::wrapper::Wrapper;
    use crate::container::{Container, PutBody};
    use crate::read::OpenOptions;
    use crate::read::index::ListingPlan;

    /// Fails every read, except that of the root's inode while that is readable.
    #[derive(Debug)]
    struct Failing {
        inner: InMemory,
        root_readable: AtomicBool,
        root_reads: AtomicU32,
    }

    #[async_trait]
    impl Wrapper for Failing {
        fn wrapped(&self) -> &dyn Container {
            &self.inner
        }

        async fn on_get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
            let is_root = name.as_str() == root().name.to_string();
            self.root_reads.fetch_add(u32::from(is_root), Relaxed);
            if is_root && self.root_readable.load(Relaxed) {
                return self.inner.get(name, at_most).await;
            }
            let (kind, operation) = (ContainerErrorKind::Io, Operation::Get);
            Err(ContainerError::new(kind, operation, "failing").with_blob(name.as_str()))
        }
    }

    fn listed(id: ObjectId, object_type: ObjectType) -> Listed {
        Listed {
            name: ObjectName {
                id,
                kind: NameKind::V2 {
                    object_type,
                    owner_hash: Filehandle::ROOT.hash64(),
                },
                version: 9,
                snapshot: u32::MAX,
            },
            size: 8,
            availability: Availability::Online,
            stamp: None,
        }
    }

    fn root() -> Listed {
        listed(ObjectId::Entity(Filehandle::ROOT), ObjectType::Directory)
    }

    async fn failing() -> (Arc<Failing>, Reader) {
        let inner = InMemory::new();
        let name = BlobName::new(root().name.to_string()).unwrap();
        inner.put(&name, PutBody::object(vec![0; 8])).await.unwrap();
        let container = Arc::new(Failing {
            inner,
            root_readable: AtomicBool::new(true),
            root_reads: AtomicU32::new(0),
        });
        let (plan, options) = (ListingPlan::Sequential, OpenOptions::default());
        let shared: Arc<dyn Container> = container.clone();
        let reader = Reader::with_container(shared, "failing", plan, false, &options).await;
        (container, reader.unwrap())
    }

    /// Reads so many blobs that fail; returns how many errors are those of single blobs.
    async fn blob_errors(reader: &Reader, count: u8) -> usize {
        let mut errors = 0;
        for number in 0..count {
            let id = ObjectId::Block(BlockId([number; 16]));
            let error = reader.fetch(&listed(id, ObjectType::Indirect)).await;
            errors += usize::from(matches!(error, Err(ReadError::Unreadable(_))));
        }
        errors
    }

    #[tokio::test]
    async fn many_unreadable_blobs_do_not_end_a_run_while_another_can_be_read() {
        let (container, reader) = failing().await;
        reader.fetch(&root()).await.unwrap();
        assert_eq!(blob_errors(&reader, 250).await, 250);
        let probes = container.root_reads.load(Relaxed) - 1;
        assert_eq!(probes, 2, "one after each {FAILURES_BEFORE_PROBE}");
        container.root_readable.store(false, Relaxed);
        let left = FAILURES_BEFORE_PROBE as usize;
        assert!(blob_errors(&reader, 250).await <= left);
        let id = ObjectId::Block(BlockId([7; 16]));
        let error = reader.fetch(&listed(id, ObjectType::Indirect)).await;
        assert!(matches!(error, Err(ReadError::Container(_))), "{error:?}");
    }

    #[tokio::test]
    async fn many_unreadable_blobs_end_a_run_if_none_could_be_read() {
        let (_, reader) = failing().await;
        let expected = FAILURES_BEFORE_PROBE as usize;
        assert_eq!(blob_errors(&reader, 250).await, expected);
    }
}
