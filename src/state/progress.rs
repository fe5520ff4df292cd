//! How far a pass over the entries is.
//!
//! A pass takes entries by ascending id, so what it has finished is everything up to a cursor
//! except the few that are still on their way. That is all the database keeps of it: no column
//! per entry changes when an entry is done, and a resume begins at the cursor.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::EntryId;

/// The passes, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Pass {
    /// Everything but directories that has an inode of its own; runs beside the scan.
    Files,
    /// Inodes with several names; after the scan, when all names are known.
    Links,
    /// Directories but the root.
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

/// Where a pass stands: every id up to `cursor` is settled but those in `outstanding`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PassProgress {
    /// The highest id taken.
    pub cursor: u64,
    /// Taken and not settled, ascending.
    pub outstanding: Vec<EntryId>,
}

impl PassProgress {
    /// Stores the progress with the outcomes that brought it here.
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
    /// Where a pass stood at the last commit.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn progress(&self, pass: Pass) -> Result<PassProgress, StateError> {
        self.query(|connection| PassProgress::load(connection, pass))
    }
}
