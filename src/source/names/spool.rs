//! Sorted runs of names in a file without a name, and their merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::run::Run;
use super::{Names, SpoolError};
use crate::source::tree::retry_interrupted;

/// What the buffers take through which one listing reads its runs, unless there are very many.
const MERGE_BYTES: usize = 256 << 10;

/// Sorted runs in one unlinked file: u16 length (little-endian), name, …
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    /// Where each run begins; the last element is the end.
    bounds: Vec<u64>,
}

impl Spool {
    pub(super) fn create(folder: &Path) -> Result<Self, SpoolError> {
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

    pub(super) fn write(&mut self, run: &mut Run) -> io::Result<()> {
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
    /// Whether there was a name to read.
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
    /// The next name of each run; the one in memory is numbered behind those of the spool.
    heads: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
    /// The last name that was handed out.
    last: Vec<u8>,
}

impl Merge {
    pub(super) fn new(mut memory: Run, mut spool: Spool) -> io::Result<Self> {
        memory.bytes.shrink_to_fit();
        memory.places.shrink_to_fit();
        spool.file.seek(SeekFrom::Start(0))?;
        let buffer = (MERGE_BYTES / spool.bounds.len()).clamp(4 << 10, 64 << 10);
        let file = Arc::new(spool.file);
        let bounds = spool.bounds.windows(2);
        let runs = bounds.filter_map(|bounds| match *bounds {
            [start, end] => Some(RunReader {
                reader: BufReader::with_capacity(
                    buffer,
                    ReadAt {
                        file: Arc::clone(&file),
                        position: start,
                    },
                ),
                left: end - start,
            }),
            _ => None,
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

    /// Whether all names were handed out.
    pub(super) fn is_over(&self) -> bool {
        self.heads.is_empty()
    }

    /// Adds the next name, unless it is the last one again: another run may have it too.
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

/// Reads the next name of a run. Returns whether there was one.
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
    fn a_name_that_comes_twice_counts_once() {
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
        while !merge.is_over() {
            merge.next(&mut names).unwrap();
        }
        assert_eq!(names.iter().collect::<Vec<_>>(), [c"a", c"b", c"c"]);
    }
}
