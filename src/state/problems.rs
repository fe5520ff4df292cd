//! Failed entries, with the reasons.

use rusqlite::{Connection, Row, Transaction, params};
use sha2::{Digest, Sha256};

use super::row::{self, stored};
use super::{Counter, Pass, PassProgress, Reader, State, StateError, Subtree, settings, subtrees};
use crate::entry::EntryId;
use crate::problem::{Problem, Reason};

/// A recorded problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProblem {
    /// The entry.
    pub id: EntryId,
    /// The latest problem of the entry.
    pub problem: Problem,
    /// The number of runs in which it failed.
    pub attempt: u32,
    /// The subtree that it hides, if any.
    pub subtree: Option<Subtree>,
}

impl StoredProblem {
    /// Reads a row of [`stored_columns`].
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

/// Records a problem, or updates the reason and the number of attempts. Returns whether the entry had none.
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

/// Deletes the problem of an entry that was loaded, and returns the number of deleted problems (0 or 1). Keeps
/// that of a directory that is not listed completely, even if the listed part is in the container.
pub(super) fn solved(connection: &Connection, id: EntryId) -> rusqlite::Result<u64> {
    connection
        .prepare_cached(
            "DELETE FROM problem WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM directory WHERE id = ?1 AND listed = 0)",
        )?
        .execute([stored(id.get())])
        .map(|deleted| deleted as u64)
}

/// Returns whether any problem is recorded. Usually none is, which saves the search for each entry.
pub(super) fn any(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM problem LIMIT 1")?
        .exists([])
}

impl State {
    /// Records that a directory could not be listed. Returns whether it had no problem before.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn listing_failed(
        &self,
        directory: EntryId,
        problem: &Problem,
    ) -> Result<bool, StateError> {
        self.write(|transaction| store(transaction, directory, problem))
    }
}

impl State {
    /// Prepares the pass over the directories. If the set of failed entries has changed since the last one,
    /// restarts the pass, because directories in the container may miss other entries than these.
    ///
    /// # Errors
    /// If the database cannot be read or written.
    pub fn begin_directories(&self) -> Result<(), StateError> {
        self.write(|transaction| {
            let mut hash = Sha256::new();
            let mut problems = transaction.prepare("SELECT id FROM problem ORDER BY id")?;
            let mut rows = problems.query([])?;
            while let Some(row) = rows.next()? {
                hash.update(row.get::<_, i64>(0)?.to_le_bytes());
            }
            // Entries that were found since may be missing in directories that are in the container.
            let last: Option<i64> =
                transaction.query_row("SELECT max(id) FROM entry", [], |row| row.get(0))?;
            hash.update(last.unwrap_or_default().to_le_bytes());
            let digest = hash.finalize();
            if settings::missing_digest(transaction)?.as_deref() == Some(digest.as_slice()) {
                return Ok(());
            }
            settings::set_missing_digest(transaction, digest.as_slice())?;
            PassProgress::default().store(transaction, Pass::Directories)
        })
    }
}

impl Reader {
    /// Returns the number of failed entries.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn problem_count(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                .prepare_cached("SELECT count(*) FROM problem")?
                .query_row([], |row| row.get(0))
                .map(row::loaded)
        })
    }

    /// Bytes of the failed regular files, each hard-linked inode counted once.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn problem_bytes(&self) -> Result<u64, StateError> {
        self.query(|connection| {
            connection
                // `sum` would fail if the sizes of sparse files exceed 63 bits in total. The type bits are
                // those of inode(7).
                .prepare_cached(
                    "SELECT total(size) FROM problem JOIN entry USING (id)
                     WHERE (mode & 0xf000) = 0x8000 AND (owner IS NULL OR owner = id)",
                )?
                .query_row([], |row| row.get(0))
                .map(|bytes: f64| bytes as u64)
        })
    }

    /// Returns the number of further names whose inodes are in the container. Excludes inodes in flight.
    ///
    /// # Errors
    /// If the database cannot be read.
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
            // Counts the missing names, which are few, rather than those in the container.
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

    /// Returns the number of failed entries for each reason, the most frequent first.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn problem_reasons(&self) -> Result<Vec<(String, u64)>, StateError> {
        self.rows(
            "SELECT reason, count(*) FROM problem GROUP BY reason ORDER BY 2 DESC, 1",
            [],
            |row| Ok((row.get(0)?, row::loaded(row.get(1)?))),
        )
    }

    /// Returns the next problems after the entry `after`, by id.
    ///
    /// # Errors
    /// If the database cannot be read or contains an unknown reason.
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

    /// Returns the problems in the order of their effect: directories that could not be listed, then names that could
    /// not be examined, then the others, each by id.
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
