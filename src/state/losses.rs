//! Which entries have attributes that a load loses: only those have a row.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::counter::{Counter, Increments};
use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::EntryId;
use crate::loss::{Loss, Losses, Lost};

/// The table; `kinds` is a set of bits, those of [`Losses`].
pub(super) const TABLE: &str = "
CREATE TABLE loss (
    id INTEGER PRIMARY KEY,
    kinds INTEGER NOT NULL
) STRICT;
";

/// Stores the losses of a new entry.
pub(super) fn record(
    transaction: &Transaction<'_>,
    id: EntryId,
    losses: Losses,
    increments: &mut Increments,
) -> rusqlite::Result<()> {
    if losses.is_empty() {
        return Ok(());
    }
    for loss in losses.iter() {
        increments.add(Counter::Lost(loss), 1);
    }
    transaction
        .prepare_cached("INSERT INTO loss (id, kinds) VALUES (?1, ?2)")?
        .execute(params![stored(id.get()), losses.bits()])
        .map(drop)
}

/// Stores the losses of an entry that was examined again, and counts what came and went.
pub(super) fn refresh(
    transaction: &Transaction<'_>,
    id: EntryId,
    losses: Losses,
) -> rusqlite::Result<()> {
    let before = transaction
        .prepare_cached("SELECT kinds FROM loss WHERE id = ?1")?
        .query_row([stored(id.get())], |row| row.get(0).map(Losses::from_bits))
        .optional()?
        .unwrap_or_default();
    if before == losses {
        return Ok(());
    }
    transaction
        .prepare_cached("DELETE FROM loss WHERE id = ?1")?
        .execute([stored(id.get())])?;
    let mut increments = Increments::default();
    record(transaction, id, losses, &mut increments)?;
    increments.store(transaction)?;
    for loss in before.iter() {
        Counter::Lost(loss).decrement(transaction)?;
    }
    Ok(())
}

impl Reader {
    /// What entries lose, each kind with the path of the first; kinds that none loses are left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lost(&self) -> Result<Vec<Lost>, StateError> {
        let totals = self.totals()?;
        let lost = Loss::ALL.into_iter().filter_map(|loss| {
            let entries = totals.get(Counter::Lost(loss));
            (entries > 0).then(|| {
                let first = match self.first_with_loss(loss, 1)?.first() {
                    Some(id) => self.path(*id)?.join(&b'/'),
                    None => Vec::new(),
                };
                Ok(Lost {
                    loss,
                    entries,
                    first,
                })
            })
        });
        lost.collect()
    }

    /// The first entries with this loss, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn first_with_loss(&self, loss: Loss, at_most: u32) -> Result<Vec<EntryId>, StateError> {
        // A database of an earlier version that is only looked at has no such table.
        if !self.query(has_table)? {
            return Ok(Vec::new());
        }
        self.rows(
            "SELECT id FROM loss WHERE kinds & ?1 ORDER BY id LIMIT ?2",
            params![Losses::from(loss).bits(), at_most],
            |row| row::id(row, 0),
        )
    }
}

fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    connection.table_exists(None, "loss")
}
