//! Entries whose attributes could not be read when their directory was listed.

use rusqlite::params;

use super::recording::{self, UNKNOWN_MODE};
use super::row::{self, stored};
use super::{Reader, State, StateError, problems};
use crate::entry::{EntryId, NewEntry};
use crate::problem::Problem;

/// An entry of which only the name is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownEntry {
    /// Its id.
    pub id: EntryId,
    /// Its directory.
    pub parent: EntryId,
    /// Its name, raw bytes.
    pub name: Vec<u8>,
}

impl Reader {
    /// Returns the next entries after `after` of which only the name is known.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unknown_entries(
        &self,
        after: EntryId,
        at_most: u32,
    ) -> Result<Vec<UnknownEntry>, StateError> {
        self.rows(
            "SELECT entry.id, parent, name FROM problem JOIN entry USING (id)
             WHERE problem.id > ?1 AND mode = ?2 ORDER BY problem.id LIMIT ?3",
            params![stored(after.get()), UNKNOWN_MODE, at_most],
            |row| {
                Ok(UnknownEntry {
                    id: row::id(row, 0)?,
                    parent: row::id(row, 1)?,
                    name: row.get(2)?,
                })
            },
        )
    }
}

impl Reader {
    /// Returns the number of entries of which only the name is known.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unknown_count(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached(
                    "SELECT count(*) FROM problem JOIN entry USING (id) WHERE mode = ?1",
                )?
                .query_row([UNKNOWN_MODE], |row| row.get(0))
                .map(row::loaded)
        })
    }
}

impl State {
    /// Records the attributes of an entry of which only the name was known. Its problem remains until it
    /// is loaded or listed. Returns true if the problem is solved already, as for a further name of an
    /// inode.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn identify(&self, unknown: &UnknownEntry, entry: &NewEntry) -> Result<bool, StateError> {
        self.write(|transaction| {
            transaction
                .prepare_cached("DELETE FROM entry WHERE id = ?1 AND mode = ?2")?
                .execute(params![stored(unknown.id.get()), UNKNOWN_MODE])?;
            recording::record_known(transaction, unknown.id, unknown.parent, entry)?;
            // A further name is loaded with its inode.
            transaction
                .prepare_cached(
                    "DELETE FROM problem WHERE id = ?1 AND EXISTS
                     (SELECT 1 FROM entry WHERE id = ?1 AND owner <> id)",
                )?
                .execute([stored(unknown.id.get())])
                .map(|forgotten| forgotten > 0)
        })
    }

    /// Records a further attempt at an entry whose attributes could not be read.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn still_unknown(&self, id: EntryId, problem: &Problem) -> Result<(), StateError> {
        self.write(|transaction| problems::store(transaction, id, problem).map(drop))
    }
}
