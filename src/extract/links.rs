//! The hard links of a run: the first path of each file with several names, and which existing files with
//! several links were matched with which file of the container.
//!
//! A temporary database with a bounded cache. Small ones never reach the disk.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use clfs_format::Filehandle;
use rusqlite::{Connection, OptionalExtension, params};
use tempfile::TempPath;

use super::folder::FileId;
use super::problem::ExtractError;

/// Cached pages, in KiB.
const CACHE_KIB: i64 = 16 * 1024;

const TABLES: &str = "
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

/// The first name under which a file with several names was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FirstPath {
    /// Components below the destination, separated by `/`.
    pub(super) path: Vec<u8>,
    /// The local file.
    pub(super) id: FileId,
}

pub(super) struct Links {
    connection: Mutex<Connection>,
    folder: PathBuf,
    _file: TempPath,
}

impl Links {
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
            // Never committed: the data is not needed after the run.
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

    /// Returns the first path of a file.
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

    /// Stores the path to which further names of a file can be linked.
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

    /// Matches an existing file with several links with a file of the container. False if it was matched with
    /// another one: two files of the container must not be one file in the destination.
    pub(super) fn match_shared(
        &self,
        id: FileId,
        handle: Filehandle,
    ) -> Result<bool, ExtractError> {
        self.with(|connection| {
            let row = params![id.device as i64, id.inode as i64, handle.as_bytes()];
            connection
                .prepare_cached("INSERT OR IGNORE INTO shared VALUES (?1, ?2, ?3)")?
                .execute(row)?;
            connection
                .prepare_cached("SELECT handle = ?3 FROM shared WHERE device = ?1 AND inode = ?2")?
                .query_row(row, |row| row.get(0))
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
    fn a_local_file_matches_one_file_of_the_container() {
        let folder = tempfile::tempdir().unwrap();
        let links = Links::create(folder.path()).unwrap();
        let id = |device| FileId { device, inode: 7 };
        for _ in 0..2 {
            assert!(links.match_shared(id(1), Filehandle::ROOT).unwrap());
            assert!(!links.match_shared(id(1), Filehandle::NULL).unwrap());
            assert!(links.match_shared(id(2), Filehandle::NULL).unwrap());
        }
    }

    #[test]
    fn the_path_set_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let links = Links::create(folder.path()).unwrap();
        assert_eq!(links.first_path(Filehandle::ROOT).unwrap(), None);
        for path in [&b"a/\xff"[..], b"b"] {
            let id = FileId {
                device: u64::MAX,
                inode: 7,
            };
            let path = path.to_vec();
            let first = FirstPath { path, id };
            links.set_first_path(Filehandle::ROOT, &first).unwrap();
            assert_eq!(links.first_path(Filehandle::ROOT).unwrap(), Some(first));
        }
    }
}
