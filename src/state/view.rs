//! A read-only view of a transfer, while another process may be running it. Writes nothing but SQLite's index
//! of the log, which must be recreated after a crash.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::folder::{self, StateFolder};
use super::{Counter, Reader, Settings, State, StateError, Subtrees, Totals, schema, settings};

/// A transfer as of the last commit.
#[derive(Debug)]
pub struct StateView {
    /// A reader of the database.
    pub reader: Reader,
    /// The settings that the transfer was started with.
    pub settings: Settings,
    /// Whether a process is running it.
    pub is_running: bool,
    /// Whether the container is complete.
    pub is_finished: bool,
}

/// The numbers of entries of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferCounts {
    /// All counters.
    pub totals: Totals,
    /// Known entries, including those of which only the name is known.
    pub entries: u64,
    /// Entries in the container.
    pub done: u64,
    /// Failed entries.
    pub failed: u64,
    /// Failed entries that hide a subtree.
    pub subtrees: Subtrees,
    /// Files in the container that changed while they were read.
    pub changed: u64,
}

impl StateView {
    /// Counts the entries, as of the last commit.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn counts(&self) -> Result<TransferCounts, StateError> {
        let totals = self.reader.totals()?;
        let entries = totals.entries() + self.reader.unknown_count()?;
        let failed = self.reader.problem_count()?;
        let max_done = entries.saturating_sub(failed);
        Ok(TransferCounts {
            done: match self.is_finished {
                true => max_done,
                // As in `Snapshot::done`: directories may count twice, the root is not counted.
                false => totals.get(Counter::Done).min(max_done),
            },
            totals,
            entries,
            failed,
            subtrees: self.reader.subtrees()?,
            changed: self.reader.changed_count()?,
        })
    }
}

impl State {
    /// Opens the transfer in a folder for reading. Takes no lock.
    ///
    /// # Errors
    /// If there is none, or its database is damaged, newer, or cannot be read.
    pub fn view(folder: &Path) -> Result<StateView, StateError> {
        let path = folder.join(folder::DATABASE);
        if !path.exists() {
            return Err(StateError::Nothing(folder.to_path_buf()));
        }
        schema::accept(StateFolder::kind_of(&path)?, &path)?;
        let reader = Reader::open_view(path.clone())?;
        let settings = reader.with(|connection| Settings::load(connection, &path))?;
        let is_finished = reader.query(settings::is_finished)?;
        Ok(StateView {
            reader,
            settings,
            is_running: is_locked(folder),
            is_finished,
        })
    }
}

/// Returns whether a process holds the lock. False if the lock cannot be opened.
fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(folder::LOCK)).is_ok_and(|lock| {
        // Released at once, when the file is closed (flock(2)). A load that starts in these microseconds
        // retries.
        flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}
