//! A container of blobs: four operations, and everything that answers or wraps them.
//!
//! [`Container`] is deliberately narrow, so that a further store is one file. Policy (retries) and
//! tests (counting, faults) are wrappers around the trait.

pub mod address;
pub mod azure;
pub mod counting;
pub mod error;
pub mod folder;
pub mod limit;
pub mod location;
pub mod memory;
pub(crate) mod mistaken;
mod name;
pub mod notice;
mod others;
pub mod outage;
pub mod retry;
pub mod sas;
mod stamp;
pub mod token;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use error::{ContainerError, ContainerErrorKind, NetworkFailure, Operation};
pub use location::{ContainerLocation, LocationError};
pub use name::{BlobName, InvalidBlobName};
pub use stamp::Stamp;

/// The largest blob that [`Container::put`] takes and [`Container::get`] hands out, in bytes.
///
/// Objects stay below 9 MiB (docs/format.md section 6: segments of 8 MiB and what surrounds them);
/// the rest is room for log blobs. The bound keeps a foreign blob from filling the memory.
pub const MAX_BLOB_BYTES: u64 = 256 << 20;

/// What a blob holds; decides its Content-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// An object of the format: `application/octet-stream`.
    Object,
    /// A log for people: `text/plain; charset=utf-8`.
    Log,
}

impl BlobKind {
    /// The Content-Type header of such a blob.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Object => "application/octet-stream",
            Self::Log => "text/plain; charset=utf-8",
        }
    }
}

/// The whole content of a blob to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct PutBody {
    /// The blob's bytes, at most [`MAX_BLOB_BYTES`].
    pub bytes: Bytes,
    /// What the bytes are.
    pub kind: BlobKind,
}

impl PutBody {
    /// An object of the format.
    pub fn object(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            kind: BlobKind::Object,
        }
    }

    /// A log in UTF-8.
    pub fn log(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            kind: BlobKind::Log,
        }
    }
}

impl fmt::Debug for PutBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutBody({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// Whether the service hands out a blob's content now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Availability {
    /// It does.
    #[default]
    Online,
    /// The blob is in the archive tier.
    Archived,
    /// The blob is being moved out of the archive tier, which takes hours.
    Rehydrating,
}

impl Availability {
    /// Why the blob at `url` cannot be read, and what to do; none when it can.
    pub fn problem(self, url: &str) -> Option<String> {
        match self {
            Self::Online => None,
            Self::Archived => Some(format!(
                "archived: rehydrate it first: azcopy set-properties \"{url}\" --block-blob-tier=hot"
            )),
            Self::Rehydrating => Some(
                "archived and being rehydrated: wait until that is done, then run this again"
                    .to_owned(),
            ),
        }
    }
}

/// A blob as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// The name as listed: it may be foreign, so it need not be a valid [`BlobName`].
    pub name: String,
    /// The blob's size in bytes.
    pub size: u64,
    /// Whether it can be read.
    pub availability: Availability,
    /// What shows whether it is the blob that was read before; none where the container does not say.
    pub stamp: Option<Stamp>,
}

/// Where the next page of a listing begins. Opaque, and valid only for the container and prefix it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMarker(Vec<u8>);

/// One page of a listing. A page may be empty and still have a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The blobs of this page, in order of their names' bytes.
    pub blobs: Vec<BlobEntry>,
    /// Where to go on; `None` when this page was the last.
    pub next: Option<ListMarker>,
}

impl ListPage {
    /// Where the listing goes on behind this page, which began at `from`.
    ///
    /// # Errors
    /// When it would begin there again: it would never end.
    pub(crate) fn next_after(
        &self,
        from: Option<&ListMarker>,
        container: &dyn Container,
    ) -> Result<Option<ListMarker>, ContainerError> {
        if self.next.is_some() && self.next.as_ref() == from {
            let kind = ContainerErrorKind::Protocol;
            let error = ContainerError::new(kind, Operation::List, container.location());
            return Err(
                error.with_detail("the listing does not get on: a page names itself as the next")
            );
        }
        Ok(self.next.clone())
    }
}

/// A flat set of named blobs.
#[async_trait]
pub trait Container: Send + Sync + fmt::Debug + 'static {
    /// Where the blobs lie, for messages. Holds no secret.
    fn location(&self) -> &str;

    /// Writes a whole blob, replacing one of that name. Returns only when it is durable.
    ///
    /// Safe to repeat: the blob holds either the old or the new content, never a mixture.
    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError>;

    /// Reads a whole blob of at most `at_most` bytes, and never more than [`MAX_BLOB_BYTES`].
    ///
    /// A blob that is not there is [`ContainerErrorKind::BlobMissing`], one that is larger
    /// [`ContainerErrorKind::TooLarge`].
    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError>;

    /// Lists blobs whose names start with `prefix`, at most `at_most` (at least one) of them, in order of their names' bytes.
    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError>;

    /// Removes a blob; one that is not there is no error.
    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError>;
}

#[async_trait]
impl<C: Container + ?Sized> Container for Arc<C> {
    fn location(&self) -> &str {
        (**self).location()
    }

    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError> {
        (**self).put(name, content).await
    }

    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError> {
        (**self).get(name, at_most).await
    }

    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError> {
        (**self).list(prefix, from, at_most).await
    }

    async fn delete(&self, name: &BlobName) -> Result<(), ContainerError> {
        (**self).delete(name).await
    }
}
