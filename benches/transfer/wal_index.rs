//! The transactions of a load, counted by SQLite itself.
//!
//! In WAL mode the index of the write-ahead log (`state.db-shm`) begins with a header whose third
//! word, `iChange`, grows by one with each transaction that writes ("WAL-Index File Format" of
//! SQLite's documentation, and `struct WalIndexHdr` in `wal.c`). The file is removed with the last
//! connection, so it is opened while it is there and read when the process has ended.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

const CHANGE_OFFSET: u64 = 8;

#[derive(Debug)]
pub(crate) struct WalIndex {
    path: PathBuf,
    seen: Vec<(u64, File)>,
}

impl WalIndex {
    pub(crate) fn of(state: &Path) -> Self {
        WalIndex {
            path: state.join("state.db-shm"),
            seen: Vec::new(),
        }
    }

    /// Opens the file, if it is there and was not seen before.
    pub(crate) fn look(&mut self) {
        let Ok(metadata) = self.path.metadata() else {
            return;
        };
        if self.seen.iter().any(|(inode, _)| *inode == metadata.ino()) {
            return;
        }
        if let Ok(file) = File::open(&self.path) {
            self.seen.push((metadata.ino(), file));
        }
    }

    pub(crate) fn transactions(&self) -> u64 {
        let changes = self.seen.iter().filter_map(|(_, file)| {
            let mut word = [0; 4];
            file.read_exact_at(&mut word, CHANGE_OFFSET).ok()?;
            Some(u64::from(u32::from_ne_bytes(word)))
        });
        changes.sum()
    }
}
