//! What the destination's file system does not hold, found out before anything is downloaded.

use std::fmt;
use std::sync::Arc;

use rustix::fs::{
    FileType, Gid, Mode, Stat, Timespec, Timestamps, Uid, fchmod, fchown, fstat, ftruncate,
    futimens,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::folder::{Folder, Stored};
use super::temporary::Temporaries;

/// Bytes of a hole that is made to see whether it takes room.
const HOLE: u64 = 1 << 20;
/// Permissions that only a file system of Unix keeps.
const ODD_MODE: u32 = 0o641;
const TIME: Timespec = Timespec {
    tv_sec: 1_500_000_001,
    tv_nsec: 123_456_789,
};
/// An owner that is not the superuser.
const ANYBODY: (u32, u32) = (1, 1);
/// "é" as one character, and as a letter and an accent.
const COMPOSED: &str = "\u{e9}";
const DECOMPOSED: &str = "e\u{301}";

/// Something that the destination's file system does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// Permissions.
    Permissions,
    /// Times of modification.
    Times,
    /// Nanoseconds of times.
    Nanoseconds,
    /// Several names of one file.
    HardLinks,
    /// Symlinks.
    Symlinks,
    /// Fifos, sockets and devices.
    Specials,
    /// Holes: they take room.
    Holes,
    /// Names that differ in upper and lower case only.
    Case,
    /// Names that differ in the form of Unicode only.
    UnicodeForms,
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
            Self::Holes => "holes take room",
            Self::Case => "names that differ in upper and lower case only are one name",
            Self::UnicodeForms => "names that differ in Unicode normalization only are one name",
            Self::Characters => "names with characters such as : ? * are skipped",
            Self::Bytes => "names that are not UTF-8 are skipped",
            Self::DotAtEnd => "names that end with a dot are skipped",
            Self::LongNames => "the longest names are skipped",
        })
    }
}

/// What a destination does not hold.
#[derive(Debug, Default)]
pub(super) struct Limits(Vec<Limit>);

/// Why owners cannot be set; without an errno they are ignored.
#[derive(Debug)]
pub(super) struct OwnersRefused(pub(super) Option<Errno>);

impl Limits {
    /// Tries everything out in a directory. `owner` is whom the files are to be given to, if to
    /// anybody. Where nothing can be made at all, nothing is found out: the first entry will show why.
    pub(super) fn of(
        folder: &Arc<Folder>,
        names: &Arc<Temporaries>,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, OwnersRefused> {
        let before = folder.stat();
        let Ok((file, open)) = names.create(folder, |name| folder.create_file(name)) else {
            return Ok(Self::default());
        };
        let mut found = Vec::new();
        let mut note = |limit: Limit, holds: bool| {
            if !holds {
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
            Ok(stat) if is_about(&stat) => note(Limit::Nanoseconds, has_nanoseconds(&stat)),
            _ => note(Limit::Times, false),
        }
        if let Ok(name) = file.name() {
            let linked = names.create(folder, |other| folder.make_link(other, folder, name));
            note(Limit::HardLinks, linked.map(drop).is_ok());
            note(
                Limit::Case,
                is_free(folder, &name.as_bytes().to_ascii_uppercase()),
            );
        }
        let symlink = names.create(folder, |name| folder.make_symlink(name, c"target"));
        // Each goes at once: the last removal comes before the times are restored.
        note(Limit::Symlinks, symlink.map(drop).is_ok());
        let fifo = names.create(folder, |name| folder.make_node(name, FileType::Fifo, 0));
        note(Limit::Specials, fifo.map(drop).is_ok());
        for (limit, end) in [
            (Limit::Characters, &b":?*"[..]),
            (Limit::Bytes, b"\xff"),
            (Limit::DotAtEnd, b"."),
            (Limit::LongNames, &[b'n'; 255]),
        ] {
            note(limit, takes(folder, names, end));
        }
        note(Limit::UnicodeForms, tells_forms_apart(folder, names));
        if let Some((uid, gid)) = owner {
            let has_owner = |stat: Stat| (stat.st_uid, stat.st_gid) == (uid, gid);
            match fchown(&open, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
                // A user namespace without this id; the container may have no entry with it.
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

    /// Whether some names are refused, so that each odd one is tried before its content is downloaded.
    pub(super) fn refuses_names(&self) -> bool {
        self.0.iter().any(|limit| limit.is_about_names())
    }
}

/// An owner to try: that of the container's root, or somebody else than this user.
pub(super) fn another_owner(root: (u32, u32)) -> (u32, u32) {
    match root {
        (uid, gid) if uid != geteuid().as_raw() && uid != u32::MAX && gid != u32::MAX => (uid, gid),
        _ => ANYBODY,
    }
}

fn is_filled(stat: &Stat) -> bool {
    u64::try_from(stat.st_blocks).is_ok_and(|blocks| blocks.saturating_mul(512) >= HOLE)
}

/// Some file systems keep every other second only.
fn is_about(stat: &Stat) -> bool {
    (TIME.tv_sec - 2..=TIME.tv_sec + 2).contains(&stat.st_mtime)
}

// The types of the fields are not the same on all architectures.
#[allow(clippy::unnecessary_cast)]
fn has_nanoseconds(stat: &Stat) -> bool {
    stat.st_mtime == TIME.tv_sec && stat.st_mtime_nsec as i64 == TIME.tv_nsec as i64
}

fn is_free(folder: &Folder, name: &[u8]) -> bool {
    let name = super::component::Component::new(name);
    name.is_some_and(|name| folder.look(&name).is_ok_and(|found| found.is_none()))
}

/// Whether a name with this end is taken, and kept as it is.
fn takes(folder: &Arc<Folder>, names: &Arc<Temporaries>, end: &[u8]) -> bool {
    let made = names.create_ending(folder, end, |name| folder.create_file(name));
    let Ok((file, open)) = made else {
        return false;
    };
    let stored = fstat(&open).and_then(|stat| folder.stored(file.name()?, &stat));
    // Under another name it could not be removed by its own.
    stored.is_ok_and(|stored| matches!(stored, Stored::Exactly))
}

fn tells_forms_apart(folder: &Arc<Folder>, names: &Arc<Temporaries>) -> bool {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_of_this_machine_holds_everything() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open_destination(place.path()).unwrap());
        let names = Arc::new(Temporaries::new());
        let before = folder.stat().unwrap();
        let owner = geteuid().is_root().then_some((1, 1));
        let limits = Limits::of(&folder, &names, owner).unwrap();
        assert_eq!(limits.all(), []);
        assert!(folder.is_empty().unwrap() && !names.left_some());
        let after = folder.stat().unwrap();
        assert_eq!(
            (before.st_mtime, before.st_mtime_nsec),
            (after.st_mtime, after.st_mtime_nsec)
        );
    }
}
