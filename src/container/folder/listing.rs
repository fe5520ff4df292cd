//! Pages of a folder's names in order, though a folder hands them out in none.
//!
//! The first page reads the whole folder and keeps the smallest [`SNAPSHOT_NAMES`] names; later pages come from that
//! snapshot. So a million files are read and sorted once, and a folder of more is read once for each million, in
//! bounded memory.

use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::super::{BlobEntry, ListMarker, ListPage};

/// Names held for one listing: about 100 MB at the length of our names.
const SNAPSHOT_NAMES: usize = 1_000_000;

/// Snapshots kept for listings that are under way; a listing whose snapshot was dropped reads the folder again.
const SNAPSHOTS: usize = 2;

/// The listings of one folder that are under way.
#[derive(Debug, Default)]
pub(super) struct Listings {
    snapshots: Mutex<Vec<Snapshot>>,
}

/// Names that follow `after`, in descending order, so that taking the next one is a pop.
struct Snapshot {
    prefix: Vec<u8>,
    after: Option<ListMarker>,
    names: Vec<Box<[u8]>>,
    /// Whether larger names were left out.
    partial: bool,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} names)", self.names.len())
    }
}

impl Listings {
    /// The page after `from`. Blocks while it reads the folder.
    pub(super) fn page(
        &self,
        folder: &OwnedFd,
        prefix: Vec<u8>,
        from: Option<ListMarker>,
        at_most: usize,
    ) -> Result<ListPage, Errno> {
        self.page_of(folder, prefix, from, at_most, SNAPSHOT_NAMES)
    }

    fn page_of(
        &self,
        folder: &OwnedFd,
        prefix: Vec<u8>,
        from: Option<ListMarker>,
        at_most: usize,
        snapshot_names: usize,
    ) -> Result<ListPage, Errno> {
        let mut snapshot = match self.resume(&prefix, from.as_ref()) {
            Some(snapshot) => snapshot,
            None => Snapshot::read(folder, prefix, from, snapshot_names)?,
        };
        let mut blobs = Vec::with_capacity(at_most.min(snapshot.names.len()));
        while blobs.len() < at_most {
            let Some(name) = snapshot.names.pop() else {
                break;
            };
            if let Some(size) = regular_file_size(folder, &name)? {
                blobs.push(BlobEntry {
                    name: String::from_utf8_lossy(&name).into_owned(),
                    size,
                });
            }
            snapshot.after = Some(ListMarker(name.into_vec()));
        }
        let next = if snapshot.names.is_empty() && !snapshot.partial {
            None
        } else {
            snapshot.after.clone()
        };
        if next.is_some() && !snapshot.names.is_empty() {
            self.keep(snapshot);
        }
        Ok(ListPage { blobs, next })
    }

    fn resume(&self, prefix: &[u8], from: Option<&ListMarker>) -> Option<Snapshot> {
        let from = from?;
        let mut snapshots = self.lock();
        let place = snapshots
            .iter()
            .position(|kept| kept.prefix == prefix && kept.after.as_ref() == Some(from))?;
        Some(snapshots.remove(place))
    }

    fn keep(&self, snapshot: Snapshot) {
        let mut snapshots = self.lock();
        if snapshots.len() >= SNAPSHOTS {
            snapshots.remove(0);
        }
        snapshots.push(snapshot);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Snapshot>> {
        self.snapshots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    fn read(
        folder: &OwnedFd,
        prefix: Vec<u8>,
        after: Option<ListMarker>,
        at_most: usize,
    ) -> Result<Self, Errno> {
        if !super::still_there(folder)? {
            return Err(Errno::NOENT);
        }
        let mut smallest = BinaryHeap::new();
        let mut partial = false;
        // Opened anew, so that listings under way do not share one read position.
        let mut entries = Dir::read_from(folder)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let maybe_blob = matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
            let wanted = maybe_blob
                && !name.starts_with(b".")
                && name.starts_with(&prefix)
                && after.as_ref().is_none_or(|ListMarker(last)| name > &**last);
            if !wanted {
                continue;
            }
            if smallest.len() < at_most {
                smallest.push(Box::<[u8]>::from(name));
                continue;
            }
            partial = true;
            if let Some(mut largest) = smallest.peek_mut()
                && name < &**largest
            {
                *largest = name.into();
            }
        }
        let mut names = smallest.into_sorted_vec();
        names.reverse();
        Ok(Self {
            prefix,
            after,
            names,
            partial,
        })
    }
}

/// `None` for what is no blob: another kind of file, or one that is gone by now.
fn regular_file_size(folder: &OwnedFd, name: &[u8]) -> Result<Option<u64>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => {
            Ok(u64::try_from(status.st_size).ok())
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
