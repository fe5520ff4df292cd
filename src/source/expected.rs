//! Mounts that were below the source when the transfer was started. If the scan reaches one of them in a later
//! run, and nothing or something else is mounted there, the directory is not the expected one.

use std::collections::HashMap;
use std::sync::Arc;

use clfs_format::FileType;

use super::EntryStat;
use crate::entry::{MountBelow, MountComparison};
use crate::problem::Reason;

/// The mounts at and below a directory.
#[derive(Debug, Default)]
pub(super) struct Expected {
    mount: Option<MountBelow>,
    below: HashMap<Vec<u8>, Arc<Expected>>,
}

impl Expected {
    /// Returns the tree of expected mounts. None without any.
    pub(super) fn of(mounts: &[MountBelow]) -> Option<Arc<Self>> {
        let mut root = Expected::default();
        for mount in mounts {
            root.add(&mount.path, mount);
        }
        (!root.below.is_empty()).then(|| Arc::new(root))
    }

    fn add(&mut self, path: &[u8], mount: &MountBelow) {
        let mut at = self;
        for name in path.split(|byte| *byte == b'/') {
            let below = at.below.entry(name.to_vec()).or_default();
            // It is not shared while the tree is built.
            let Some(next) = Arc::get_mut(below) else {
                return;
            };
            at = next;
        }
        at.mount = Some(mount.clone());
    }

    /// Returns the mounts at and below a name in the directory.
    pub(super) fn at(&self, name: &[u8]) -> Option<&Arc<Expected>> {
        self.below.get(name)
    }

    /// Returns the names in the directory at or below which something is mounted, in no particular order.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.below.keys().map(Vec::as_slice)
    }

    /// Compares the mounted object itself: [`Reason::NotMounted`] if nothing is mounted, or if a mount point
    /// below it cannot exist; [`Reason::Replaced`] if something else is mounted.
    pub(super) fn check(&self, seen: &EntryStat, device_above: u64) -> Result<(), Reason> {
        if !self.below.is_empty() && seen.attributes.file_type != FileType::Directory {
            return Err(Reason::NotMounted);
        }
        let Some(expected) = &self.mount else {
            return Ok(());
        };
        if seen.device == device_above && !seen.is_mount {
            return Err(Reason::NotMounted);
        }
        let is_other_number = expected
            .inode
            .is_some_and(|inode| inode != seen.attributes.inode);
        let is_other = seen
            .mount
            .is_some_and(|now| matches!(expected.mount.compare(&now), MountComparison::Other(_)));
        match is_other_number || is_other {
            true => Err(Reason::Replaced),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_their_names() {
        assert!(Expected::of(&[]).is_none());
        let mount = |path: &[u8]| MountBelow {
            path: path.to_vec(),
            inode: Some(2),
            mount: crate::entry::Mount::default(),
        };
        let mounts = [mount(b"a/b"), mount(b"a"), mount(b"c/d/e")];
        let root = Expected::of(&mounts).unwrap_or_default();
        let at = |names: &[&[u8]]| {
            let mut at = Some(&root);
            for name in names {
                at = at.and_then(|expected| expected.at(name));
            }
            at.map(|expected| expected.mount.is_some())
        };
        assert_eq!(at(&[]), Some(false));
        assert_eq!(at(&[b"a"]), Some(true));
        assert_eq!(at(&[b"a", b"b"]), Some(true));
        assert_eq!(at(&[b"c", b"d"]), Some(false));
        assert_eq!(at(&[b"c", b"d", b"e"]), Some(true));
        assert_eq!(at(&[b"c", b"e"]), None);
    }
}
