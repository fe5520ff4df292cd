//! What can go wrong with the state database.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::process_limits::{self, Explained};

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// `--new` on a folder that holds a transfer.
    #[error(
        "{} already holds a transfer: run again without --new to resume it, or choose another state folder",
        .0.display()
    )]
    Exists(PathBuf),
    /// `--new` on a folder with other things in it.
    #[error(
        "{} holds other files (such as {}): a state folder must be new or empty",
        .folder.display(), .found.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: PathBuf,
    },
    /// A resume without a transfer.
    #[error(
        "{} holds no transfer to resume: start one with --new, or correct the path of the state folder",
        .0.display()
    )]
    Missing(PathBuf),
    /// A look at a folder without a transfer.
    #[error(
        "{} holds no transfer: give the state folder of a load, which has a file state.db",
        .0.display()
    )]
    Nothing(PathBuf),
    /// Another process works on it.
    #[error(
        "another clfsload works on {} now: wait for it to end, or stop it, then run this again",
        .0.display()
    )]
    Locked(PathBuf),
    /// The file is not what we wrote.
    #[error(
        "the state database {} is damaged ({what}): start anew with --new, another state folder and an empty container",
        .path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Written by a later version.
    #[error(
        "the state database {} has schema {found}, this clfsload knows up to {known}: use the newer clfsload that began the transfer",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// No room.
    #[error(
        "the disk under the state folder {} is full: make room there, then run the same command without --new",
        .0.display()
    )]
    DiskFull(PathBuf),
    /// The process's limits, not the state's: it ends a run all the same.
    #[error(
        "this process cannot open or hold more ({0}): {advice}, then run the same command without --new",
        advice = process_limits::advice(.0).unwrap_or_else(|| "raise its limits (such as ulimit -n)".to_owned())
    )]
    Exhausted(io::Error),
    /// Anything else about the folder.
    #[error("cannot {action} {}: {}", .path.display(), Explained(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else about the database.
    #[error("the state database {} cannot be used: {what}", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        what: String,
    },
}

impl StateError {
    /// The error of a query on the database at `path`.
    pub(super) fn query(path: &std::path::Path, error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        let path = path.to_path_buf();
        let what = error.to_string();
        match &error {
            Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    StateError::Corrupt { path, what }
                }
                ErrorCode::DiskFull => StateError::DiskFull(path),
                ErrorCode::OutOfMemory => StateError::Exhausted(rustix::io::Errno::NOMEM.into()),
                ErrorCode::SystemIoFailure if process_limits::database_met_limit(&path) => {
                    StateError::Io {
                        action: "write the state database",
                        path,
                        source: rustix::io::Errno::FBIG.into(),
                    }
                }
                // SQLITE_ERROR: a statement of ours does not fit the tables that are there.
                ErrorCode::Unknown => StateError::Corrupt { path, what },
                _ => StateError::Database { path, what },
            },
            // A column of another type, or out of range: not a row that we wrote.
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedNoRows => StateError::Corrupt { path, what },
            _ => StateError::Database { path, what },
        }
    }

    /// A row that no version of ours writes.
    pub(super) fn corrupt(path: &std::path::Path, what: impl Into<String>) -> Self {
        StateError::Corrupt {
            path: path.to_path_buf(),
            what: what.into(),
        }
    }

    /// The spool for the names of a large directory could not be written or read.
    pub(crate) fn spool(folder: &std::path::Path, source: io::Error) -> Self {
        StateError::io("spool names in", folder, source)
    }

    pub(super) fn io(action: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return StateError::DiskFull(path.to_path_buf());
        }
        StateError::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
