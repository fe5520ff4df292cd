//! The state folder: its files and its lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{LOG_NAME, StateError, schema};

/// The database of a transfer that was started.
pub(super) const DATABASE: &str = "state.db";
/// The database while it is created. If a crash leaves it, the next `--new` creates it again.
const UNFINISHED: &str = "state.db.unfinished";
/// The file that the process of a transfer locks.
pub(super) const LOCK: &str = "lock";

/// A view holds the lock for some microseconds (`view.rs`), so locking is retried.
const LOCK_TRIES: u32 = 4;
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_millis(20);

/// A locked state folder.
#[derive(Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    /// Holds the lock. flock(2) releases it with the last descriptor, even if the process is killed.
    _lock: File,
}

impl StateFolder {
    /// Creates the folder with mode 0700, or uses an empty one.
    pub(super) fn create(path: &Path) -> Result<Self, StateError> {
        // Does not create parents, so that a mistyped path does not fill another disk.
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(|error| StateError::io("create the state folder", path, error))?,
        }
        if path.join(DATABASE).exists() {
            return Err(StateError::Exists(path.to_path_buf()));
        }
        let failed = |error| StateError::io("read the state folder", path, error);
        for item in fs::read_dir(path).map_err(failed)? {
            let name = item.map_err(failed)?.file_name();
            let ours = [LOCK, LOG_NAME].iter().any(|ours| name == *ours)
                || name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
            if !ours {
                return Err(StateError::Foreign {
                    folder: path.to_path_buf(),
                    found: name.into(),
                });
            }
        }
        let folder = Self::lock(path)?;
        // Another process may have created a transfer before the folder was locked.
        if path.join(DATABASE).exists() {
            return Err(StateError::Exists(path.to_path_buf()));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| StateError::io("set the mode of", path, error))?;
        for leftover in [UNFINISHED, "state.db.unfinished-journal"] {
            match fs::remove_file(path.join(leftover)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StateError::io("remove", &path.join(leftover), error));
                }
                _ => {}
            }
        }
        Ok(folder)
    }

    /// Opens a folder that holds a transfer.
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        if !path.join(DATABASE).exists() {
            return Err(StateError::Missing(path.to_path_buf()));
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, StateError> {
        let name = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&name)
            .map_err(|error| StateError::io("open", &name, error))?;
        let mut locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        for _ in 0..LOCK_TRIES {
            if locked != Err(rustix::io::Errno::WOULDBLOCK) {
                break;
            }
            std::thread::sleep(LOCK_WAIT);
            locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        }
        match locked {
            Ok(()) => Ok(StateFolder {
                path: path.to_path_buf(),
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(path.to_path_buf())),
            Err(errno) => Err(StateError::io("lock", &name, errno.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Returns the kind of a database, by the header of the file alone.
    pub(super) fn kind_of(database: &Path) -> Result<schema::Kind, StateError> {
        let mut header = Vec::new();
        File::open(database)
            .and_then(|file| file.take(schema::HEADER_BYTES).read_to_end(&mut header))
            .map_err(|error| StateError::io("read", database, error))?;
        Ok(schema::kind_of_header(&header))
    }

    pub(super) fn unfinished_database(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }

    /// Renames the finished database to its final name, durably.
    pub(super) fn publish_database(&self) -> Result<(), StateError> {
        let failed = |error| StateError::io("write", &self.database(), error);
        fs::rename(self.unfinished_database(), self.database()).map_err(failed)?;
        File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)
    }
}
