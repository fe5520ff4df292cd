//! The number of transactions of a load, as counted by SQLite.
//!
//! In WAL mode the index of the write-ahead log (`state.db-shm`) starts with a header whose third
//! word, `iChange`, grows by one with each write transaction ("WAL-Index File Format" in SQLite's
//! documentation, and `struct WalIndexHdr` in `wal.c`). SQLite removes the file with the last connection,
//! so it is opened while the process runs and read after its exit.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const CHANGE_OFFSET: u64 = 8;

#[derive(Debug)]
pub(crate) struct WalIndex {
    path: PathBuf,
    files: Vec<(u64, File)>,
}

impl WalIndex {
    pub(crate) fn of(state: &Path) -> Self {
        WalIndex {
            path: state.join("state.db-shm"),
            files: Vec::new(),
        }
    }

    /// Opens the file, if it exists and is not open yet.
    pub(crate) fn open(&mut self) {
        let Ok(metadata) = self.path.metadata() else {
            return;
        };
        if self.files.iter().any(|(inode, _)| *inode == metadata.ino()) {
            return;
        }
        if let Ok(file) = File::open(&self.path) {
            self.files.push((metadata.ino(), file));
        }
    }

    pub(crate) fn transactions(&self) -> u64 {
        let changes = self.files.iter().filter_map(|(_, file)| {
            let mut word = [0; 4];
            file.read_exact_at(&mut word, CHANGE_OFFSET).ok()?;
            Some(u64::from(u32::from_ne_bytes(word)))
        });
        changes.sum()
    }
}
