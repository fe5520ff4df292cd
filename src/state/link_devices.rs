//! Devices of hard links that are not on the device of their directory.

use rusqlite::params;

use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::{Entry, EntryId};

impl Reader {
    /// Returns the numbers of the devices of `file_system` that have recorded links, without 0, which is the
    /// device of its directories.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn link_devices(&self, file_system: EntryId) -> Result<Vec<u64>, StateError> {
        // One seek in the index for each device: DISTINCT would read a row for each inode.
        self.rows(
            "WITH RECURSIVE found (device) AS (
                 SELECT min(device) FROM inode WHERE file_system = ?1
                 UNION ALL
                 SELECT (SELECT min(inode.device) FROM inode
                         WHERE file_system = ?1 AND inode.device > found.device)
                 FROM found WHERE device IS NOT NULL)
             SELECT device FROM found WHERE device <> 0",
            [stored(file_system.get())],
            |row| row.get(0).map(row::loaded),
        )
    }

    /// Returns the first names of files on one of these devices.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn names_on_device(
        &self,
        file_system: EntryId,
        device: u64,
        at_most: u32,
    ) -> Result<Vec<Entry>, StateError> {
        self.rows(
            &format!(
                "SELECT {} FROM inode JOIN link ON link.owner = inode.owner
                 JOIN entry ON entry.id = link.id
                 WHERE inode.file_system = ?1 AND inode.device = ?2
                 ORDER BY inode.inode, inode.ctime, inode.owner, link.id LIMIT ?3",
                row::columns_of_entry()
            ),
            params![stored(file_system.get()), stored(device), at_most],
            row::entry,
        )
    }
}
