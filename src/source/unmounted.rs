//! Signs that a source is not mounted: it is empty, or a mount point of `/etc/fstab` in it is.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, DirEntry, Mode, OFlags, open};

use super::stat::Seen;

/// What makes a source suspicious.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The source holds nothing.
    Empty(PathBuf),
    /// A mount point of `/etc/fstab`, the source or a directory below it, on which nothing is mounted
    /// and which holds nothing.
    NotMounted(PathBuf),
}

/// Looks for signs that the source, or a file system below it, is not mounted. `source` has no
/// symlinks. What cannot be read is no sign: the scan shows it.
pub fn doubts(source: &Path, fstab: &Path) -> Vec<Doubt> {
    let table = std::fs::read(fstab).unwrap_or_default();
    let mut points: Vec<PathBuf> = mount_points(&table)
        .filter_map(|point| point.canonicalize().ok())
        .filter(|point| point.starts_with(source) && is_empty(point) && !is_mounted(point))
        .collect();
    points.sort();
    points.dedup();
    let is_listed = points.iter().any(|point| point == source);
    let empty = (!is_listed && is_empty(source)).then(|| Doubt::Empty(source.to_path_buf()));
    empty
        .into_iter()
        .chain(points.into_iter().map(Doubt::NotMounted))
        .collect()
}

/// The second fields of fstab(5), where spaces, tabs, newlines and backslashes are `\040` and so on.
fn mount_points(table: &[u8]) -> impl Iterator<Item = PathBuf> {
    table.split(|byte| *byte == b'\n').filter_map(|line| {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let mut fields = line.split(blank).filter(|field| !field.is_empty());
        let device = fields.next()?;
        let point = fields.next()?;
        // `none` and `swap` are no paths.
        let is_point = device.first() != Some(&b'#') && point.first() == Some(&b'/');
        is_point.then(|| PathBuf::from(OsString::from_vec(without_escapes(point))))
    })
}

/// A field of fstab(5) or proc(5) as it is meant.
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

/// Whether a folder holds nothing. Its access time, which a load stores, stays where that is allowed.
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

/// Whether something is mounted there: it has the flag, or another device than the directory above.
pub(super) fn is_mounted(folder: &Path) -> bool {
    let seen = |path: &Path| {
        let flags = AtFlags::NO_AUTOMOUNT;
        Seen::of(CWD, path, flags).ok()
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
    fn what_is_empty_is_doubted_once() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().canonicalize().unwrap();
        let fstab = source.with_extension("fstab");
        assert_eq!(doubts(&source, &fstab), [Doubt::Empty(source.clone())]);
        let [full, empty, beside] = ["full", "em pty", "beside"].map(|name| source.join(name));
        for path in [&full, &empty, &beside] {
            std::fs::create_dir(path).unwrap();
        }
        std::fs::write(full.join("file"), "").unwrap();
        assert_eq!(doubts(&source, &fstab), []);
        let lines = format!(
            "a {} ext4\nb {source}/em\\040pty nfs\nb {source}/em\\040pty/ nfs\nc {source}/none x\n",
            full.display(),
            source = source.display(),
        );
        std::fs::write(&fstab, lines).unwrap();
        assert_eq!(doubts(&source, &fstab), [Doubt::NotMounted(empty.clone())]);
        // Of a source that is a mount point itself there is one sign, not two.
        let lines = format!("a {}/em\\040pty ext4\n", source.display());
        std::fs::write(&fstab, lines).unwrap();
        assert_eq!(doubts(&empty, &fstab), [Doubt::NotMounted(empty.clone())]);
        std::fs::remove_file(&fstab).unwrap();
    }
}
