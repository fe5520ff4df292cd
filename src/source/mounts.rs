//! What is mounted where: birth time and origin of an open mount, and whether it is an autofs.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstatfs, fstatvfs, open, statx};
use rustix::io::Errno;

use super::Seen;
use super::unmounted::{is_mounted, without_escapes};
use crate::entry::{Mount, MountBelow};

/// `AUTOFS_SUPER_MAGIC` of linux/magic.h.
const AUTOFS: i64 = 0x0187;
/// `EXT4_SUPER_MAGIC` and `BTRFS_SUPER_MAGIC`.
const EXT: i64 = 0xef53;
const BTRFS: i64 = 0x9123_683e;
const MOUNTS: &str = "/proc/self/mountinfo";

/// What shows which file system an open directory, the root of a mount, belongs to.
pub(super) fn of(directory: impl AsFd, is_other_device: bool) -> Mount {
    let asked = StatxFlags::BTIME | StatxFlags::MNT_ID;
    let found = statx(&directory, c"", AtFlags::EMPTY_PATH, asked).ok();
    let gave = |flag: StatxFlags| {
        let gave = |found: &&rustix::fs::Statx| found.stx_mask & flag.bits() != 0;
        found.as_ref().filter(gave)
    };
    let birth = gave(StatxFlags::BTIME).and_then(|found| {
        let time = found.stx_btime;
        let whole = time.tv_sec.checked_mul(1_000_000_000)?;
        // mke2fs of old versions leaves it 0.
        let nanoseconds = whole.checked_add(i64::from(time.tv_nsec))?;
        (nanoseconds != 0).then_some(nanoseconds)
    });
    let origin = gave(StatxFlags::MNT_ID).and_then(|found| {
        let mounts = std::fs::read(MOUNTS).ok()?;
        origin(&mounts, found.stx_mnt_id)
    });
    let origin = origin.or_else(|| uuid(&directory));
    Mount {
        is_other_device,
        birth,
        origin,
    }
}

/// `f_fsid` where it lasts: ext4 and btrfs make it from the UUID, others from the device number.
fn uuid(directory: impl AsFd) -> Option<Vec<u8>> {
    if ![EXT, BTRFS].contains(&kind(&directory)?) {
        return None;
    }
    let found = fstatvfs(&directory).ok()?;
    Some(format!("fsid {:016x}", found.f_fsid).into_bytes())
}

/// Type, source and root of the mount with that id, as `/proc/self/mountinfo` has them (proc(5)):
/// `ID PARENT DEVICE ROOT POINT OPTIONS [TAGS...] - TYPE SOURCE OPTIONS`. Only of one whose source
/// names a server: a device may hold another file system after a reboot, and `tmpfs` says nothing.
fn origin(mounts: &[u8], id: u64) -> Option<Vec<u8>> {
    let id = id.to_string();
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        if fields.next()? != id.as_bytes() {
            return None;
        }
        let root = fields.nth(2)?;
        let mut rest = fields.skip_while(|field| field != b"-").skip(1);
        let (kind, source) = (rest.next()?, rest.next()?);
        let is_remote = source.contains(&b':') || source.starts_with(b"//");
        is_remote.then(|| [kind, source, root].join(&b' '))
    })
}

/// The mounts below `folder`, which has no symlinks, in the order of their paths. Those that an autofs
/// brings and takes away are left out.
pub fn mounts_below(folder: &Path) -> Vec<MountBelow> {
    let table = std::fs::read(MOUNTS).unwrap_or_default();
    let points = points_below(&table, folder.as_os_str().as_bytes());
    let mounts = points.into_iter().filter_map(|path| {
        let at = folder.join(OsStr::from_bytes(&path));
        // Others may be covered by a later mount above them.
        if !is_mounted(&at) {
            return None;
        }
        let root = open(&at, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Some(MountBelow {
            path,
            inode: Some(Seen::open(&root).ok()?.attributes.inode),
            mount: of(&root, true),
        })
    });
    mounts.collect()
}

fn points_below(table: &[u8], folder: &[u8]) -> Vec<Vec<u8>> {
    let mounts = table.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = without_escapes(fields.nth(4)?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some((point, kind == b"autofs"))
    });
    let mounts: Vec<(Vec<u8>, bool)> = mounts.collect();
    let below = |point: &[u8], above: &[u8]| -> Option<Vec<u8>> {
        let above = above.strip_suffix(b"/").unwrap_or(above);
        let rest = point.strip_prefix(above)?.strip_prefix(b"/")?;
        (!rest.is_empty()).then(|| rest.to_vec())
    };
    let automatic = |point: &[u8]| {
        let at_or_above = |auto: &[u8]| auto == point || below(point, auto).is_some();
        let mut autofs = mounts.iter().filter(|(_, is_autofs)| *is_autofs);
        autofs.any(|(auto, _)| at_or_above(auto))
    };
    let points = mounts.iter().map(|(point, _)| point);
    let mut points: Vec<Vec<u8>> = points
        .filter(|point| !automatic(point))
        .filter_map(|point| below(point, folder))
        .collect();
    points.sort();
    points.dedup();
    points
}

/// What is seen of the source's folder itself, with what shows its file system.
///
/// # Errors
/// The error of statx(2).
pub fn see_root(root: impl AsFd) -> Result<Seen, Errno> {
    let mut seen = Seen::examined_open(&root)?;
    seen.mount = Some(of(&root, true));
    Ok(seen)
}

/// Whether an open directory belongs to an autofs, where each name may be a trigger.
pub(super) fn is_autofs(directory: impl AsFd) -> bool {
    kind(directory) == Some(AUTOFS)
}

/// `f_type` of statfs(2), whose width depends on the processor.
#[allow(clippy::useless_conversion)]
fn kind(directory: impl AsFd) -> Option<i64> {
    fstatfs(directory).ok().map(|found| i64::from(found.f_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_mount_is_found_by_its_id() {
        let mounts = b"22 1 254:0 / / rw - ext4 /dev/root rw\n\
            130 22 0:50 /sub /mnt/a rw,relatime shared:7 master:1 - nfs4 server:/export rw,vers=4\n\
            13 22 0:51 / /mnt/- rw - fuse.sshfs user@host:/a\\040b rw\n";
        let of =
            |id| origin(mounts, id).map(|origin| String::from_utf8_lossy(&origin).into_owned());
        assert_eq!(of(22), None, "a device");
        assert_eq!(of(130).as_deref(), Some("nfs4 server:/export /sub"));
        assert_eq!(of(13).as_deref(), Some("fuse.sshfs user@host:/a\\040b /"));
        assert_eq!(of(2), None);
        assert_eq!(origin(b"2 1 0:1 /", 2), None);
    }

    #[test]
    fn mounts_below_a_folder_are_found_by_their_points() {
        let table = b"1 0 0:1 / / rw - ext4 /dev/a rw\n\
            2 1 0:2 / /source rw - ext4 /dev/b rw\n\
            3 2 0:3 / /source/a\\040b rw - ext4 /dev/c rw\n\
            4 2 0:4 / /source2/c rw - ext4 /dev/d rw\n\
            5 3 0:5 / /source/a\\040b/d rw master:1 - nfs server:/x rw\n\
            6 2 0:6 / /source/auto rw - autofs map rw\n\
            7 6 0:7 / /source/auto/home rw - nfs server:/home rw\n\
            8 5 0:8 / /source/a\\040b/d rw - tmpfs tmpfs rw\n";
        let points = points_below(table, b"/source");
        assert_eq!(points, [b"a b".to_vec(), b"a b/d".to_vec()]);
        assert_eq!(points_below(table, b"/source/a b"), [b"d".to_vec()]);
        assert_eq!(points_below(table, b"/").len(), 4);
    }
}
