//! The names of a container on disk: which blob holds which object.
//!
//! Ten million names do not belong into memory, so the index is an SQLite database; about 80 bytes
//! for each object. It is built from a listing alone (docs/format.md section 4): of several names
//! of one object the highest version counts, the others are set aside as leftovers, as are logs,
//! objects of snapshots and blobs whose names are no object's.

mod build;
mod schema;
mod stamps;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use clfs_format::{ObjectId, ObjectName, ObjectType};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use tempfile::TempPath;

use crate::container::{Availability, Stamp};

pub use build::ListingPlan;
pub use schema::ObjectKey;
pub(crate) use stamps::ContentStamps;

/// Pages of the database that lookups keep in memory, in KiB.
const CACHE_KIB: i64 = 32 * 1024;

/// An object's blob as the container lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The current name.
    pub name: ObjectName,
    /// Bytes of the blob.
    pub size: u64,
    /// Whether it could be read when it was listed.
    pub availability: Availability,
    /// What shows whether it is the blob that was read before; none where the container does not say.
    pub stamp: Option<Stamp>,
}

/// Objects that could not be read when the container was listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offline {
    /// Those in the archive tier, with those that are being rehydrated.
    pub archived: u64,
    /// Those that are being rehydrated.
    pub rehydrating: u64,
}

/// Why a blob is no current object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AsideReason {
    /// A log of the loader: its name ends in `.txt`.
    Log = 1,
    /// Another name of the object has a higher version.
    Leftover = 2,
    /// It has the version of the name that counts, and another type or owner.
    Twin = 3,
    /// It belongs to a snapshot.
    Snapshot = 4,
    /// It is laid out as an object's name, with a mistake.
    BadName = 5,
    /// It is no object's name at all.
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

/// A blob that is no current object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Why not.
    pub reason: AsideReason,
    /// The blob's name.
    pub name: String,
    /// Its bytes.
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
    /// The file could not be made.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another program's file.
    #[error("it is not an index of clfsload: give another file, which is made")]
    NotAnIndex,
    /// Written by another version of this program.
    #[error(
        "it has version {0}, which this program does not read: remove it, and it is made again"
    )]
    Version(i64),
    /// It tells of another container.
    #[error("it is the index of {0}: give another file, or remove it")]
    OtherContainer(String),
    /// A row that this program would not have written.
    #[error("a row of it is damaged: remove it, and it is made again")]
    Row,
}

/// The index of one container. Safe to share: lookups take turns.
#[derive(Debug)]
pub struct Index {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// Whether the temporary table of content stamps is there.
    content_stamps: OnceLock<()>,
    /// Removes the file in the end, unless it is to be kept.
    temporary: Option<TempPath>,
}

impl Index {
    /// Opens a kept index of `container` ([`crate::container::location::ContainerLocation::identity`]).
    ///
    /// # Errors
    /// When the file is not the index of this container.
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
            path,
            content_stamps: OnceLock::new(),
            temporary,
        }
    }

    /// Whether the file goes when the index does.
    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// How many objects could not be read when the container was listed.
    ///
    /// # Errors
    /// When the database fails or a row is damaged.
    pub fn offline(&self) -> Result<Offline, IndexError> {
        schema::offline(&self.lock())
    }

    /// The file, for attaching it to another database. It is not written any more.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The blob of an object.
    ///
    /// # Errors
    /// When the database fails or a row is damaged.
    pub fn find(&self, id: &ObjectId) -> Result<Option<Listed>, IndexError> {
        let connection = self.lock();
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

    /// The next `at_most` objects after a key, in order of keys.
    ///
    /// # Errors
    /// When the database fails or a row is damaged.
    pub fn after(
        &self,
        key: Option<&ObjectKey>,
        at_most: usize,
    ) -> Result<Vec<Listed>, IndexError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT key, type, owner, version, size, offline, stamp FROM object WHERE key > ?1
             ORDER BY key LIMIT ?2",
        )?;
        let key = key.map_or(&[][..], ObjectKey::as_bytes);
        let mut rows = statement.query(params![key, at_most as i64])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(schema::listed(row)?);
        }
        Ok(found)
    }

    /// The next `at_most` blobs set aside, after the one with this number; each with its number.
    ///
    /// # Errors
    /// When the database fails or a row is damaged.
    pub fn aside_after(
        &self,
        number: i64,
        at_most: usize,
    ) -> Result<Vec<(i64, Aside)>, IndexError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, reason, name, size, detail FROM aside WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut rows = statement.query(params![number, at_most as i64])?;
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

    /// How many objects there are of each type; V1 names count as [`ObjectType::Special`].
    ///
    /// # Errors
    /// When the database fails.
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

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the one read transaction: otherwise every lookup takes and drops the file's lock.
fn begin(connection: &Connection, container: &str) -> Result<(), IndexError> {
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.execute_batch("BEGIN")?;
    schema::check(connection, container)
}
