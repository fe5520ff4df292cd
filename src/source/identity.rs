//! Whether what was opened is the directory of the scan (docs/design.md, Identity of the source).

use std::fmt;

use crate::entry::{
    KnownDirectory, Mount, MountComparison, MountDifference, Mounted, SourceAttributes,
};
use crate::problem::Reason;

use super::EntryStat;

/// How the source and the file systems below it are identified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SourceIdentity {
    /// By inode numbers, and by further evidence for the file system.
    #[default]
    Inodes,
    /// By mode, owner, `mtime` and `ctime`, for file systems with unstable inode numbers.
    Attributes,
    /// Accepts a source that cannot be identified. One that is shown to be another file system is still
    /// refused.
    Accept,
}

/// Why the source is not taken for the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// It is another folder or file system.
    Other(Difference),
    /// Everything agrees except the inode number.
    Renumbered,
    /// Nothing shows that it is the same, but recorded names exist in it.
    Unproven,
    /// Nothing shows that it is the same, and no entry in it was recorded.
    Unrecorded,
    /// Nothing shows that it is the same, and no recorded entry that was compared is in it.
    Emptied,
}

/// A difference that shows another folder or file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Birth time or UUID of the file system.
    Mount(MountDifference),
    /// The inode number of the root.
    InodeNumber,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Mount(difference) => difference.fmt(f),
            Difference::InodeNumber => f.write_str("inode number"),
        }
    }
}

/// The recorded entries of a directory, compared with the present ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// None were recorded.
    None,
    /// At least one is shown to be the recorded one.
    Found,
    /// At least one has the recorded name and type; none is shown to be the recorded one.
    Named,
    /// None has the recorded name and type.
    Gone,
}

/// Returns whether an entry in the root of a mount shows that the mount is the recorded one.
///
/// Name and inode number alone do not, since FUSE may count from 1 at each mount, unless
/// `is_supported`: the root itself is unchanged. Times that a file system does not record prove nothing.
pub(super) fn shows_mount(
    known: &SourceAttributes,
    seen: &SourceAttributes,
    is_supported: bool,
) -> bool {
    let same_number = known.inode == seen.inode && known.file_type == seen.file_type;
    known.agrees(seen) && known.has_ctime() || same_number && is_supported
}

/// Compares the root of the source, or of a mount below it, with the recorded one.
///
/// The root's inode number proves little: it is 2 on every ext4 and 1 on every FUSE. So further
/// evidence is required: birth time or UUID, entries in it, or unchanged attributes.
///
/// `children` compares the recorded entries; its argument is `is_supported` of [`shows_mount`].
pub(super) fn check_mount(
    known: &SourceAttributes,
    recorded: Option<&Mount>,
    seen: &EntryStat,
    now: &Mount,
    by: SourceIdentity,
    children: impl FnOnce(bool) -> Children,
) -> Result<(), Mismatch> {
    let agrees = known.agrees(&seen.attributes) && known.has_ctime();
    // An earlier version recorded the number only.
    let compared = recorded.map_or(MountComparison::Unknown, |recorded| recorded.compare(now));
    if let MountComparison::Other(difference) = compared {
        // Regardless of the entries in it: each ext4 has a lost+found.
        return Err(Mismatch::Other(Difference::Mount(difference)));
    }
    let is_same_number = known.inode == seen.attributes.inode;
    // Another directory of the same file system may have been made in the same tick of the clock.
    let is_same_mount = is_same_number && compared == MountComparison::Same;
    if by == SourceIdentity::Inodes && !is_same_number {
        return Err(match agrees || children(false) == Children::Found {
            true => Mismatch::Renumbered,
            false => Mismatch::Other(Difference::InodeNumber),
        });
    }
    if is_same_mount {
        return Ok(());
    }
    let accepts = by == SourceIdentity::Accept;
    match children(agrees) {
        Children::Found => Ok(()),
        Children::None if agrees => Ok(()),
        Children::None if by == SourceIdentity::Inodes && recorded.is_none() => Ok(()),
        Children::Named if accepts => Ok(()),
        Children::Gone => Err(Mismatch::Emptied),
        Children::None => Err(Mismatch::Unrecorded),
        Children::Named => Err(Mismatch::Unproven),
    }
}

/// Compares a directory, which is not the root of a mount of its own, in a directory that was compared.
///
/// None where `check_mount` must decide.
pub(super) fn check_directory(
    known: &KnownDirectory,
    seen: &EntryStat,
    device_above: u64,
    is_in_autofs: bool,
) -> Option<Result<(), Reason>> {
    let is_other_device = seen.device != device_above;
    let same = match &known.mounted {
        // The version that recorded it took the attributes of the trigger.
        Mounted::Unknown if is_in_autofs && is_other_device => true,
        // All that there is to compare.
        Mounted::Unknown => known.attributes.inode == seen.attributes.inode,
        Mounted::Nothing if is_other_device => false,
        Mounted::Nothing if seen.is_mount => known.attributes.inode == seen.attributes.inode,
        Mounted::Nothing => known.attributes.same_inode(&seen.attributes),
        Mounted::This(mount) if mount.is_other_device && is_other_device => return None,
        Mounted::This(mount) if mount.is_other_device => return Some(Err(Reason::NotMounted)),
        // A bind mount. Where it is not, its directory is another one.
        Mounted::This(_) if is_other_device => false,
        Mounted::This(_) => {
            if known.attributes.inode != seen.attributes.inode && !seen.is_mount {
                return Some(Err(Reason::NotMounted));
            }
            known.attributes.inode == seen.attributes.inode
        }
    };
    Some(match same {
        true => Ok(()),
        false => Err(Reason::Replaced),
    })
}

/// Returns whether a directory that failed may be recorded again with its present attributes. Its parent must have
/// been compared.
///
/// `is_unread`: no entry in it was recorded. A directory that was removed and created again, or on which a
/// file system was mounted since, is then as good as one that was found the first time. A directory from
/// which a file system is missing is not.
pub fn may_be_recorded_anew(
    known: &KnownDirectory,
    seen: &EntryStat,
    device_above: u64,
    is_unread: bool,
) -> bool {
    let same_number = known.attributes.inode == seen.attributes.inode;
    match &known.mounted {
        Mounted::Unknown => same_number,
        // A file system that was mounted since.
        Mounted::Nothing if seen.mount.is_some() => is_unread,
        Mounted::Nothing => seen.device == device_above && (same_number || is_unread),
        Mounted::This(before) => {
            let now = seen.mount.as_ref();
            same_number
                && now.is_some_and(|now| {
                    let is_same = match before.compare(now) {
                        MountComparison::Same => true,
                        MountComparison::Other(_) => false,
                        // A change of mode or owner does not change mtime.
                        MountComparison::Unknown => known.attributes.mtime == seen.attributes.mtime,
                    };
                    before.is_other_device == now.is_other_device && is_same
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::DeviceNumber;
    use clfs_format::{FileType, Timestamp};

    const SECOND: i64 = 1_000_000_000;

    fn seen(inode: u64, mtime: u32) -> EntryStat {
        let time = |seconds| Timestamp {
            seconds,
            nanoseconds: 0,
        };
        EntryStat {
            attributes: SourceAttributes {
                file_type: FileType::Directory,
                mode: 0o40755,
                uid: 0,
                gid: 0,
                size: 0,
                mtime: time(mtime),
                ctime: time(mtime),
                atime: time(0),
                inode,
                device: DeviceNumber::default(),
                losses: crate::loss::Losses::default(),
            },
            links: 2,
            device: 1,
            clamped_times: 0,
            allocated: None,
            is_mount: true,
            is_automount: false,
            mount: None,
        }
    }

    fn mount(birth: Option<i64>, uuid: Option<u64>) -> Mount {
        Mount {
            is_other_device: true,
            birth,
            uuid,
        }
    }

    /// The complete decision, for a root that was recorded as inode 2 with `mtime` 5.
    #[test]
    fn a_root_is_accepted_only_with_evidence() {
        use Children::{Found, Gone, Named, None as Unrecorded};
        use Mismatch::{Emptied, Renumbered, Unproven};
        use SourceIdentity::{Accept, Attributes, Inodes};
        let other = |difference| Err(Mismatch::Other(Difference::Mount(difference)));
        let renumbered = Mismatch::Other(Difference::InodeNumber);
        let check = |recorded: Option<Mount>, now: &Mount, seen: &EntryStat, by, children| {
            let known = self::seen(2, 5).attributes;
            check_mount(&known, recorded.as_ref(), seen, now, by, |_| children)
        };
        let (unchanged, changed, moved) = (seen(2, 5), seen(2, 6), seen(3, 6));
        let none = mount(None, None);
        let exact = mount(Some(SECOND + 1), None);
        let uuid = mount(Some(SECOND), Some(7));
        let coarse = mount(Some(SECOND), None);
        for by in [Inodes, Attributes, Accept] {
            // A contradiction outweighs all other evidence.
            let birth = check(
                Some(exact),
                &mount(Some(SECOND + 2), None),
                &unchanged,
                by,
                Found,
            );
            assert_eq!(birth, other(MountDifference::BirthTime));
            let copy = check(
                Some(uuid),
                &mount(Some(SECOND), Some(8)),
                &unchanged,
                by,
                Found,
            );
            assert_eq!(copy, other(MountDifference::Uuid));
            for same in [none, exact, uuid, coarse] {
                assert_eq!(check(Some(same), &same, &changed, by, Found), Ok(()));
                assert_eq!(check(Some(same), &same, &unchanged, by, Unrecorded), Ok(()));
            }
            for same in [exact, uuid] {
                for children in [Unrecorded, Named, Gone] {
                    assert_eq!(check(Some(same), &same, &changed, by, children), Ok(()));
                }
            }
            for same in [none, coarse] {
                assert_eq!(check(Some(same), &same, &changed, by, Gone), Err(Emptied));
                let checked = check(Some(same), &same, &changed, by, Unrecorded);
                assert_eq!(checked, Err(Mismatch::Unrecorded));
                let expected = match by {
                    Accept => Ok(()),
                    _ => Err(Unproven),
                };
                assert_eq!(check(Some(same), &same, &changed, by, Named), expected);
            }
        }
        // Another inode number.
        assert_eq!(
            check(Some(none), &none, &moved, Inodes, Found),
            Err(Renumbered)
        );
        assert_eq!(
            check(Some(none), &none, &seen(3, 5), Inodes, Gone),
            Err(Renumbered)
        );
        for children in [Named, Gone, Unrecorded] {
            let checked = check(Some(exact), &exact, &moved, Inodes, children);
            assert_eq!(checked, Err(renumbered));
        }
        assert_eq!(check(Some(none), &none, &moved, Attributes, Found), Ok(()));
        for by in [Attributes, Accept] {
            let checked = check(Some(exact), &exact, &moved, by, Unrecorded);
            assert_eq!(checked, Err(Mismatch::Unrecorded));
            let checked = check(Some(exact), &exact, &moved, by, Gone);
            assert_eq!(checked, Err(Emptied));
        }
        // A file system without times: unchanged times prove nothing.
        let timeless = seen(2, 0);
        let known = timeless.attributes;
        let checked = check_mount(
            &known,
            Some(&none),
            &timeless,
            &none,
            Inodes,
            |is_supported| {
                assert!(!is_supported);
                assert!(!shows_mount(&known, &known, false));
                Unrecorded
            },
        );
        assert_eq!(checked, Err(Mismatch::Unrecorded));
        // Of a transfer that an earlier version started only the number is known.
        assert_eq!(check(None, &none, &changed, Inodes, Unrecorded), Ok(()));
        assert_eq!(check(None, &none, &changed, Inodes, Gone), Err(Emptied));
    }
}
