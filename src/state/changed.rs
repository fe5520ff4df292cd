//! Files that changed while they were read and are stored nevertheless.

use rusqlite::{Connection, Transaction, params};

use super::row::{self, stored};
use super::{Reader, Settlement, StateError};
use crate::entry::EntryId;

/// The table: since schema 2.
pub(super) const TABLE: &str = "CREATE TABLE changed (id INTEGER PRIMARY KEY) STRICT;";

/// Records for each entry of a settlement whether it changed while it was read.
pub(super) fn settle(
    transaction: &Transaction<'_>,
    settlement: &Settlement,
) -> rusqlite::Result<()> {
    let is_changed = settlement.done.iter().filter(|settled| settled.changed);
    // The table is nearly always empty: few files change, and few of these are uploaded again.
    let any: bool = transaction
        .prepare_cached("SELECT 1 FROM changed LIMIT 1")?
        .exists([])?;
    if any {
        let unchanged = settlement.done.iter().filter(|settled| !settled.changed);
        let unchanged = unchanged.map(|settled| settled.id);
        for id in unchanged.chain(settlement.failed.iter().map(|(id, _)| *id)) {
            transaction
                .prepare_cached("DELETE FROM changed WHERE id = ?1")?
                .execute([stored(id.get())])?;
        }
    }
    for settled in is_changed {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO changed (id) VALUES (?1)")?
            .execute([stored(settled.id.get())])?;
    }
    Ok(())
}

/// Returns whether the database has the table. A database of schema 1 that is only read does not.
fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    connection.table_exists(None, "changed")
}

impl Reader {
    /// Returns the number of files that changed while they were read and are stored.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn changed_count(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            if !has_table(connection)? {
                return Ok(0);
            }
            connection
                .prepare_cached("SELECT count(*) FROM changed")?
                .query_row([], |row| row.get(0))
                .map(row::loaded)
        })
    }

    /// Returns the next of these files after `after`, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn changed(&self, after: EntryId, at_most: u32) -> Result<Vec<EntryId>, StateError> {
        if !self.query(has_table)? {
            return Ok(Vec::new());
        }
        self.rows(
            "SELECT id FROM changed WHERE id > ?1 ORDER BY id LIMIT ?2",
            params![stored(after.get()), at_most],
            |row| row::id(row, 0),
        )
    }
}
