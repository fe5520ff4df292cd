//! What is known of a container's inodes from earlier extractions, so that a further run need not
//! fetch the inodes of what is whole.
//!
//! An SQLite file with a row of about 75 bytes for each object. A row holds the stamp of the blobs
//! that an entry was written from or compared with; an entry without one is compared with the container
//! again, so losing the record costs downloads, no more. It also remembers whether data may
//! have been lost by a crash of the machine ([`Record::begin`]), and which temporary names are ours
//! ([`Record::unfinished`]).
//!
//! One process at a time may use it: SQLite's lock on the file is held until it is closed.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clfs_format::{FileType, Filehandle, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use tempfile::TempPath;

use super::folder::FileId;
use super::problem::ExtractError;
use super::record_error::RecordError;
use super::temporary::Token;
use super::wanted::Wanted;
use crate::container::Stamp;

/// `PRAGMA application_id`: "CLFX" in ASCII.
const APPLICATION_ID: i64 = 0x434c_4658;
/// `PRAGMA user_version`.
const VERSION: i64 = 2;
/// Rows that a killed run may lose.
const ROWS_OF_A_COMMIT: u32 = 200;
/// How long a row may wait for others.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// The row of a file of so many bytes waits for no others: comparing the file again would take long.
const LARGE: u64 = 1 << 20;
/// Where the start of the machine is noted: no start is called so.
const IN_DOUBT: &str = "in doubt";
const NANOSECONDS: i64 = 1_000_000_000;

const TABLES: &str = "
CREATE TABLE about (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE inode (
    handle BLOB PRIMARY KEY,
    version INTEGER NOT NULL,
    type INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    mode INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    nlink INTEGER NOT NULL,
    major INTEGER NOT NULL,
    minor INTEGER NOT NULL,
    kept INTEGER,
    stamp INTEGER,
    alone INTEGER NOT NULL DEFAULT 0,
    local INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE further (
    handle BLOB NOT NULL,
    local INTEGER NOT NULL,
    PRIMARY KEY (handle, local)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt (
    token TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
";

/// Version 1 did not show what an entry was written from: its rows have no stamp, and are not trusted.
const FROM_VERSION_1: &str = "
ALTER TABLE inode ADD COLUMN stamp INTEGER;
ALTER TABLE inode ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inode ADD COLUMN local INTEGER;
CREATE TABLE further (
    handle BLOB NOT NULL,
    local INTEGER NOT NULL,
    PRIMARY KEY (handle, local)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt (
    token TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
";

/// What is known of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) wanted: Wanted,
    /// The modification time that the destination's file system made of the wanted one.
    pub(super) kept: Option<Timestamp>,
    /// The stamp of the blobs that the entry was written from or compared with. None: not shown, or
    /// one of them broke a rule of the format.
    pub(super) stamp: Option<Stamp>,
    /// Its inode is its only blob.
    pub(super) alone: bool,
    /// `st_ino` of the local file that was written or compared: the stamp says nothing of another file
    /// under one of its names. Without the device, whose number changes with each mount. The table
    /// `further` has those of further names that could not be linked.
    pub(super) local: Option<u64>,
}

impl Known {
    /// Whether the entry was written from the blobs that have this stamp now.
    pub(super) fn is_of(&self, stamp: Option<Stamp>) -> bool {
        self.stamp.is_some() && self.stamp == stamp
    }
}

/// What is kept between runs.
pub(super) struct Record {
    database: Mutex<Database>,
    path: PathBuf,
    /// There was a file, but nothing in it.
    was_empty: bool,
    /// Removes the file in the end, unless it stays.
    _temporary: Option<TempPath>,
}

struct Database {
    connection: Connection,
    /// Rows of the open transaction.
    waiting: u32,
    committed: Instant,
}

impl Record {
    /// Opens or makes the record of `container` at `path`.
    pub(super) fn open(path: &Path, container: &str) -> Result<Self, ExtractError> {
        let existed = path.exists();
        let opened = Database::open(path, container).map_err(|error| ExtractError::Record {
            path: path.to_path_buf(),
            error,
        });
        let (database, made) = opened?;
        Ok(Self {
            database: Mutex::new(database),
            path: path.to_path_buf(),
            was_empty: existed && made,
            _temporary: None,
        })
    }

    /// One that goes when the run ends.
    pub(super) fn temporary(folder: &Path, container: &str) -> Result<Self, ExtractError> {
        let failed = |error| ExtractError::Record {
            path: folder.to_path_buf(),
            error,
        };
        let file = tempfile::Builder::new()
            .prefix(".clfsload-record-")
            .tempfile_in(folder)
            .map_err(|error| failed(error.into()))?
            .into_temp_path();
        let (database, _) = Database::open(&file, container).map_err(failed)?;
        Ok(Self {
            database: Mutex::new(database),
            path: file.to_path_buf(),
            was_empty: false,
            _temporary: Some(file),
        })
    }

    /// Whether there was a record without anything in it, as a run leaves it that was killed while
    /// it was made: what else that run and those before it did is not known.
    pub(super) fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// Binds it to a destination. `id` tells whether it is still the directory that it was; one
    /// that was removed and made anew is decided about again.
    pub(super) fn bind(&self, real_path: &str, id: Option<FileId>) -> Result<(), ExtractError> {
        self.with(|database| {
            match database.about("path")? {
                Some(before) if before != real_path => {
                    return Err(RecordError::OtherDestination(before));
                }
                Some(_) => {}
                None => database.set_about("path", real_path)?,
            }
            let Some(FileId { device, inode }) = id else {
                return Ok(());
            };
            let id = format!("{device}:{inode}");
            let before = database.about("directory")?;
            if before.as_ref() != Some(&id) {
                if before.is_some() {
                    let sql = "DELETE FROM about WHERE name = 'destination'";
                    database.connection.execute(sql, [])?;
                }
                database.set_about("directory", &id)?;
            }
            Ok(())
        })
    }

    /// What is known of version `version` of an inode.
    pub(super) fn find(
        &self,
        handle: Filehandle,
        version: u64,
    ) -> Result<Option<Known>, ExtractError> {
        self.with(|database| {
            let mut statement = database.connection.prepare_cached(
                "SELECT type, size, mtime, mode, uid, gid, nlink, major, minor, kept, stamp, alone, local
                 FROM inode
                 WHERE handle = ?1 AND version = ?2",
            )?;
            let row = params![handle.as_bytes(), version as i64];
            let known = statement.query_row(row, |row| Ok(known(row))).optional()?;
            known.transpose()
        })
    }

    /// Whether a local file was written from, or compared with, the blobs that the row of an inode
    /// has the stamp of.
    pub(super) fn is_local(
        &self,
        handle: Filehandle,
        known: &Known,
        local: u64,
    ) -> Result<bool, ExtractError> {
        if known.local == Some(local) {
            return Ok(true);
        }
        if known.wanted.nlink <= 1 {
            return Ok(false);
        }
        self.with(|database| {
            let mut statement = database
                .connection
                .prepare_cached("SELECT 1 FROM further WHERE handle = ?1 AND local = ?2")?;
            Ok(statement.exists(params![handle.as_bytes(), local.cast_signed()])?)
        })
    }

    /// Remembers an inode.
    pub(super) fn put(
        &self,
        handle: Filehandle,
        version: u64,
        known: &Known,
    ) -> Result<(), ExtractError> {
        let wanted = &known.wanted;
        self.with(|database| {
            database.begin()?;
            if wanted.nlink > 1 {
                database.keep_further(handle, version, known)?;
            }
            let mut statement = database.connection.prepare_cached(
                "INSERT OR REPLACE INTO inode
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?;
            statement.execute(params![
                handle.as_bytes(),
                version as i64,
                wanted.file_type.ftype(),
                wanted.size as i64,
                nanoseconds(wanted.mtime),
                wanted.mode,
                wanted.uid,
                wanted.gid,
                wanted.nlink,
                wanted.major,
                wanted.minor,
                known.kept.map(nanoseconds),
                known.stamp.map(|stamp| stamp.to_bits() as i64),
                known.alone,
                known.local.map(u64::cast_signed),
            ])?;
            drop(statement);
            database.waiting += 1;
            let at_once = known.stamp.is_none() || wanted.size >= LARGE;
            let full = database.waiting >= ROWS_OF_A_COMMIT
                || database.committed.elapsed() >= COMMIT_AFTER;
            match at_once || full {
                true => database.commit(),
                false => Ok(()),
            }
        })
    }

    /// Notes that a run writes, under temporary names with its token. Says whether an earlier one wrote what the machine may have lost:
    /// files are not flushed one by one, so a crash before the end of a run may leave some with the
    /// right size and time, and zeros inside. `boot` tells one start of the machine from another;
    /// with `in_doubt` it is taken as lost whatever is noted. The note is on the disk when this returns.
    pub(super) fn begin(
        &self,
        boot: &str,
        in_doubt: bool,
        token: Token,
    ) -> Result<bool, ExtractError> {
        self.with(|database| {
            database.commit()?;
            let before = database.about("unstored")?;
            // FULL waits for the disk at the commit (sqlite.org/pragma.html#pragma_synchronous).
            database
                .connection
                .pragma_update(None, "synchronous", "FULL")?;
            database.connection.execute_batch("BEGIN")?;
            if before.is_none() || in_doubt {
                let mark = if in_doubt { IN_DOUBT } else { boot };
                database.set_about("unstored", mark)?;
            }
            let sql = "INSERT INTO attempt VALUES (?1)";
            database
                .connection
                .execute(sql, params![token.to_string()])?;
            database.commit()?;
            database
                .connection
                .pragma_update(None, "synchronous", "NORMAL")?;
            Ok(in_doubt || before.is_some_and(|before| before != boot))
        })
    }

    /// The tokens of runs that may have left temporary files.
    pub(super) fn unfinished(&self) -> Result<Vec<Token>, ExtractError> {
        self.with(|database| {
            let mut statement = database.connection.prepare("SELECT token FROM attempt")?;
            let tokens = statement.query_map([], |row| row.get::<_, String>(0))?;
            let tokens =
                tokens.map(|token| Token::parse(token?.as_bytes()).ok_or(RecordError::Row));
            tokens.collect()
        })
    }

    /// Notes that no temporary file with this token is left.
    pub(super) fn left_nothing(&self, token: Token) -> Result<(), ExtractError> {
        self.with(|database| {
            database.commit()?;
            let sql = "DELETE FROM attempt WHERE token = ?1";
            database
                .connection
                .execute(sql, params![token.to_string()])?;
            Ok(())
        })
    }

    /// Notes that everything that was written is stored.
    pub(super) fn stored(&self) -> Result<(), ExtractError> {
        self.with(|database| {
            database.commit()?;
            let sql = "DELETE FROM about WHERE name = 'unstored'";
            database.connection.execute(sql, [])?;
            Ok(())
        })
    }

    /// Whether the destination itself is to get the root's attributes: decided by the first run. A dry
    /// run decides nothing.
    pub(super) fn destination_is_ours(
        &self,
        now: bool,
        dry_run: bool,
    ) -> Result<bool, ExtractError> {
        self.with(|database| {
            if let Some(before) = database.about("destination")? {
                return Ok(before == "ours");
            }
            if dry_run {
                return Ok(now);
            }
            let value = if now { "ours" } else { "theirs" };
            database.set_about("destination", value)?;
            Ok(now)
        })
    }

    /// Writes what waits.
    pub(super) fn flush(&self) -> Result<(), ExtractError> {
        self.with(Database::commit)
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&mut Database) -> Result<T, RecordError>,
    ) -> Result<T, ExtractError> {
        let mut database: MutexGuard<'_, Database> =
            self.database.lock().unwrap_or_else(PoisonError::into_inner);
        call(&mut database).map_err(|error| ExtractError::Record {
            path: self.path.clone(),
            error,
        })
    }
}

impl Database {
    /// Says too whether there was nothing in it.
    fn open(path: &Path, container: &str) -> Result<(Self, bool), RecordError> {
        let connection = Connection::open(path)?;
        let pragma =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let is_new = match (pragma("application_id")?, tables) {
            (0 | APPLICATION_ID, 0) => true,
            (APPLICATION_ID, _) => match pragma("user_version")? {
                VERSION | 1 => false,
                version => return Err(RecordError::Version(version)),
            },
            _ => return Err(RecordError::NotARecord),
        };
        let is_older = !is_new && pragma("user_version")? != VERSION;
        // With a log written ahead, commits wait for no disk, and a crash does no harm. The step to it
        // does wait: SQLite throws the log of an empty file away.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let database = Self {
            connection,
            waiting: 0,
            committed: Instant::now(),
        };
        let of = match is_new {
            true => None,
            false => database.about("container")?,
        };
        match of {
            Some(of) if of == container => {
                if is_older {
                    database.upgrade()?;
                }
                Ok((database, false))
            }
            Some(of) => Err(RecordError::OtherContainer(of)),
            None => {
                database.make(container)?;
                Ok((database, true))
            }
        }
    }

    /// Everything at once: a run that is killed meanwhile leaves a file with nothing in it.
    fn make(&self, container: &str) -> Result<(), RecordError> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute_batch(
            "DROP TABLE IF EXISTS about; DROP TABLE IF EXISTS inode; DROP TABLE IF EXISTS further;
             DROP TABLE IF EXISTS attempt;",
        )?;
        transaction.execute_batch(TABLES)?;
        self.set_about("container", container)?;
        Ok(transaction.commit()?)
    }

    fn upgrade(&self) -> Result<(), RecordError> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute_batch(FROM_VERSION_1)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        Ok(transaction.commit()?)
    }

    fn begin(&mut self) -> Result<(), RecordError> {
        if self.waiting == 0 && self.connection.is_autocommit() {
            self.connection.execute_batch("BEGIN")?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RecordError> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("COMMIT")?;
        }
        self.waiting = 0;
        self.committed = Instant::now();
        Ok(())
    }

    /// Keeps the local file of the row that is replaced, if it was written from the same blobs.
    fn keep_further(
        &self,
        handle: Filehandle,
        version: u64,
        known: &Known,
    ) -> Result<(), RecordError> {
        let stamp = known.stamp.map(|stamp| stamp.to_bits() as i64);
        let row = params![handle.as_bytes(), version as i64, stamp];
        let kept = self
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO further SELECT handle, local FROM inode
                 WHERE handle = ?1 AND version = ?2 AND stamp = ?3 AND local IS NOT NULL",
            )?
            .execute(row)?;
        let same = kept > 0
            || self
                .connection
                .prepare_cached(
                    "SELECT 1 FROM inode WHERE handle = ?1 AND version = ?2 AND stamp = ?3",
                )?
                .exists(row)?;
        if !same {
            self.connection
                .prepare_cached("DELETE FROM further WHERE handle = ?1")?
                .execute([handle.as_bytes()])?;
        }
        Ok(())
    }

    fn about(&self, name: &str) -> Result<Option<String>, RecordError> {
        let sql = "SELECT value FROM about WHERE name = ?1";
        let value = self
            .connection
            .query_row(sql, params![name], |row| row.get(0));
        Ok(value.optional()?)
    }

    fn set_about(&self, name: &str, value: &str) -> Result<(), RecordError> {
        let sql = "INSERT OR REPLACE INTO about VALUES (?1, ?2)";
        self.connection.execute(sql, params![name, value])?;
        Ok(())
    }
}

fn known(row: &Row<'_>) -> Result<Known, RecordError> {
    let file_type = FileType::from_ftype(row.get(0)?).ok_or(RecordError::Row)?;
    let kept: Option<i64> = row.get(9)?;
    let stamp: Option<i64> = row.get(10)?;
    Ok(Known {
        wanted: Wanted {
            file_type,
            size: row.get::<_, i64>(1)? as u64,
            mtime: timestamp(row.get(2)?)?,
            mode: row.get(3)?,
            uid: row.get(4)?,
            gid: row.get(5)?,
            nlink: row.get(6)?,
            major: row.get(7)?,
            minor: row.get(8)?,
        },
        kept: kept.map(timestamp).transpose()?,
        stamp: stamp.map(|bits| Stamp::from_bits(bits as u64)),
        alone: row.get(11)?,
        local: row.get::<_, Option<i64>>(12)?.map(i64::cast_unsigned),
    })
}

/// Nanoseconds since 1970; what the format holds ends in 2106, far below the type's end in 2262.
fn nanoseconds(time: Timestamp) -> i64 {
    i64::from(time.seconds) * NANOSECONDS + i64::from(time.nanoseconds)
}

fn timestamp(nanoseconds: i64) -> Result<Timestamp, RecordError> {
    let seconds = nanoseconds.div_euclid(NANOSECONDS);
    Ok(Timestamp {
        seconds: u32::try_from(seconds).map_err(|_| RecordError::Row)?,
        // Below a second's.
        nanoseconds: nanoseconds.rem_euclid(NANOSECONDS) as u32,
    })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
