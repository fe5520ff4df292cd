//! Ordered pages of the names in a folder, which the file system returns in no order.
//!
//! The first page reads the complete folder and keeps the smallest [`SNAPSHOT_NAMES`] names; later pages use that snapshot.
//! So a million files are read and sorted once, and a larger folder is read once for each million, in bounded memory.

use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;

use super::super::{Availability, BlobEntry, ListMarker, ListPage, Stamp};

/// The maximum number of names in a snapshot: about 100 MB at the length of our names.
const SNAPSHOT_NAMES: usize = 1_000_000;

/// The maximum number of snapshots for listings in progress. A listing whose snapshot was dropped reads the
/// folder again.
const SNAPSHOTS: usize = 2;

/// The listings of one folder that are in progress.
#[derive(Debug, Default)]
pub(super) struct Listings {
    snapshots: Mutex<Vec<Snapshot>>,
}

/// The names that follow `after`, in descending order, so that the next one can be popped.
struct Snapshot {
    prefix: Vec<u8>,
    after: Option<ListMarker>,
    names: Vec<Box<[u8]>>,
    /// Whether larger names were skipped.
    partial: bool,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({} names)", self.names.len())
    }
}

impl Listings {
    /// Returns the page after `from`. Blocks while it reads the folder.
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
            if let Some(status) = regular_file(folder, &name)?
                && let Ok(size) = u64::try_from(status.st_size)
            {
                let name = String::from_utf8_lossy(&name).into_owned();
                let stamp = Some(stamp_of(&name, &status));
                blobs.push(BlobEntry {
                    name,
                    size,
                    availability: Availability::Online,
                    stamp,
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
        let index = snapshots
            .iter()
            .position(|kept| kept.prefix == prefix && kept.after.as_ref() == Some(from))?;
        // The index was found under the same lock.
        Some(snapshots.remove(index))
    }

    fn keep(&self, snapshot: Snapshot) {
        let mut snapshots = self.lock();
        if snapshots.len() >= SNAPSHOTS {
            // SNAPSHOTS is positive, so there is at least one.
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
        if !super::exists(folder)? {
            return Err(Errno::NOENT);
        }
        let mut smallest = BinaryHeap::new();
        let mut partial = false;
        // Opened again, so that listings in progress do not share a read position.
        let mut entries = Dir::read_from(folder)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let may_be_blob =
                matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown);
            let is_match = may_be_blob
                && !name.starts_with(b".")
                && name.starts_with(&prefix)
                && after.as_ref().is_none_or(|ListMarker(last)| name > &**last);
            if !is_match {
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

/// Returns `None` for other types of files, and for a file that was deleted meanwhile.
fn regular_file(folder: &OwnedFd, name: &[u8]) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => {
            Ok(Some(status))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Returns the stamp of a file. It includes the ctime, because `cp -p` of a valid copy over a damaged blob keeps size,
/// mtime and inode number.
// The types of the fields are not the same on all architectures.
#[allow(clippy::unnecessary_cast)]
fn stamp_of(name: &str, status: &Stat) -> Stamp {
    let version = [
        status.st_size as u64,
        status.st_mtime as u64,
        status.st_mtime_nsec as u64,
        status.st_ctime as u64,
        status.st_ctime_nsec as u64,
        status.st_ino as u64,
    ];
    let version = version.map(u64::to_le_bytes);
    Stamp::of(name, &version.each_ref().map(<[u8; 8]>::as_slice))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rustix::fs::{Mode, OFlags};

    use super::*;

    /// Returns the names of all pages of `at_most` names, with snapshots of `snapshot_names`.
    fn all(folder: &OwnedFd, prefix: &str, at_most: usize, snapshot_names: usize) -> Vec<String> {
        let listings = Listings::default();
        let mut names = Vec::new();
        let mut from = None;
        loop {
            let prefix = prefix.as_bytes().to_vec();
            let page = listings
                .page_of(folder, prefix, from, at_most, snapshot_names)
                .unwrap();
            names.extend(page.blobs.into_iter().map(|blob| blob.name));
            from = page.next;
            if from.is_none() {
                assert!(listings.lock().is_empty());
                return names;
            }
        }
    }

    #[test]
    fn a_folder_larger_than_a_snapshot_is_listed_completely_and_in_order() {
        let path = tempfile::tempdir().unwrap();
        let mut names: Vec<String> = (0..97).map(|i| format!("n{}", i * 31 % 97)).collect();
        for name in &names {
            std::fs::write(path.path().join(name), "").unwrap();
        }
        names.sort_unstable();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = rustix::fs::open(path.path(), flags, Mode::empty()).unwrap();
        for snapshot_names in [1, 10, 96, 97, 98] {
            for at_most in [1, 7, 97, 200] {
                let listed = all(&folder, "", at_most, snapshot_names);
                assert_eq!(listed, names, "{at_most} of {snapshot_names}");
            }
        }
        let expected: Vec<&String> = names.iter().filter(|name| name.starts_with("n1")).collect();
        assert_eq!(
            all(&folder, "n1", 2, 5).iter().collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn pages_of_a_snapshot_do_not_read_the_folder_again() {
        let path = tempfile::tempdir().unwrap();
        for name in ["a", "b", "d"] {
            std::fs::write(path.path().join(name), "").unwrap();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = rustix::fs::open(path.path(), flags, Mode::empty()).unwrap();
        let listings = Listings::default();
        let first = listings.page(&folder, Vec::new(), None, 1).unwrap();
        std::fs::write(path.path().join("c"), "").unwrap();
        let names = |page: ListPage| -> Vec<String> {
            page.blobs.into_iter().map(|blob| blob.name).collect()
        };
        let rest = listings
            .page(&folder, Vec::new(), first.next.clone(), 9)
            .unwrap();
        assert_eq!(names(rest), ["b", "d"]);
        // The snapshot is empty, so the same marker now reads the folder.
        let again = listings.page(&folder, Vec::new(), first.next, 9).unwrap();
        assert_eq!(names(again), ["b", "c", "d"]);
    }
}
