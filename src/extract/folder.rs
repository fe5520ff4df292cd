//! Directories of the destination, and the system calls in them.
//!
//! Every call is relative to an open descriptor and takes one [`Component`]. Symlinks are never followed, so
//! neither the container nor the destination can lead a call out of the destination.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clfs_format::limits::NAME_BYTES;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec,
    Timestamps, chmodat, fstat, futimens, linkat, mkdirat, mknodat, openat, openat2, renameat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::temporary::Token;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Retries of openat2(2) after a concurrent rename (`EAGAIN`).
const RACES: usize = 100;

/// The prefix of temporary names; the token of their run, `-`, a number and an ending follow.
const TEMPORARY_PREFIX: &[u8] = b".clfsload-";
/// The usual ending of temporary names.
pub(super) const TEMPORARY_END: &[u8] = b".tmp";

/// The name of an entry in the directory in which it is used: not empty, not `.` or `..`, without `/` and
/// NUL, at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component(CString);

impl Component {
    /// Checks a name; none if it could lead out of the directory.
    pub(super) fn new(name: &[u8]) -> Option<Self> {
        if matches!(name, b"" | b"." | b"..") || name.len() > NAME_BYTES || name.contains(&b'/') {
            return None;
        }
        // Rejects a NUL inside.
        CString::new(name).ok().map(Self)
    }

    /// Creates a temporary name, cut at 255 bytes. It does not contain the entry's own name, which may have 255
    /// bytes already. `end` has no NUL and no `/`.
    pub(super) fn temporary(token: Token, number: u64, end: &[u8]) -> Self {
        let middle = format!("{token}-{number:x}");
        let mut name = [TEMPORARY_PREFIX, middle.as_bytes(), end].concat();
        name.truncate(NAME_BYTES);
        Self(CString::new(name).unwrap_or_default())
    }

    /// Returns the token of a temporary name.
    pub(super) fn token(&self) -> Option<Token> {
        let rest = self.as_bytes().strip_prefix(TEMPORARY_PREFIX)?;
        let (token, number) = rest.split_at_checked(Token::DIGITS)?;
        number.strip_prefix(b"-")?;
        Token::parse(token)
    }

    /// Returns this name with a suffix; cut before the suffix if both together are too long.
    pub(super) fn with_suffix(&self, suffix: &str) -> Option<Self> {
        let keep = NAME_BYTES.saturating_sub(suffix.len());
        let kept = self.as_bytes().get(..keep).unwrap_or(self.as_bytes());
        Self::new(&[kept, suffix.as_bytes()].concat())
    }

    /// Returns whether any file system accepts the name: letters, digits, `.`, `-` and `_`, no dot at the end, not
    /// long.
    pub(super) fn is_plain(&self) -> bool {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let name = self.as_bytes();
        name.len() <= 100 && !name.ends_with(b".") && name.iter().all(plain)
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        &self.0
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The identity of a local file: `st_dev` and `st_ino`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl FileId {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// The name under which a directory lists an entry that was found by another spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// The name that was looked up.
    Exactly,
    /// Another name, which the file system treats as the same.
    As(Vec<u8>),
    /// None: the entry was removed, or the directory lists other inode numbers.
    Nowhere,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder {
    descriptor: OwnedFd,
}

impl Folder {
    /// Opens the destination: the only path that is used as the user gave it.
    pub(super) fn open_destination(path: &Path) -> Result<Self, Errno> {
        let descriptor = retry_on_intr(|| openat(CWD, path, DIRECTORY, Mode::empty()))?;
        Ok(Self { descriptor })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        fstat(&self.descriptor)
    }

    /// Opens a directory in it.
    pub(super) fn open_folder(&self, name: &Component) -> Result<Self, Errno> {
        let descriptor = self.open_beneath(name, DIRECTORY, Mode::empty())?;
        Ok(Self { descriptor })
    }

    /// Opens a regular file in it for reading.
    pub(super) fn open_file(&self, name: &Component) -> Result<OwnedFd, Errno> {
        // O_NONBLOCK: a fifo that took the file's place must not hang the open.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        self.open_beneath(name, flags, Mode::empty())
    }

    /// Creates a file for writing; `EEXIST` if the name is in use.
    pub(super) fn create_file(&self, name: &Component) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        self.open_beneath(name, flags, Mode::RUSR | Mode::WUSR)
    }

    /// Opens with openat2(2), so that the kernel enforces what [`Component`] promises. Kernels before 5.6 do
    /// not have it, and some sandboxes forbid it; then `O_NOFOLLOW` is used.
    fn open_beneath(&self, name: &Component, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        static MISSING: AtomicBool = AtomicBool::new(false);
        if !MISSING.load(Relaxed) {
            match self.open_resolved(name, flags, mode) {
                Err(Errno::NOSYS) => MISSING.store(true, Relaxed),
                // A seccomp filter's response to an unknown call, or an error that openat(2) returns too.
                Err(Errno::PERM | Errno::AGAIN) => {}
                opened => return opened,
            }
        }
        self.open_unfollowed(name, flags, mode)
    }

    fn open_resolved(&self, name: &Component, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let (name, flags) = (name.as_c_str(), flags | OFlags::NOFOLLOW);
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..RACES {
            opened = retry_on_intr(|| openat2(&self.descriptor, name, flags, mode, resolve));
            if !matches!(opened, Err(Errno::AGAIN)) {
                break;
            }
        }
        opened
    }

    fn open_unfollowed(
        &self,
        name: &Component,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        let (name, flags) = (name.as_c_str(), flags | OFlags::NOFOLLOW);
        retry_on_intr(|| openat(&self.descriptor, name, flags, mode))
    }

    /// Returns the attributes of an entry; none if the name is free.
    pub(super) fn stat_of(&self, name: &Component) -> Result<Option<Stat>, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match retry_on_intr(|| statat(&self.descriptor, name.as_c_str(), flags)) {
            Err(Errno::NOENT) => Ok(None),
            found => found.map(Some),
        }
    }

    pub(super) fn create_folder(&self, name: &Component) -> Result<(), Errno> {
        mkdirat(&self.descriptor, name.as_c_str(), Mode::RWXU)
    }

    pub(super) fn create_symlink(&self, name: &Component, target: &CStr) -> Result<(), Errno> {
        symlinkat(target, &self.descriptor, name.as_c_str())
    }

    pub(super) fn create_node(
        &self,
        name: &Component,
        file_type: FileType,
        device: u64,
    ) -> Result<(), Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&self.descriptor, name.as_c_str(), file_type, mode, device)
    }

    /// Creates a hard link to an entry of another directory. A symlink is linked itself, not its target.
    pub(super) fn create_link(
        &self,
        name: &Component,
        from: &Folder,
        original: &Component,
    ) -> Result<(), Errno> {
        let (original, name) = (original.as_c_str(), name.as_c_str());
        linkat(
            &from.descriptor,
            original,
            &self.descriptor,
            name,
            AtFlags::empty(),
        )
    }

    pub(super) fn target_of(&self, name: &Component) -> Result<Vec<u8>, Errno> {
        rustix::fs::readlinkat(&self.descriptor, name.as_c_str(), Vec::new())
            .map(std::ffi::CString::into_bytes)
    }

    /// Renames an entry within the directory. Replaces an existing entry, unless that is a directory
    /// (rename(2)).
    pub(super) fn rename(&self, from: &Component, to: &Component) -> Result<(), Errno> {
        let here = &self.descriptor;
        renameat(here, from.as_c_str(), here, to.as_c_str())
    }

    /// Does the same, but fails with `EEXIST` if the name is in use.
    pub(super) fn rename_if_free(&self, from: &Component, to: &Component) -> Result<(), Errno> {
        let (here, from, to) = (&self.descriptor, from.as_c_str(), to.as_c_str());
        renameat_with(here, from, here, to, RenameFlags::NOREPLACE)
    }

    /// Removes anything but a directory.
    pub(super) fn remove(&self, name: &Component) -> Result<(), Errno> {
        unlinkat(&self.descriptor, name.as_c_str(), AtFlags::empty())
    }

    /// Sets the permissions of anything but a symlink. fchmodat(2) would follow a symlink that replaced the
    /// entry. fchmod(2) rejects descriptors opened with `O_PATH`, the only way to open a socket or an
    /// unreadable file.
    pub(super) fn set_mode(&self, name: &Component, mode: Mode) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let descriptor = self.open_beneath(name, flags, Mode::empty())?;
        let stat = fstat(&descriptor)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        set_mode_of(&descriptor, mode)
    }

    /// Removes leftovers of killed runs: entries other than directories whose names contain one of these
    /// tokens. Returns their number.
    pub(super) fn sweep(&self, tokens: &[Token]) -> Result<u64, Errno> {
        // The usual case: no run was killed, and the directory need not be listed.
        if tokens.is_empty() {
            return Ok(0);
        }
        let is_ours = |name: &Component| {
            let token = name.token();
            token.is_some_and(|token| tokens.contains(&token))
        };
        let mut left = Vec::new();
        for entry in Dir::read_from(&self.descriptor)? {
            left.extend(Component::new(entry?.file_name().to_bytes()).filter(is_ours));
        }
        let mut removed = 0;
        for name in left {
            let stat = self.stat_of(&name)?;
            if stat.is_some_and(|stat| !is_type(&stat, FileType::Directory)) {
                self.remove(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Returns the name under which the directory lists the entry that a lookup of `name` returned.
    pub(super) fn stored(&self, name: &Component, stat: &Stat) -> Result<Stored, Errno> {
        let mut other = None;
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let stored = entry.file_name().to_bytes();
            if stored == name.as_bytes() {
                return Ok(Stored::Exactly);
            }
            if entry.ino() == stat.st_ino && !matches!(stored, b"." | b"..") {
                other = Some(stored.to_vec());
            }
        }
        Ok(other.map_or(Stored::Nowhere, Stored::As))
    }

    /// Calls `visit` with every name in the directory.
    pub(super) fn each_name(&self, mut visit: impl FnMut(&[u8])) -> Result<(), Errno> {
        for entry in Dir::read_from(&self.descriptor)? {
            visit(entry?.file_name().to_bytes());
        }
        Ok(())
    }

    /// Restores the directory's times, if this user may set them.
    pub(super) fn restore_times(&self, before: &Stat) {
        let timespec = |seconds, nanoseconds| Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: timespec(before.st_atime, before.st_atime_nsec as _),
            last_modification: timespec(before.st_mtime, before.st_mtime_nsec as _),
        };
        // Only the owner may set them, and nothing depends on it.
        let _: Result<(), Errno> = futimens(&self.descriptor, &times);
    }

    /// Returns whether the directory is empty.
    pub(super) fn is_empty(&self) -> Result<bool, Errno> {
        for entry in Dir::read_from(&self.descriptor)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Sets the permissions of an entry that was opened with `O_PATH`.
pub(super) fn set_mode_of(descriptor: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    chmodat(CWD, path, mode, AtFlags::empty())
}

pub(super) fn is_type(stat: &Stat, file_type: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == file_type
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    type Open = fn(&Folder, &Component, OFlags, Mode) -> Result<OwnedFd, Errno>;

    /// With openat2(2) and without it: safety must not depend on a call that some kernels lack.
    const WAYS: [Open; 3] = [
        Folder::open_beneath,
        Folder::open_resolved,
        Folder::open_unfollowed,
    ];

    #[test]
    fn symlinks_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let (inside, outside) = (place.path().join("inside"), place.path().join("outside"));
        std::fs::create_dir(&inside).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("file"), "precious").unwrap();
        symlink(&outside, inside.join("to-folder")).unwrap();
        symlink(outside.join("file"), inside.join("to-file")).unwrap();
        symlink(outside.join("missing"), inside.join("dangling")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        let folder = Folder::open_destination(&inside).unwrap();
        let create = OFlags::WRONLY | OFlags::CREATE;
        for open in WAYS {
            for name in ["to-folder", "to-file", "dangling", "magic"] {
                let name = Component::new(name.as_bytes()).unwrap();
                for flags in [DIRECTORY, OFlags::RDONLY, create, create | OFlags::EXCL] {
                    let mode = match flags.contains(OFlags::CREATE) {
                        true => Mode::RWXU,
                        false => Mode::empty(),
                    };
                    let opened = open(&folder, &name, flags, mode);
                    let opened = opened.map(drop).unwrap_err();
                    let refused = [Errno::LOOP, Errno::NOTDIR, Errno::EXIST];
                    assert!(refused.contains(&opened), "{name:?} {flags:?}: {opened}");
                }
            }
        }
        assert!(!outside.join("missing").exists());
    }

    #[test]
    fn permissions_are_not_set_through_symlinks() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&file, place.path().join("link")).unwrap();
        let folder = Folder::open_destination(place.path()).unwrap();
        let set = |name: &str| {
            let name = Component::new(name.as_bytes()).unwrap();
            folder.set_mode(&name, Mode::from_raw_mode(0o4755))
        };
        let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!((set("link"), mode()), (Err(Errno::LOOP), 0o600));
        assert_eq!((set("file"), mode()), (Ok(()), 0o4755));
    }

    #[test]
    fn names_that_lead_elsewhere_are_rejected() {
        let long = [b'n'; 256];
        for name in [
            &b""[..],
            b".",
            b"..",
            b"/",
            b"a/b",
            b"/etc",
            b"../x",
            b"a\0b",
            b"\0",
            &long,
        ] {
            assert_eq!(Component::new(name), None, "{name:?}");
        }
        for name in [&b"..."[..], b"..a", b".a", b" ", b"\xff", &[b'n'; 255]] {
            assert_eq!(Component::new(name).unwrap().as_bytes(), name);
        }
    }

    #[test]
    fn only_temporary_names_have_a_token() {
        let token = Token::new();
        for number in [0, 10, u64::MAX] {
            for end in [TEMPORARY_END, &[b'n'; 300]] {
                let name = Component::temporary(token, number, end);
                assert_eq!(name.token(), Some(token));
                assert!(name.as_bytes().len() <= 255);
            }
        }
        for name in [
            ".clfsload-0123456789abcdef.tmp",
            ".clfsload-0123456789abcdef1.tmp",
            ".clfsload-0123456789ABCDEF-1.tmp",
            ".clfsload-0123abcd.tmp",
            "x.clfsload-0123456789abcdef-1.tmp",
            ".tmp",
        ] {
            let component = Component::new(name.as_bytes()).unwrap();
            assert_eq!(component.token(), None, "{name}");
        }
    }

    #[test]
    fn a_suffix_fits_behind_the_longest_name() {
        let long = Component::new(&[b'n'; 255]).unwrap();
        let suffixed = long.with_suffix(".damaged").unwrap();
        assert_eq!(suffixed.as_bytes().len(), 255);
        assert!(suffixed.as_bytes().ends_with(b"n.damaged"));
    }
}
