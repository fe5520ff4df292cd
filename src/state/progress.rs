//! The progress of a pass over the entries.
//!
//! A pass takes entries by ascending id, so it has finished all entries up to a cursor except the few that are
//! in flight. The database stores only this: settling an entry does not update its row, and a resume starts at
//! the cursor.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::EntryId;

/// The passes, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Pass {
    /// Inodes with one name, except directories. Runs concurrently with the scan.
    Files,
    /// Inodes with several names. Runs after the scan, when all names are known.
    Links,
    /// Directories, except the root.
    Directories,
}

impl Pass {
    fn number(self) -> i64 {
        match self {
            Pass::Files => 1,
            Pass::Links => 2,
            Pass::Directories => 3,
        }
    }
}

/// The progress of a pass: all ids up to `cursor` are settled, except those in `outstanding`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassProgress {
    /// The highest id that was taken.
    pub cursor: u64,
    /// Entries that were taken and not settled, by ascending id.
    pub outstanding: Vec<EntryId>,
}

impl PassProgress {
    /// Stores the progress in the transaction of the outcomes.
    pub(super) fn store(&self, transaction: &Transaction<'_>, pass: Pass) -> rusqlite::Result<()> {
        let outstanding: Vec<u8> = self
            .outstanding
            .iter()
            .flat_map(|id| id.get().to_le_bytes())
            .collect();
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO pass (pass, cursor, outstanding) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![pass.number(), stored(self.cursor), outstanding])
            .map(drop)
    }

    pub(super) fn load(connection: &Connection, pass: Pass) -> rusqlite::Result<Self> {
        let found = connection
            .prepare_cached("SELECT cursor, outstanding FROM pass WHERE pass = ?1")?
            .query_row([pass.number()], |row| {
                let ids: Vec<u8> = row.get(1)?;
                let (ids, rest) = ids.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(rusqlite::Error::FromSqlConversionFailure(
                        1,
                        rusqlite::types::Type::Blob,
                        "not a list of ids".into(),
                    ));
                }
                Ok(PassProgress {
                    cursor: row::loaded(row.get(0)?),
                    outstanding: ids
                        .iter()
                        .map(|id| EntryId::new(u64::from_le_bytes(*id)))
                        .collect(),
                })
            })
            .optional()?;
        Ok(found.unwrap_or_default())
    }
}

impl Reader {
    /// Returns the progress of a pass as of the last commit.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn progress(&self, pass: Pass) -> Result<PassProgress, StateError> {
        self.query(|connection| PassProgress::load(connection, pass))
    }
}
