//! Opens a container for reading, and finds the blob of an object.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::SystemTime;

use clfs_format::{ObjectId, fnv1};
use tokio::sync::Semaphore;

use super::ReadError;
use super::index::{Index, Listed, ListingPlan, Offline};
use crate::container::Container;
use crate::container::azure::Timeouts;
use crate::container::location::ContainerLocation;
use crate::container::notice::NoticeObserver;
use crate::container::retry::{RetryPolicy, Retrying};
use crate::container::sas::Permissions;
use crate::stop::StopFlag;

/// Requests at a time: enough to fill a machine's network at the latency of object storage (10 to
/// 50 ms), below what makes one account slow down.
const REQUESTS: usize = 64;
/// Of them those for segments, which may unpack to 8 MiB each.
const SEGMENT_REQUESTS: usize = 8;
/// The part of the retry patience that a single blob has while others can be read: one minute of ten, which a
/// partition of the storage that moves to another server does not need.
const BLOB_PATIENCE: u32 = 10;
/// Names of one object in one page: a cache leaves a handful.
const PAGE_OF_NAMES: u32 = 1000;
/// Pages that are looked at before the search for an object is given up.
const PAGES_OF_ONE_OBJECT: usize = 1000;

/// How a container is opened.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenOptions {
    /// An index that stays: used when it is there, made when it is not.
    pub index: Option<PathBuf>,
    /// Folder for an index that does not stay; the system's folder for temporary files by default.
    pub temporary: Option<PathBuf>,
    /// Whether all names are wanted. Otherwise an Azure container is asked for each object's
    /// name, which is one request more for each object, but none for all the others.
    pub whole: bool,
    /// When to try again, and when to give up.
    pub retry: RetryPolicy,
    /// How long one request may take.
    pub timeouts: Timeouts,
    /// Ends waits when the command is to stop.
    pub stop: Arc<StopFlag>,
}

/// Where the names of objects come from.
#[derive(Debug)]
enum Names {
    /// All were listed.
    Listed(Arc<Index>),
    /// The container is asked each time: an object's name begins with its hash and id.
    Asked,
}

/// A container that is read. Cheap to share; all calls may run side by side.
#[derive(Debug)]
pub struct Reader {
    pub(super) container: Arc<dyn Container>,
    names: Names,
    /// Whether what is known of blobs was listed by this run.
    pub(super) listed_now: bool,
    pub(super) requests: Semaphore,
    pub(super) segments: Semaphore,
    /// Blobs in a row that the container would not hand out.
    pub(super) refused: AtomicU32,
}

impl Reader {
    /// Opens the container at `location`. `notices` hears of outages and tokens.
    ///
    /// # Errors
    /// When the container or the index cannot be opened, or the token does not permit reading.
    pub async fn open(
        location: &ContainerLocation,
        options: &OpenOptions,
        notices: NoticeObserver,
    ) -> Result<Self, ReadError> {
        if let ContainerLocation::Azure { sas, .. } = location {
            sas.check(SystemTime::now(), Permissions::READ)
                .map_err(ReadError::Token)?;
        }
        let opened = location.open_with(
            false,
            Permissions::READ,
            options.timeouts.clone(),
            Arc::clone(&notices),
        )?;
        let container = Retrying::new(opened, options.retry.clone())
            .with_notices(notices)
            .with_blob_patience(options.retry.patience / BLOB_PATIENCE)
            .with_stop(Arc::clone(&options.stop));
        // A folder is read and sorted as a whole whatever is asked, so it is asked once.
        let (plan, whole) = match location {
            ContainerLocation::Folder { .. } => (ListingPlan::Sequential, true),
            ContainerLocation::Azure { .. } => (ListingPlan::Prefixes, options.whole),
        };
        let identity = location.identity();
        Self::with_container(Arc::new(container), &identity, plan, whole, options).await
    }

    /// Reads `container`, which is of no kind that [`ContainerLocation`] knows, or wrapped.
    ///
    /// # Errors
    /// When the container cannot be listed or the index cannot be used.
    pub async fn with_container(
        container: Arc<dyn Container>,
        identity: &str,
        plan: ListingPlan,
        whole: bool,
        options: &OpenOptions,
    ) -> Result<Self, ReadError> {
        let mut listed_now = true;
        let names = match &options.index {
            Some(path) if path.exists() => {
                listed_now = false;
                let index =
                    Index::open(path, identity).map_err(|error| ReadError::index(path, error))?;
                Names::Listed(Arc::new(index))
            }
            None if !whole => Names::Asked,
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
            refused: AtomicU32::new(0),
        })
    }

    /// The index, when all names were listed.
    pub fn index(&self) -> Option<&Arc<Index>> {
        match &self.names {
            Names::Listed(index) => Some(index),
            Names::Asked => None,
        }
    }

    /// How many objects were archived when the container was listed; none where it was not.
    ///
    /// # Errors
    /// When the index fails.
    pub fn offline(&self) -> Result<Offline, ReadError> {
        match self.index() {
            None => Ok(Offline::default()),
            Some(index) => index
                .offline()
                .map_err(|error| ReadError::index(index.path(), error)),
        }
    }

    /// The file of an index that was given by name.
    pub(super) fn kept_index(&self) -> Option<PathBuf> {
        let index = self.index().filter(|index| !index.is_temporary())?;
        Some(index.path().to_path_buf())
    }

    /// Where the blobs lie, for messages.
    pub fn location(&self) -> &str {
        self.container.location()
    }

    /// The blob that holds the current version of an object.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when there is none.
    pub async fn locate(&self, id: &ObjectId) -> Result<Listed, ReadError> {
        let found = match &self.names {
            Names::Listed(index) => index
                .find(id)
                .map_err(|error| ReadError::index(index.path(), error))?,
            Names::Asked => self.ask(id).await?,
        };
        found.ok_or(ReadError::Missing(*id))
    }

    async fn ask(&self, id: &ObjectId) -> Result<Option<Listed>, ReadError> {
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
            // A page may be short, or empty, and still have a successor.
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

/// What all names of an object begin with (docs/format.md section 4).
fn prefix(id: &ObjectId) -> String {
    match id {
        ObjectId::WellKnown(known) if known.has_v1_name() => {
            format!("{:08X}_{id}.", fnv1(id.as_bytes()))
        }
        _ => format!("{:016X}_{id}.", id.hash64()),
    }
}
