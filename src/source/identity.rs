//! Whether what was opened is the directory of the scan (docs/design.md, Identity of the source).

use crate::entry::{KnownDirectory, Mount, Mounted, SourceAttributes};
use crate::problem::Reason;

use super::Seen;

/// What shows that the source and file systems below it are those of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SourceIdentity {
    /// Inode numbers, and what shows the file system.
    #[default]
    Inodes,
    /// Mode, owner, `mtime` and `ctime`: for file systems whose inode numbers do not last.
    Attributes,
}

/// How the source differs from that of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// Another folder or file system.
    Other,
    /// All agrees but the inode number.
    Renumbered,
    /// Nothing shows that it is the same.
    Unproven,
}

/// Entries of the directory that were recorded, compared with what is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// None were recorded.
    None,
    /// One at least is there.
    Found,
    /// All that were looked for are gone or others.
    Gone,
}

/// Whether an entry of the root of a mount shows that it is the one of the scan. Its name and number
/// alone do not, since FUSE may count from 1 at each mount, unless the root itself is unchanged.
pub(super) fn shows_mount(
    known: &SourceAttributes,
    seen: &SourceAttributes,
    root_agrees: bool,
) -> bool {
    let same_number = known.inode == seen.inode && known.file_type == seen.file_type;
    known.agrees(seen) || same_number && (root_agrees || known.mtime == seen.mtime)
}

/// Checks the root of the source or of a mount below it against what was recorded.
///
/// The root's inode number says little: it is 2 on every ext4 and 1 on every FUSE. So one thing more
/// must show the file system.
pub(super) fn check_mount(
    known: &SourceAttributes,
    recorded: Option<&Mount>,
    seen: &Seen,
    now: &Mount,
    by: SourceIdentity,
    children: impl FnOnce() -> Children,
) -> Result<(), Mismatch> {
    let agrees = known.agrees(&seen.attributes);
    // An earlier version recorded no more than the number.
    let shown = recorded.and_then(|recorded| recorded.is_same(now));
    if shown == Some(false) {
        // Whatever the entries in it look like: each ext4 has a lost+found.
        return Err(Mismatch::Other);
    }
    match by {
        SourceIdentity::Inodes if known.inode != seen.attributes.inode => {
            return Err(match agrees {
                true => Mismatch::Renumbered,
                false => Mismatch::Other,
            });
        }
        SourceIdentity::Inodes | SourceIdentity::Attributes => {}
    }
    if shown == Some(true) && by == SourceIdentity::Inodes {
        return Ok(());
    }
    match children() {
        Children::Found => return Ok(()),
        Children::Gone => return Err(Mismatch::Other),
        Children::None if agrees => return Ok(()),
        Children::None => {}
    }
    match by {
        SourceIdentity::Inodes if recorded.is_none() => Ok(()),
        SourceIdentity::Inodes | SourceIdentity::Attributes => Err(Mismatch::Unproven),
    }
}

/// Checks a directory in one that was checked, and is no root of a mount of its own.
///
/// None where `check_mount` must decide.
pub(super) fn check_directory(
    known: &KnownDirectory,
    seen: &Seen,
    device_above: u64,
) -> Option<Result<(), Reason>> {
    let is_other_device = seen.device != device_above;
    let same = match &known.mounted {
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

/// Whether a directory that failed may be recorded anew with the attributes that it has now. It was
/// looked at in a directory that was checked.
///
/// `is_unread`: nothing that is in it was recorded. One that was removed and made again is then as
/// good as one that was found the first time; but a file system that is not mounted is not.
pub fn may_be_recorded_anew(
    known: &KnownDirectory,
    seen: &Seen,
    device_above: u64,
    is_unread: bool,
) -> bool {
    let same_number = known.attributes.inode == seen.attributes.inode;
    match &known.mounted {
        Mounted::Unknown => same_number,
        Mounted::Nothing => {
            seen.device == device_above && (same_number || is_unread && !seen.is_mount)
        }
        Mounted::This(before) => {
            let now = seen.mount.as_ref();
            same_number
                && now.is_some_and(|now| {
                    // A change of mode or owner leaves mtime alone.
                    let same_time = known.attributes.mtime == seen.attributes.mtime;
                    let shown = before.is_same(now).unwrap_or(same_time);
                    before.is_other_device == now.is_other_device && shown
                })
        }
    }
}
