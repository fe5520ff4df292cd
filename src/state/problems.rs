//! Entries that could not be loaded, and why.

use rusqlite::{Connection, Row, Transaction, params};
use sha2::{Digest, Sha256};

use super::row::{self, stored};
use super::{Counter, Pass, PassProgress, Reader, State, StateError, Subtree, settings, subtrees};
use crate::entry::EntryId;
use crate::problem::{Problem, Reason};

/// A problem as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProblem {
    /// The entry.
    pub id: EntryId,
    /// Why it failed the last time.
    pub problem: Problem,
    /// How many runs it failed in.
    pub attempt: u32,
    /// What is missing beside it.
    pub subtree: Option<Subtree>,
}

impl StoredProblem {
    /// From a row of [`stored_columns`].
    fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredProblem> {
        let reason: String = row.get(1)?;
        let reason = Reason::from_code(&reason).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(
                1,
                rusqlite::types::Type::Text,
                format!("unknown reason {reason}").into(),
            )
        })?;
        Ok(StoredProblem {
            id: row::id(row, 0)?,
            problem: Problem {
                reason,
                errno: row.get(2)?,
            },
            attempt: row.get(3)?,
            subtree: Subtree::from_column(row.get(4)?),
        })
    }
}

fn stored_columns() -> String {
    format!(
        "id, reason, errno, attempt, {} AS subtree",
        subtrees::COLUMN
    )
}

/// Notes a problem, or its latest reason and one attempt more. True where there was none before.
pub(super) fn store(
    transaction: &Transaction<'_>,
    id: EntryId,
    problem: &Problem,
) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached(
            "INSERT INTO problem (id, reason, errno, attempt) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT (id) DO UPDATE SET reason = excluded.reason, errno = excluded.errno,
                                            attempt = attempt + 1
             RETURNING attempt",
        )?
        .query_row(
            params![stored(id.get()), problem.reason.code(), problem.errno],
            |row| row.get(0),
        )
        .map(|attempt: u32| attempt == 1)
}

/// Forgets the problem of an entry that is well now, and returns how many that were: one or none. A
/// directory is only when it is listed whole, even if what was listed of it is in the container.
pub(super) fn solved(connection: &Connection, id: EntryId) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "DELETE FROM problem WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM directory WHERE id = ?1 AND listed = 0)",
        )?
        .execute([stored(id.get())])
        .map(|forgotten| forgotten as u64)
}

/// Whether there is any: mostly there is none to forget.
pub(super) fn any(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM problem LIMIT 1")?
        .exists([])
}

impl State {
    /// Notes that a directory could not be listed. True where it had no problem before.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn listing_failed(
        &self,
        directory: EntryId,
        problem: &Problem,
    ) -> Result<bool, StateError> {
        self.write(|transaction| store(transaction, directory, problem))
    }
}

impl State {
    /// Begins the directories' pass for the problems there are now: directories that were put
    /// without other entries than these are put again.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub fn begin_directories(&self) -> Result<(), StateError> {
        self.write(|transaction| {
            let mut hash = Sha256::new();
            let mut left_out = transaction.prepare("SELECT id FROM problem ORDER BY id")?;
            let mut rows = left_out.query([])?;
            while let Some(row) = rows.next()? {
                hash.update(row.get::<_, i64>(0)?.to_le_bytes());
            }
            // Entries found since then belong to directories that may have been put without them.
            let last: Option<i64> =
                transaction.query_row("SELECT max(id) FROM entry", [], |row| row.get(0))?;
            hash.update(last.unwrap_or_default().to_le_bytes());
            let digest = hash.finalize();
            if settings::left_out(transaction)?.as_deref() == Some(digest.as_slice()) {
                return Ok(());
            }
            settings::set_left_out(transaction, digest.as_slice())?;
            PassProgress::default().store(transaction, Pass::Directories)
        })
    }
}

impl Reader {
    /// How many entries have a problem.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn problem_count(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM problem")?
                .query_row([], |row| row.get(0))
                .map(row::loaded)
        })
    }

    /// Bytes of the regular files that have a problem, further names left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn problem_bytes(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                // `sum` would fail where sparse files have more than 63 bits together. The type bits
                // are those of inode(7).
                .prepare_cached(
                    "SELECT total(size) FROM problem JOIN entry USING (id)
                     WHERE (mode & 0xf000) = 0x8000 AND (owner IS NULL OR owner = id)",
                )?
                .query_row([], |row| row.get(0))
                .map(|bytes: f64| bytes as u64)
        })
    }

    /// How many further names of files are in the container with their inodes. Those of inodes that
    /// are on their way are not among them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn links_done(&self) -> Result<u64, StateError> {
        let progress = self.progress(Pass::Links)?;
        let found = self.totals()?.get(Counter::FoundLinks);
        if found == 0 || progress.cursor == 0 {
            return Ok(0);
        }
        self.query(|connection| {
            let count = |sql: &str, owner: u64| {
                connection
                    .prepare_cached(sql)?
                    .query_row([stored(owner)], |row| row.get(0))
                    .map(row::loaded)
            };
            // Few, or none any more: not all that are done need be counted.
            let mut missing = count(
                "SELECT count(*) FROM link WHERE owner > ?1 AND id <> owner",
                progress.cursor,
            )? + count(
                "SELECT count(*) FROM problem JOIN link ON owner = problem.id
                 WHERE owner <= ?1 AND link.id <> owner",
                progress.cursor,
            )?;
            for owner in &progress.outstanding {
                missing += count(
                    "SELECT count(*) FROM link WHERE owner = ?1 AND id <> owner
                     AND NOT EXISTS (SELECT 1 FROM problem WHERE id = owner)",
                    owner.get(),
                )?;
            }
            Ok(found.saturating_sub(missing))
        })
    }

    /// How many entries failed for each reason, the most frequent first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn problem_reasons(&self) -> Result<Vec<(String, u64)>, StateError> {
        self.rows(
            "SELECT reason, count(*) FROM problem GROUP BY reason ORDER BY 2 DESC, 1",
            [],
            |row| Ok((row.get(0)?, row::loaded(row.get(1)?))),
        )
    }

    /// The next problems after the entry `after`, by id.
    ///
    /// # Errors
    /// When the database cannot be read, or holds a reason that is not known.
    pub fn problems(&self, after: EntryId, at_most: u32) -> Result<Vec<StoredProblem>, StateError> {
        self.rows(
            &format!(
                "SELECT {} FROM problem WHERE id > ?1 ORDER BY id LIMIT ?2",
                stored_columns()
            ),
            params![stored(after.get()), at_most],
            StoredProblem::from_row,
        )
    }

    /// The first problems to show: directories that could not be listed, then names that could not be
    /// examined, then the others, each by id.
    ///
    /// # Errors
    /// As [`problems`](Self::problems).
    pub fn first_problems(&self, at_most: u32) -> Result<Vec<StoredProblem>, StateError> {
        self.rows(
            &format!(
                "SELECT {} FROM problem
                 ORDER BY CASE subtree WHEN 0 THEN 2 WHEN 3 THEN 1 ELSE 0 END, id LIMIT ?1",
                stored_columns()
            ),
            [at_most],
            StoredProblem::from_row,
        )
    }
}
