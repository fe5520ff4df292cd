//! What the scan sees and the state does not keep: rights, holes, mounts, times.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::sync::{Mutex, PoisonError};

use clfs_format::FileType;
use clfs_format::limits::SYMLINK_TARGET_BYTES;

use super::SHOWN;
use crate::entry::EntryId;
use crate::scan::EntryVisitor;
use crate::source::{Directory, Seen};

/// A file takes that much less than its size at least before it counts as sparse: file systems
/// round up, and keep the ends of small files elsewhere.
const HOLE_BYTES: u64 = 4096;

/// Where something stands: its directory and its name there.
pub(super) type Standing = (EntryId, Vec<u8>);

/// How often something was seen, and where first, in the order of directories and names: the same
/// whichever thread was faster.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) first: BTreeSet<Standing>,
}

impl Sightings {
    fn add(&mut self, directory: EntryId, name: &CStr, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.first.insert((directory, name.to_bytes().to_vec()));
        if self.first.len() > SHOWN {
            self.first.pop_last();
        }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seeing {
    /// Regular files that may not be read; their sizes.
    pub(super) unreadable: Sightings,
    /// Regular files with holes; what they have less than their sizes.
    pub(super) sparse: Sightings,
    /// Other file systems.
    pub(super) mounts: Sightings,
    /// Entries with a time that the format cannot hold.
    pub(super) clamped: Sightings,
    /// Symlinks whose target the format cannot hold.
    pub(super) long_targets: Sightings,
}

/// Notes what it sees, from all threads.
#[derive(Debug, Default)]
pub(super) struct Eyes(Mutex<Seeing>);

impl Eyes {
    pub(super) fn into_seeing(self) -> Seeing {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut Seeing)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl EntryVisitor for Eyes {
    fn visit(&self, directory: &Directory, name: &CStr, seen: &Seen) {
        let (id, attributes) = (directory.id, &seen.attributes);
        let size = attributes.size;
        if seen.is_mount {
            self.note(|seeing| seeing.mounts.add(id, name, 0));
        }
        if seen.clamped_times > 0 {
            self.note(|seeing| seeing.clamped.add(id, name, 0));
        }
        match attributes.file_type {
            FileType::Regular => {
                // Not an open, which costs more where a server keeps track of it. What else than
                // missing rights keeps a file from being read shows only when it is.
                if directory.check_readable(name).is_err() {
                    self.note(|seeing| seeing.unreadable.add(id, name, size));
                }
                let hole = size.saturating_sub(seen.allocated.unwrap_or(size));
                if hole >= HOLE_BYTES {
                    self.note(|seeing| seeing.sparse.add(id, name, hole));
                }
            }
            // Of a symlink, st_size is the length of the target (lstat(2)). It is not read: that would
            // set the symlink's access time.
            FileType::Symlink if size > SYMLINK_TARGET_BYTES as u64 => {
                self.note(|seeing| seeing.long_targets.add(id, name, 0));
            }
            _ => {}
        }
    }
}
