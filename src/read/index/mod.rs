//! The index: the names of a container on disk, and which blob holds which object.
//!
//! Ten million names do not fit in memory, so the index is an SQLite database with about 80 bytes for
//! each object. It is built from a listing alone (format.md §4): of several names of one object the
//! highest version counts. The others are set aside as leftovers, as are logs, objects of snapshots
//! and blobs whose names are not those of objects.

mod build;
mod content_stamps;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use clfs_format::{ObjectId, ObjectName, ObjectType};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tempfile::TempPath;
use tokio::sync::oneshot;

use super::{ReadError, blocking};
use crate::container::{Availability, Stamp};

pub use build::ListingPlan;
pub(crate) use content_stamps::ContentStamps;
pub use schema::ObjectKey;

/// Size of the page cache in KiB.
const CACHE_KIB: i64 = 32 * 1024;

/// The blob of an object, as the container lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The current name.
    pub name: ObjectName,
    /// Size of the blob in bytes.
    pub size: u64,
    /// Whether the blob could be read when it was listed.
    pub availability: Availability,
    /// Identifies this version of the blob; none if the container reports nothing that does.
    pub stamp: Option<Stamp>,
}

/// Objects that could not be read when the container was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offline {
    /// Number of objects in the archive tier, including those that are being rehydrated.
    pub archived: u64,
    /// Number of objects that are being rehydrated.
    pub rehydrating: u64,
}

/// Why a blob is not a current object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AsideReason {
    /// A log of the loader: its name ends in `.txt`.
    Log = 1,
    /// Another name of the object has a higher version.
    Leftover = 2,
    /// The name that counts has the same version, and another type or owner.
    Twin = 3,
    /// The object belongs to a snapshot.
    Snapshot = 4,
    /// The name has the layout of an object's name, but is invalid.
    BadName = 5,
    /// The name is not that of an object.
    Foreign = 6,
}

impl AsideReason {
    const ALL: [Self; 6] = [
        Self::Log,
        Self::Leftover,
        Self::Twin,
        Self::Snapshot,
        Self::BadName,
        Self::Foreign,
    ];
}

/// A blob that is not a current object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// The reason.
    pub reason: AsideReason,
    /// The name of the blob.
    pub name: String,
    /// Size of the blob in bytes.
    pub size: u64,
    /// What is wrong with the name, or the name that counts instead.
    pub detail: String,
}

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The database failed.
    #[error("{0}")]
    Database(#[from] rusqlite::Error),
    /// The file could not be created.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file of another program.
    #[error("it is not an index of clfsload: name another file, which is created")]
    NotAnIndex,
    /// The index was written by another version of this program.
    #[error(
        "it has version {0}, which this program does not read: remove it, and it is created again"
    )]
    Version(i64),
    /// The index belongs to another container.
    #[error("it is the index of {0}: name another file, or remove it")]
    OtherContainer(String),
    /// A row that this program does not write.
    #[error("a row of it is damaged: remove it, and it is created again")]
    Row,
}

/// A lookup that waits, and where its result goes.
type Waiting = (
    ObjectId,
    oneshot::Sender<Result<Option<Listed>, IndexError>>,
);

/// The index of one container. Its methods block, except [`Index::lookup`].
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
    /// Asynchronous lookups until a thread that may block takes all of them at once: a thread switch for each
    /// lookup would cost several times as much as the lookup.
    waiting: Mutex<Vec<Waiting>>,
    path: PathBuf,
    /// Set when the temporary table of content stamps was created.
    content_stamps: OnceLock<()>,
    /// Removes the file when the index is dropped, unless it is kept.
    temporary: Option<TempPath>,
}

impl Index {
    /// Opens a kept index of `container` ([`crate::container::location::ContainerLocation::identity`]).
    ///
    /// # Errors
    /// If the file is not the index of this container.
    pub fn open(path: &Path, container: &str) -> Result<Self, IndexError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        begin(&connection, container).map_err(|error| match error {
            IndexError::Database(error)
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) =>
            {
                IndexError::NotAnIndex
            }
            error => error,
        })?;
        Ok(Self::new(connection, path.to_path_buf(), None))
    }

    fn new(connection: Connection, path: PathBuf, temporary: Option<TempPath>) -> Self {
        Self {
            connection: Mutex::new(connection),
            waiting: Mutex::default(),
            path,
            content_stamps: OnceLock::new(),
            temporary,
        }
    }

    /// Returns whether the file is removed when the index is dropped.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// Returns how many objects could not be read when the container was listed.
    ///
    /// # Errors
    /// If the database fails or a row is damaged.
    pub fn offline(&self) -> Result<Offline, IndexError> {
        schema::offline(&self.lock())
    }

    /// Returns the path of the file, which is not written any more.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the blob of an object.
    ///
    /// # Errors
    /// If the database fails or a row is damaged.
    pub fn find(&self, id: &ObjectId) -> Result<Option<Listed>, IndexError> {
        find(&self.lock(), id)
    }

    /// Returns the next `limit` objects after a key, in the order of keys.
    ///
    /// # Errors
    /// If the database fails or a row is damaged.
    pub fn after(&self, key: Option<&ObjectKey>, limit: usize) -> Result<Vec<Listed>, IndexError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT key, type, owner, version, size, offline, stamp FROM object WHERE key > ?1
             ORDER BY key LIMIT ?2",
        )?;
        let key = key.map_or(&[][..], ObjectKey::as_bytes);
        let mut rows = statement.query(params![key, limit as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(schema::listed(row)?);
        }
        Ok(found)
    }

    /// Returns the next `limit` blobs that were set aside, after the one with this number; each with its
    /// number.
    ///
    /// # Errors
    /// If the database fails or a row is damaged.
    pub fn aside_after(&self, number: i64, limit: usize) -> Result<Vec<(i64, Aside)>, IndexError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, reason, name, size, detail FROM aside WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = statement.query(params![number, limit as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let code: i64 = row.get(1)?;
            let reason = AsideReason::ALL
                .into_iter()
                .find(|reason| *reason as i64 == code)
                .ok_or(IndexError::Row)?;
            let aside = Aside {
                reason,
                name: row.get(2)?,
                size: row.get::<_, i64>(3)? as u64,
                detail: row.get(4)?,
            };
            found.push((row.get(0)?, aside));
        }
        Ok(found)
    }

    /// Returns the number of objects of each type; V1 names count as [`ObjectType::Special`].
    ///
    /// # Errors
    /// If the database fails.
    pub fn count(&self) -> Result<Vec<(ObjectType, u64)>, IndexError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT type, count(*) FROM object GROUP BY type")?;
        let mut rows = statement.query([])?;
        let mut counts = Vec::new();
        while let Some(row) = rows.next()? {
            let object_type = ObjectType::from_code(row.get(0)?).ok_or(IndexError::Row)?;
            counts.push((object_type, row.get::<_, i64>(1)? as u64));
        }
        Ok(counts)
    }

    /// Returns the blob of an object, without blocking the asynchronous worker.
    ///
    /// # Errors
    /// If the database fails or a row is damaged.
    pub async fn lookup(self: &Arc<Self>, id: ObjectId) -> Result<Option<Listed>, ReadError> {
        let (sender, result) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting();
            waiting.push((id, sender));
            waiting.len() == 1
        };
        if is_first {
            let batch = Batch::new(self);
            blocking(move || batch.run()).await?;
        }
        // Without a result, the runtime is being shut down.
        let found = result.await.map_err(|_| ReadError::Stopped)?;
        found.map_err(|error| self.failed(error))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error of a read of this index.
    pub(crate) fn failed(&self, error: IndexError) -> ReadError {
        ReadError::index(&self.path, error)
    }

    /// Performs the lookups that wait.
    fn find_waiting(&self) {
        // While an earlier call has the connection, further lookups join these.
        let connection = self.lock();
        let waiting = std::mem::take(&mut *self.waiting());
        for (id, result) in waiting {
            // An abandoned lookup has no receiver.
            drop(result.send(find(&connection, &id)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work for the lookups that wait. A runtime that is being shut down drops it without running it: then these lookups
/// end without a result, and later ones of another runtime start work of their own.
struct Batch {
    index: Arc<Index>,
    is_started: bool,
}

impl Batch {
    fn new(index: &Arc<Index>) -> Self {
        Self {
            index: Arc::clone(index),
            is_started: false,
        }
    }

    fn run(mut self) {
        self.is_started = true;
        self.index.find_waiting();
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // After the work, the lookups that wait belong to another batch.
        if !self.is_started {
            self.index.waiting().clear();
        }
    }
}

fn find(connection: &Connection, id: &ObjectId) -> Result<Option<Listed>, IndexError> {
    let mut statement = connection.prepare_cached(
        "SELECT key, type, owner, version, size, offline, stamp FROM object WHERE key = ?1",
    )?;
    let found = statement
        .query_row(params![ObjectKey::new(id).as_bytes()], |row| {
            Ok(schema::listed(row))
        })
        .optional()?;
    found.transpose()
}

/// Begins the only read transaction; without it, every lookup would lock and unlock the file.
fn begin(connection: &Connection, container: &str) -> Result<(), IndexError> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.execute_batch("BEGIN")?;
    schema::check(connection, container)
}
