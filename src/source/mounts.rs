//! Mounted file systems: their mount points and their identity.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatfs, fstatvfs, open, statx};
use rustix::io::Errno;

use super::EntryStat;
use super::unmounted::without_escapes;
use crate::entry::{Mount, MountBelow};

/// `AUTOFS_SUPER_MAGIC` of linux/magic.h.
const AUTOFS: i64 = 0x0187;
/// `EXT4_SUPER_MAGIC`, also of ext2 and ext3.
const EXT: i64 = 0xef53;
const MOUNTS: &str = "/proc/self/mountinfo";
/// Maximum time to examine one mount. A file system without its server does not respond.
const EXAMINATION: Duration = Duration::from_secs(5);

/// Returns the identity of the file system whose root is open.
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

/// Returns `f_fsid` of ext2, ext3 and ext4, which is derived from the UUID. Others derive it from the device
/// number, or give each subvolume its own, as btrfs.
fn uuid(directory: impl AsFd) -> Option<u64> {
    if kind(&directory)? != EXT {
        return None;
    }
    fstatvfs(&directory).ok().map(|found| found.f_fsid)
}

/// Returns the mounts below `folder`, which must not contain symlinks, in the order of their paths. A mount that
/// cannot be examined, because its server does not respond, is in the list without a number. So is an autofs below
/// the folder; what it mounts and unmounts is not in the list.
///
/// # Errors
/// When the table of mounts cannot be read.
pub fn mounts_below(folder: &Path) -> Result<Vec<MountBelow>, MountsError> {
    let table = mount_table()?;
    let (points, automatic) = points_below(&table, folder.as_os_str().as_bytes());
    let mut mounts = examine_all(folder, points, examine, EXAMINATION);
    mounts.extend(automatic.into_iter().map(|path| MountBelow {
        path,
        inode: None,
        mount: Mount::default(),
    }));
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(mounts)
}

/// The table of mounts cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read {MOUNTS}: {0}. The file systems below the source would not be known: mount /proc"
)]
pub struct MountsError(std::io::Error);

fn mount_table() -> Result<Vec<u8>, MountsError> {
    std::fs::read(MOUNTS).map_err(MountsError)
}

/// Returns whether the table of mounts has this path. Does not access the file system that is mounted there, which
/// may not respond.
pub(super) fn is_in_mount_table(path: &[u8]) -> bool {
    mount_table().is_ok_and(|table| points(&table).any(|(point, _)| point == path))
}

/// Returns each mount point, and whether an autofs is mounted there.
fn points(table: &[u8]) -> impl Iterator<Item = (Vec<u8>, bool)> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = without_escapes(fields.nth(4)?);
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some((point, kind == b"autofs"))
    })
}

/// Examines mount points one after the other, each for at most `patience`. Abandons a thread that hangs.
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
        // If no thread can be started, all mounts time out.
        let _detached = std::thread::Builder::new().spawn(move || {
            // Sending fails after a mount timed out.
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
    /// It is mounted, and does not respond.
    Failed,
}

fn examine(point: &Path) -> Examined {
    let above = point.parent();
    let above = above.and_then(|above| EntryStat::of(CWD, above, AtFlags::NO_AUTOMOUNT).ok());
    let seen = match EntryStat::of(CWD, point, AtFlags::NO_AUTOMOUNT) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Examined::NotMounted,
        Err(_) => return Examined::Failed,
        Ok(seen) => seen,
    };
    let is_other_device = above.is_none_or(|above| above.device != seen.device);
    if !seen.is_mount && !is_other_device {
        return Examined::NotMounted;
    }
    let root = open(point, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    match root.and_then(|root| Ok((EntryStat::open(&root)?.attributes.inode, of(&root, true)))) {
        Ok((inode, mount)) => Examined::Mounted(inode, mount),
        Err(_) => Examined::Failed,
    }
}

/// Paths of mounts below a folder: those to examine, and the topmost autofs mounts.
fn points_below(table: &[u8], folder: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let below = |point: &[u8], above: &[u8]| -> Option<Vec<u8>> {
        let above = above.strip_suffix(b"/").unwrap_or(above);
        let rest = point.strip_prefix(above)?.strip_prefix(b"/")?;
        (!rest.is_empty()).then(|| rest.to_vec())
    };
    let mut found: Vec<_> = points(table)
        .filter_map(|(point, is_autofs)| Some((below(&point, folder)?, is_autofs)))
        .collect();
    // Mounts of an autofs at or above the folder stay as long as the folder is in use.
    let autofs: BTreeSet<Vec<u8>> = found
        .iter()
        .filter(|(_, is_autofs)| *is_autofs)
        .map(|(path, _)| path.clone())
        .collect();
    let is_below_autofs = |path: &[u8]| {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        slashes
            .map(|(at, _)| path.get(..at).unwrap_or_default())
            .any(|above| autofs.contains(above))
    };
    found.retain(|(path, _)| !is_below_autofs(path));
    found.sort();
    found.dedup_by(|one, other| one.0 == other.0);
    let (automatic, other): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|(path, _)| autofs.contains(path));
    let paths = |mounts: Vec<(Vec<u8>, bool)>| mounts.into_iter().map(|(path, _)| path).collect();
    (paths(other), paths(automatic))
}

/// Examines the source folder itself, with the identity of its file system.
///
/// # Errors
/// The error of statx(2).
pub fn examine_root(root: impl AsFd) -> Result<EntryStat, Errno> {
    let mut seen = EntryStat::examined_open(&root)?;
    seen.mount = Some(of(&root, true));
    Ok(seen)
}

/// Returns whether an open directory belongs to an autofs, where each name may be a trigger.
pub(super) fn is_autofs(directory: impl AsFd) -> bool {
    kind(directory) == Some(AUTOFS)
}

/// Returns `f_type` of statfs(2), whose width depends on the processor.
#[allow(clippy::useless_conversion)]
fn kind(directory: impl AsFd) -> Option<i64> {
    fstatfs(directory).ok().map(|found| i64::from(found.f_type))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
            8 5 0:8 / /source/a\\040b/d rw - tmpfs tmpfs rw\n\
            9 7 0:9 / /source/auto/home/m rw - nfs server:/m rw\n\
            10 2 0:10 / /source/direct rw - autofs map rw\n\
            11 10 0:11 / /source/direct rw - nfs server:/direct rw\n";
        let names = |paths: Vec<Vec<u8>>| -> Vec<String> {
            let paths = paths.into_iter();
            paths.map(|path| String::from_utf8(path).unwrap()).collect()
        };
        let below = |folder: &[u8]| {
            let (points, automatic) = points_below(table, folder);
            (names(points).join(" "), names(automatic).join(" "))
        };
        let pair = |points: &str, automatic: &str| (points.to_owned(), automatic.to_owned());
        assert_eq!(below(b"/source"), pair("a b a b/d", "auto direct"));
        assert_eq!(below(b"/source/a b"), pair("d", ""));
        assert_eq!(
            below(b"/"),
            pair(
                "source source/a b source/a b/d source2/c",
                "source/auto source/direct"
            )
        );
        // The source is on an autofs, or is one.
        assert_eq!(below(b"/source/auto/home"), pair("m", ""));
        assert_eq!(below(b"/source/auto"), pair("home home/m", ""));
    }

    /// A mount whose server does not respond is still expected, and those after it are examined.
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
