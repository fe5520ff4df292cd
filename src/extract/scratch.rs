//! What a run must remember that does not fit into memory: the names of the directory that is being
//! listed, the first path of every file with several, and which local files with several links were taken
//! for which.
//!
//! A temporary database with a bounded cache: small ones never reach the disk.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clfs_format::Filehandle;
use rusqlite::{Connection, OptionalExtension, params};
use tempfile::TempPath;

use super::folder::FileId;
use super::problem::ExtractError;

/// Pages that stay in memory, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

const TABLES: &str = "
CREATE TABLE name (
    name BLOB PRIMARY KEY,
    taken INTEGER NOT NULL,
    there INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE link (
    handle BLOB PRIMARY KEY,
    path BLOB NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE shared (
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    handle BLOB NOT NULL,
    PRIMARY KEY (device, inode)
) STRICT, WITHOUT ROWID;
";

/// Where a file with several names was written first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstPath {
    /// Components below the destination, with `/` between them.
    pub(super) path: Vec<u8>,
    /// What stood there then.
    pub(super) id: FileId,
}

/// What was known of a name that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Another entry of the directory took it before.
    pub(super) again: bool,
    /// The destination's directory had it.
    pub(super) there: bool,
}

pub(super) struct Scratch {
    connection: Mutex<Connection>,
    folder: PathBuf,
    _file: TempPath,
}

impl Scratch {
    pub(super) fn create(folder: &Path) -> Result<Self, ExtractError> {
        let io = |error| ExtractError::Scratch {
            folder: folder.to_path_buf(),
            error,
        };
        let file = tempfile::Builder::new()
            .prefix(".clfsload-extract-")
            .tempfile_in(folder)
            .map_err(io)?
            .into_temp_path();
        let open = || {
            let connection = Connection::open(&file)?;
            connection.pragma_update(None, "journal_mode", "OFF")?;
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.execute_batch(TABLES)?;
            // Never committed: nothing of it outlives the run.
            connection.execute_batch("BEGIN")?;
            Ok(connection)
        };
        let connection =
            open().map_err(|error| io(std::io::Error::other::<rusqlite::Error>(error)))?;
        Ok(Self {
            connection: Mutex::new(connection),
            folder: folder.to_path_buf(),
            _file: file,
        })
    }

    /// Another directory is listed from now on.
    pub(super) fn forget_names(&self) -> Result<(), ExtractError> {
        self.with(|connection| {
            connection
                .prepare_cached("DELETE FROM name")?
                .execute([])
                .map(drop)
        })
    }

    /// Notes a name that the destination's directory has.
    pub(super) fn note_there(&self, name: &[u8]) -> Result<(), ExtractError> {
        self.with(|connection| {
            let sql = "INSERT OR IGNORE INTO name VALUES (?1, 0, 1)";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![name]).map(drop)
        })
    }

    /// Takes a name of the directory that is being listed.
    pub(super) fn take_name(&self, name: &[u8]) -> Result<Taken, ExtractError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "INSERT INTO name VALUES (?1, 1, 0)
                 ON CONFLICT (name) DO UPDATE SET taken = taken + 1 RETURNING taken, there",
            )?;
            statement.query_row(params![name], |row| {
                Ok(Taken {
                    again: row.get::<_, i64>(0)? > 1,
                    there: row.get(1)?,
                })
            })
        })
    }

    /// The first path of a file.
    pub(super) fn first_path(&self, handle: Filehandle) -> Result<Option<FirstPath>, ExtractError> {
        self.with(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT path, device, inode FROM link WHERE handle = ?1")?;
            statement
                .query_row(params![handle.as_bytes()], |row| {
                    Ok(FirstPath {
                        path: row.get(0)?,
                        id: FileId {
                            device: row.get::<_, i64>(1)? as u64,
                            inode: row.get::<_, i64>(2)? as u64,
                        },
                    })
                })
                .optional()
        })
    }

    /// Remembers where further names of a file can be linked from.
    pub(super) fn set_first_path(
        &self,
        handle: Filehandle,
        first: &FirstPath,
    ) -> Result<(), ExtractError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("INSERT OR REPLACE INTO link VALUES (?1, ?2, ?3, ?4)")?;
            let FileId { device, inode } = first.id;
            statement
                .execute(params![
                    handle.as_bytes(),
                    first.path,
                    device as i64,
                    inode as i64
                ])
                .map(drop)
        })
    }

    /// Takes a local file with several links for one file of the container; false when it was taken
    /// for another one: two files of the container must not be one here.
    pub(super) fn take_shared(&self, id: FileId, handle: Filehandle) -> Result<bool, ExtractError> {
        self.with(|connection| {
            let place = params![id.device as i64, id.inode as i64, handle.as_bytes()];
            connection
                .prepare_cached("INSERT OR IGNORE INTO shared VALUES (?1, ?2, ?3)")?
                .execute(place)?;
            connection
                .prepare_cached("SELECT handle = ?3 FROM shared WHERE device = ?1 AND inode = ?2")?
                .query_row(place, |row| row.get(0))
        })
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ExtractError> {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        call(&connection).map_err(|error| ExtractError::Scratch {
            folder: self.folder.clone(),
            error: std::io::Error::other(error),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_in_each_directory() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path()).unwrap();
        for _ in 0..2 {
            scratch.note_there(b"a").unwrap();
            let take = |name: &[u8]| {
                let taken = scratch.take_name(name).unwrap();
                (taken.again, taken.there)
            };
            assert_eq!(take(b"a\xff"), (false, false));
            assert_eq!(take(b"a"), (false, true));
            assert_eq!(take(b"a\xff"), (true, false));
            scratch.forget_names().unwrap();
        }
        drop(scratch);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_local_file_is_one_file_of_the_container() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path()).unwrap();
        let id = |device| FileId { device, inode: 7 };
        for _ in 0..2 {
            assert!(scratch.take_shared(id(1), Filehandle::ROOT).unwrap());
            assert!(!scratch.take_shared(id(1), Filehandle::NULL).unwrap());
            assert!(scratch.take_shared(id(2), Filehandle::NULL).unwrap());
        }
    }

    #[test]
    fn the_path_set_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path()).unwrap();
        assert_eq!(scratch.first_path(Filehandle::ROOT).unwrap(), None);
        for path in [&b"a/\xff"[..], b"b"] {
            let id = FileId {
                device: u64::MAX,
                inode: 7,
            };
            let path = path.to_vec();
            let first = FirstPath { path, id };
            scratch.set_first_path(Filehandle::ROOT, &first).unwrap();
            assert_eq!(scratch.first_path(Filehandle::ROOT).unwrap(), Some(first));
        }
    }
}
