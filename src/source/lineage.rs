//! The directories above an open one, without their descriptors. They show which file system it belongs
//! to, and whether it is one of its own ancestors.

use std::sync::Arc;

use crate::entry::EntryId;

/// The device and inode numbers of an open directory and of those above it, in this run.
#[derive(Debug)]
pub(super) struct Lineage {
    /// The directory of the tree on which its file system is mounted.
    pub(super) file_system: EntryId,
    pub(super) device: u64,
    inode: u64,
    above: Option<Arc<Lineage>>,
}

impl Lineage {
    pub(super) fn root(device: u64, inode: u64) -> Arc<Self> {
        Arc::new(Lineage {
            file_system: EntryId::ROOT,
            device,
            inode,
            above: None,
        })
    }

    /// Returns the directory `id` in this one. None if it is this one or one above it.
    ///
    /// A device that also belongs to a directory above is the same file system, mounted again.
    pub(super) fn below(
        self: &Arc<Self>,
        id: EntryId,
        device: u64,
        inode: u64,
    ) -> Option<Arc<Self>> {
        let mut file_system = id;
        let mut at = Some(self);
        while let Some(above) = at {
            if above.device == device {
                if above.inode == inode {
                    return None;
                }
                file_system = above.file_system;
            }
            at = above.above.as_ref();
        }
        Some(Arc::new(Lineage {
            file_system,
            device,
            inode,
            above: Some(Arc::clone(self)),
        }))
    }
}

impl Drop for Lineage {
    /// Drops one after the other, because recursion could overflow the stack.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(mut lineage) = above.and_then(Arc::into_inner) {
            above = lineage.above.take();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_identified_by_its_mount_point() {
        let id = EntryId::new;
        let root = Lineage::root(1, 2);
        let same = root.below(id(1000), 1, 3).unwrap();
        let other = same.below(id(1001), 7, 2).unwrap();
        let in_other = other.below(id(1002), 7, 3).unwrap();
        let root_again = in_other.below(id(1003), 1, 9).unwrap();
        let of = |lineage: &Arc<Lineage>| lineage.file_system.get();
        assert_eq!((of(&same), of(&other), of(&in_other)), (0x64, 1001, 1001));
        assert_eq!(of(&root_again), 0x64);
        assert!(in_other.below(id(1004), 7, 2).is_none());
        assert!(in_other.below(id(1004), 1, 2).is_none(), "the root itself");
        assert!(in_other.below(id(1004), 7, 3).is_none(), "itself");
        assert!(same.below(id(1004), 7, 3).is_some(), "beside it");
    }

    #[test]
    fn a_deep_chain_is_dropped_without_recursion() {
        let mut at = Lineage::root(1, 2);
        for inode in 3..2_003 {
            at = at.below(EntryId::new(inode), 1, inode).unwrap();
        }
        // Deeper, without the comparisons.
        for inode in 0..1_000_000 {
            at = Arc::new(Lineage {
                file_system: EntryId::ROOT,
                device: 1,
                inode,
                above: Some(at),
            });
        }
        drop(at);
    }
}
