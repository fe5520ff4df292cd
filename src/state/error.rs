//! Errors of the state folder and its database.

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
        "{} already holds a transfer: resume with the same command without --new, or choose another state folder",
        .0.display()
    )]
    Exists(PathBuf),
    /// `--new` on a folder that contains other files.
    #[error(
        "{} holds other files (such as {}): a state folder must be new or empty",
        .folder.display(), .found.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// One of these files.
        found: PathBuf,
    },
    /// A resume of a folder without a transfer.
    #[error(
        "{} holds no transfer to resume: start one with --new, or correct the path of the state folder",
        .0.display()
    )]
    Missing(PathBuf),
    /// A view of a folder without a transfer.
    #[error(
        "{} holds no transfer: specify the state folder of a load, which contains a file state.db",
        .0.display()
    )]
    Nothing(PathBuf),
    /// Another process is using the folder.
    #[error(
        "another clfsload process is using {}: wait for it to finish or stop it, then run the same command again",
        .0.display()
    )]
    Locked(PathBuf),
    /// The content of the database is invalid.
    #[error(
        "the state database {} is damaged ({what}): start a new transfer with --new, another state folder and an empty container",
        .path.display()
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// The damage.
        what: String,
    },
    /// A later version wrote the database.
    #[error(
        "the state database {} has schema {found}, this clfsload supports up to {known}: use the newer clfsload that started the transfer",
        .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The schema version of this program.
        known: i64,
    },
    /// The disk is full.
    #[error(
        "the disk under the state folder {} is full: free space there, then resume with the same command without --new",
        .0.display()
    )]
    DiskFull(PathBuf),
    /// A resource limit of the process.
    #[error(
        "this process has reached a resource limit ({0}): {advice}, then resume with the same command without --new",
        advice = process_limits::advice(.0).unwrap_or_else(|| "raise its limits (such as ulimit -n)".to_owned())
    )]
    Exhausted(io::Error),
    /// Another error of the folder.
    #[error("cannot {action} {}: {}", .path.display(), Explained(.source))]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another error of the database.
    #[error("the state database {} cannot be used: {what}", .path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        what: String,
    },
}

impl StateError {
    /// Creates the error of a query on the database at `path`.
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
                ErrorCode::SystemIoFailure if process_limits::database_at_size_limit(&path) => {
                    StateError::Io {
                        action: "write the state database",
                        path,
                        source: rustix::io::Errno::FBIG.into(),
                    }
                }
                // SQLITE_ERROR: the statement does not match the tables.
                ErrorCode::Unknown => StateError::Corrupt { path, what },
                _ => StateError::Database { path, what },
            },
            // A column of another type or out of range, which no version writes.
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedNoRows => StateError::Corrupt { path, what },
            _ => StateError::Database { path, what },
        }
    }

    /// Creates the error of a row that no version writes.
    pub(super) fn corrupt(path: &std::path::Path, what: impl Into<String>) -> Self {
        StateError::Corrupt {
            path: path.to_path_buf(),
            what: what.into(),
        }
    }

    /// Creates the error of the spool file for the names of a large directory.
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
