//! Opens a container for reading, and finds the blobs of objects.

use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use clfs_format::{ObjectId, fnv1};
use tokio::sync::Semaphore;

use super::index::{Index, Listed, ListingPlan, Offline};
use super::{ReadError, blocking};
use crate::container::azure::Timeouts;
use crate::container::credential::sas::Permissions;
use crate::container::notice::NoticeObserver;
use crate::container::retry::{RetryPolicy, Retrying};
use crate::container::{BlobName, Container, ContainerLocation, Credential};
use crate::stop::StopFlag;

/// Concurrent requests: enough to saturate the network of a machine at the latency of object storage
/// (10 to 50 ms), too few to be throttled by one account.
const REQUESTS: usize = 64;
/// Concurrent requests for segments, which unpack to 8 MiB each.
const SEGMENT_REQUESTS: usize = 8;
/// Divisor of the retry patience for a single blob while others can be read: one minute of ten, which
/// is more than a storage partition needs to move to another server.
const BLOB_PATIENCE: u32 = 10;
/// Names of one object in one page of a listing; a cache leaves a few.
const PAGE_OF_NAMES: u32 = 1000;
/// Pages that are read before the search for an object is abandoned.
const PAGES_OF_ONE_OBJECT: usize = 1000;

/// Options for opening a container.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// The credential for the container.
    pub credential: Credential,
    /// An index that is kept: it is used if it exists, and created if not.
    pub index: Option<PathBuf>,
    /// Folder for a temporary index; by default, the system's folder for temporary files.
    pub temporary: Option<PathBuf>,
    /// Whether to list all names first. Otherwise the name of each object is requested from an Azure
    /// container: one more request for each object that is read, none for the others.
    pub list_first: bool,
    /// When to retry, and when to stop retrying.
    pub retry: RetryPolicy,
    /// Timeouts of a request.
    pub timeouts: Timeouts,
    /// Ends waits when the command stops.
    pub stop: Arc<StopFlag>,
}

/// The source of the names of objects.
#[derive(Debug)]
enum Names {
    /// All names were listed.
    Listed(Arc<Index>),
    /// Each name is requested: the names of an object begin with its hash and id.
    Requested,
}

/// Reads a container. All methods may be called concurrently.
#[derive(Debug)]
pub struct Reader {
    pub(super) container: Arc<dyn Container>,
    names: Names,
    /// Whether the names were listed by this run.
    pub(super) listed_now: bool,
    pub(super) requests: Semaphore,
    pub(super) segments: Semaphore,
    /// Number of blobs in a row that could not be read.
    pub(super) failures: AtomicU32,
    /// The last blob that was read, except segments, and its maximum size in bytes.
    pub(super) last_read: Mutex<Option<(BlobName, u64)>>,
}

impl Reader {
    /// Opens the container at `location`. Outages and changes of tokens are reported to `notices`, also,
    /// with [`OpenOptions::list_first`], a token that expires within a day.
    ///
    /// # Errors
    /// If the container or the index cannot be opened, or the token does not permit reading.
    pub async fn open(
        location: &ContainerLocation,
        options: &OpenOptions,
        notices: NoticeObserver,
    ) -> Result<Self, ReadError> {
        let expiry = options.credential.check(Permissions::READ);
        if let Some(notice) = expiry.map_err(ReadError::Token)?
            && options.list_first
        {
            notices(&notice);
        }
        let opened = location.open_with(
            &options.credential,
            false,
            Permissions::READ,
            options.timeouts.clone(),
            Arc::clone(&notices),
        )?;
        let container = Retrying::new(opened, options.retry.clone())
            .with_notices(notices)
            .with_blob_patience(options.retry.patience / BLOB_PATIENCE)
            .with_stop(Arc::clone(&options.stop));
        // A listing of a folder reads and sorts all names, so that it is requested only once.
        let (plan, list_first) = match location {
            ContainerLocation::Folder { .. } => (ListingPlan::Sequential, true),
            ContainerLocation::Azure { .. } => (ListingPlan::Prefixes, options.list_first),
        };
        let identity = location.identity();
        Self::with_container(Arc::new(container), &identity, plan, list_first, options).await
    }

    /// Reads `container`, which may be of a kind without a [`ContainerLocation`].
    ///
    /// # Errors
    /// If the container cannot be listed or the index cannot be used.
    pub async fn with_container(
        container: Arc<dyn Container>,
        identity: &str,
        plan: ListingPlan,
        list_first: bool,
        options: &OpenOptions,
    ) -> Result<Self, ReadError> {
        let mut listed_now = true;
        let names = match &options.index {
            Some(path) if path.exists() => {
                listed_now = false;
                let (file, identity) = (path.clone(), identity.to_owned());
                let index = blocking(move || Index::open(&file, &identity)).await?;
                let index = index.map_err(|error| ReadError::index(path, error))?;
                Names::Listed(Arc::new(index))
            }
            None if !list_first => Names::Requested,
            keep => {
                let folder = options.temporary.clone().unwrap_or_else(std::env::temp_dir);
                let keep = keep.as_deref();
                let index = Index::build(&container, identity, plan, keep, &folder).await?;
                Names::Listed(Arc::new(index))
            }
        };
        Ok(Self {
            container,
            names,
            listed_now,
            requests: Semaphore::new(REQUESTS),
            segments: Semaphore::new(SEGMENT_REQUESTS),
            failures: AtomicU32::new(0),
            last_read: Mutex::new(None),
        })
    }

    /// Returns the index, if all names were listed.
    pub fn index(&self) -> Option<&Arc<Index>> {
        match &self.names {
            Names::Listed(index) => Some(index),
            Names::Requested => None,
        }
    }

    /// Returns how many objects were archived when the container was listed; 0 if it was not listed.
    ///
    /// # Errors
    /// If the index fails.
    pub fn offline(&self) -> Result<Offline, ReadError> {
        match self.index() {
            None => Ok(Offline::default()),
            Some(index) => index.offline().map_err(|error| index.failed(error)),
        }
    }

    /// Returns the file of the index, if it is kept.
    pub(super) fn kept_index(&self) -> Option<PathBuf> {
        let index = self.index().filter(|index| !index.is_temporary())?;
        Some(index.path().to_path_buf())
    }

    /// Returns the location of the container, for messages.
    pub fn location(&self) -> &str {
        self.container.location()
    }

    /// Returns the blob with the current version of an object.
    ///
    /// # Errors
    /// [`ReadError::Missing`] if it does not exist.
    pub async fn locate(&self, id: &ObjectId) -> Result<Listed, ReadError> {
        let found = match &self.names {
            Names::Listed(index) => index.lookup(*id).await?,
            Names::Requested => self.request_names(id).await?,
        };
        found.ok_or(ReadError::Missing(*id))
    }

    /// Lists the names of an object; returns the current one.
    async fn request_names(&self, id: &ObjectId) -> Result<Option<Listed>, ReadError> {
        let _permit = self.permit(&self.requests).await?;
        let prefix = prefix(id);
        let (mut from, mut best) = (None, None);
        for _ in 0..PAGES_OF_ONE_OBJECT {
            let page = self.container.list(&prefix, from, PAGE_OF_NAMES).await;
            let page = page.map_err(|error| match error.is_of_one_blob() {
                true => ReadError::Unreadable(error),
                false => ReadError::Container(error),
            })?;
            let names = page.blobs.into_iter().filter_map(|blob| {
                let name = clfs_format::ObjectName::parse(&blob.name).ok()?;
                let counts = name.snapshot == u32::MAX && name.id == *id;
                counts.then_some(Listed {
                    name,
                    size: blob.size,
                    availability: blob.availability,
                    stamp: blob.stamp,
                })
            });
            best = best.into_iter().chain(names).max_by_key(|l| l.name.version);
            // A page may be short or empty although another one follows.
            match page.next {
                None => return Ok(best),
                next => from = next,
            }
        }
        Err(ReadError::TooManyNames(*id))
    }

    pub(super) async fn permit<'a>(
        &self,
        semaphore: &'a Semaphore,
    ) -> Result<tokio::sync::SemaphorePermit<'a>, ReadError> {
        semaphore.acquire().await.map_err(|_| ReadError::Stopped)
    }
}

/// Returns the prefix of all names of an object (format.md §4).
fn prefix(id: &ObjectId) -> String {
    match id {
        ObjectId::WellKnown(known) if known.has_v1_name() => {
            format!("{:08X}_{id}.", fnv1(id.as_bytes()))
        }
        _ => format!("{:016X}_{id}.", id.hash64()),
    }
}
