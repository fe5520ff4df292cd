//! A look at a transfer from outside, while another process may work on it. Nothing is written but
//! SQLite's own index of the log, which beside a crash has to be made anew.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::folder::{self, StateFolder};
use super::{Counter, Reader, Settings, State, StateError, Subtrees, Totals, schema, settings};

/// A transfer, as the last commit left it.
#[derive(Debug)]
pub struct Look {
    /// Reads the database.
    pub reader: Reader,
    /// What the transfer was begun with.
    pub settings: Settings,
    /// Whether a process works on it now.
    pub is_running: bool,
    /// Whether the container is whole.
    pub is_finished: bool,
}

/// How many entries there are, and how they stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// All counters.
    pub totals: Totals,
    /// Entries that are known, those included of which only the name is.
    pub entries: u64,
    /// Entries that are in the container.
    pub done: u64,
    /// Entries that have a problem.
    pub failed: u64,
    /// Those of them that hide a subtree.
    pub subtrees: Subtrees,
    /// Files that changed while they were read, and are in the container.
    pub changed: u64,
}

impl Look {
    /// Counts the entries, as of the last commit.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn standing(&self) -> Result<Standing, StateError> {
        let totals = self.reader.totals()?;
        let entries = totals.entries() + self.reader.unknown_count()?;
        let failed = self.reader.problem_count()?;
        let most_done = entries.saturating_sub(failed);
        Ok(Standing {
            done: match self.is_finished {
                true => most_done,
                // As in `Snapshot::done`: directories may count twice, the root is not counted.
                false => totals.get(Counter::Done).min(most_done),
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
    /// Looks at the transfer in a folder.
    ///
    /// # Errors
    /// When there is none, or its database is damaged, newer, or cannot be read.
    pub fn look(folder: &Path) -> Result<Look, StateError> {
        let path = folder.join(folder::DATABASE);
        if !path.exists() {
            return Err(StateError::Nothing(folder.to_path_buf()));
        }
        schema::accept(StateFolder::kind_of(&path)?, &path)?;
        let reader = Reader::look(path.clone())?;
        let settings = reader.with(|connection| Settings::load(connection, &path))?;
        let is_finished = reader.query(settings::is_finished)?;
        Ok(Look {
            reader,
            settings,
            is_running: is_locked(folder),
            is_finished,
        })
    }
}

/// Whether a process holds the lock. One that cannot be asked for is held by nobody that is known.
fn is_locked(folder: &Path) -> bool {
    File::open(folder.join(folder::LOCK)).is_ok_and(|lock| {
        // Given back at once, when the file is closed (flock(2)). A load that begins at this very
        // moment would be told that another works on the state: it is a matter of microseconds.
        flock(&lock, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}
