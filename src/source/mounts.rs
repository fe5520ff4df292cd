//! Which file systems are mounted where, and their identity.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatfs, fstatvfs, open, statx};
use rustix::io::Errno;

use super::Seen;
use super::unmounted::without_escapes;
use crate::entry::{Mount, MountBelow};

/// `AUTOFS_SUPER_MAGIC` of linux/magic.h.
const AUTOFS: i64 = 0x0187;
/// `EXT4_SUPER_MAGIC`, also of ext2 and ext3.
const EXT: i64 = 0xef53;
const MOUNTS: &str = "/proc/self/mountinfo";
/// How long the examination of one mount may take. A file system whose server is gone never answers.
const EXAMINATION: Duration = Duration::from_secs(5);

/// The identity of the file system whose root is open.
pub(super) fn of(directory: impl AsFd, is_other_device: bool) -> Mount {
    let found = statx(&directory, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok();
    let found = found.filter(|found| found.stx_mask & StatxFlags::BTIME.bits() != 0);
    let birth = found.and_then(|found| {
        let time = found.stx_btime;
        let seconds = time.tv_sec.checked_mul(1_000_000_000)?;
        // Old versions of mke2fs leave it 0.
        let nanoseconds = seconds.checked_add(i64::from(time.tv_nsec))?;
        (nanoseconds != 0).then_some(nanoseconds)
    });
    Mount {
        is_other_device,
        birth,
        uuid: uuid(&directory),
    }
}

/// `f_fsid` of ext2, ext3 and ext4, which is derived from the UUID. Others derive it from the device
/// number, or give each subvolume its own, as btrfs.
fn uuid(directory: impl AsFd) -> Option<u64> {
    if kind(&directory)? != EXT {
        return None;
    }
    fstatvfs(&directory).ok().map(|found| found.f_fsid)
}

/// The mounts below `folder`, which must not contain symlinks, in the order of their paths, without
/// those that an autofs mounts and unmounts. One that cannot be examined, because its server is gone,
/// is in the list without a number.
pub fn mounts_below(folder: &Path) -> Vec<MountBelow> {
    let table = std::fs::read(MOUNTS).unwrap_or_default();
    let points = points_below(&table, folder.as_os_str().as_bytes());
    examine_all(folder, points, examine, EXAMINATION)
}

/// Examines mount points one after the other, each for at most `patience`: the thread that hangs is left
/// behind.
fn examine_all(
    folder: &Path,
    points: Vec<Vec<u8>>,
    examine: fn(&Path) -> Examined,
    patience: Duration,
) -> Vec<MountBelow> {
    let mut mounts = Vec::new();
    let mut rest = points.into_iter();
    while !rest.as_slice().is_empty() {
        let ahead: Vec<PathBuf> = rest
            .as_slice()
            .iter()
            .map(|path| folder.join(OsStr::from_bytes(path)))
            .collect();
        let (sender, examined) = channel();
        // Without a thread none answers, as if all of them hung.
        let _detached = std::thread::Builder::new().spawn(move || {
            // The receiver is gone if a mount took too long.
            ahead
                .iter()
                .try_for_each(|path| sender.send(examine(path)))
                .ok()
        });
        for path in rest.by_ref() {
            let answer = examined.recv_timeout(patience);
            let (inode, mount) = match answer {
                Ok(Examined::NotMounted) => continue,
                Ok(Examined::Mounted(inode, mount)) => (Some(inode), mount),
                Ok(Examined::Failed) | Err(_) => (None, Mount::default()),
            };
            mounts.push(MountBelow { path, inode, mount });
            if answer.is_err() {
                break;
            }
        }
    }
    mounts
}

#[derive(Debug, Clone, Copy)]
enum Examined {
    /// Another mount covers its path.
    NotMounted,
    /// `st_ino` of the root, and the identity.
    Mounted(u64, Mount),
    /// It is mounted, and does not answer.
    Failed,
}

fn examine(point: &Path) -> Examined {
    let above = point.parent();
    let above = above.and_then(|above| Seen::of(CWD, above, AtFlags::NO_AUTOMOUNT).ok());
    let seen = match Seen::of(CWD, point, AtFlags::NO_AUTOMOUNT) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Examined::NotMounted,
        Err(_) => return Examined::Failed,
        Ok(seen) => seen,
    };
    let is_other_device = above.is_none_or(|above| above.device != seen.device);
    if !seen.is_mount && !is_other_device {
        return Examined::NotMounted;
    }
    let root = open(point, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    match root.and_then(|root| Ok((Seen::open(&root)?.attributes.inode, of(&root, true)))) {
        Ok((inode, mount)) => Examined::Mounted(inode, mount),
        Err(_) => Examined::Failed,
    }
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

/// Examines the source folder itself, with the identity of its file system.
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

    /// A mount whose server is gone is still expected, and those after it are examined.
    #[test]
    fn a_mount_that_hangs_or_fails_is_kept_without_a_number() {
        fn examine(path: &Path) -> Examined {
            match path.file_name().and_then(OsStr::to_str) {
                Some("hangs") => loop {
                    std::thread::park();
                },
                Some("dead") => Examined::Failed,
                Some("covered") => Examined::NotMounted,
                _ => Examined::Mounted(7, Mount::default()),
            }
        }
        let names = ["a", "covered", "dead", "hangs", "hangs", "z"];
        let points = names.map(|name| name.as_bytes().to_vec()).to_vec();
        let patience = Duration::from_millis(200);
        let mounts = examine_all(Path::new("/source"), points, examine, patience);
        let found = mounts
            .iter()
            .map(|mount| (mount.path.as_slice(), mount.inode));
        let expected: [(&[u8], _); 5] = [
            (b"a", Some(7)),
            (b"dead", None),
            (b"hangs", None),
            (b"hangs", None),
            (b"z", Some(7)),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
