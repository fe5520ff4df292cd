//! Sorted runs of names in an unlinked file, and their merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::run::Run;
use super::{Names, SpoolError};
use crate::source::tree::retry_interrupted;

/// Memory for the buffers through which one listing reads its runs. Each buffer has at least 4 KiB, and
/// there are fewer than twice [`MERGED_RUNS`] of them for 4 GiB of names.
const MERGE_BYTES: usize = 256 << 10;

/// So many runs are merged into one. Each run that is read takes a buffer, and a listing without a share
/// of the memory for names has a run for every 64 KiB of them.
pub(super) const MERGED_RUNS: usize = 256;

/// Sorted runs in one unlinked file: u16 length (little-endian), name, …
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    runs: Vec<Span>,
}

/// The position of a run in the file.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
    /// How often its names were merged. Only runs of one level are merged, so that each name is written
    /// once for each level. Two levels hold some gigabytes.
    level: u32,
}

impl Spool {
    pub(super) fn create(folder: &Path) -> Result<Self, SpoolError> {
        // open(2), O_TMPFILE: the file never has a name, so that a crash leaves no file behind.
        use rustix::fs::{Mode, OFlags, open};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match retry_interrupted(|| open(folder, flags, mode)) {
            Ok(file) => File::from(file),
            // Not every file system supports O_TMPFILE.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => unlinked_file(folder)?,
            Err(errno) => return Err(SpoolError::Spool(errno.into())),
        };
        Ok(Spool {
            file: Arc::new(file),
            runs: Vec::new(),
        })
    }

    pub(super) fn write(&mut self, run: &mut Run) -> io::Result<()> {
        run.sort();
        self.append(0, |writer| {
            let mut names = run.places.iter().map(|&place| run.name(place));
            names.try_for_each(|name| write_name(writer, name))
        })?;
        run.bytes.clear();
        run.places.clear();
        self.merge_many()
    }

    fn append(
        &mut self,
        level: u32,
        write: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = (&*self.file).stream_position()?;
        let mut writer = BufWriter::with_capacity(1 << 18, &*self.file);
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        let end = (&*self.file).stream_position()?;
        self.runs.push(Span { start, end, level });
        Ok(())
    }

    /// Merges the last runs while there are [`MERGED_RUNS`] of one level. Their space in the file is freed
    /// with the file.
    fn merge_many(&mut self) -> io::Result<()> {
        while let Some(first) = self.runs.len().checked_sub(MERGED_RUNS)
            && let Some(level) = self.runs.last().map(|last| last.level)
            && self.runs.iter().skip(first).all(|run| run.level == level)
        {
            let many = self.runs.split_off(first);
            let mut merge = Merge::of(Run::default(), &self.file, &many)?;
            self.append(level + 1, |writer| {
                let mut names = Names::default();
                while !merge.is_finished() {
                    names.clear();
                    merge.next(&mut names)?;
                    let mut names = names.iter().map(CStr::to_bytes_with_nul);
                    names.try_for_each(|name| write_name(writer, name))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn write_name(writer: &mut impl Write, name: &[u8]) -> io::Result<()> {
    // NAME_MAX is far below the maximum of the length.
    writer.write_all(&(name.len() as u16).to_le_bytes())?;
    writer.write_all(name)
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
    file: Arc<File>,
    position: u64,
}

impl Read for ReadAt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl RunReader {
    /// Reads the next name. Returns false at the end.
    fn next(&mut self, name: &mut Vec<u8>) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        let mut length = [0; 2];
        self.reader.read_exact(&mut length)?;
        name.resize(usize::from(u16::from_le_bytes(length)), 0);
        self.reader.read_exact(name)?;
        self.left = self.left.saturating_sub(2 + name.len() as u64);
        Ok(true)
    }
}

/// Merges the runs of the spool and the one in memory.
#[derive(Debug)]
pub(super) struct Merge {
    memory: Run,
    runs: Vec<RunReader>,
    /// The next name of each run, with the number of the run. The run in memory comes last.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    /// The last name that was returned.
    last: Vec<u8>,
}

impl Merge {
    pub(super) fn new(memory: Run, spool: Spool) -> io::Result<Self> {
        Merge::of(memory, &spool.file, &spool.runs)
    }

    fn of(memory: Run, file: &Arc<File>, runs: &[Span]) -> io::Result<Self> {
        let buffer = (MERGE_BYTES / (runs.len() + 1)).clamp(4 << 10, 64 << 10);
        let runs = runs.iter().map(|run| {
            let from = ReadAt {
                file: Arc::clone(file),
                position: run.start,
            };
            RunReader {
                reader: BufReader::with_capacity(buffer, from),
                left: run.end - run.start,
            }
        });
        let mut merge = Merge {
            memory,
            runs: runs.collect(),
            heads: BinaryHeap::new(),
            last: Vec::new(),
        };
        for run in 0..=merge.runs.len() {
            let mut name = Vec::new();
            if refill(&mut merge.runs, &mut merge.memory, run, &mut name)? {
                merge.heads.push(Reverse((name, run)));
            }
        }
        Ok(merge)
    }

    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.bytes()
    }

    #[cfg(test)]
    pub(super) fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Whether all names were returned.
    pub(super) fn is_finished(&self) -> bool {
        self.heads.is_empty()
    }

    /// Adds the next name, unless it is a duplicate from another run.
    pub(super) fn next(&mut self, names: &mut Names) -> io::Result<()> {
        let Some(mut head) = self.heads.peek_mut() else {
            return Ok(());
        };
        let Reverse((name, run)) = &mut *head;
        if *name != self.last {
            names.push(name);
            std::mem::swap(name, &mut self.last);
        }
        if !refill(&mut self.runs, &mut self.memory, *run, name)? {
            PeekMut::pop(head);
        }
        Ok(())
    }
}

/// Reads the next name of a run. Returns false at its end.
fn refill(
    runs: &mut [RunReader],
    memory: &mut Run,
    run: usize,
    name: &mut Vec<u8>,
) -> io::Result<bool> {
    match runs.get_mut(run) {
        Some(reader) => reader.next(name),
        None => {
            name.clear();
            Ok(memory.next(|next| name.extend_from_slice(next)).is_some())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_names_are_removed() {
        let spool = tempfile::tempdir().unwrap();
        let mut file = Spool::create(spool.path()).unwrap();
        let run = |names: &[&[u8]]| {
            let mut run = Run::default();
            names.iter().for_each(|name| run.push(name));
            run
        };
        file.write(&mut run(&[b"b\0", b"a\0", b"b\0"])).unwrap();
        let mut memory = run(&[b"c\0", b"b\0", b"c\0"]);
        memory.sort();
        let mut merge = Merge::new(memory, file).unwrap();
        let mut names = Names::default();
        while !merge.is_finished() {
            merge.next(&mut names).unwrap();
        }
        assert_eq!(names.iter().collect::<Vec<_>>(), [c"a", c"b", c"c"]);
    }
}
