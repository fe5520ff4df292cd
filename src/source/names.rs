//! The names of one directory, sorted by their bytes, however many there are.
//!
//! The order of the names fixes the order of the ids (docs/design.md, Order), so a listing is
//! read whole before any of it counts. Names beyond a bound of memory go into sorted runs in an
//! unlinked file, and are merged when they are handed out.

mod run;
mod spool;

use std::ffi::CStr;
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

/// Names are spooled in runs of at most this many bytes, those of their bookkeeping included.
const RUN_BYTES: usize = 8 << 20;
/// What a listing may always take before it spools; beyond that it must get a share of
/// [`NAMES_BYTES`].
const FREE_BYTES: usize = 64 << 10;
/// A share of [`NAMES_BYTES`].
const SHARE_BYTES: usize = 256 << 10;
/// What the names of all listings of a scan may take beside what is free for each.
const NAMES_BYTES: usize = 64 << 20;
/// getdents64(2) fills as much as it gets; NFS servers answer in pieces of up to 1 MiB.
const DIRENTS_BUFFER: usize = 64 << 10;

/// Why a directory's names could not be gathered.
#[derive(Debug)]
pub enum SpoolError {
    /// The source does not list the directory.
    Source(Errno),
    /// The spool in the state folder cannot be written or read.
    Spool(io::Error),
    /// The caller did not want to go on.
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

/// Where names are kept: in memory while there is some left, then in files without a name.
#[derive(Debug)]
pub struct NameStore {
    folder: PathBuf,
    run_bytes: usize,
    left: Arc<AtomicUsize>,
}

impl NameStore {
    /// One that spools into `folder`.
    pub fn new(folder: &Path) -> Self {
        NameStore {
            folder: folder.to_path_buf(),
            run_bytes: RUN_BYTES,
            left: Arc::new(AtomicUsize::new(NAMES_BYTES)),
        }
    }

    /// The folder that it spools into.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// What one listing has of the memory for names.
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
    /// Gives back what names of so many bytes do not need.
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

/// What getdents64(2) writes into; good for one listing after the other.
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
    /// Each with the NUL that ends it.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        // A piece is of some hundred names, each of 255 bytes at most.
        self.ends.push(self.bytes.len() as u32);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The names, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&end| {
            let name = self.bytes.get(start..end as usize)?;
            start = end as usize;
            CStr::from_bytes_with_nul(name).ok()
        })
    }
}

/// The names of a directory but `.` and `..`, ascending, each once.
#[derive(Debug)]
pub struct NameList {
    rest: Rest,
    /// Given back with the names.
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
    /// `go_on` is asked after each answer of the source; when it says no, the listing ends with
    /// [`SpoolError::Stopped`].
    ///
    /// # Errors
    /// When the directory cannot be listed, or the spool not written.
    pub fn read(
        directory: &Listable,
        after: Option<&[u8]>,
        store: &NameStore,
        buffer: &mut DirentBuffer,
        go_on: &mut dyn FnMut() -> bool,
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
            if entries.is_buffer_empty() && !go_on() {
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

    /// Made-up names, ascending.
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

    /// Whether all names were handed out.
    pub fn is_over(&self) -> bool {
        match &self.rest {
            Rest::Memory(run) => run.left() == 0,
            Rest::Spooled(merge) => merge.is_over(),
        }
    }

    /// The next name.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn next_name(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut names = Names::default();
        while names.is_empty() && !self.is_over() {
            match &mut self.rest {
                Rest::Memory(run) => drop(run.next(|name| names.push(name))),
                Rest::Spooled(merge) => merge.next(&mut names)?,
            }
        }
        Ok(names.iter().next().map(|name| name.to_bytes().to_vec()))
    }

    /// The next names: about `count`, none only at the end.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn cut(&mut self, count: usize) -> io::Result<Names> {
        let mut names = Names::default();
        match &mut self.rest {
            Rest::Memory(run) => {
                // What would be left is not worth another piece.
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
                while names.len() < count && !merge.is_over() {
                    merge.next(&mut names)?;
                }
            }
        }
        Ok(names)
    }
}

/// `name` ends with NUL, which is lower than any byte of a name.
fn is_behind(name: &[u8], after: Option<&[u8]>) -> bool {
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    after.is_none_or(|after| name > after)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
