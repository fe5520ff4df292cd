//! Fetches a blob and takes it out of its wrapper.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use clfs_format::{
    FormatError, Inspection, Object, ObjectId, ObjectName, ObjectType, Unsupported,
    inspect_wrapper, limits,
};

use super::index::Listed;
use super::{ReadError, Reader};
use crate::container::{Availability, BlobName, ContainerError, ContainerErrorKind, Operation};

/// Bytes around a payload that is not compressed, and what an LZ4 frame may add.
const WRAPPER_ROOM: u64 = 64 << 10;

/// So many blobs in a row may be unreadable before the container counts as failed.
const MOST_REFUSED: u32 = 100;

/// An object out of its wrapper.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The name that counts.
    pub name: ObjectName,
    /// The payload: a sequence of handles.
    pub payload: Bytes,
    /// Rules of section 3 that the blob breaks, though it can be read.
    pub deviations: Vec<FormatError>,
}

impl Fetched {
    /// The object and what is unusual about it.
    pub fn inspect(&self) -> Inspection<'_> {
        Object::inspect(&self.name, &self.payload)
    }

    /// The same error, with the blob it is about.
    pub fn error(&self, error: FormatError) -> ReadError {
        ReadError::Format {
            blob: self.name.to_string(),
            error,
        }
    }
}

/// The most that an object of a type may unpack to. An inode holds 16 KiB of content, 1,023
/// pointers of both kinds and a name; the rest is room for what caches add (docs/format.md section 8).
fn payload_limit(object_type: ObjectType) -> usize {
    match object_type {
        ObjectType::Segment => limits::PAYLOAD_BYTES,
        _ => limits::INODE_PAYLOAD_BYTES,
    }
}

impl Reader {
    /// Finds and fetches an object.
    ///
    /// # Errors
    /// As [`Reader::locate`] and [`Reader::fetch`].
    pub async fn fetch_id(&self, id: &ObjectId) -> Result<Fetched, ReadError> {
        let listed = self.locate(id).await?;
        self.fetch(&listed).await
    }

    /// Fetches a blob and unpacks it.
    ///
    /// # Errors
    /// When it cannot be had, is larger than objects of its type are, encrypted, or damaged.
    pub async fn fetch(&self, listed: &Listed) -> Result<Fetched, ReadError> {
        let object_type = listed.name.object_type();
        let limit = payload_limit(object_type);
        let blob = listed.name.to_string();
        let most = limit as u64 + WRAPPER_ROOM;
        if listed.size > most {
            let size = listed.size;
            return Err(ReadError::TooLarge { blob, size });
        }
        // A kept index may be older than the rehydration.
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
        let bytes = self
            .container
            .get(&name, most)
            .await
            .map_err(|error| self.not_got(error))?;
        self.refused.store(0, Relaxed);
        self.unwrap(listed, bytes, limit)
    }

    /// Why an archived blob cannot be read.
    pub(crate) fn archived(&self, blob: String, availability: Availability) -> ReadError {
        let url = format!("{}/{blob}", self.location());
        let problem = availability.problem(&url).unwrap_or_default();
        ReadError::Archived { blob, problem }
    }

    fn not_got(&self, error: ContainerError) -> ReadError {
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
            // A bad sector, a file that belongs to somebody else: this
            // blob is lost, others may be had. When none can, it is the container that fails.
            ContainerErrorKind::Io
            | ContainerErrorKind::Refused
            | ContainerErrorKind::Conflict
            | ContainerErrorKind::TooLarge
            | ContainerErrorKind::Protocol
                if self.refused.fetch_add(1, Relaxed) < MOST_REFUSED =>
            {
                ReadError::Unreadable(error)
            }
            _ => ReadError::Container(error),
        }
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

/// What the wrapper's number stands for (docs/format.md section 3).
fn encryption(code: u16) -> &'static str {
    match code {
        1 => "1: AES-256-CBC with HMAC-SHA-256",
        2 => "2: AES-256-CBC with HMAC-SHA-512",
        _ => "in a way that is not known",
    }
}
