//! One pass over the rows of a tree that is scanned: figures, and what is drawn to be measured.

use std::collections::BTreeSet;
use std::sync::Arc;

use clfs_format::limits::SYMLINK_TARGET_BYTES;
use clfs_format::{FIRST_SEGMENT_BYTES, FileType};

use super::directories::{Directories, Open};
use super::histogram::SizeHistogram;
use super::objects::{FILEHANDLE, FileObjects, Named, inode_bytes};
use super::sample::{Few, Sampler};
use super::{SEED, SHOWN, SurveyError};
use crate::encode::EncodeContext;
use crate::entry::{Entry, EntryId};
use crate::state::Reader;
use crate::stop::StopFlag;

/// Rows read at once.
const ROWS: u32 = 4096;
/// Small files that are encoded, however many there are: up to 16 MiB.
const SMALL_FILES: usize = 1024;
/// Inodes of large files, and of other entries, that are encoded: up to 4 MiB of the former are read.
const INODES: usize = 256;
/// Segments of files that are drawn.
const SEGMENTS: usize = 1024;
/// Files of which all segments may be read. One after the other is opened for that: where a server
/// takes a millisecond for each call, that is half a minute.
const FEW_FILES: usize = 8192;

fn sampler(slots: usize, kind: u64) -> Sampler {
    let few = Few {
        entries: slots,
        weight: u64::MAX,
    };
    Sampler::new(slots, few, SEED + kind)
}

/// Bytes that an entity of one object has before it is compressed.
pub(super) fn single_weight(entry: &Entry) -> u64 {
    let attributes = &entry.attributes;
    let data = match attributes.file_type {
        FileType::Regular | FileType::Symlink => Some(attributes.size),
        _ => None,
    };
    inode_bytes(Named::of(entry), data, 0)
}

/// The greatest so far.
#[derive(Debug, Default)]
pub(super) struct Top(BTreeSet<(u64, std::cmp::Reverse<EntryId>, u64)>);

impl Top {
    fn add(&mut self, key: u64, id: EntryId, beside: u64) {
        if self.0.len() == SHOWN && self.0.first().is_some_and(|least| least.0 >= key) {
            return;
        }
        self.0.insert((key, std::cmp::Reverse(id), beside));
        if self.0.len() > SHOWN {
            self.0.pop_first();
        }
    }

    /// The greatest first; of equals the one that was found first.
    pub(super) fn descending(self) -> impl Iterator<Item = (u64, EntryId, u64)> {
        let all = self.0.into_iter().rev();
        all.map(|(key, id, beside)| (key, id.0, beside))
    }
}

/// Figures of a tree, as it would be loaded.
pub(super) struct Tally {
    preserve_hardlinks: bool,
    /// Regular files.
    pub(super) histogram: SizeHistogram,
    pub(super) largest_files: Top,
    pub(super) largest_directories: Top,
    pub(super) directories: Directories,
    /// Inodes of entities other than directories.
    pub(super) inodes: u64,
    pub(super) file_segments: u64,
    pub(super) indirect: u64,
    /// Bytes of the segments of files before compression.
    pub(super) segment_bytes: u64,
    /// Bytes that further names add to inodes.
    pub(super) back_bytes: u64,
    pub(super) small: Sampler,
    pub(super) large: Sampler,
    pub(super) segments: Sampler,
    pub(super) others: Sampler,
}

impl Tally {
    pub(super) fn new(
        context: &Arc<EncodeContext>,
        preserve_hardlinks: bool,
        segment_budget: u64,
    ) -> Self {
        let few_segments = Few {
            entries: FEW_FILES,
            weight: segment_budget,
        };
        Tally {
            preserve_hardlinks,
            histogram: SizeHistogram::default(),
            largest_files: Top::default(),
            largest_directories: Top::default(),
            directories: Directories::new(Arc::clone(context)),
            inodes: 0,
            file_segments: 0,
            indirect: 0,
            segment_bytes: 0,
            back_bytes: 0,
            small: sampler(SMALL_FILES, 0),
            large: sampler(INODES, 1),
            segments: Sampler::new(SEGMENTS, few_segments, SEED + 2),
            others: sampler(INODES, 3),
        }
    }

    /// Goes through all rows.
    pub(super) fn run(&mut self, reader: &Reader, stop: &StopFlag) -> Result<(), SurveyError> {
        let mut after = EntryId::ROOT;
        let mut open: Option<Open> = None;
        loop {
            let rows = reader.survey_rows(after, ROWS)?;
            let Some(last) = rows.last() else { break };
            after = last.entry.id;
            if stop.is_requested() {
                return Err(SurveyError::Stopped);
            }
            for row in rows {
                let entry = &row.entry;
                // The rows of a directory follow each other: it was listed in one go.
                let mut directory = match open.take() {
                    Some(open) if open.entry.id == entry.parent => open,
                    other => {
                        self.close(other)?;
                        self.open(reader, entry.parent)?
                    }
                };
                self.directories.push(&mut directory, entry)?;
                open = Some(directory);
                match self.preserve_hardlinks && row.is_further_name {
                    true => self.back_bytes += FILEHANDLE,
                    false => self.add(entry),
                }
            }
        }
        self.close(open)?;
        self.empty_directories(reader, stop)
    }

    /// Directories without rows.
    fn empty_directories(&mut self, reader: &Reader, stop: &StopFlag) -> Result<(), SurveyError> {
        let mut after = EntryId::new(0);
        loop {
            let empty = reader.empty_directories(after, ROWS)?;
            let Some(last) = empty.last() else {
                return Ok(());
            };
            after = last.id;
            if stop.is_requested() {
                return Err(SurveyError::Stopped);
            }
            for entry in empty {
                let open = self.open(reader, entry.id)?;
                self.close(Some(open))?;
            }
        }
    }

    fn open(&self, reader: &Reader, id: EntryId) -> Result<Open, SurveyError> {
        let missing = || SurveyError::Internal(format!("directory {id} has no row"));
        let entry = reader.entry(id)?.ok_or_else(missing)?;
        let place = reader.place(entry.parent)?.ok_or_else(missing)?;
        Ok(self.directories.open(entry, place.0))
    }

    fn close(&mut self, open: Option<Open>) -> Result<(), SurveyError> {
        let Some(open) = open else { return Ok(()) };
        self.largest_directories
            .add(open.entries, open.entry.id, open.file_bytes);
        Ok(self.directories.close(open)?)
    }

    /// An entity other than a directory, and what becomes of it.
    fn add(&mut self, entry: &Entry) {
        let size = entry.attributes.size;
        match entry.attributes.file_type {
            FileType::Directory => return,
            FileType::Regular => {
                self.histogram.add(size, 1);
                self.largest_files.add(size, entry.id, 0);
                if size <= FIRST_SEGMENT_BYTES {
                    self.small.offer(entry.id, single_weight(entry));
                } else {
                    let objects = FileObjects::of(size, Named::of(entry));
                    self.file_segments = self.file_segments.saturating_add(objects.segments);
                    self.indirect = self.indirect.saturating_add(objects.indirect);
                    self.segment_bytes = self.segment_bytes.saturating_add(objects.segment_bytes);
                    self.large.offer(entry.id, objects.inode_bytes);
                    self.segments.offer(entry.id, objects.content);
                }
            }
            // It becomes a problem, not an object.
            FileType::Symlink if size > SYMLINK_TARGET_BYTES as u64 => return,
            _ => self.others.offer(entry.id, single_weight(entry)),
        }
        self.inodes += 1;
    }
}
