//! Entries that have attributes that a load loses. Only those have a row.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::counter::{Counter, Increments};
use super::row::{self, stored};
use super::{Reader, StateError};
use crate::entry::EntryId;
use crate::loss::{Loss, Losses, Lost};

/// The table; `kinds` is a set of the bits of [`Losses`].
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

/// Stores the losses of an entry whose attributes were read again, and of the further names of its inode.
pub(super) fn refresh(
    transaction: &Transaction<'_>,
    id: EntryId,
    losses: Losses,
) -> rusqlite::Result<()> {
    refresh_name(transaction, id, losses)?;
    let mut names = transaction
        .prepare_cached("SELECT id FROM link WHERE owner = ?1 AND id <> owner ORDER BY id")?;
    let mut names = names.query([stored(id.get())])?;
    while let Some(name) = names.next()? {
        refresh_name(transaction, row::id(name, 0)?, losses)?;
    }
    Ok(())
}

fn refresh_name(
    transaction: &Transaction<'_>,
    id: EntryId,
    losses: Losses,
) -> rusqlite::Result<()> {
    let before = load(transaction, id)?;
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

fn load(connection: &Connection, id: EntryId) -> rusqlite::Result<Losses> {
    connection
        .prepare_cached("SELECT kinds FROM loss WHERE id = ?1")?
        .query_row([stored(id.get())], |row| row.get(0).map(Losses::from_bits))
        .optional()
        .map(Option::unwrap_or_default)
}

/// A row of `problem` whose entry is not in the container. The directory of a partial listing is, with
/// what was listed (see [`Reader::directory_entries`]).
const NOT_STORED: &str = "NOT EXISTS (SELECT 1 FROM extent WHERE extent.directory = problem.id)";

/// Returns the sets of losses of entries that are not in the container, each with the number of these entries.
fn not_stored(connection: &Connection) -> rusqlite::Result<Vec<(Losses, u64)>> {
    // A problem of an inode with several names belongs to its owner, and concerns all names.
    let query = format!(
        "SELECT kinds, count(*) FROM problem
         JOIN entry ON entry.id = problem.id AND coalesce(entry.owner, entry.id) = entry.id
         LEFT JOIN link ON link.owner = problem.id
         JOIN loss ON loss.id = coalesce(link.id, problem.id)
         WHERE {NOT_STORED} GROUP BY kinds"
    );
    connection
        .prepare_cached(&query)?
        .query_map([], |row| {
            Ok((
                row.get(0).map(Losses::from_bits)?,
                row.get(1).map(row::loaded)?,
            ))
        })?
        .collect()
}

impl Reader {
    /// Returns the losses of an entry.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn losses(&self, id: EntryId) -> Result<Losses, StateError> {
        self.query(|connection| load(connection, id))
    }

    /// Returns the losses of the entries, each kind with the path of the first entry. Entries with a problem do not
    /// count, because they are not stored. Kinds that no entry loses are absent.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lost(&self) -> Result<Vec<Lost>, StateError> {
        // A database of an earlier version that is only read has no such table.
        if !self.query(has_table)? {
            return Ok(Vec::new());
        }
        let totals = self.totals()?;
        let not_stored = self.query(not_stored)?;
        let lost = Loss::ALL.into_iter().filter_map(|loss| {
            let failed = not_stored.iter().filter(|(losses, _)| losses.has(loss));
            let failed: u64 = failed.map(|(_, entries)| entries).sum();
            let entries = totals.get(Counter::Lost(loss)).saturating_sub(failed);
            (entries > 0).then(|| {
                let first = match self.first_with_loss(loss, 1)?.first() {
                    Some(id) => self.path(*id)?,
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

    /// Returns the first entries with this loss that have no problem, in the order of their ids.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn first_with_loss(&self, loss: Loss, at_most: u32) -> Result<Vec<EntryId>, StateError> {
        if !self.query(has_table)? {
            return Ok(Vec::new());
        }
        self.rows(
            &format!(
                "SELECT id FROM loss WHERE kinds & ?1 AND NOT EXISTS
                 (SELECT 1 FROM entry JOIN problem ON problem.id = coalesce(entry.owner, entry.id)
                  WHERE entry.id = loss.id AND {NOT_STORED})
                 ORDER BY id LIMIT ?2"
            ),
            params![Losses::from(loss).bits(), at_most],
            |row| row::id(row, 0),
        )
    }
}

fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    connection.table_exists(None, "loss")
}
