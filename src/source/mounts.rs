//! What is mounted where: birth time and origin of an open mount, and whether it is an autofs.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};
use rustix::io::Errno;

use super::Seen;
use crate::entry::Mount;

/// `AUTOFS_SUPER_MAGIC` of linux/magic.h.
const AUTOFS: i64 = 0x0187;
const MOUNTS: &str = "/proc/self/mountinfo";

/// What shows which file system an open directory, the root of a mount, belongs to.
pub(super) fn of(directory: impl AsFd, is_other_device: bool) -> Mount {
    let asked = StatxFlags::BTIME | StatxFlags::MNT_ID;
    let found = statx(directory, c"", AtFlags::EMPTY_PATH, asked).ok();
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
    Mount {
        is_other_device,
        birth,
        origin,
    }
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

/// What is seen of the source's folder itself, with what shows its file system.
///
/// # Errors
/// The error of statx(2).
pub fn see_root(root: impl AsFd) -> Result<Seen, Errno> {
    let mut seen = Seen::open(&root)?;
    seen.mount = Some(of(&root, true));
    Ok(seen)
}

/// Whether an open directory belongs to an autofs, where each name may be a trigger.
pub(super) fn is_autofs(directory: impl AsFd) -> bool {
    // Elsewhere than on x86 the type has other widths.
    fstatfs(directory).is_ok_and(|found| i64::from(found.f_type) == AUTOFS)
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
}
