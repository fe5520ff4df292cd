//! Signs that a source is not mounted: it is empty, or a mount point of `/etc/fstab` in it is empty.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, DirEntry, Mode, OFlags, open};

use super::mounts::is_in_mount_table;
use super::stat::EntryStat;

/// A sign that the source, or a file system below it, is not mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MissingMountSign {
    /// The source is empty.
    Empty(PathBuf),
    /// A mount point of `/etc/fstab`, at or below the source, that is empty and has nothing mounted on it.
    NotMounted(PathBuf),
}

/// Returns the signs that the source, or a file system below it, is not mounted. `source` must not contain
/// symlinks. A directory that cannot be read is not a sign: the scan reports it.
pub fn missing_mount_signs(source: &Path, fstab: &Path) -> Vec<MissingMountSign> {
    let table = std::fs::read(fstab).unwrap_or_default();
    let mut points: Vec<PathBuf> = mount_points(&table)
        // First, since a mounted file system may not respond.
        .filter(|point| !is_in_mount_table(point.as_os_str().as_bytes()))
        .filter_map(|point| point.canonicalize().ok())
        .filter(|point| point.starts_with(source) && !is_mounted(point) && is_empty(point))
        .collect();
    points.sort();
    points.dedup();
    let is_listed = points.iter().any(|point| point == source);
    let empty =
        (!is_listed && is_empty(source)).then(|| MissingMountSign::Empty(source.to_path_buf()));
    empty
        .into_iter()
        .chain(points.into_iter().map(MissingMountSign::NotMounted))
        .collect()
}

/// Returns the second fields of fstab(5), where spaces, tabs, newlines and backslashes are `\040` and so on.
fn mount_points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let mut fields = line.split(blank).filter(|field| !field.is_empty());
        let device = fields.next()?;
        let point = fields.next()?;
        // `none` and `swap` are not paths.
        let is_point = device.first() != Some(&b'#') && point.first() == Some(&b'/');
        is_point.then(|| PathBuf::from(OsString::from_vec(without_escapes(point))))
    })
}

/// Decodes the octal escapes of a field of fstab(5) or proc(5).
pub(super) fn without_escapes(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, further)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => rest.get(4..).unwrap_or_default(),
            None => further,
        };
    }
    plain
}

/// Returns whether a folder is empty. Does not change its access time, which a load stores, if that is allowed.
fn is_empty(folder: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = open(folder, flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| open(folder, flags, Mode::empty()));
    let is_name = |entry: rustix::io::Result<DirEntry>| {
        entry.is_ok_and(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
    };
    opened
        .and_then(Dir::new)
        .is_ok_and(|mut entries| !entries.any(is_name))
}

/// Returns whether something is mounted there: `STATX_ATTR_MOUNT_ROOT` is set, or its device differs from that of
/// the directory above.
pub(super) fn is_mounted(folder: &Path) -> bool {
    let seen = |path: &Path| {
        let flags = AtFlags::NO_AUTOMOUNT;
        EntryStat::of(CWD, path, flags).ok()
    };
    let above = folder.parent().and_then(seen);
    seen(folder)
        .is_none_or(|seen| seen.is_mount || above.is_none_or(|above| above.device != seen.device))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let table = b"# /dev/sdz1 /not/this ext4\n\
            UUID=1\t/\text4 defaults 0 1\n  server:/a   /mnt/with\\040space nfs ro 0 0\n\
            /dev/sda2 none swap sw\n/dev/sda3 swap swap sw\n\nshort\n\
            /dev/sdb1 /mnt/back\\134slash\\011 xfs\n/dev/sdc /mnt/\\9\\08 ext4\n";
        let points: Vec<PathBuf> = mount_points(table).collect();
        let expected = ["/", "/mnt/with space", "/mnt/back\\slash\t", "/mnt/\\9\\08"];
        assert_eq!(points, expected.map(PathBuf::from));
    }

    #[test]
    fn each_sign_is_returned_once() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().canonicalize().unwrap();
        let fstab = source.with_extension("fstab");
        assert_eq!(
            missing_mount_signs(&source, &fstab),
            [MissingMountSign::Empty(source.clone())]
        );
        let [full, empty, beside] = ["full", "em pty", "beside"].map(|name| source.join(name));
        for path in [&full, &empty, &beside] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(full.join("file"), "").unwrap();
        assert_eq!(missing_mount_signs(&source, &fstab), []);
        let lines = format!(
            "a {} ext4\nb {source}/em\\040pty nfs\nb {source}/em\\040pty/ nfs\nc {source}/none x\n",
            full.display(),
            source = source.display(),
        );
        std::fs::write(&fstab, lines).unwrap();
        assert_eq!(
            missing_mount_signs(&source, &fstab),
            [MissingMountSign::NotMounted(empty.clone())]
        );
        // An empty source that is a mount point is one sign, not two.
        let lines = format!("a {}/em\\040pty ext4\n", source.display());
        std::fs::write(&fstab, lines).unwrap();
        assert_eq!(
            missing_mount_signs(&empty, &fstab),
            [MissingMountSign::NotMounted(empty.clone())]
        );
        std::fs::remove_file(&fstab).unwrap();
    }
}
