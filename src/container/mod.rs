//! Containers of blobs: the trait [`Container`] with four operations, its implementations, and its wrappers.
//!
//! The trait is deliberately narrow, so that another store is one file. Retries, limits and the faults of tests are
//! wrappers around it.
//!
//! # Example
//!
//! ```
//! use clfsload::container::{BlobName, ContainerLocation, Credential, PutBody};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let scratch = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # runtime.block_on(async {
//! let location = ContainerLocation::Folder { path: scratch.path().join("container") };
//! let container = location.open(&Credential::None, true)?;
//! container.put(&BlobName::new("name")?, PutBody::object("content")).await?;
//! let page = container.list("", None, 10).await?;
//! assert_eq!(page.blobs[0].name, "name");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })
//! # }
//! ```

pub mod azure;
mod blob_failures;
pub mod credential;
pub mod error;
pub mod folder;
pub mod limit;
pub mod location;
pub mod memory;
mod name;
pub mod notice;
pub mod outage;
pub mod retry;
mod stamp;
pub mod wrapper;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use credential::Credential;
pub use error::{ContainerError, ContainerErrorKind, NetworkFailure, Operation};
pub use location::{ContainerLocation, LocationError};
pub use name::{BlobName, InvalidBlobName};
pub use stamp::Stamp;

/// The maximum size in bytes of a blob that [`Container::put`] accepts and [`Container::get`] returns.
///
/// Objects have less than 9 MiB (format.md §6: a segment of 8 MiB and its headers); the rest is for log blobs. The limit
/// keeps a foreign blob from exhausting the memory.
pub const MAX_BLOB_BYTES: u64 = 256 << 20;

/// The kind of a blob's content, which determines its Content-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// An object of the format: `application/octet-stream`.
    Object,
    /// A log for people: `text/plain; charset=utf-8`.
    Log,
}

impl BlobKind {
    /// Returns the Content-Type header of such a blob.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Object => "application/octet-stream",
            Self::Log => "text/plain; charset=utf-8",
        }
    }
}

/// The complete content of a blob to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct PutBody {
    /// The blob's bytes, at most [`MAX_BLOB_BYTES`].
    pub bytes: Bytes,
    /// The kind of the content.
    pub kind: BlobKind,
}

impl PutBody {
    /// Creates the content of an object of the format.
    pub fn object(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            kind: BlobKind::Object,
        }
    }

    /// Creates the content of a log in UTF-8.
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

/// Whether the content of a blob can be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Availability {
    /// It can be read.
    #[default]
    Online,
    /// The blob is in the archive tier.
    Archived,
    /// The blob is being rehydrated from the archive tier, which takes hours.
    Rehydrating,
}

impl Availability {
    /// Returns why the blob at `url` cannot be read and what to do, or `None` if it can be read.
    pub fn problem(self, url: &str) -> Option<String> {
        match self {
            Self::Online => None,
            Self::Archived => Some(format!(
                "archived: rehydrate it first: azcopy set-properties \"{url}\" --block-blob-tier=hot"
            )),
            Self::Rehydrating => Some(
                "archived and being rehydrated: wait until that is done, then run the same command again"
                    .to_owned(),
            ),
        }
    }
}

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// The name as listed. It may be foreign, so it need not be a valid [`BlobName`].
    pub name: String,
    /// The blob's size in bytes.
    pub size: u64,
    /// Whether the blob can be read.
    pub availability: Availability,
    /// The stamp that identifies this version of the blob; `None` if the container has no version data.
    pub stamp: Option<Stamp>,
}

/// The start of the next page of a listing. Opaque, and valid only for its own container and prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListMarker(Vec<u8>);

/// One page of a listing. An empty page may have a successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The blobs of this page, ordered by the bytes of their names.
    pub blobs: Vec<BlobEntry>,
    /// The start of the next page; `None` for the last page.
    pub next: Option<ListMarker>,
}

impl ListPage {
    /// Returns the start of the next page. This page was read from `from`.
    ///
    /// # Errors
    /// If it equals `from`, because the listing would never end.
    pub(crate) fn next_after(
        &self,
        from: Option<&ListMarker>,
        container: &dyn Container,
    ) -> Result<Option<ListMarker>, ContainerError> {
        if self.next.is_some() && self.next.as_ref() == from {
            let kind = ContainerErrorKind::Protocol;
            let error = ContainerError::new(kind, Operation::List, container.location());
            return Err(error.with_detail(
                "the listing makes no progress: the marker of the next page is that of this page",
            ));
        }
        Ok(self.next.clone())
    }
}

/// A flat set of named blobs.
#[async_trait]
pub trait Container: Send + Sync + fmt::Debug + 'static {
    /// Returns the URL or path of the container for messages, without secrets.
    fn location(&self) -> &str;

    /// Writes a complete blob and replaces one of the same name. Returns only when the blob is durable.
    ///
    /// Can be repeated safely: the blob has either the old or the new content, never a mixture.
    async fn put(&self, name: &BlobName, content: PutBody) -> Result<(), ContainerError>;

    /// Reads a complete blob of at most `at_most` bytes, and never more than [`MAX_BLOB_BYTES`].
    ///
    /// # Errors
    /// [`ContainerErrorKind::BlobMissing`] if the blob does not exist, [`ContainerErrorKind::TooLarge`] if it is larger.
    async fn get(&self, name: &BlobName, at_most: u64) -> Result<Bytes, ContainerError>;

    /// Lists up to `at_most` blobs (at least one) whose names start with `prefix`, ordered by the bytes of their names.
    async fn list(
        &self,
        prefix: &str,
        from: Option<ListMarker>,
        at_most: u32,
    ) -> Result<ListPage, ContainerError>;

    /// Deletes a blob. A missing blob is not an error.
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
