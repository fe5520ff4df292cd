//! Queries of a survey: all rows, groups of hard links, sizes of tables.

use rusqlite::{OptionalExtension, Row, params};

use clfs_format::limits::LINKS;

use super::row::{self, ENTRY_COLUMNS, stored};
use super::{Reader, StateError};
use crate::entry::{Entry, EntryId};
use crate::problem::Reason;

/// An entry with known attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyRow {
    /// The entry.
    pub entry: Entry,
    /// Whether another entry owns its inode.
    pub is_further_name: bool,
}

fn survey_row(row: &Row<'_>) -> rusqlite::Result<SurveyRow> {
    let entry = row::entry(row)?;
    // The columns of an entry are 0 to 11.
    let owner: Option<i64> = row.get(12)?;
    Ok(SurveyRow {
        is_further_name: owner.is_some_and(|owner| owner != stored(entry.id.get())),
        entry,
    })
}

/// Totals of the inodes with several names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkGroups {
    /// The number of inodes.
    pub groups: u64,
    /// The number of their names.
    pub names: u64,
    /// Bytes of the regular files among them, each counted once.
    pub bytes_once: u64,
    /// Bytes of the regular files among them, counted for each name.
    pub bytes_all: u64,
    /// Inodes with more names than the format allows for one object.
    pub over_limit: u64,
    /// The first of these inodes.
    pub first_over_limit: Vec<EntryId>,
}

/// The size of the database in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// The database without its write-ahead log.
    pub total_bytes: u64,
    /// The tables that are only needed to preserve hard links.
    pub links: u64,
}

impl Reader {
    /// Returns the next entries after `after` whose attributes are known, in the order of their ids. The entries of a
    /// directory that was listed without interruption are consecutive.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn survey_rows(&self, after: EntryId, at_most: u32) -> Result<Vec<SurveyRow>, StateError> {
        self.rows(
            &format!(
                "SELECT {ENTRY_COLUMNS}, owner FROM entry WHERE id > ?1 AND mode <> 0
                 ORDER BY id LIMIT ?2"
            ),
            params![stored(after.get()), at_most],
            survey_row,
        )
    }

    /// Returns the next directories after `after` without entries whose attributes are known.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn empty_directories(
        &self,
        after: EntryId,
        at_most: u32,
    ) -> Result<Vec<Entry>, StateError> {
        self.rows(
            &format!(
                "SELECT {ENTRY_COLUMNS} FROM entry WHERE id IN
                 (SELECT id FROM directory WHERE id > ?1 AND NOT EXISTS
                  (SELECT 1 FROM extent JOIN entry AS child
                   ON child.id >= first AND child.id < first + count AND child.mode <> 0
                   WHERE extent.directory = directory.id)
                  ORDER BY id LIMIT ?2) ORDER BY id"
            ),
            params![stored(after.get()), at_most],
            row::entry,
        )
    }

    /// Returns the entry with the highest id. After an uninterrupted scan, it is one of the deepest.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn last_entry(&self) -> Result<Option<EntryId>, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT max(id) FROM entry")?
                .query_row([], |row| row.get::<_, Option<i64>>(0))
        })
        .map(|last| last.map(|last| EntryId::new(row::loaded(last))))
    }

    /// Totals of the inodes with several names, and up to `at_most` of those with too many. All 0 unless hard
    /// links are preserved.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn link_groups(&self, at_most: usize) -> Result<LinkGroups, StateError> {
        let mut found = LinkGroups::default();
        self.query(|connection| {
            // Grouped in the order of the index `inode_key`, so that SQLite does not sort.
            let mut groups = connection.prepare_cached(
                "SELECT sum(links), max(CASE mode & 0xf000 WHEN 0x8000 THEN size ELSE 0 END),
                        min(inode.owner)
                 FROM inode JOIN entry ON entry.id = inode.owner
                 GROUP BY inode.file_system, inode.device, inode.inode, inode.ctime
                 HAVING sum(links) > 1",
            )?;
            let mut rows = groups.query([])?;
            while let Some(row) = rows.next()? {
                let names = row::loaded(row.get(0)?);
                let size = row::loaded(row.get(1)?);
                found.groups += 1;
                found.names += names;
                found.bytes_once = found.bytes_once.saturating_add(size);
                found.bytes_all = found.bytes_all.saturating_add(size.saturating_mul(names));
                if names > LINKS as u64 {
                    found.over_limit += 1;
                    if found.first_over_limit.len() < at_most {
                        found.first_over_limit.push(row::id(row, 2)?);
                    }
                }
            }
            Ok(found)
        })
    }

    /// Returns the number of entries that failed for a reason, and the first of them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn problems_of(
        &self,
        reason: Reason,
        at_most: u32,
    ) -> Result<(u64, Vec<EntryId>), StateError> {
        let count = self.query(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM problem WHERE reason = ?1")?
                .query_row([reason.code()], |row| row.get(0))
                .map(row::loaded)
        })?;
        let first = self.rows(
            "SELECT id FROM problem WHERE reason = ?1 ORDER BY id LIMIT ?2",
            params![reason.code(), at_most],
            |row| row::id(row, 0),
        )?;
        Ok((count, first))
    }

    /// Returns the size of the database.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn database_size(&self) -> Result<DatabaseSize, StateError> {
        self.query(|connection| {
            let number = |pragma| -> rusqlite::Result<u64> {
                let number = connection.pragma_query_value(None, pragma, |row| row.get(0))?;
                Ok(row::loaded(number))
            };
            let total_bytes = number("page_count")?.saturating_mul(number("page_size")?);
            let links: Option<i64> = connection
                .prepare_cached(
                    "SELECT sum(pgsize) FROM dbstat WHERE name IN ('inode', 'inode_key', 'link')",
                )?
                .query_row([], |row| row.get(0))
                .optional()?
                .flatten();
            Ok(DatabaseSize {
                total_bytes,
                links: links.map_or(0, row::loaded),
            })
        })
    }
}
