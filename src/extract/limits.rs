//! What the destination's file system cannot store: probed before anything is downloaded.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{
    FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, fchmod, fchown, fstat, ftruncate,
    futimens, getxattr,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::folder::{Component, Folder, Stored};
use super::temporary::Temporaries;

/// Bytes of a hole that is created to test whether it takes space.
const HOLE: u64 = 1 << 20;
/// Permissions that only Unix file systems store.
const ODD_MODE: u32 = 0o641;
const TIME: Timespec = Timespec {
    tv_sec: 1_500_000_001,
    tv_nsec: 123_456_789,
};
/// An owner other than the superuser.
const ANYBODY: (u32, u32) = (1, 1);
/// "é" as one code point, and as a letter with a combining accent.
const COMPOSED: &str = "\u{e9}";
const DECOMPOSED: &str = "e\u{301}";

/// Something that the destination's file system cannot store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Permissions.
    Permissions,
    /// Modification times.
    Times,
    /// Nanoseconds of times.
    Nanoseconds,
    /// Hard links.
    HardLinks,
    /// Symlinks.
    Symlinks,
    /// Fifos, sockets and devices.
    Specials,
    /// Holes: they take space.
    Holes,
    /// Names that differ only in upper and lower case.
    Case,
    /// Names that differ only in Unicode normalization.
    Normalization,
    /// Some characters in names, such as `:` and `?`.
    Characters,
    /// Names that are not UTF-8.
    Bytes,
    /// A dot at the end of a name.
    DotAtEnd,
    /// Names of 255 bytes.
    LongNames,
}

impl Limit {
    fn is_about_names(self) -> bool {
        matches!(
            self,
            Self::Characters | Self::Bytes | Self::DotAtEnd | Self::LongNames
        )
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Permissions => "permissions are not kept",
            Self::Times => "modification times are not kept",
            Self::Nanoseconds => "times are rounded",
            Self::HardLinks => "hard links become separate files",
            Self::Symlinks => "symlinks are skipped",
            Self::Specials => "fifos, sockets and devices are skipped",
            Self::Holes => "holes take space",
            Self::Case => "names that differ only in upper and lower case are the same name",
            Self::Normalization => {
                "names that differ only in Unicode normalization are the same name"
            }
            Self::Characters => "names with characters such as : ? * are skipped",
            Self::Bytes => "names that are not UTF-8 are skipped",
            Self::DotAtEnd => "names that end with a dot are skipped",
            Self::LongNames => "the longest names are skipped",
        })
    }
}

/// The limits of a destination.
#[derive(Debug, Default)]
pub(super) struct Limits(Vec<Limit>);

/// Why owners cannot be set; without an errno the file system ignores them.
#[derive(Debug)]
pub(super) struct OwnersRefused(pub(super) Option<Errno>);

impl Limits {
    /// Probes a directory with temporary files. `owner`: an owner that files will get. Where no file can be
    /// created, no limits are found: the first entry will report why.
    pub(super) fn probe(
        folder: &Arc<Folder>,
        names: &Arc<Temporaries>,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, OwnersRefused> {
        let before = folder.stat();
        let Ok((file, open)) = names.create(folder, |name| folder.create_file(name)) else {
            return Ok(Self::default());
        };
        let mut found = Vec::new();
        let mut note = |limit: Limit, supported: bool| {
            if !supported {
                found.push(limit);
            }
        };
        let stat = || fstat(&open);
        let mode = fchmod(&open, Mode::from_raw_mode(ODD_MODE)).and_then(|()| stat());
        note(
            Limit::Permissions,
            mode.is_ok_and(|stat| stat.st_mode & 0o7777 == ODD_MODE),
        );
        let hole = ftruncate(&open, HOLE).and_then(|()| stat());
        note(Limit::Holes, hole.is_ok_and(|stat| !is_filled(&stat)));
        let times = Timestamps {
            last_access: TIME,
            last_modification: TIME,
        };
        match futimens(&open, &times).and_then(|()| stat()) {
            Ok(stat) if is_close(&stat) => note(Limit::Nanoseconds, has_nanoseconds(&stat)),
            _ => note(Limit::Times, false),
        }
        if let Ok(name) = file.name() {
            let linked = names.create(folder, |other| folder.create_link(other, folder, name));
            note(Limit::HardLinks, linked.map(drop).is_ok());
            note(
                Limit::Case,
                is_free(folder, &name.as_bytes().to_ascii_uppercase()),
            );
        }
        let symlink = names.create(folder, |name| folder.create_symlink(name, c"target"));
        // Each is removed at once, before the times are restored.
        note(Limit::Symlinks, symlink.map(drop).is_ok());
        let fifo = names.create(folder, |name| folder.create_node(name, FileType::Fifo, 0));
        note(Limit::Specials, fifo.map(drop).is_ok());
        for (limit, end) in [
            (Limit::Characters, &b":?*"[..]),
            (Limit::Bytes, b"\xff"),
            (Limit::DotAtEnd, b"."),
            (Limit::LongNames, &[b'n'; 255]),
        ] {
            note(limit, accepts(folder, names, end));
        }
        note(Limit::Normalization, distinguishes_forms(folder, names));
        if let Some((uid, gid)) = owner {
            let has_owner = |stat: Stat| (stat.st_uid, stat.st_gid) == (uid, gid);
            match fchown(&open, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
                // A user namespace without this id, which the container may not use.
                Err(Errno::INVAL) if (uid, gid) == ANYBODY => {}
                Err(errno) => return Err(OwnersRefused(Some(errno))),
                Ok(()) if stat().is_ok_and(has_owner) => {}
                Ok(()) => return Err(OwnersRefused(None)),
            }
        }
        drop(file);
        if let Ok(before) = before {
            folder.restore_times(&before);
        }
        Ok(Self(found))
    }

    pub(super) fn all(&self) -> &[Limit] {
        &self.0
    }

    pub(super) fn keeps_permissions(&self) -> bool {
        !self.0.contains(&Limit::Permissions)
    }

    /// Returns whether some names are rejected, so that unusual names are probed before their content is downloaded.
    pub(super) fn rejects_names(&self) -> bool {
        self.0.iter().any(|limit| limit.is_about_names())
    }
}

/// Returns an owner to try: that of the container's root, or one that is not this user.
pub(super) fn another_owner(root: (u32, u32)) -> (u32, u32) {
    match root {
        (uid, gid) if uid != geteuid().as_raw() && uid != u32::MAX && gid != u32::MAX => (uid, gid),
        _ => ANYBODY,
    }
}

fn is_filled(stat: &Stat) -> bool {
    u64::try_from(stat.st_blocks).is_ok_and(|blocks| blocks.saturating_mul(512) >= HOLE)
}

/// Returns whether the times agree to two seconds: some file systems store even seconds only.
fn is_close(stat: &Stat) -> bool {
    (TIME.tv_sec - 2..=TIME.tv_sec + 2).contains(&stat.st_mtime)
}

// The types of the fields differ between architectures.
#[allow(clippy::unnecessary_cast)]
fn has_nanoseconds(stat: &Stat) -> bool {
    stat.st_mtime == TIME.tv_sec && stat.st_mtime_nsec as i64 == TIME.tv_nsec as i64
}

fn is_free(folder: &Folder, name: &[u8]) -> bool {
    let name = Component::new(name);
    name.is_some_and(|name| folder.stat_of(&name).is_ok_and(|found| found.is_none()))
}

/// Returns whether a name with this ending is accepted and stored unchanged.
fn accepts(folder: &Arc<Folder>, names: &Arc<Temporaries>, end: &[u8]) -> bool {
    let made = names.create_ending(folder, end, |name| folder.create_file(name));
    let Ok((file, open)) = made else {
        return false;
    };
    let stored = fstat(&open).and_then(|stat| folder.stored(file.name()?, &stat));
    stored.is_ok_and(|stored| matches!(stored, Stored::Exactly))
}

fn distinguishes_forms(folder: &Arc<Folder>, names: &Arc<Temporaries>) -> bool {
    let made = names.create_ending(folder, COMPOSED.as_bytes(), |name| folder.create_file(name));
    let Ok((file, _)) = made else {
        return true;
    };
    let Ok(name) = file.name() else {
        return true;
    };
    let other = String::from_utf8_lossy(name.as_bytes()).replace(COMPOSED, DECOMPOSED);
    is_free(folder, other.as_bytes())
}

/// Returns whether entries that are created at `destination` inherit an ACL: a default ACL of it, or of the folder in
/// which it will be created. chmod(2) then sets the ACL's mask: the modes look like those of the container, and
/// users and groups that the ACL names have access.
pub fn inherits_acl(destination: &Path) -> bool {
    let Ok(absolute) = std::path::absolute(destination) else {
        return false;
    };
    let existing = absolute.ancestors().find(|path| path.exists());
    let mut acl = [0; 64 << 10];
    existing.is_some_and(|path| {
        getxattr(path, "system.posix_acl_default", acl.as_mut_slice()).is_ok_and(|bytes| bytes > 0)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_file_system_has_no_limits() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open_destination(place.path()).unwrap());
        let names = Arc::new(Temporaries::new());
        let before = folder.stat().unwrap();
        let owner = geteuid().is_root().then_some((1, 1));
        let limits = Limits::probe(&folder, &names, owner).unwrap();
        assert_eq!(limits.all(), []);
        assert!(folder.is_empty().unwrap() && !names.has_leftovers());
        let after = folder.stat().unwrap();
        assert_eq!(
            (before.st_mtime, before.st_mtime_nsec),
            (after.st_mtime, after.st_mtime_nsec)
        );
    }
}
