//! The state of a transfer: an SQLite database in the state folder.
//!
//! All SQL of the project is below this module, which exposes no types of the database library. The stages use
//! a few batch operations: [`State::record`] stores the entries of a directory, [`Reader::next_files`] and
//! similar methods return the next work, [`State::settle`] stores outcomes, and others read the entries of a
//! directory, the links of an inode, problems and counters.
//!
//! One connection writes, under a lock. Writers collect a batch before they lock it. Each reader has its own
//! connection and sees the last commit.

mod changed;
mod counter;
mod error;
mod folder;
mod identify;
mod link_devices;
mod losses;
mod mounts;
mod outcome;
mod problems;
mod progress;
mod reader;
mod recording;
mod row;
mod schema;
mod settings;
mod sizes;
mod subtrees;
mod survey;
mod view;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

pub use counter::{Counter, Totals};
pub use error::StateError;
pub use identify::UnknownEntry;
pub use outcome::{Settled, Settlement};
pub use problems::StoredProblem;
pub use progress::{Pass, PassProgress};
pub use reader::{DirectoryEntry, InodeOwner, Reader};
pub use recording::{FoundEntry, ListingChunk, Recorded};
pub use settings::{Settings, compression_name};
pub use subtrees::{Subtree, Subtrees};
pub use survey::{DatabaseSize, LinkGroups, SurveyRow};
pub use view::{StateView, TransferCounts};
pub use work::{FileBatch, Unlisted};

use crate::crash_point::{CrashPoint, crash_point};
use crate::entry::{EntryId, Mount, MountBelow};
use folder::StateFolder;

/// The log in the state folder, which is uploaded to the container at the end.
pub const LOG_NAME: &str = "output.txt";

/// The state of one transfer, locked by this process.
#[derive(Debug)]
pub struct State {
    folder: StateFolder,
    writer: Mutex<Connection>,
    /// Time in transactions, in microseconds.
    busy: AtomicU64,
}

impl State {
    /// Returns whether the folder contains a transfer.
    pub fn exists(folder: &Path) -> bool {
        folder.join(folder::DATABASE).exists()
    }

    /// Creates a transfer in a new folder, which gets mode 0700, or in an empty one.
    ///
    /// # Errors
    /// If the folder contains a transfer or other files, or cannot be written.
    pub fn create(folder: &Path, settings: &Settings) -> Result<State, StateError> {
        let folder = StateFolder::create(folder)?;
        let fresh = folder.unfinished_database();
        let made = (|| {
            let mut connection = Connection::open(&fresh)?;
            connection.pragma_update(None, "synchronous", "EXTRA")?;
            let transaction = connection.transaction()?;
            schema::create(&transaction)?;
            settings.store(&transaction)?;
            recording::store_root(&transaction, &settings.root)?;
            transaction.commit()?;
            connection.close().map_err(|(_, error)| error)
        })();
        made.map_err(|error| StateError::query(&fresh, error))?;
        crash_point(CrashPoint::StateUnpublished);
        // A database under its final name is complete.
        folder.publish_database()?;
        crash_point(CrashPoint::StatePublished);
        State::connect(folder)
    }

    /// Opens the transfer in the folder, which an earlier version may have started: see
    /// [`upgrade`](Self::upgrade).
    ///
    /// # Errors
    /// If there is none, another process is using it, or the database is damaged or newer.
    pub fn open(folder: &Path) -> Result<State, StateError> {
        State::connect(StateFolder::open(folder)?)
    }

    fn connect(folder: StateFolder) -> Result<State, StateError> {
        let path = folder.database();
        let failed = |error| StateError::query(&path, error);
        // Before SQLite opens it, which would write to an empty or foreign file.
        schema::accept(StateFolder::kind_of(&path)?, &path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        // Again, because the write-ahead log may contain a later header.
        schema::accept(schema::kind(&connection).map_err(failed)?, &path)?;
        schema::set_up_writer(&connection).map_err(failed)?;
        Ok(State {
            folder,
            writer: Mutex::new(connection),
            busy: AtomicU64::new(0),
        })
    }

    /// Returns whether the database has the schema of an earlier version, which did not record mounts.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn needs_upgrade(&self) -> Result<bool, StateError> {
        schema::version(&self.lock())
            .map(|version| version != schema::VERSION)
            .map_err(|error| StateError::query(&self.folder.database(), error))
    }

    /// Returns whether the mounts below the source were recorded by a later run than the one that started the
    /// transfer.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn has_inherited_mounts(&self) -> Result<bool, StateError> {
        settings::mounts_known_from(&self.lock())
            .map(|id| id.get() > 0)
            .map_err(|error| StateError::query(&self.folder.database(), error))
    }

    /// Migrates the tables of an earlier version, which did not record mounts, and records the mount of the root
    /// and `mounts_below`. Must be the first write of a resume. Does not change a database of this version.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub fn upgrade(
        &self,
        root: Option<&Mount>,
        mounts_below: &[MountBelow],
    ) -> Result<(), StateError> {
        self.write(|transaction| {
            if schema::migrate(transaction)? {
                if let Some(root) = root {
                    mounts::record(transaction, EntryId::ROOT, root)?;
                }
                for mount in mounts_below {
                    mounts::record_below(transaction, mount)?;
                }
            }
            Ok(())
        })
    }

    /// Returns the state folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of the log in the state folder.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join(LOG_NAME)
    }

    /// Returns the settings that the transfer was started with.
    ///
    /// # Errors
    /// If the database cannot be read or is damaged.
    pub fn settings(&self) -> Result<Settings, StateError> {
        Settings::load(&self.lock(), &self.folder.database())
    }

    /// Opens another connection for reading.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub fn reader(&self) -> Result<Reader, StateError> {
        Reader::open(self.folder.database())
    }

    /// Returns the total time in transactions, including their waits for the disk.
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.busy.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic of another writer has rolled back its transaction, so the connection is valid.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction.
    fn transact<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut connection = self.lock();
        let began = Instant::now();
        let failed = |error| StateError::query(&self.folder.database(), error);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let result = work(&transaction)?;
        transaction.commit().map_err(failed)?;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.busy.fetch_add(took, Ordering::Relaxed);
        Ok(result)
    }

    /// Does the same as [`transact`](Self::transact) for work that only SQLite can fail.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StateError> {
        self.transact(|transaction| {
            work(transaction).map_err(|error| StateError::query(&self.folder.database(), error))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
