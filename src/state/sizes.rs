//! The sizes of the regular files of a transfer.

use rusqlite::params;

use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::EntryId;

/// Rows of one query. While a query runs, SQLite cannot restart the write-ahead log, which a concurrent load
/// makes grow.
const ROWS: u32 = 1 << 16;

impl Reader {
    /// Calls `seen` with the size of each known regular file, once for each hard-linked inode. Reads all entries,
    /// some millions per second.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn visit_sizes(&self, mut seen: impl FnMut(u64)) -> Result<(), StateError> {
        let mut after = EntryId::new(0);
        while let Some(last) = self.visit_sizes_after(after, ROWS, &mut seen)? {
            after = last;
        }
        Ok(())
    }

    /// Visits up to `at_most` entries after `after`, and returns the last one.
    fn visit_sizes_after(
        &self,
        after: EntryId,
        at_most: u32,
        seen: &mut impl FnMut(u64),
    ) -> Result<Option<EntryId>, StateError> {
        self.query(|connection| {
            // 0x8000 is S_IFREG (inode(7)).
            let mut statement = connection.prepare_cached(
                "SELECT id, size, (mode & 0xf000) = 0x8000 AND (owner IS NULL OR owner = id)
                 FROM entry WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = statement.query(params![stored(after.get()), at_most])?;
            let mut last = None;
            while let Some(row) = rows.next()? {
                last = Some(row::id(row, 0)?);
                if row.get(2)? {
                    seen(row::loaded(row.get(1)?));
                }
            }
            Ok(last)
        })
    }
}
