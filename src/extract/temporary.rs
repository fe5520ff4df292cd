//! Entries under temporary names, before they get their own.
//!
//! A temporary name bears the token of its run, 64 random bits that the record holds before the first
//! such name is made. So a later run knows which names an earlier one of ours made; nothing else is
//! ever removed. The names lie in the directory that the entry belongs to: a file that is renamed
//! within its directory keeps the group, ACL and project that it inherits there, needs no second
//! directory on each file system, and does not take the kernel's lock on renames across directories.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use super::component::{Component, TEMPORARY_END};
use super::folder::Folder;

/// How many names are tried.
const ATTEMPTS: usize = 100;
/// Locks for directories in which names are placed.
const LOCKS: usize = 64;

/// What tells the temporary names of one run from those of others, and from the names of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token(u64);

impl Token {
    pub(super) const DIGITS: usize = 16;

    pub(super) fn new() -> Self {
        Self(fastrand::u64(..))
    }

    /// Takes the 16 digits that [`Token`] shows.
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
    /// One of them could not be removed.
    left: AtomicBool,
    placing: [Mutex<()>; LOCKS],
}

impl Temporaries {
    pub(super) fn new() -> Self {
        Self {
            token: Token::new(),
            next: AtomicU64::new(0),
            left: AtomicBool::new(false),
            placing: [const { Mutex::new(()) }; LOCKS],
        }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    /// Whether a temporary file was left behind.
    pub(super) fn left_some(&self) -> bool {
        self.left.load(Relaxed)
    }

    /// Lets `make` make something under a name that is free; `make` must fail with `EEXIST` when it
    /// is not.
    pub(super) fn create<T>(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        make: impl FnMut(&Component) -> Result<T, Errno>,
    ) -> Result<(Temporary, T), Errno> {
        self.create_ending(folder, TEMPORARY_END, make)
    }

    /// The same under a name with this end.
    pub(super) fn create_ending<T>(
        self: &Arc<Self>,
        folder: &Arc<Folder>,
        end: &[u8],
        mut make: impl FnMut(&Component) -> Result<T, Errno>,
    ) -> Result<(Temporary, T), Errno> {
        for _ in 0..ATTEMPTS {
            let number = self.next.fetch_add(1, Relaxed);
            let name = Component::temporary(self.token, number, end);
            match make(&name) {
                Err(Errno::EXIST) => {}
                made => {
                    let made = made?;
                    let temporary = Temporary {
                        folder: Arc::clone(folder),
                        names: Arc::clone(self),
                        name: Some(name),
                    };
                    return Ok((temporary, made));
                }
            }
        }
        Err(Errno::EXIST)
    }
}

/// Something that was made under a temporary name, and is removed unless it gets its own.
#[derive(Debug)]
pub(super) struct Temporary {
    folder: Arc<Folder>,
    names: Arc<Temporaries>,
    name: Option<Component>,
}

impl Temporary {
    /// Its name meanwhile.
    pub(super) fn name(&self) -> Result<&Component, Errno> {
        self.name.as_ref().ok_or(Errno::NOENT)
    }

    /// Puts it in its place. What stands there is replaced, unless it is a directory.
    pub(super) fn rename(mut self, to: &Component) -> Result<(), Errno> {
        self.folder.rename(self.name()?, to)?;
        self.name = None;
        Ok(())
    }

    /// Puts it in its place if that is free; on `EEXIST` it can be tried with another name.
    pub(super) fn rename_where_free(&mut self, to: &Component) -> Result<(), Errno> {
        match self.folder.rename_where_free(self.name()?, to) {
            // NFS and Lustre have no such rename, or it is the name that is refused.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.look_and_rename(to)?,
            renamed => renamed?,
        }
        self.name = None;
        Ok(())
    }

    /// Two entries of this run do not take one name between the look and the rename.
    fn look_and_rename(&self, to: &Component) -> Result<(), Errno> {
        // Directories share locks: no more than a short wait.
        let place = self.folder.stat()?.st_ino as usize % self.names.placing.len();
        let lock = self.names.placing.get(place).ok_or(Errno::NOENT)?;
        let _placing = lock.lock().unwrap_or_else(PoisonError::into_inner);
        match self.folder.look(to)? {
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
            // The record keeps the token, and the next run removes it.
            self.names.left.store(true, Relaxed);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_shown() {
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
    fn what_is_not_placed_is_removed() {
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
        assert_eq!((left.len(), names.left_some()), (1, false));
        // Somebody else removed it: whether something is left is not known.
        let third = make();
        folder.remove(third.name().unwrap()).unwrap();
        drop(third);
        assert!(names.left_some());
    }
}
