//! The content of regular files: written with holes, or compared with an existing file.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use clfs_format::Timestamp;
use rustix::fs::{Stat, fstat, ftruncate};
use rustix::io::{Errno, retry_on_intr};

use super::add;
use super::attributes::{Missing, TargetAttributes};
use super::folder::Folder;
use super::problem::{Action, ExtractError, Failure, LocalError};
use super::run::Run;
use super::temporary::{Temporaries, Temporary};
use super::tree::WritePolicy;
use crate::read::{Chunk, Entity, FileContent, ReadError};

/// Block size of a file system: zeros that fill a block become a hole.
const BLOCK: usize = 4096;
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// After so many unreadable segments in a row, the rest of a file is not requested: a block map can have any
/// number of missing segments.
const MAX_UNREADABLE: u32 = 64;

/// Gaps that are reported one by one.
const LISTED_GAPS: usize = 20;

/// A file under a temporary name.
pub(super) struct FileWriter {
    file: File,
    temporary: Temporary,
}

impl FileWriter {
    pub(super) fn create(
        folder: &Arc<Folder>,
        names: &Arc<Temporaries>,
    ) -> Result<Self, LocalError> {
        let created = names.create(folder, |name| folder.create_file(name));
        let (temporary, file) = created.map_err(|errno| Action::Create.failed(errno))?;
        let file = file.into();
        Ok(Self { file, temporary })
    }

    /// Writes the blocks that are not zero.
    pub(super) fn write(&self, chunk: &Chunk) -> Result<(), LocalError> {
        for part in data(chunk.offset, &chunk.bytes) {
            let at = chunk.offset + part.start as u64;
            let bytes = chunk.bytes.get(part).unwrap_or_default();
            let written = self.file.write_all_at(bytes, at);
            written.map_err(|error| Action::Write.failed(errno_of(&error)))?;
        }
        Ok(())
    }

    /// Sets the size and the attributes.
    pub(super) fn complete(
        &self,
        target: &TargetAttributes,
        atime: Timestamp,
        policy: WritePolicy,
    ) -> Result<(Stat, Missing), LocalError> {
        let failed = |errno| Action::Write.failed(errno);
        retry_on_intr(|| ftruncate(&self.file, target.size)).map_err(failed)?;
        let missing = target.set_on(&self.file, atime, policy)?;
        Ok((fstat(&self.file).map_err(failed)?, missing))
    }

    /// Sets the size, owner and permissions of a damaged file. It keeps the current time, so that it is never
    /// taken for the complete file.
    pub(super) fn complete_damaged(
        &self,
        target: &TargetAttributes,
        policy: WritePolicy,
    ) -> Result<Missing, LocalError> {
        retry_on_intr(|| ftruncate(&self.file, target.size))
            .map_err(|errno| Action::Write.failed(errno))?;
        target.set_rights_on(&self.file, policy)
    }

    pub(super) fn into_temporary(self) -> Temporary {
        self.temporary
    }
}

/// Returns the parts of a chunk that are not zero, cut at the file's blocks.
fn data(offset: u64, bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    // Less than a block.
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

/// The parts of a damaged file that could not be read.
#[derive(Debug)]
pub(super) struct Gaps {
    pub(super) error: ReadError,
    /// Offset and bytes of the first gaps.
    pub(super) listed: Vec<(u64, u64)>,
    pub(super) count: u64,
    end: u64,
}

impl Gaps {
    fn add(gaps: &mut Option<Self>, gap: Range<u64>, error: ReadError) {
        let bytes = gap.end.saturating_sub(gap.start);
        let gaps = gaps.get_or_insert_with(|| Self {
            error,
            listed: Vec::new(),
            count: 0,
            end: u64::MAX,
        });
        match gaps.listed.last_mut() {
            Some(last) if gaps.end == gap.start && gaps.count <= LISTED_GAPS as u64 => {
                last.1 = last.1.saturating_add(bytes);
            }
            _ if gaps.end == gap.start => {}
            _ => {
                gaps.count += 1;
                if gaps.listed.len() < LISTED_GAPS {
                    gaps.listed.push((gap.start, bytes));
                }
            }
        }
        gaps.end = gap.end;
    }
}

/// Whether the objects from which an entry was read keep the rules of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    Kept,
    Broken,
}

/// The content of a file, piece by piece. With `keep_damaged`, skips the parts that cannot be read.
pub(super) struct Pieces<'a> {
    run: &'a Run,
    entity: &'a Arc<Entity>,
    content: FileContent,
    size: u64,
    at: u64,
    unreadable: u32,
    keep_damaged: bool,
    pub(super) gaps: Option<Gaps>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(run: &'a Run, entity: &'a Arc<Entity>, keep_damaged: bool) -> Self {
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

    /// Returns [`Rules::Broken`] if an object that was read so far breaks a rule.
    pub(super) fn rules(&self) -> Rules {
        match self.content.deviates() || !self.entity.deviations.is_empty() {
            true => Rules::Broken,
            false => Rules::Kept,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Chunk>, Failure> {
        loop {
            // The first part came with the inode.
            let first = u64::from(self.entity.block_map.first_segment);
            if self.at >= first && self.at < self.size && self.run.halted() {
                return Err(ExtractError::Stopped.into());
            }
            match self.run.read(self.content.next()) {
                Ok(Some(chunk)) => {
                    self.unreadable = 0;
                    self.at = chunk.offset.saturating_add(chunk.bytes.len() as u64);
                    add(&self.run.counters.content_bytes, chunk.bytes.len() as u64);
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(error) if self.keep_damaged && error.is_damage() => self.skip(error),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Continues after the segment that could not be read.
    fn skip(&mut self, error: ReadError) {
        self.unreadable += 1;
        let end = match self.unreadable < MAX_UNREADABLE {
            true => segment_end(self.entity, self.at).min(self.size),
            false => self.size,
        };
        Gaps::add(&mut self.gaps, self.at..end, error);
        self.at = end;
        self.content = self.run.reader.content(self.entity, end..self.size);
    }
}

/// Returns the end of the segment that holds the byte at `at` (format.md §6).
fn segment_end(entity: &Entity, at: u64) -> u64 {
    let first = u64::from(entity.block_map.first_segment);
    let other = u64::from(entity.block_map.other_segment).max(1);
    match at.checked_sub(first) {
        None => first,
        Some(after) => (after / other)
            .saturating_add(1)
            .saturating_mul(other)
            .saturating_add(first),
    }
}

/// Compares an open file with the content of `entity`; both have the same size. None if they differ, otherwise
/// whether the objects that were read keep the rules.
pub(super) fn compare(
    run: &Run,
    entity: &Arc<Entity>,
    file: impl AsFd + Copy,
) -> Result<Option<Rules>, Failure> {
    let mut pieces = Pieces::new(run, entity, false);
    while let Some(chunk) = pieces.next()? {
        let difference = chunk.first_difference(file);
        if difference
            .map_err(|errno| Action::Read.failed(errno))?
            .is_some()
        {
            return Ok(None);
        }
    }
    Ok(Some(pieces.rules()))
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(offset: u64, bytes: &[u8]) -> Vec<(usize, usize)> {
        let parts = data(offset, bytes);
        parts.map(|part| (part.start, part.end)).collect()
    }

    #[test]
    fn full_blocks_of_zeros_are_holes() {
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
    fn adjacent_gaps_are_one() {
        let mut gaps = None;
        for gap in [0..10, 10..20, 30..40] {
            Gaps::add(&mut gaps, gap, ReadError::Stopped);
        }
        let listed = gaps.map(|gaps| (gaps.listed, gaps.count));
        assert_eq!(listed, Some((vec![(0, 20), (30, 10)], 2)));
    }
}
