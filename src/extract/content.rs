//! The content of regular files: written with holes, or compared with what is there.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use clfs_format::Timestamp;
use rustix::fs::{Stat, fstat, ftruncate};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::component::Component;
use super::folder::Folder;
use super::problem::{Action, ExtractError, Failure, LocalError};
use super::run::{Run, blocking};
use super::summary::add;
use super::temporary::{Temporaries, Temporary};
use super::tree::Making;
use super::wanted::{Missing, Wanted};
use crate::read::{Chunk, Entity, FileContent, ReadError};

/// Blocks of a file system: a run of zeros that fills one becomes a hole.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Bytes that are compared at a time.
const COMPARED: usize = 1 << 20;

/// After so many unreadable segments in a row the rest of a file is given up: a map that leads nowhere
/// would be asked for each of its segments.
const MOST_UNREADABLE: u32 = 64;

/// Gaps that are told of one by one.
const TOLD_GAPS: usize = 20;

/// A file under a temporary name.
pub(super) struct FileWriter {
    file: OwnedFd,
    temporary: Temporary,
}

impl FileWriter {
    pub(super) fn create(
        folder: &Arc<Folder>,
        names: &Arc<Temporaries>,
    ) -> Result<Self, LocalError> {
        let made = names.create(folder, |name| folder.create_file(name));
        let (temporary, file) = made.map_err(|errno| Action::Make.failed(errno))?;
        Ok(Self { file, temporary })
    }

    /// Writes what is not zero.
    pub(super) fn write(&self, chunk: &Chunk) -> Result<(), LocalError> {
        for part in data(chunk.offset, &chunk.bytes) {
            let mut at = chunk.offset + part.start as u64;
            let mut rest = chunk.bytes.get(part).unwrap_or_default();
            while !rest.is_empty() {
                let written = retry_on_intr(|| pwrite(&self.file, rest, at))
                    .and_then(|written| match written {
                        0 => Err(Errno::IO),
                        written => Ok(written),
                    })
                    .map_err(|errno| Action::Write.failed(errno))?;
                at += written as u64;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Gives it its size and attributes.
    pub(super) fn complete(
        &self,
        wanted: &Wanted,
        atime: Timestamp,
        making: Making,
    ) -> Result<(Stat, Missing), LocalError> {
        let failed = |errno| Action::Write.failed(errno);
        retry_on_intr(|| ftruncate(&self.file, wanted.size)).map_err(failed)?;
        let missing = wanted.set_on(&self.file, atime, making)?;
        Ok((fstat(&self.file).map_err(failed)?, missing))
    }

    /// Gives the remains of a damaged file its size, owner and permissions. They keep the time of
    /// writing: with the file's own they would pass for it.
    pub(super) fn complete_remains(
        &self,
        wanted: &Wanted,
        making: Making,
    ) -> Result<Missing, LocalError> {
        retry_on_intr(|| ftruncate(&self.file, wanted.size))
            .map_err(|errno| Action::Write.failed(errno))?;
        wanted.set_rights_on(&self.file, making)
    }

    pub(super) fn into_temporary(self) -> Temporary {
        self.temporary
    }
}

/// The parts of a chunk that hold anything but zeros, cut at the file's blocks.
fn data(offset: u64, bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    // Below a block.
    let until_block = BLOCK - (offset % BLOCK as u64) as usize;
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut found: Option<Range<usize>> = None;
        while at < bytes.len() {
            let end = match at {
                0 => until_block,
                at => at + BLOCK,
            }
            .min(bytes.len());
            let block = bytes.get(at..end).unwrap_or_default();
            let zero = ZEROS.get(..block.len()) == Some(block);
            match (&mut found, zero) {
                (None, true) => {}
                (Some(_), true) => return found,
                (Some(found), false) => found.end = end,
                (none, false) => *none = Some(at..end),
            }
            at = end;
        }
        found
    })
}

/// What of a damaged file could not be read.
#[derive(Debug)]
pub(super) struct Gaps {
    pub(super) error: ReadError,
    /// Offset and bytes of each, the first of them.
    pub(super) told: Vec<(u64, u64)>,
    pub(super) count: u64,
    end: u64,
}

impl Gaps {
    fn add(gaps: &mut Option<Self>, gap: Range<u64>, error: ReadError) {
        let bytes = gap.end.saturating_sub(gap.start);
        let gaps = gaps.get_or_insert_with(|| Self {
            error,
            told: Vec::new(),
            count: 0,
            end: u64::MAX,
        });
        match gaps.told.last_mut() {
            Some(last) if gaps.end == gap.start && gaps.count <= TOLD_GAPS as u64 => {
                last.1 = last.1.saturating_add(bytes);
            }
            _ if gaps.end == gap.start => {}
            _ => {
                gaps.count += 1;
                if gaps.told.len() < TOLD_GAPS {
                    gaps.told.push((gap.start, bytes));
                }
            }
        }
        gaps.end = gap.end;
    }
}

/// Whether everything that an entry was read from keeps the rules of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    Kept,
    Broken,
}

/// A file's content, piece by piece; when damage is kept, without what cannot be read.
pub(super) struct Pieces<'a> {
    run: &'a Arc<Run>,
    entity: &'a Arc<Entity>,
    content: FileContent,
    size: u64,
    at: u64,
    unreadable: u32,
    keep_damaged: bool,
    pub(super) gaps: Option<Gaps>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(run: &'a Arc<Run>, entity: &'a Arc<Entity>, keep_damaged: bool) -> Self {
        let size = entity.attributes.size;
        Self {
            run,
            entity,
            content: run.reader.content(entity, 0..size),
            size,
            at: 0,
            unreadable: 0,
            keep_damaged,
            gaps: None,
        }
    }

    /// Whether what was read so far keeps the rules.
    pub(super) fn rules(&self) -> Rules {
        match self.content.deviates() || !self.entity.deviations.is_empty() {
            true => Rules::Broken,
            false => Rules::Kept,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            // What came with the inode is there already.
            let first = u64::from(self.entity.block_map.first_segment);
            if self.at >= first && self.at < self.size && self.run.halted() {
                return Err(ExtractError::Stopped.into());
            }
            match self.run.reading(self.content.next()).await {
                Ok(Some(chunk)) => {
                    self.unreadable = 0;
                    self.at = chunk.offset.saturating_add(chunk.bytes.len() as u64);
                    add(&self.run.counters.content_bytes, chunk.bytes.len() as u64);
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(error) if self.keep_damaged && error.is_damage() => self.pass_over(error),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Goes on behind the segment that could not be read.
    fn pass_over(&mut self, error: ReadError) {
        self.unreadable += 1;
        let end = match self.unreadable < MOST_UNREADABLE {
            true => segment_end(self.entity, self.at).min(self.size),
            false => self.size,
        };
        Gaps::add(&mut self.gaps, self.at..end, error);
        self.at = end;
        self.content = self.run.reader.content(self.entity, end..self.size);
    }
}

/// Where the segment that holds the byte at `at` ends (docs/format.md section 6).
fn segment_end(entity: &Entity, at: u64) -> u64 {
    let first = u64::from(entity.block_map.first_segment);
    let other = u64::from(entity.block_map.other_segment).max(1);
    match at.checked_sub(first) {
        None => first,
        Some(behind) => (behind / other)
            .saturating_add(1)
            .saturating_mul(other)
            .saturating_add(first),
    }
}

/// Whether a file in the destination has the content of `entity`; both have the same size. None when
/// it has not, else whether what it was compared with keeps the rules.
pub(super) async fn is_same(
    run: &Arc<Run>,
    entity: &Arc<Entity>,
    folder: Arc<Folder>,
    name: Component,
) -> Result<Option<Rules>, Failure> {
    let opened = blocking(move || folder.open_file(&name)).await?;
    let file = match opened {
        // What may not be read, such as one's own file of mode 0200, is not known to be the same.
        Err(Errno::ACCESS) => return Ok(None),
        opened => Arc::new(opened.map_err(|errno| Action::Read.failed(errno))?),
    };
    let mut pieces = Pieces::new(run, entity, false);
    while let Some(chunk) = pieces.next().await? {
        let file = Arc::clone(&file);
        let same = blocking(move || holds(&file, &chunk)).await?;
        if !same.map_err(|errno| Action::Read.failed(errno))? {
            return Ok(None);
        }
    }
    Ok(Some(pieces.rules()))
}

/// Whether a file holds these bytes at this place.
fn holds(file: &OwnedFd, chunk: &Chunk) -> Result<bool, Errno> {
    let mut buffer = vec![0; COMPARED.min(chunk.bytes.len())];
    let mut at = chunk.offset;
    let mut rest: &[u8] = &chunk.bytes;
    while !rest.is_empty() {
        let wanted = rest.len().min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let read = retry_on_intr(|| pread(file, &mut *room, at))?;
        let (compared, behind) = rest.split_at(read.min(rest.len()));
        if read == 0 || room.get(..read) != Some(compared) {
            return Ok(false);
        }
        at += read as u64;
        rest = behind;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(offset: u64, bytes: &[u8]) -> Vec<(usize, usize)> {
        let parts = data(offset, bytes);
        parts.map(|part| (part.start, part.end)).collect()
    }

    #[test]
    fn whole_blocks_of_zeros_are_holes() {
        let mut bytes = vec![0; 5 * BLOCK + 10];
        assert!(parts(0, &bytes).is_empty());
        bytes[BLOCK] = 1;
        bytes[3 * BLOCK - 1] = 1;
        assert_eq!(parts(0, &bytes), [(BLOCK, 3 * BLOCK)]);
        bytes[5 * BLOCK + 9] = 1;
        let end = bytes.len();
        assert_eq!(parts(0, &bytes), [(BLOCK, 3 * BLOCK), (5 * BLOCK, end)]);
        assert!(parts(0, &[]).is_empty());
        assert_eq!(parts(0, &[7; 3]), [(0, 3)]);
    }

    #[test]
    fn blocks_are_those_of_the_file_not_of_the_chunk() {
        let mut bytes = vec![0; 3 * BLOCK];
        bytes[100] = 1;
        // The chunk begins 96 bytes before the end of a block.
        assert_eq!(parts(BLOCK as u64 * 9 - 96, &bytes), [(96, 96 + BLOCK)]);
    }

    #[test]
    fn gaps_that_touch_are_one() {
        let mut gaps = None;
        for gap in [0..10, 10..20, 30..40] {
            Gaps::add(&mut gaps, gap, ReadError::Stopped);
        }
        let told = gaps.map(|gaps| (gaps.told, gaps.count));
        assert_eq!(told, Some((vec![(0, 20), (30, 10)], 2)));
    }
}
