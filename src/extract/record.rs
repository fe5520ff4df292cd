//! The record of an extraction (`--record`): a cache of the container's inodes that stays between runs, so that
//! a further run need not download the inodes of complete entries.
//!
//! An SQLite file with a row of about 75 bytes for each inode. A row holds the stamp of the blobs from which an
//! entry was written, or with which it was compared. Entries without a stamp are compared with the container,
//! so that losing the file only costs downloads. The file also stores whether a crash of the machine may have
//! lost data ([`ExtractionRecord::begin`]), and the tokens of temporary names ([`ExtractionRecord::unfinished`]).
//!
//! One process at a time can use it: it holds SQLite's lock until it closes the file.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clfs_format::{FileType, Filehandle, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use tempfile::TempPath;

use super::attributes::TargetAttributes;
use super::folder::FileId;
use super::problem::ExtractError;
use super::temporary::Token;
use crate::container::Stamp;

/// `PRAGMA application_id`: "CLFX" in ASCII.
const APPLICATION_ID: i64 = 0x434c_4658;
/// `PRAGMA user_version`.
const VERSION: i64 = 2;
/// Rows in a transaction: a killed run may lose so many.
const ROWS_OF_A_COMMIT: u32 = 200;
/// The maximum time between two commits while rows are written.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Size of files whose rows are committed at once: comparing such a file again would take long.
const LARGE: u64 = 1 << 20;
/// Stored in place of a boot id: no boot has this id.
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
";

/// These tables are new in version 2.
const NEW_TABLES: &str = "
CREATE TABLE further (
    handle BLOB NOT NULL,
    local INTEGER NOT NULL,
    PRIMARY KEY (handle, local)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt (
    token TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
";

/// Version 1 had no stamps. Its entries are therefore compared with the container.
const FROM_VERSION_1: &str = "
ALTER TABLE inode ADD COLUMN stamp INTEGER;
ALTER TABLE inode ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inode ADD COLUMN local INTEGER;
";

/// The recorded attributes of an inode, and how its entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordedInode {
    pub(super) target: TargetAttributes,
    /// The modification time that the destination's file system stored instead of the target's.
    pub(super) kept: Option<Timestamp>,
    /// The stamp of the blobs from which the entry was written, or with which it was compared. None: the
    /// container shows none, or a blob broke a rule of the format.
    pub(super) stamp: Option<Stamp>,
    /// Its inode is its only blob.
    pub(super) alone: bool,
    /// `st_ino` of the local file that was written or compared: the stamp does not apply to another file under
    /// one of the names. Without the device, whose number changes with each mount. The table `further` has the
    /// files of further names that could not be linked.
    pub(super) local: Option<u64>,
}

impl RecordedInode {
    /// Returns whether the entry was written from the blobs that now have this stamp.
    pub(super) fn has_stamp(&self, stamp: Option<Stamp>) -> bool {
        self.stamp.is_some() && self.stamp == stamp
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The database failed.
    #[error("{0}: {advice}", advice = advice(.0))]
    Database(#[from] rusqlite::Error),
    /// The file could not be created.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Another program's file.
    #[error("it is not a record of clfsload extract: give another file")]
    NotARecord,
    /// Written by another version of this program.
    #[error("it has version {0}, which this program does not read: remove it; it is created again")]
    Version(i64),
    /// The record of another container.
    #[error("it is the record of {0}: give another file, or remove it")]
    OtherContainer(String),
    /// The record of another destination.
    #[error("it is the record of extracting into {0}: give another file for this destination")]
    OtherDestination(String),
    /// A row that this program does not write.
    #[error("a row of it is damaged: remove it; it is created again")]
    Row,
}

/// Returns the remedy for a database that failed. Only a damaged database should be removed: the record may store
/// that data was lost.
fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space, then run the same command again",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another program uses it: run the same command again when that has finished"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "if it is a record, remove it and run again with --checksum; otherwise give another file"
        }
        _ => "fix that, or give another file with --record",
    }
}

pub(super) struct ExtractionRecord {
    database: Mutex<Database>,
    path: PathBuf,
    /// Whether the file existed and was empty.
    was_empty: bool,
    /// Removes the file when the run ends.
    _temporary: Option<TempPath>,
}

struct Database {
    connection: Connection,
    /// Rows of the open transaction.
    waiting: u32,
    committed: Instant,
}

impl ExtractionRecord {
    /// Opens the file of `container` at `path`, or creates it.
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

    /// Creates one that is removed when the run ends.
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

    /// Returns whether the file was empty, because a run was killed while it created it: the work of that run and of
    /// those before it is not known.
    pub(super) fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// Binds the file to a destination. A destination with another `id` was removed and created again: whether
    /// it gets the root's attributes is then decided again.
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

    /// Returns the row of an inode, if it has this version.
    pub(super) fn find(
        &self,
        handle: Filehandle,
        version: u64,
    ) -> Result<Option<RecordedInode>, ExtractError> {
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

    /// Returns whether a local file was written from, or compared with, the blobs of which the row has the stamp.
    pub(super) fn is_local(
        &self,
        handle: Filehandle,
        known: &RecordedInode,
        local: u64,
    ) -> Result<bool, ExtractError> {
        if known.local == Some(local) {
            return Ok(true);
        }
        if known.target.nlink <= 1 {
            return Ok(false);
        }
        self.with(|database| {
            let mut statement = database
                .connection
                .prepare_cached("SELECT 1 FROM further WHERE handle = ?1 AND local = ?2")?;
            Ok(statement.exists(params![handle.as_bytes(), local.cast_signed()])?)
        })
    }

    /// Stores the row of an inode.
    pub(super) fn put(
        &self,
        handle: Filehandle,
        version: u64,
        known: &RecordedInode,
    ) -> Result<(), ExtractError> {
        let target = &known.target;
        self.with(|database| {
            database.begin()?;
            if target.nlink > 1 {
                database.keep_further(handle, version, known)?;
            }
            let mut statement = database.connection.prepare_cached(
                "INSERT OR REPLACE INTO inode
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?;
            statement.execute(params![
                handle.as_bytes(),
                version as i64,
                target.file_type.ftype(),
                target.size as i64,
                nanoseconds(target.mtime),
                target.mode,
                target.uid,
                target.gid,
                target.nlink,
                target.major,
                target.minor,
                known.kept.map(nanoseconds),
                known.stamp.map(|stamp| stamp.to_bits() as i64),
                known.alone,
                known.local.map(u64::cast_signed),
            ])?;
            drop(statement);
            database.waiting += 1;
            let at_once = known.stamp.is_none() || target.size >= LARGE;
            let full = database.waiting >= ROWS_OF_A_COMMIT
                || database.committed.elapsed() >= COMMIT_AFTER;
            match at_once || full {
                true => database.commit(),
                false => Ok(()),
            }
        })
    }

    /// Stores that a run with this token starts to write. Returns whether files of an earlier run may have lost
    /// their content: files are not flushed one by one, so that after a crash of the machine some can have the
    /// right size and time but contain zeros. `boot` identifies this boot of the machine. With `in_doubt`,
    /// content may be lost in any case. The row is on the disk when this returns.
    pub(super) fn begin(
        &self,
        boot: &str,
        in_doubt: bool,
        token: Token,
    ) -> Result<bool, ExtractError> {
        self.with(|database| {
            database.commit()?;
            let before = database.about("unstored")?;
            // With FULL, a commit waits for the disk (sqlite.org/pragma.html#pragma_synchronous).
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

    /// Returns the tokens of runs that may have left temporary files.
    pub(super) fn unfinished(&self) -> Result<Vec<Token>, ExtractError> {
        self.with(|database| {
            let mut statement = database.connection.prepare("SELECT token FROM attempt")?;
            let tokens = statement.query_map([], |row| row.get::<_, String>(0))?;
            let tokens =
                tokens.map(|token| Token::parse(token?.as_bytes()).ok_or(RecordError::Row));
            tokens.collect()
        })
    }

    /// Removes a token: no temporary file with it is left.
    pub(super) fn forget_token(&self, token: Token) -> Result<(), ExtractError> {
        self.with(|database| {
            database.commit()?;
            let sql = "DELETE FROM attempt WHERE token = ?1";
            database
                .connection
                .execute(sql, params![token.to_string()])?;
            Ok(())
        })
    }

    /// Stores that everything that was written was flushed to the disk.
    pub(super) fn mark_synced(&self) -> Result<(), ExtractError> {
        self.with(|database| {
            database.commit()?;
            let sql = "DELETE FROM about WHERE name = 'unstored'";
            database.connection.execute(sql, [])?;
            Ok(())
        })
    }

    /// Returns whether the destination gets the root's attributes. The first run decides: if the destination is
    /// `fresh`, it does. A dry run stores no decision.
    pub(super) fn owns_destination(
        &self,
        fresh: bool,
        dry_run: bool,
    ) -> Result<bool, ExtractError> {
        self.with(|database| {
            if let Some(before) = database.about("destination")? {
                return Ok(before == "ours");
            }
            if dry_run {
                return Ok(fresh);
            }
            let value = if fresh { "ours" } else { "theirs" };
            database.set_about("destination", value)?;
            Ok(fresh)
        })
    }

    /// Commits the rows that wait.
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
    /// Opens or creates the database. Returns also whether it was empty.
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
        // With a write-ahead log, commits do not wait for the disk, and a crash loses only the last of them.
        // Switching to it does wait: SQLite discards the log of an empty file.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let database = Self {
            connection,
            waiting: 0,
            committed: Instant::now(),
        };
        let stored = match is_new {
            true => None,
            false => database.about("container")?,
        };
        match stored {
            Some(stored) if stored == container => {
                if is_older {
                    database.upgrade()?;
                }
                Ok((database, false))
            }
            Some(stored) => Err(RecordError::OtherContainer(stored)),
            None => {
                database.create(container)?;
                Ok((database, true))
            }
        }
    }

    /// Creates the tables in one transaction: a run that is killed meanwhile leaves an empty file.
    fn create(&self, container: &str) -> Result<(), RecordError> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute_batch(
            "DROP TABLE IF EXISTS about; DROP TABLE IF EXISTS inode; DROP TABLE IF EXISTS further;
             DROP TABLE IF EXISTS attempt;",
        )?;
        transaction.execute_batch(TABLES)?;
        transaction.execute_batch(NEW_TABLES)?;
        self.set_about("container", container)?;
        Ok(transaction.commit()?)
    }

    fn upgrade(&self) -> Result<(), RecordError> {
        let transaction = self.connection.unchecked_transaction()?;
        transaction.execute_batch(FROM_VERSION_1)?;
        transaction.execute_batch(NEW_TABLES)?;
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

    /// Keeps the local file of the row that will be replaced, if it was written from the same blobs.
    fn keep_further(
        &self,
        handle: Filehandle,
        version: u64,
        known: &RecordedInode,
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

fn known(row: &Row<'_>) -> Result<RecordedInode, RecordError> {
    let file_type = FileType::from_ftype(row.get(0)?).ok_or(RecordError::Row)?;
    let kept: Option<i64> = row.get(9)?;
    let stamp: Option<i64> = row.get(10)?;
    Ok(RecordedInode {
        target: TargetAttributes {
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

/// Nanoseconds since 1970. The format's last time is in 2106, the type's in 2262.
fn nanoseconds(time: Timestamp) -> i64 {
    i64::from(time.seconds) * NANOSECONDS + i64::from(time.nanoseconds)
}

fn timestamp(nanoseconds: i64) -> Result<Timestamp, RecordError> {
    let seconds = nanoseconds.div_euclid(NANOSECONDS);
    Ok(Timestamp {
        seconds: u32::try_from(seconds).map_err(|_| RecordError::Row)?,
        // Less than a second.
        nanoseconds: nanoseconds.rem_euclid(NANOSECONDS) as u32,
    })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
