//! The names of one directory, sorted by their bytes.
//!
//! The order of the names determines the order of the ids (docs/design.md, Order), so a listing is read
//! completely before its first name is used. Names beyond a memory limit are written to an unlinked file
//! in sorted runs, which are merged when the names are returned.

mod run;
mod spool;

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::RawDir;
use rustix::io::Errno;

use super::tree::Listable;
use run::Run;
use spool::{Merge, Spool};

/// Maximum size of a run that is spooled, including bookkeeping.
const RUN_BYTES: usize = 8 << 20;
/// Memory that each listing may use before it spools. For more it needs a share of [`NAMES_BYTES`].
const FREE_BYTES: usize = 64 << 10;
/// A share of [`NAMES_BYTES`].
const SHARE_BYTES: usize = 256 << 10;
/// Memory for the names of all listings of a scan, beyond [`FREE_BYTES`] for each.
const NAMES_BYTES: usize = 64 << 20;
/// getdents64(2) fills the buffer that it is given. NFS servers respond in pieces of up to 1 MiB.
const DIRENTS_BUFFER: usize = 64 << 10;

/// Why a directory could not be listed.
#[derive(Debug)]
pub enum SpoolError {
    /// The source failed.
    Source(Errno),
    /// The spool in the state folder cannot be written or read.
    Spool(io::Error),
    /// The caller stopped the listing.
    Stopped,
}

impl From<Errno> for SpoolError {
    fn from(errno: Errno) -> Self {
        SpoolError::Source(errno)
    }
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        SpoolError::Spool(error)
    }
}

/// The memory for names, and the folder for those that do not fit.
#[derive(Debug)]
pub struct NameStore {
    folder: PathBuf,
    run_bytes: usize,
    left: Arc<AtomicUsize>,
}

impl NameStore {
    /// Creates a store that spools into `folder`.
    pub fn new(folder: &Path) -> Self {
        NameStore {
            folder: folder.to_path_buf(),
            run_bytes: RUN_BYTES,
            left: Arc::new(AtomicUsize::new(NAMES_BYTES)),
        }
    }

    /// Returns the folder of the spools.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The shares of one listing in the memory for names.
#[derive(Debug)]
struct Shares {
    left: Arc<AtomicUsize>,
    taken: usize,
}

impl Shares {
    fn take_one(&mut self) -> bool {
        let step = |left: usize| left.checked_sub(SHARE_BYTES);
        let order = Ordering::Relaxed;
        let took = self.left.fetch_update(order, order, step).is_ok();
        self.taken += if took { SHARE_BYTES } else { 0 };
        took
    }
}

impl Shares {
    /// Gives back the shares that names of so many bytes do not need.
    fn keep(&mut self, bytes: usize) {
        let needed = bytes
            .saturating_sub(FREE_BYTES)
            .next_multiple_of(SHARE_BYTES);
        let surplus = self.taken.saturating_sub(needed);
        self.taken -= surplus;
        self.left.fetch_add(surplus, Ordering::Relaxed);
    }
}

impl Drop for Shares {
    fn drop(&mut self) {
        self.left.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// The buffer of getdents64(2), reused by one listing after the other.
#[derive(Debug)]
pub struct DirentBuffer(Box<[MaybeUninit<u8>]>);

impl Default for DirentBuffer {
    fn default() -> Self {
        DirentBuffer(Box::new_uninit_slice(DIRENTS_BUFFER))
    }
}

/// Names in one buffer.
#[derive(Debug, Default)]
pub struct Names {
    /// Each name with its NUL.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        // A batch has some hundred names of at most 255 bytes.
        self.ends.push(self.bytes.len() as u32);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the names, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&end| {
            let name = self.bytes.get(start..end as usize)?;
            start = end as usize;
            CStr::from_bytes_with_nul(name).ok()
        })
    }
}

/// The names of a directory in ascending order, without `.`, `..` and duplicates.
#[derive(Debug)]
pub struct NameList {
    rest: Rest,
    /// Returned when this is dropped.
    _shares: Shares,
}

#[derive(Debug)]
enum Rest {
    Memory(Run),
    Spooled(Merge),
}

impl NameList {
    /// Reads the complete directory, and keeps the names behind `after`. Names at or below which
    /// something should be mounted are added if they do not exist.
    ///
    /// `should_continue` is called after each response of the source. If it returns false, the listing ends with
    /// [`SpoolError::Stopped`].
    ///
    /// # Errors
    /// When the directory cannot be listed, or the spool cannot be written.
    pub fn read(
        directory: &Listable,
        after: Option<&[u8]>,
        store: &NameStore,
        buffer: &mut DirentBuffer,
        should_continue: &mut dyn FnMut() -> bool,
    ) -> Result<Self, SpoolError> {
        let mut entries = RawDir::new(directory.descriptor(), &mut buffer.0);
        let mut run = Run::default();
        let mut spool: Option<Spool> = None;
        let mut shares = Shares {
            left: Arc::clone(&store.left),
            taken: 0,
        };
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry?,
            };
            let name = entry.file_name().to_bytes_with_nul();
            if name != b".\0" && name != b"..\0" && is_behind(name, after) {
                run.push(name);
            }
            if entries.is_buffer_empty() && !should_continue() {
                return Err(SpoolError::Stopped);
            }
            let bytes = run.bytes();
            if bytes >= store.run_bytes || bytes >= FREE_BYTES + shares.taken && !shares.take_one()
            {
                let spool = match &mut spool {
                    Some(spool) => spool,
                    none => none.insert(Spool::create(&store.folder)?),
                };
                spool.write(&mut run)?;
            }
        }
        // A mount point that was removed is missed when its name is examined.
        for name in directory.directory().expected_names() {
            let name = [name, b"\0"].concat();
            if is_behind(&name, after) {
                run.push(&name);
            }
        }
        run.sort();
        run.shrink();
        let bytes = run.bytes();
        let rest = match spool {
            None => Rest::Memory(run),
            Some(spool) => Rest::Spooled(Merge::new(run, spool)?),
        };
        shares.keep(bytes);
        Ok(NameList {
            rest,
            _shares: shares,
        })
    }

    /// Creates a list of these names, which must be in ascending order.
    #[cfg(test)]
    pub(crate) fn of(names: &[Vec<u8>]) -> Self {
        let mut run = Run::default();
        for name in names {
            run.push(&[name, b"\0".as_slice()].concat());
        }
        NameList {
            rest: Rest::Memory(run),
            _shares: Shares {
                left: Arc::default(),
                taken: 0,
            },
        }
    }

    /// Returns whether all names were returned.
    pub fn is_finished(&self) -> bool {
        match &self.rest {
            Rest::Memory(run) => run.left() == 0,
            Rest::Spooled(merge) => merge.is_finished(),
        }
    }

    /// Returns the next name.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn next_name(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut names = Names::default();
        while names.is_empty() && !self.is_finished() {
            match &mut self.rest {
                Rest::Memory(run) => drop(run.next(|name| names.push(name))),
                Rest::Spooled(merge) => merge.next(&mut names)?,
            }
        }
        Ok(names.iter().next().map(|name| name.to_bytes().to_vec()))
    }

    /// Returns the next names: about `count`; none at the end.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn cut(&mut self, count: usize) -> io::Result<Names> {
        let mut names = Names::default();
        match &mut self.rest {
            Rest::Memory(run) => {
                // The remainder would be too small for a batch of its own.
                let count = match run.left() {
                    left if left <= 2 * count => left,
                    _ => count,
                };
                names.ends.reserve_exact(count);
                for _ in 0..count {
                    run.next(|name| names.push(name));
                }
            }
            Rest::Spooled(merge) => {
                while names.len() < count && !merge.is_finished() {
                    merge.next(&mut names)?;
                }
            }
        }
        Ok(names)
    }
}

/// Lists a directory and returns those of `names` that are still in it.
///
/// # Errors
/// When the directory cannot be listed.
pub fn listed_among(
    directory: &Listable,
    names: &BTreeSet<CString>,
    buffer: &mut DirentBuffer,
) -> Result<BTreeSet<CString>, Errno> {
    let mut entries = RawDir::new(directory.descriptor(), &mut buffer.0);
    let mut listed = BTreeSet::new();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        if names.contains(entry.file_name()) {
            listed.insert(entry.file_name().to_owned());
        }
    }
    Ok(listed)
}

/// Returns whether a name with its NUL comes after `after`, or there is none.
fn is_behind(name: &[u8], after: Option<&[u8]>) -> bool {
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    after.is_none_or(|after| name > after)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
