//! Builds an index from the listing of a container.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clfs_format::{ObjectId, ObjectName};
use futures::stream::{self, TryStreamExt};
use rusqlite::{Connection, params};
use tempfile::{Builder, TempPath};

use super::schema::{self, NO_SNAPSHOT, ObjectKey};
use super::{AsideReason, Index, IndexError, Listed, Offline};
use crate::container::{Availability, BlobEntry, Container, ListMarker};
use crate::read::{ReadError, blocking};

/// Names in one page of a listing: the maximum of Azure.
const PAGE: u32 = 5000;
/// Concurrent listings.
const STREAMS: usize = 16;
/// Size of the page cache in KiB.
const CACHE_KIB: i64 = 64 * 1024;

/// How a container is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingPlan {
    /// One page after the other, for folders, which read and sort all names for the first one.
    Sequential,
    /// Several prefixes concurrently, if there is more than one page.
    Prefixes,
}

/// Returns prefixes that cover every name that begins with a printable ASCII character. The names of
/// objects begin with a hash, so that they are spread evenly over the 16 hexadecimal digits.
fn prefixes() -> impl Iterator<Item = char> {
    let hex = ('0'..='9').chain('A'..='F');
    let others = ('!'..='~').filter(|c| !matches!(c, '0'..='9' | 'A'..='F'));
    hex.chain(others)
}

impl Index {
    /// Lists `container` into a new index: the file `keep`, which must not exist, or a temporary file in
    /// `folder`.
    ///
    /// # Errors
    /// If the container cannot be listed or the file cannot be written.
    pub async fn build(
        container: &Arc<dyn Container>,
        identity: &str,
        plan: ListingPlan,
        keep: Option<&Path>,
        folder: &Path,
    ) -> Result<Self, ReadError> {
        let place = keep.and_then(Path::parent).unwrap_or(folder);
        let place = match place.as_os_str().is_empty() {
            true => Path::new("."),
            false => place,
        };
        let failed = |error| ReadError::index(keep.unwrap_or(place), error);
        let file = Builder::new()
            .prefix(".clfsload-index-")
            .tempfile_in(place)
            .map_err(|error| failed(error.into()))?
            .into_temp_path();
        let (path, shown) = (file.to_path_buf(), keep.unwrap_or(place).to_path_buf());
        let owner = identity.to_owned();
        let writer = blocking(move || Writer::create(&path, shown, &owner)).await?;
        let writer = Arc::new(Mutex::new(writer.map_err(failed)?));
        list(container, plan, &writer).await?;
        write(&writer, Writer::commit).await?;
        // Closes the database: no other task has the writer any more.
        drop(writer);
        let (keep, identity) = (keep.map(Path::to_path_buf), identity.to_owned());
        let finished = blocking(move || Self::finish(file, keep.as_deref(), &identity));
        finished.await?.map_err(failed)
    }

    fn finish(file: TempPath, keep: Option<&Path>, identity: &str) -> Result<Self, IndexError> {
        match keep {
            Some(path) => {
                file.persist(path).map_err(|error| error.error)?;
                Self::open(path, identity)
            }
            None => {
                let mut index = Self::open(&file, identity)?;
                index.temporary = Some(file);
                Ok(index)
            }
        }
    }
}

async fn list(
    container: &Arc<dyn Container>,
    plan: ListingPlan,
    writer: &Arc<Mutex<Writer>>,
) -> Result<(), ReadError> {
    let first = match plan {
        ListingPlan::Sequential => return list_prefix(container, "", None, writer).await,
        ListingPlan::Prefixes => container.list("", None, PAGE).await?,
    };
    if first.next.is_none() {
        let mut run = Run::default();
        run.add(first.blobs, writer).await?;
        return run.end(writer).await;
    }
    // The page is discarded: its names are listed again by prefix.
    stream::iter(prefixes().map(Ok::<_, ReadError>))
        .try_for_each_concurrent(STREAMS, |prefix| async move {
            list_prefix(container, &prefix.to_string(), None, writer).await
        })
        .await
}

async fn list_prefix(
    container: &Arc<dyn Container>,
    prefix: &str,
    mut from: Option<ListMarker>,
    writer: &Arc<Mutex<Writer>>,
) -> Result<(), ReadError> {
    let mut run = Run::default();
    loop {
        let page = container.list(prefix, from.clone(), PAGE).await?;
        let next = page.next_after(from.as_ref(), container.as_ref())?;
        run.add(page.blobs, writer).await?;
        match next {
            None => return run.end(writer).await,
            next => from = next,
        }
    }
}

/// Consecutive names of a listing. The names of an object follow each other: they have a prefix in common.
#[derive(Default)]
struct Run {
    pending: Option<Listed>,
}

impl Run {
    async fn add(
        &mut self,
        blobs: Vec<BlobEntry>,
        writer: &Arc<Mutex<Writer>>,
    ) -> Result<(), ReadError> {
        let mut pending = self.pending.take();
        self.pending = write(writer, move |writer| {
            for blob in blobs {
                writer.blob(blob, &mut pending)?;
            }
            Ok(pending)
        })
        .await?;
        Ok(())
    }

    async fn end(self, writer: &Arc<Mutex<Writer>>) -> Result<(), ReadError> {
        match self.pending {
            Some(pending) => write(writer, move |writer| writer.object(&pending)).await,
            None => Ok(()),
        }
    }
}

/// Writes to the database on a thread for work that blocks.
async fn write<T: Send + 'static>(
    writer: &Arc<Mutex<Writer>>,
    write: impl FnOnce(&mut Writer) -> Result<T, IndexError> + Send + 'static,
) -> Result<T, ReadError> {
    let writer = Arc::clone(writer);
    blocking(move || {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut writer).map_err(|error| ReadError::index(&writer.path, error))
    })
    .await?
}

/// The database while it is filled: one transaction without a journal, because an incomplete index is
/// discarded.
struct Writer {
    /// The file or folder that errors name.
    path: PathBuf,
    connection: Connection,
    offline: Offline,
}

impl Writer {
    fn create(path: &Path, shown: PathBuf, identity: &str) -> Result<Self, IndexError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        schema::create(&connection, identity)?;
        connection.execute_batch("BEGIN")?;
        Ok(Self {
            path: shown,
            connection,
            offline: Offline::default(),
        })
    }

    fn commit(&mut self) -> Result<(), IndexError> {
        schema::set_offline(&self.connection, self.offline)?;
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    /// Adds the next blob of a run.
    fn blob(&mut self, blob: BlobEntry, pending: &mut Option<Listed>) -> Result<(), IndexError> {
        let BlobEntry {
            name,
            size,
            availability,
            stamp,
        } = blob;
        if name.ends_with(".txt") {
            return self.aside(AsideReason::Log, &name, size, "");
        }
        let parsed = match ObjectName::parse(&name) {
            Ok(parsed) => parsed,
            Err(error) => {
                let laid_out = name.contains('_') && name.contains('.');
                let reason = match laid_out {
                    true => AsideReason::BadName,
                    false => AsideReason::Foreign,
                };
                return self.aside(reason, &name, size, &error.to_string());
            }
        };
        if parsed.snapshot != NO_SNAPSHOT {
            let detail = format!("{:08X}", parsed.snapshot);
            return self.aside(AsideReason::Snapshot, &name, size, &detail);
        }
        let next = Listed {
            name: parsed,
            size,
            availability,
            stamp,
        };
        let Some(before) = pending.replace(next) else {
            return Ok(());
        };
        if before.name.id != parsed.id {
            return self.object(&before);
        }
        let (winner, loser) = match before.name.version > parsed.version {
            true => (before, next),
            false => (next, before),
        };
        *pending = Some(winner);
        let reason = match winner.name.version == loser.name.version {
            true => AsideReason::Twin,
            false => AsideReason::Leftover,
        };
        let (name, detail) = (loser.name.to_string(), winner.name.to_string());
        self.aside(reason, &name, loser.size, &detail)
    }

    fn object(&mut self, object: &Listed) -> Result<(), IndexError> {
        let id: &ObjectId = &object.name.id;
        let (object_type, owner) = schema::type_and_owner(&object.name);
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO object (key, type, owner, version, size, offline, stamp)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        statement.execute(params![
            ObjectKey::new(id).as_bytes(),
            object_type,
            owner,
            object.name.version as i64,
            object.size as i64,
            schema::offline_code(object.availability),
            object.stamp.map(|stamp| stamp.to_bits() as i64),
        ])?;
        let offline = object.availability != Availability::Online;
        let rehydrating = object.availability == Availability::Rehydrating;
        self.offline.archived += u64::from(offline);
        self.offline.rehydrating += u64::from(rehydrating);
        Ok(())
    }

    fn aside(
        &mut self,
        reason: AsideReason,
        name: &str,
        size: u64,
        detail: &str,
    ) -> Result<(), IndexError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO aside (reason, name, size, detail) VALUES (?1, ?2, ?3, ?4)",
        )?;
        statement.execute(params![reason as i64, name, size as i64, detail])?;
        Ok(())
    }
}
