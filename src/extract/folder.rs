//! A directory below the destination, and what is done in it.
//!
//! Every call is relative to an open descriptor and takes one [`Component`]; no symlink is ever
//! followed, so nothing in the container or in the destination leads out of it.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec,
    Timestamps, chmodat, fstat, futimens, linkat, mkdirat, mknodat, openat, openat2, renameat,
    renameat_with, statat, symlinkat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use super::component::Component;
use super::temporary::Token;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// How often openat2(2) is asked again when something was renamed meanwhile (`EAGAIN`).
const RACES: usize = 100;

/// What tells one file of a machine from another: `st_dev` and `st_ino`.
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

/// How a directory holds what was found under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// Under this very name.
    Exactly,
    /// Under another one, which is the same to the file system.
    As(Vec<u8>),
    /// It is gone, or the directory shows other inode numbers.
    Nowhere,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder {
    descriptor: OwnedFd,
}

impl Folder {
    /// Opens the destination: the one path that is taken as the user gave it.
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

    /// Makes a file that is not there yet, for writing.
    pub(super) fn create_file(&self, name: &Component) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        self.open_beneath(name, flags, Mode::RUSR | Mode::WUSR)
    }

    /// openat2(2) holds the kernel to what [`Component`] promises. Kernels before 5.6 do not have it,
    /// and some containers forbid it; then `O_NOFOLLOW` has to do.
    fn open_beneath(&self, name: &Component, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        static MISSING: AtomicBool = AtomicBool::new(false);
        if !MISSING.load(Relaxed) {
            match self.open_resolved(name, flags, mode) {
                Err(Errno::NOSYS) => MISSING.store(true, Relaxed),
                // Either a filter's word for "unknown", or what openat(2) answers as well.
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

    /// What stands under a name; none when nothing does.
    pub(super) fn look(&self, name: &Component) -> Result<Option<Stat>, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match retry_on_intr(|| statat(&self.descriptor, name.as_c_str(), flags)) {
            Err(Errno::NOENT) => Ok(None),
            found => found.map(Some),
        }
    }

    pub(super) fn make_folder(&self, name: &Component) -> Result<(), Errno> {
        mkdirat(&self.descriptor, name.as_c_str(), Mode::RWXU)
    }

    pub(super) fn make_symlink(&self, name: &Component, target: &CStr) -> Result<(), Errno> {
        symlinkat(target, &self.descriptor, name.as_c_str())
    }

    pub(super) fn make_node(
        &self,
        name: &Component,
        file_type: FileType,
        device: u64,
    ) -> Result<(), Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&self.descriptor, name.as_c_str(), file_type, mode, device)
    }

    /// Gives a file of another directory a name here. A symlink is linked itself.
    pub(super) fn make_link(
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

    /// Gives a name in it another name here. What stands under that is replaced, unless it is a
    /// directory (rename(2)).
    pub(super) fn rename(&self, from: &Component, to: &Component) -> Result<(), Errno> {
        let here = &self.descriptor;
        renameat(here, from.as_c_str(), here, to.as_c_str())
    }

    /// The same, and `EEXIST` when something stands there.
    pub(super) fn rename_where_free(&self, from: &Component, to: &Component) -> Result<(), Errno> {
        let (here, from, to) = (&self.descriptor, from.as_c_str(), to.as_c_str());
        renameat_with(here, from, here, to, RenameFlags::NOREPLACE)
    }

    /// Removes anything but a directory.
    pub(super) fn remove(&self, name: &Component) -> Result<(), Errno> {
        unlinkat(&self.descriptor, name.as_c_str(), AtFlags::empty())
    }

    /// Sets the permissions of anything but a symlink, without following one that takes its place:
    /// fchmodat(2) would, and fchmod(2) does not take a descriptor that was opened with `O_PATH`,
    /// the only way to open a socket or a file that may not be read.
    pub(super) fn set_mode(&self, name: &Component, mode: Mode) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let descriptor = self.open_beneath(name, flags, Mode::empty())?;
        let stat = fstat(&descriptor)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        set_mode_of(&descriptor, mode)
    }

    /// Removes what killed runs left: anything but a directory whose name bears one of their tokens.
    /// Returns how many.
    pub(super) fn sweep(&self, tokens: &[Token]) -> Result<u64, Errno> {
        // The usual case: there was no killed run, and the directory need not be listed.
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
            let stat = self.look(&name)?;
            if stat.is_some_and(|stat| !is_type(&stat, FileType::Directory)) {
                self.remove(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Under which name it holds what was found under `name`.
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

    /// Takes every name in it.
    pub(super) fn each_name<E: From<Errno>>(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            take(entry.file_name().to_bytes())?;
        }
        Ok(())
    }

    /// Gives it the times of before, where this user may.
    pub(super) fn restore_times(&self, before: &Stat) {
        let timespec = |seconds, nanoseconds| Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds,
        };
        let times = Timestamps {
            last_access: timespec(before.st_atime, before.st_atime_nsec as _),
            last_modification: timespec(before.st_mtime, before.st_mtime_nsec as _),
        };
        // Somebody else's folder: only its owner may, and nothing depends on it.
        let _: Result<(), Errno> = futimens(&self.descriptor, &times);
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> Result<bool, Errno> {
        for entry in Dir::read_from(&self.descriptor)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Sets the permissions of what was opened with `O_PATH`.
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

    /// With openat2(2) and without: what a kernel lacks must not be what keeps us safe.
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
}
