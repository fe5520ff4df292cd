//! The names of one directory, sorted by their bytes, however many there are.
//!
//! The order of the names fixes the order of the ids (docs/design.md, Order), so a listing is
//! read whole before any of it counts. Names beyond a bound of memory go into sorted runs in an
//! unlinked file, and are merged when they are handed out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rustix::fs::RawDir;
use rustix::io::Errno;

use super::tree::{Directory, retry_interrupted};

/// Names are spooled in runs of this many bytes, those of their bookkeeping included.
const RUN_BYTES: usize = 8 << 20;
/// Bookkeeping of a name in memory: where it begins and ends.
const PER_NAME: usize = 8;
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

/// The names of a directory but `.` and `..`, ascending, each once.
#[derive(Debug)]
pub struct NameList {
    merge: Merge,
    last: Option<Vec<u8>>,
}

impl NameList {
    /// Reads the whole directory. What does not fit into memory goes into a file without a name
    /// in `spool_folder`.
    ///
    /// # Errors
    /// When the directory cannot be listed, or the spool not written.
    ///
    /// `go_on` is asked after each answer of the source; when it says no, the listing ends with
    /// [`SpoolError::Stopped`].
    pub fn read(
        directory: &Directory,
        spool_folder: &Path,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Self, SpoolError> {
        Self::read_in_runs(directory, spool_folder, RUN_BYTES, go_on)
    }

    fn read_in_runs(
        directory: &Directory,
        spool_folder: &Path,
        run_bytes: usize,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Self, SpoolError> {
        let opened = directory.open_for_listing()?;
        let mut buffer = Vec::with_capacity(DIRENTS_BUFFER);
        let mut entries = RawDir::new(&opened, buffer.spare_capacity_mut());
        let mut run = Run::default();
        let mut spool: Option<Spool> = None;
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry?,
            };
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                run.push(name);
            }
            if entries.is_buffer_empty() && !go_on() {
                return Err(SpoolError::Stopped);
            }
            if run.bytes() >= run_bytes {
                let spool = match &mut spool {
                    Some(spool) => spool,
                    none => none.insert(Spool::create(spool_folder)?),
                };
                spool.write(&mut run)?;
            }
        }
        run.sort();
        let merge = Merge::new(run, spool)?;
        Ok(NameList { merge, last: None })
    }

    /// The next name.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub fn next_name(&mut self) -> io::Result<Option<Vec<u8>>> {
        // readdir(3): an entry may come twice when the directory changes meanwhile.
        while let Some(name) = self.merge.next()? {
            if self.last.as_ref() != Some(&name) {
                self.last = Some(name.clone());
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Names in memory: one buffer, and where each name lies in it.
#[derive(Debug, Default)]
struct Run {
    bytes: Vec<u8>,
    places: Vec<(u32, u16)>,
    /// How many were handed out.
    taken: usize,
}

impl Run {
    fn push(&mut self, name: &[u8]) {
        // RUN_BYTES and NAME_MAX bound both numbers far below their types.
        self.places
            .push((self.bytes.len() as u32, name.len() as u16));
        self.bytes.extend_from_slice(name);
    }

    fn bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * PER_NAME
    }

    fn name(&self, (start, length): (u32, u16)) -> &[u8] {
        let start = start as usize;
        self.bytes
            .get(start..start + usize::from(length))
            .unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by(|a, b| self.name(*a).cmp(self.name(*b)));
        self.places = places;
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        let place = *self.places.get(self.taken)?;
        self.taken += 1;
        Some(self.name(place).to_vec())
    }
}

/// Sorted runs in one unlinked file: u16 length (little-endian), name, …
#[derive(Debug)]
struct Spool {
    file: File,
    /// Where each run begins; the last element is the end.
    bounds: Vec<u64>,
}

impl Spool {
    fn create(folder: &Path) -> Result<Self, SpoolError> {
        // open(2), O_TMPFILE: the file never has a name, so a crash leaves nothing behind.
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match retry_interrupted(|| open(folder, flags, mode)) {
            Ok(file) => File::from(file),
            // Not every file system has O_TMPFILE.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => unlinked_file(folder)?,
            Err(errno) => return Err(SpoolError::Spool(errno.into())),
        };
        Ok(Spool {
            file,
            bounds: vec![0],
        })
    }

    fn write(&mut self, run: &mut Run) -> io::Result<()> {
        run.sort();
        let mut writer = BufWriter::with_capacity(1 << 18, &self.file);
        for &place in &run.places {
            writer.write_all(&place.1.to_le_bytes())?;
            writer.write_all(run.name(place))?;
        }
        writer.flush()?;
        drop(writer);
        self.bounds.push(self.file.stream_position()?);
        run.bytes.clear();
        run.places.clear();
        Ok(())
    }
}

fn unlinked_file(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(
        "names.{}.{:x}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// A sorted run of the spool, read from its start to its end.
#[derive(Debug)]
struct RunReader {
    reader: BufReader<ReadAt>,
    left: u64,
}

#[derive(Debug)]
struct ReadAt {
    file: File,
    position: u64,
}

impl Read for ReadAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(&self.file, buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl RunReader {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut length = [0; 2];
        self.reader.read_exact(&mut length)?;
        let mut name = vec![0; usize::from(u16::from_le_bytes(length))];
        self.reader.read_exact(&mut name)?;
        self.left = self.left.saturating_sub(2 + name.len() as u64);
        Ok(Some(name))
    }
}

/// Merges the runs of the spool and the one in memory.
#[derive(Debug)]
struct Merge {
    memory: Run,
    runs: Vec<RunReader>,
    /// The next name of each run; the one in memory is numbered behind those of the spool.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl Merge {
    fn new(memory: Run, spool: Option<Spool>) -> io::Result<Self> {
        let mut runs = Vec::new();
        if let Some(mut spool) = spool {
            spool.file.seek(SeekFrom::Start(0))?;
            // Buffers share what a run may take, so that many runs cost no more than one.
            let buffer = (RUN_BYTES / spool.bounds.len()).clamp(4 << 10, 256 << 10);
            for bounds in spool.bounds.windows(2) {
                if let [start, end] = *bounds {
                    let file = spool.file.try_clone()?;
                    let at = ReadAt {
                        file,
                        position: start,
                    };
                    runs.push(RunReader {
                        reader: BufReader::with_capacity(buffer, at),
                        left: end - start,
                    });
                }
            }
        }
        let mut merge = Merge {
            memory,
            runs,
            heads: BinaryHeap::new(),
        };
        for run in 0..=merge.runs.len() {
            merge.refill(run)?;
        }
        Ok(merge)
    }

    fn refill(&mut self, run: usize) -> io::Result<()> {
        let name = match self.runs.get_mut(run) {
            Some(reader) => reader.next()?,
            None => self.memory.next(),
        };
        if let Some(name) = name {
            self.heads.push(Reverse((name, run)));
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(Reverse((name, run))) = self.heads.pop() else {
            return Ok(None);
        };
        self.refill(run)?;
        Ok(Some(name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::SourceTree;
    use super::*;
    use crate::entry::EntryId;
    use crate::state::StateError;

    struct NoPlaces;
    impl super::super::Places for NoPlaces {
        fn place(&self, _: EntryId) -> Result<Option<(EntryId, Vec<u8>)>, StateError> {
            Ok(None)
        }
    }

    #[test]
    fn names_come_sorted_whether_spooled_or_not() {
        let source = tempfile::tempdir().unwrap();
        let spool = tempfile::tempdir().unwrap();
        let mut expected: Vec<Vec<u8>> = (0..500)
            .map(|n: u32| format!("{:x}", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for name in &expected {
            let name = std::str::from_utf8(name).unwrap();
            std::fs::write(source.path().join(name), "").unwrap();
        }
        expected.sort();
        let tree = SourceTree::open(source.path(), Box::new(NoPlaces)).unwrap();
        let root = tree.directory(EntryId::ROOT).unwrap();
        for run_bytes in [64, 1000, RUN_BYTES] {
            let mut list =
                NameList::read_in_runs(&root, spool.path(), run_bytes, &|| true).unwrap();
            assert_eq!(list.merge.runs.is_empty(), run_bytes == RUN_BYTES);
            let mut names = Vec::new();
            while let Some(name) = list.next_name().unwrap() {
                names.push(name);
            }
            assert_eq!(names, expected, "runs of {run_bytes} bytes");
        }
        assert_eq!(std::fs::read_dir(spool.path()).unwrap().count(), 0);
    }
}
