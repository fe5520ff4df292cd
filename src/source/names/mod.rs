//! The names of one directory, sorted by their bytes.
//!
//! The order of the names determines the order of the ids (docs/design.md, Order), so a listing is read
//! completely before its first name is used. Names beyond a memory limit are sorted in a file.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::RawDir;
use rustix::io::Errno;

use super::tree::Listable;
use crate::state::NameSorter;

/// Maximum size of the names that are spooled at a time, including bookkeeping. They are sorted first: many
/// names in ascending order are added to a table faster.
const RUN_BYTES: usize = 8 << 20;
/// Names that are read from the spool at a time.
const PAGE_NAMES: u32 = 1024;
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
    /// Returns the shares that names of so many bytes do not need.
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

/// Bytes of bookkeeping a name: its start and length.
const PER_NAME: usize = 8;

/// Names in one buffer, from which the first ones may have been taken.
#[derive(Debug, Default)]
pub struct Names {
    /// Each name with its NUL.
    bytes: Vec<u8>,
    /// The start and length of each name that is left.
    places: VecDeque<(u32, u16)>,
}

impl Names {
    /// Adds a name with its NUL.
    fn push(&mut self, name: &[u8]) {
        // RUN_BYTES and NAME_MAX bound both numbers far below their types.
        let place = (self.bytes.len() as u32, name.len() as u16);
        self.places.push_back(place);
        self.bytes.extend_from_slice(name);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }

    fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * PER_NAME
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Returns the names, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        let names = self.places.iter();
        names.filter_map(|place| CStr::from_bytes_with_nul(self.name(*place)).ok())
    }

    fn name(&self, (start, length): (u32, u16)) -> &[u8] {
        let start = start as usize;
        self.bytes
            .get(start..start + usize::from(length))
            .unwrap_or_default()
    }

    /// Sorts the names and removes duplicates: readdir(3) may return a name twice if the directory
    /// changes meanwhile.
    fn sort(&mut self) {
        let mut places = Vec::from(std::mem::take(&mut self.places));
        places.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        places.dedup_by(|a, b| self.name(*a) == self.name(*b));
        self.places = places.into();
    }

    /// Frees the memory that was allocated for further names.
    fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    /// Moves the names to the spool.
    fn move_to(&mut self, spool: &NameSorter) -> io::Result<()> {
        self.sort();
        spool.add(self.places.iter().map(|place| self.name(*place)))?;
        self.clear();
        Ok(())
    }

    /// Takes the first names.
    fn take(&mut self, count: usize) -> Names {
        let mut taken = Names::default();
        taken.places.reserve_exact(count);
        for _ in 0..count {
            let Some(place) = self.places.pop_front() else {
                break;
            };
            taken.push(self.name(place));
        }
        taken
    }
}

/// The names of a directory in ascending order, without `.`, `..` and duplicates.
#[derive(Debug)]
pub struct NameList {
    /// The next names. Empty only at the end.
    next: Names,
    /// All names, if they did not fit in memory.
    spool: Option<NameSorter>,
    /// Returned when this is dropped.
    _shares: Shares,
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
        let mut run = Names::default();
        let mut spool: Option<NameSorter> = None;
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
            let bytes = run.memory_bytes();
            if bytes >= store.run_bytes || bytes >= FREE_BYTES + shares.taken && !shares.take_one()
            {
                let spool = match &mut spool {
                    Some(spool) => spool,
                    none => none.insert(NameSorter::create(&store.folder)?),
                };
                run.move_to(spool)?;
            }
        }
        // A mount point that was removed is missed when its name is examined.
        for name in directory.directory().expected_names() {
            let name = [name, b"\0"].concat();
            if is_behind(&name, after) {
                run.push(&name);
            }
        }
        match &spool {
            None => {
                run.sort();
                run.shrink();
            }
            Some(spool) => {
                run.move_to(spool)?;
                spool.all_added()?;
                run = Names::default();
            }
        }
        shares.keep(run.memory_bytes());
        let mut list = NameList {
            next: run,
            spool,
            _shares: shares,
        };
        list.refill()?;
        Ok(list)
    }

    /// Creates a list of these names, which must be in ascending order.
    #[cfg(test)]
    pub(crate) fn of(names: &[Vec<u8>]) -> Self {
        let mut next = Names::default();
        for name in names {
            next.push(&[name, b"\0".as_slice()].concat());
        }
        NameList {
            next,
            spool: None,
            _shares: Shares {
                left: Arc::default(),
                taken: 0,
            },
        }
    }

    /// Returns whether all names were returned.
    pub fn is_finished(&self) -> bool {
        self.next.is_empty()
    }

    /// Returns the next name.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn next_name(&mut self) -> io::Result<Option<Vec<u8>>> {
        let names = self.take(1)?;
        Ok(names.iter().next().map(|name| name.to_bytes().to_vec()))
    }

    /// Returns the next names: about `count`; none at the end.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn cut(&mut self, count: usize) -> io::Result<Names> {
        // The remainder would be too small for a batch of its own.
        self.take(match self.next.len() {
            left if left <= 2 * count => left,
            _ => count,
        })
    }

    fn take(&mut self, count: usize) -> io::Result<Names> {
        let names = self.next.take(count);
        self.refill()?;
        Ok(names)
    }

    /// Reads the next names from the spool if none are left in memory.
    fn refill(&mut self) -> io::Result<()> {
        if let Some(spool) = &mut self.spool
            && self.next.is_empty()
        {
            self.next.clear();
            spool.next(PAGE_NAMES, |name| self.next.push(name))?;
        }
        Ok(())
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
