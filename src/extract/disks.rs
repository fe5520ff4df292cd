//! The file systems that a run writes to: syncfs(2) stores one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::io::Errno;

use super::folder::Folder;

/// Descriptors that are kept open for them.
const MOST: usize = 32;

/// A directory of each file system, by `st_dev`.
#[derive(Debug, Default)]
pub(super) struct Disks {
    folders: BTreeMap<u64, Arc<Folder>>,
    too_many: bool,
}

impl Disks {
    /// Something is written to the file system of this directory.
    pub(super) fn note(&mut self, device: u64, folder: &Arc<Folder>) {
        if self.folders.contains_key(&device) {
            return;
        }
        match self.folders.len() < MOST {
            true => drop(self.folders.insert(device, Arc::clone(folder))),
            false => self.too_many = true,
        }
    }

    /// Waits until everything that was written is on the disks. False when there were too many to
    /// remember, so that some were passed over.
    pub(super) fn store(&self) -> Result<bool, Errno> {
        for folder in self.folders.values() {
            rustix::fs::syncfs(folder.descriptor())?;
        }
        Ok(!self.too_many)
    }
}
