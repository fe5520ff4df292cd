//! Entries under temporary names, until they are complete and get their own.
//!
//! A temporary name contains the token of its run, 64 random bits that are in the record before the first such
//! name is created. A later run therefore knows the names of earlier runs, and removes nothing else. Temporary
//! names are in the directory of the entry and not in a scratch directory; docs/design.md says why.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::folder::{Component, Folder, TEMPORARY_END};

/// Names that are tried.
const ATTEMPTS: usize = 100;
/// Locks on directories where renames cannot fail on existing names.
const LOCKS: usize = 64;

/// Identifies the temporary names of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(u64);

impl Token {
    pub(super) const DIGITS: usize = 16;

    pub(super) fn new() -> Self {
        Self(fastrand::u64(..))
    }

    /// Parses the 16 digits that [`Token`] displays.
    pub(super) fn parse(digits: &[u8]) -> Option<Self> {
        let hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != Self::DIGITS || !digits.iter().all(hex) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$x}", self.0, width = Self::DIGITS)
    }
}

/// The temporary names of this run.
#[derive(Debug)]
pub(super) struct Temporaries {
    token: Token,
    next: AtomicU64,
    /// Whether one of them could not be removed.
    leftovers: AtomicBool,
    renaming: [Mutex<()>; LOCKS],
}

impl Temporaries {
    pub(super) fn new() -> Self {
        Self {
            token: Token::new(),
            next: AtomicU64::new(0),
            leftovers: AtomicBool::new(false),
            renaming: [const { Mutex::new(()) }; LOCKS],
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    /// Returns whether a temporary file could not be removed.
    pub(super) fn has_leftovers(&self) -> bool {
        self.leftovers.load(Relaxed)
    }

    /// Calls `create` with a temporary name; it must fail with `EEXIST` if the name is in use.
    pub(super) fn create<T>(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        create: impl FnMut(&Component) -> Result<T, Errno>,
    ) -> Result<(Temporary, T), Errno> {
        self.create_ending(folder, TEMPORARY_END, create)
    }

    /// Creates a file under a temporary name that ends like `name` and has at most `max` bytes.
    pub(super) fn create_like(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        name: &Component,
        max: usize,
    ) -> Result<(Temporary, OwnedFd), Errno> {
        // The longest name before the ending: prefix, token, `-` and 16 digits.
        let room = max.saturating_sub(43);
        let name = name.as_bytes();
        let mut end = name.get(name.len().saturating_sub(room)..).unwrap_or(name);
        // A cut character would make the name invalid.
        while end.len() < name.len() && end.first().is_some_and(|byte| byte & 0xc0 == 0x80) {
            end = end.get(1..).unwrap_or_default();
        }
        self.create_ending(folder, end, |name| folder.create_file(name))
    }

    /// Does the same as [`Temporaries::create`], with this ending.
    pub(super) fn create_ending<T>(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        end: &[u8],
        mut create: impl FnMut(&Component) -> Result<T, Errno>,
    ) -> Result<(Temporary, T), Errno> {
        for _ in 0..ATTEMPTS {
            let number = self.next.fetch_add(1, Relaxed);
            let name = Component::temporary(self.token, number, end);
            match create(&name) {
                Err(Errno::EXIST) => {}
                created => {
                    let created = created?;
                    let temporary = Temporary {
                        folder: Arc::clone(folder),
                        names: Arc::clone(self),
                        name: Some(name),
                    };
                    return Ok((temporary, created));
                }
            }
        }
        Err(Errno::EXIST)
    }
}

/// An entry under a temporary name. It is removed when this is dropped, unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: Arc<Folder>,
    names: Arc<Temporaries>,
    name: Option<Component>,
}

impl Temporary {
    /// Its temporary name.
    pub(super) fn name(&self) -> Result<&Component, Errno> {
        self.name.as_ref().ok_or(Errno::NOENT)
    }

    /// Gives it its own name. Replaces an existing entry, unless that is a directory.
    pub(super) fn rename(mut self, to: &Component) -> Result<(), Errno> {
        self.folder.rename(self.name()?, to)?;
        self.name = None;
        Ok(())
    }

    /// Gives it its own name; `EEXIST` if that is in use: then another name can be tried.
    pub(super) fn rename_if_free(&mut self, to: &Component) -> Result<(), Errno> {
        match self.folder.rename_if_free(self.name()?, to) {
            // NFS and Lustre do not have this rename; or the name is rejected.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.check_and_rename(to)?,
            renamed => renamed?,
        }
        self.name = None;
        Ok(())
    }

    /// Locks, so that no other entry of this run gets the name between the check and the rename.
    fn check_and_rename(&self, to: &Component) -> Result<(), Errno> {
        // Some directories share a lock, which only costs a short wait.
        let number = self.folder.stat()?.st_ino as usize % LOCKS;
        let lock = self.names.renaming.get(number).ok_or(Errno::NOENT)?;
        let _renaming = lock.lock().unwrap_or_else(PoisonError::into_inner);
        match self.folder.stat_of(to)? {
            Some(_) => Err(Errno::EXIST),
            None => self.folder.rename(self.name()?, to),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && self.folder.remove(name).is_err()
        {
            // The record keeps the token, and the next run removes the file.
            self.names.leftovers.store(true, Relaxed);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_displayed_token_can_be_parsed() {
        for token in [Token(0), Token(u64::MAX), Token(0x0123_4567_89ab_cdef)] {
            assert_eq!(Token::parse(token.to_string().as_bytes()), Some(token));
        }
        for digits in [
            "",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789ABCDEF",
            "+123456789abcdef",
        ] {
            assert_eq!(Token::parse(digits.as_bytes()), None, "{digits}");
        }
    }

    #[test]
    fn an_entry_that_is_not_renamed_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open_destination(place.path()).unwrap());
        let names = Arc::new(Temporaries::new());
        let make = || {
            names
                .create(&folder, |name| folder.create_file(name))
                .unwrap()
                .0
        };
        let (first, second) = (make(), make());
        let name = first.name().unwrap().clone();
        assert_eq!(name.token(), Some(names.token()));
        first.rename(&Component::new(b"first").unwrap()).unwrap();
        drop(second);
        let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
        assert_eq!((left.len(), names.has_leftovers()), (1, false));
        // Another program removed it: it is not known whether a file is left.
        let third = make();
        folder.remove(third.name().unwrap()).unwrap();
        drop(third);
        assert!(names.has_leftovers());
    }

    #[test]
    fn a_probe_ends_like_the_name_and_is_not_longer_than_allowed() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open_destination(place.path()).unwrap());
        let names = Arc::new(Temporaries::new());
        // 126 characters of two bytes and a dot.
        let long = format!("{}.", "\u{e9}".repeat(126));
        for name in ["what?", &long] {
            for max in [143, 255] {
                let component = Component::new(name.as_bytes()).unwrap();
                let (probe, _) = names.create_like(&folder, &component, max).unwrap();
                let probed = std::str::from_utf8(probe.name().unwrap().as_bytes()).unwrap();
                let end = probed.rsplit_once('-').unwrap().1;
                let end = end.trim_start_matches(|c: char| c.is_ascii_hexdigit());
                assert!(
                    name.ends_with(end) && end.len() >= name.len().min(98),
                    "{probed}"
                );
                assert!(probed.len() <= max, "{probed}");
            }
        }
    }
}
