//! Queries for the next work of the scan and of each pass.

use rusqlite::params;

use super::mounts::{self, MOUNT_COLUMNS};
use super::reader::Reader;
use super::row::{self, ENTRY_COLUMNS, stored};
use super::{Pass, StateError};
use crate::entry::{Entry, EntryId, KnownDirectory, Place};

/// A directory to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlisted {
    /// Its id.
    pub id: EntryId,
    /// Its location and its recorded identity.
    pub place: Place,
    /// The last recorded name of a directory that was listed in part.
    pub after: Option<Vec<u8>>,
}

/// The next entries of a pass.
#[derive(Debug)]
pub struct FileBatch {
    /// Entries to load, by ascending id.
    pub entries: Vec<Entry>,
    /// The highest id that the batch covers. Other entries up to it are not part of the pass.
    pub cursor: u64,
}

/// `S_IFMT` and `S_IFDIR`, as inode(7) gives them.
const IS_DIRECTORY: &str = "(mode & 0xf000) = 0x4000";

impl Reader {
    /// Returns the next directories to list, by ascending id. Includes failed ones only with `retry`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn next_unlisted(
        &self,
        after: u64,
        at_most: u32,
        retry: bool,
    ) -> Result<Vec<Unlisted>, StateError> {
        let known_from = self.mounts_known_from()?;
        self.rows(
            &format!(
                "SELECT {}, {MOUNT_COLUMNS},
                 (SELECT last.name FROM entry AS last WHERE last.id =
                  (SELECT first + count - 1 FROM extent WHERE extent.directory = directory.id
                   ORDER BY first DESC LIMIT 1))
                 FROM directory JOIN entry ON entry.id = directory.id
                 LEFT JOIN mount ON mount.entry = directory.id
                 WHERE directory.id > ?1 AND listed = 0
                 AND (?3 OR NOT EXISTS (SELECT 1 FROM problem WHERE problem.id = directory.id))
                 ORDER BY directory.id LIMIT ?2",
                row::columns_of_entry()
            ),
            params![stored(after), at_most, retry],
            |row| {
                let entry = row::entry(row)?;
                // The columns of an entry are 0 to 11.
                let mounted = mounts::mount(row, 12, entry.id, known_from)?;
                Ok(Unlisted {
                    id: entry.id,
                    place: Place {
                        parent: entry.parent,
                        name: entry.name,
                        known: Some(KnownDirectory {
                            attributes: entry.attributes,
                            mounted,
                        }),
                    },
                    after: row.get(15)?,
                })
            },
        )
    }

    /// Returns the number of entries that may hide further names: directories that are not listed, and entries that
    /// were never examined.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn unexplored_count(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM directory WHERE listed = 0")?
                .query_row([], |row| row.get(0))
                .map(row::loaded)
        })
        .and_then(|unlisted| Ok(unlisted + self.unknown_count()?))
    }

    /// Returns the next entries for [`Pass::Files`](super::Pass::Files).
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn next_files(&self, after: u64, at_most: u32) -> Result<FileBatch, StateError> {
        self.batch(
            &format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE id > ?1 AND owner IS NULL
                 AND mode <> 0 AND NOT {IS_DIRECTORY} ORDER BY id LIMIT ?2"
            ),
            "SELECT max(id) FROM entry",
            after,
            at_most,
        )
    }

    /// Returns the next entries for [`Pass::Links`](super::Pass::Links).
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn next_inodes(&self, after: u64, at_most: u32) -> Result<FileBatch, StateError> {
        self.batch(
            &format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE id IN
                 (SELECT owner FROM inode WHERE owner > ?1 ORDER BY owner LIMIT ?2) ORDER BY id"
            ),
            "SELECT max(owner) FROM inode",
            after,
            at_most,
        )
    }

    /// Returns the next entries for [`Pass::Directories`](super::Pass::Directories): directories that are listed at
    /// least in part.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn next_directories(&self, after: u64, at_most: u32) -> Result<FileBatch, StateError> {
        self.batch(
            &format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE id IN
                 (SELECT id FROM directory WHERE id > max(?1, {}) AND (listed = 1 OR EXISTS
                  (SELECT 1 FROM extent WHERE extent.directory = directory.id))
                  ORDER BY id LIMIT ?2) ORDER BY id",
                EntryId::ROOT
            ),
            "SELECT max(id) FROM directory",
            after,
            at_most,
        )
    }

    /// Entries of a pass that failed in an earlier run, up to the entry `end`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn failed_entries(
        &self,
        pass: Pass,
        after: EntryId,
        end: u64,
        at_most: u32,
    ) -> Result<Vec<Entry>, StateError> {
        let of_pass = match pass {
            Pass::Files => format!("owner IS NULL AND mode <> 0 AND NOT {IS_DIRECTORY}"),
            Pass::Links => "owner = id".to_owned(),
            // The scan retries directories.
            Pass::Directories => return Ok(Vec::new()),
        };
        self.rows(
            &format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE id IN
                 (SELECT id FROM problem WHERE id > ?1 AND id <= ?2) AND {of_pass}
                 ORDER BY id LIMIT ?3"
            ),
            params![stored(after.get()), stored(end), at_most],
            row::entry,
        )
    }

    /// Returns the failed directories that are not listed.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn failed_directories(
        &self,
        after: EntryId,
        at_most: u32,
    ) -> Result<Vec<Entry>, StateError> {
        self.rows(
            &format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE id IN
                 (SELECT problem.id FROM problem JOIN directory USING (id)
                  WHERE listed = 0 AND problem.id > ?1 ORDER BY problem.id LIMIT ?2)
                 ORDER BY id"
            ),
            params![stored(after.get()), at_most],
            row::entry,
        )
    }

    fn batch(
        &self,
        next: &str,
        highest: &str,
        after: u64,
        at_most: u32,
    ) -> Result<FileBatch, StateError> {
        // The end is read first, so that an entry that is committed meanwhile is in the next batch.
        let end: Option<i64> = self.query(|connection| {
            connection
                .prepare_cached(highest)?
                .query_row([], |row| row.get(0))
        })?;
        let entries = self.rows(next, params![stored(after), at_most], row::entry)?;
        let last = entries.last().map(|entry| entry.id.get());
        let cursor = match last {
            Some(last) if entries.len() as u64 >= u64::from(at_most) => last,
            _ => last
                .unwrap_or(after)
                .max(end.map_or(0, row::loaded))
                .max(after),
        };
        Ok(FileBatch { entries, cursor })
    }
}
