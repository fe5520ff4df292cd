//! The requests and bytes of a load. Requests are counted from names and sizes; bytes are the bytes
//! before compression times one ratio, which is measured on a sample of the objects.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clfs_format::limits::SYMLINK_TARGET_BYTES;
use clfs_format::{
    Compression, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FileType, file_segment_range,
};

use super::histogram::SizeHistogram;
use super::objects::{FILEHANDLE, Listing, Objects, file_segment_bytes, inode_bytes};
use super::{SHOWN, SurveyError};
use crate::entry::{Entry, EntryId};
use crate::load::encode::{EncodeError, Encoded, EncodedObject, Encoder, ObjectSink};
use crate::state::{Counter, LOG_NAME, LinkGroups, Reader};
use crate::stop::StopFlag;

/// Rows read at once.
const ROWS: u32 = 4096;
/// The number of objects in the sample, about.
const SAMPLE: u64 = 1024;
/// Bytes of an inode and of its entry in a directory, about.
const INODE: u64 = 512;
/// Bytes that the header of a DATA handle adds to a compressed inode, about.
const DATA_HEADER: u64 = 12;
/// A fixed seed: a survey of the same tree draws the same sample.
const SEED: u64 = 0x434c_4653;

/// Put Blob requests of a load, one for each object, by the kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Puts {
    /// Inodes of files, symlinks, devices, fifos and sockets.
    pub inodes: u64,
    /// Inodes of directories, including the root.
    pub directories: u64,
    /// Segments of files: up to 8 MiB each.
    pub file_segments: u64,
    /// Segments of directories: up to 256 KiB each.
    pub directory_segments: u64,
    /// Indirect blocks of files and directories.
    pub indirect_blocks: u64,
    /// The bucket object.
    pub bucket: u64,
    /// The log.
    pub log: u64,
}

impl Puts {
    /// Returns the sum of all kinds.
    pub fn total(&self) -> u64 {
        let kinds = [
            self.inodes,
            self.directories,
            self.file_segments,
            self.directory_segments,
            self.indirect_blocks,
            self.bucket,
            self.log,
        ];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    /// Adds the objects of `count` equal directories, or of `count` equal entities of another type.
    fn add(&mut self, is_directory: bool, objects: &Objects, count: u64) {
        let (inodes, segments) = match is_directory {
            true => (&mut self.directories, &mut self.directory_segments),
            false => (&mut self.inodes, &mut self.file_segments),
        };
        for (sum, each) in [
            (inodes, 1),
            (segments, objects.segments),
            (&mut self.indirect_blocks, objects.indirect),
        ] {
            *sum = sum.saturating_add(each.saturating_mul(count));
        }
    }
}

/// The cost of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// Put Blob requests.
    pub puts: Puts,
    /// Bytes of all objects except the log, as they are stored.
    pub bytes: u64,
    /// The error of `bytes` that sampling causes: with a probability of 95 %, it is not larger.
    pub margin: u64,
    /// The same bytes without compression.
    pub uncompressed: u64,
    /// Bytes that were read from the source to measure the compression.
    pub bytes_sampled: u64,
    /// Bytes of the state database.
    pub database: u64,
}

impl Estimate {
    /// Returns the duration of the upload at a number of bytes per second.
    pub fn upload_time(&self, bytes_per_second: u64) -> Duration {
        let seconds = self.bytes as f64 / bytes_per_second.max(1) as f64;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// The entries with the largest figures: the figure, the entry, and a second figure.
#[derive(Debug, Default)]
pub(super) struct Top(BTreeSet<(u64, Reverse<EntryId>, u64)>);

impl Top {
    fn add(&mut self, figure: u64, id: EntryId, second: u64) {
        self.0.insert((figure, Reverse(id), second));
        if self.0.len() > SHOWN {
            self.0.pop_first();
        }
    }

    /// Returns them in descending order; of equal figures, the entry that was found first.
    pub(super) fn descending(&self) -> impl Iterator<Item = (u64, EntryId, u64)> {
        self.0
            .iter()
            .rev()
            .map(|(figure, id, second)| (*figure, id.0, *second))
    }
}

/// A directory whose entries are being counted.
struct Directory {
    id: EntryId,
    name: u64,
    listing: Listing,
    entries: u64,
    /// Bytes of the regular files among the entries.
    file_bytes: u64,
}

impl Directory {
    fn open(reader: &Reader, id: EntryId) -> Result<Self, SurveyError> {
        let place = reader.place(id)?;
        let (parent, name) =
            place.ok_or_else(|| SurveyError::Internal(format!("directory {id} has no row")))?;
        Ok(Directory {
            id,
            name: name.len() as u64,
            listing: Listing::new(id, parent),
            entries: 0,
            file_bytes: 0,
        })
    }
}

/// The figures of a scanned tree, as it would be loaded.
pub(super) struct Tally {
    pub(super) histogram: SizeHistogram,
    pub(super) largest_files: Top,
    pub(super) largest_directories: Top,
    puts: Puts,
    /// Bytes that further names add to inodes.
    back_bytes: u64,
    sampler: Sampler,
}

impl Tally {
    /// Counts all rows of the state.
    pub(super) fn of(
        reader: &Reader,
        links: &LinkGroups,
        preserve_hardlinks: bool,
        stop: &StopFlag,
    ) -> Result<Self, SurveyError> {
        let totals = reader.totals()?;
        let inodes = totals.entries().saturating_mul(INODE);
        let content = totals
            .get(Counter::FoundBytes)
            .saturating_add(links.bytes_all);
        let mut tally = Tally {
            histogram: SizeHistogram::default(),
            largest_files: Top::default(),
            largest_directories: Top::default(),
            puts: Puts {
                bucket: 1,
                log: 1,
                ..Puts::default()
            },
            back_bytes: 0,
            sampler: Sampler::new(inodes.saturating_add(content)),
        };
        let mut directory: Option<Directory> = None;
        let mut after = EntryId::ROOT;
        loop {
            let rows = reader.survey_rows(after, ROWS)?;
            let Some(last) = rows.last() else { break };
            after = last.entry.id;
            check(stop)?;
            for row in rows {
                let entry = &row.entry;
                // The rows of a directory are adjacent: the survey scans in one run.
                let mut open = match directory.take() {
                    Some(open) if open.id == entry.parent => open,
                    finished => {
                        finished
                            .iter()
                            .for_each(|finished| tally.add_directory(finished));
                        Directory::open(reader, entry.parent)?
                    }
                };
                open.listing.push(entry.name.len() as u64);
                open.entries += 1;
                if entry.attributes.file_type == FileType::Regular {
                    open.file_bytes = open.file_bytes.saturating_add(entry.attributes.size);
                }
                directory = Some(open);
                match preserve_hardlinks && row.is_further_name {
                    true => tally.back_bytes = tally.back_bytes.saturating_add(FILEHANDLE),
                    false => tally.add(entry),
                }
            }
        }
        directory.iter().for_each(|last| tally.add_directory(last));
        let mut after = EntryId::new(0);
        loop {
            let empty = reader.empty_directories(after, ROWS)?;
            let Some(last) = empty.last() else { break };
            after = last.id;
            check(stop)?;
            for entry in empty {
                tally.add_directory(&Directory::open(reader, entry.id)?);
            }
        }
        Ok(tally)
    }

    fn add_directory(&mut self, directory: &Directory) {
        let objects = directory.listing.objects(directory.name);
        self.largest_directories
            .add(directory.entries, directory.id, directory.file_bytes);
        self.puts.add(true, &objects, 1);
        self.sampler.offer(directory.id, objects.bytes());
    }

    /// Adds an entity other than a directory.
    fn add(&mut self, entry: &Entry) {
        let (size, name) = (entry.attributes.size, entry.name.len() as u64);
        let objects = match entry.attributes.file_type {
            FileType::Directory => return,
            // It becomes a problem, not an object.
            FileType::Symlink if size > SYMLINK_TARGET_BYTES as u64 => return,
            FileType::Regular => {
                self.histogram.add(size, 1);
                self.largest_files.add(size, entry.id, 0);
                Objects::of_file(size, entry.parent, name)
            }
            file_type => {
                let data = (file_type == FileType::Symlink).then_some(size);
                Objects {
                    inode_bytes: inode_bytes(entry.parent, name, data, 0),
                    ..Objects::default()
                }
            }
        };
        self.puts.add(false, &objects, 1);
        self.sampler.offer(entry.id, objects.bytes());
    }

    /// Measures the compression of the sample, and returns the estimate without the size of the
    /// database. Reads no more than `budget` bytes of content and the rest of one segment.
    pub(super) fn estimate(
        &self,
        mut encoder: Encoder,
        reader: &Reader,
        (compression, budget): (Compression, u64),
        stop: &StopFlag,
    ) -> Result<Estimate, SurveyError> {
        let bucket = StoredBytes::default();
        encoder
            .bucket(&[LOG_NAME.to_owned()], &bucket)
            .map_err(|_| SurveyError::Internal("the bucket object cannot be encoded".to_owned()))?;
        // Back pointers hardly compress: half of a filehandle is random.
        let fixed = self.back_bytes.saturating_add(bucket.get());
        let sampled = self.sampler.total;
        let mut estimate = Estimate {
            puts: self.puts,
            uncompressed: sampled.saturating_add(fixed),
            bytes: sampled.saturating_add(fixed),
            ..Estimate::default()
        };
        if compression == Compression::Disabled {
            return Ok(estimate);
        }
        let mut measure = Measure { encoder, read: 0 };
        let mut known = HashMap::new();
        let mut ratios = Vec::new();
        for pick in self.sampler.shuffled() {
            check(stop)?;
            if measure.read >= budget {
                break;
            }
            let Some(entry) = reader.entry(pick.id)? else {
                continue;
            };
            let object = Object::at(&entry, pick.at);
            let ratio = match known.get(&(pick.id, object)) {
                Some(ratio) => *ratio,
                None => measure.ratio(&entry, object, pick.weight)?,
            };
            known.insert((pick.id, object), ratio);
            ratios.extend(ratio);
        }
        let (mean, error) = mean_and_error(&ratios);
        estimate.bytes = fixed.saturating_add((mean * sampled as f64).round() as u64);
        // 1.96 standard errors to each side.
        estimate.margin = (1.96 * error * sampled as f64).round() as u64;
        estimate.bytes_sampled = measure.read;
        Ok(estimate)
    }
}

fn check(stop: &StopFlag) -> Result<(), SurveyError> {
    match stop.is_requested() {
        true => Err(SurveyError::Stopped),
        false => Ok(()),
    }
}

/// Returns the mean of the ratios and its standard error. Without a ratio, nothing counts as compressed.
fn mean_and_error(ratios: &[f64]) -> (f64, f64) {
    let count = ratios.len() as f64;
    if ratios.len() < 2 {
        return (ratios.first().copied().unwrap_or(1.0), 1.0);
    }
    let mean = ratios.iter().sum::<f64>() / count;
    let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

/// A part of an entity that is encoded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Object {
    /// The entity if it is not a file of several segments; the inode and the indirect blocks of such
    /// a file.
    Inode,
    /// A segment of a file, from 1.
    Segment(u64),
}

impl Object {
    /// Creates the object with byte `at` of the entity's objects.
    fn at(entry: &Entry, at: u64) -> Self {
        let size = entry.attributes.size;
        if entry.attributes.file_type != FileType::Regular || size <= FIRST_SEGMENT_BYTES {
            return Object::Inode;
        }
        let objects = Objects::of_file(size, entry.parent, entry.name.len() as u64);
        match at.checked_sub(objects.inode_bytes) {
            None => Object::Inode,
            Some(at) => Object::Segment(1 + at / file_segment_bytes(FILE_SEGMENT_BYTES)),
        }
    }
}

/// Counts the bytes of objects.
#[derive(Debug, Default)]
struct StoredBytes(AtomicU64);

impl StoredBytes {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ObjectSink for StoredBytes {
    type Room = ();

    fn room(&self, _: u64) {}

    fn put(&self, object: EncodedObject, (): ()) {
        let bytes = object.bytes.len() as u64;
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Encodes objects of the sample as a load encodes them.
struct Measure {
    encoder: Encoder,
    /// Bytes read from the source.
    read: u64,
}

impl Measure {
    /// Returns the bytes of an object as it is stored, divided by its bytes before compression. None if the
    /// source does not return it or returns something else: the rest of the sample represents it.
    fn ratio(
        &mut self,
        entry: &Entry,
        object: Object,
        entity_bytes: u64,
    ) -> Result<Option<f64>, SurveyError> {
        let stored = match self.stored(entry, object) {
            Ok(stored) => stored,
            Err(EncodeError::State(error)) => return Err(error.into()),
            Err(EncodeError::Problem(_) | EncodeError::Changed(_)) => return Ok(None),
        };
        let size = entry.attributes.size;
        let plain = match (object, entry.attributes.file_type) {
            (Object::Segment(index), _) => {
                let range = file_segment_range(index, size);
                file_segment_bytes(range.end - range.start)
            }
            (Object::Inode, FileType::Regular) => {
                Objects::of_file(size, entry.parent, entry.name.len() as u64).inode_bytes
            }
            _ => entity_bytes,
        };
        Ok(Some(stored as f64 / plain as f64))
    }

    fn stored(&mut self, entry: &Entry, object: Object) -> Result<u64, EncodeError> {
        let stored = StoredBytes::default();
        match entry.attributes.file_type {
            FileType::Directory if entry.id == EntryId::ROOT => {
                self.encoder.root(entry, &stored)?;
            }
            // Reading a symlink would set its access time. Its target hardly compresses: the inode of
            // an entity without content is measured instead, and the target and the header of its
            // handle are added.
            FileType::Symlink => {
                let mut inode = entry.clone();
                inode.attributes.file_type = FileType::Fifo;
                self.encoder.entry(&inode, &stored)?;
                return Ok(stored.get() + DATA_HEADER + entry.attributes.size);
            }
            _ => match (self.encoder.entry(entry, &stored)?, object) {
                (Encoded::Complete(read), _) => self.read += read.bytes,
                (Encoded::Large(file), Object::Inode) => {
                    self.read += FIRST_SEGMENT_BYTES;
                    self.encoder.large_inode(&file, &stored)?;
                }
                (Encoded::Large(file), Object::Segment(index)) => {
                    let range = file_segment_range(index, entry.attributes.size);
                    self.read += FIRST_SEGMENT_BYTES + (range.end - range.start);
                    self.encoder.segment(&file, index, &stored)?;
                }
            },
        }
        Ok(stored.get())
    }
}

/// An entity in the sample, and which of its bytes was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pick {
    id: EntryId,
    at: u64,
    /// Bytes of the entity.
    weight: u64,
}

/// Draws every n-th byte of all objects. The mean of the ratios of the objects that contain these
/// bytes then estimates the ratio of all bytes without bias.
#[derive(Debug)]
struct Sampler {
    step: u64,
    /// Bytes so far.
    total: u64,
    /// The next byte to draw.
    next: u64,
    picks: Vec<Pick>,
}

impl Sampler {
    /// Creates a sampler of about [`SAMPLE`] picks from about `bytes` bytes.
    fn new(bytes: u64) -> Self {
        let step = (bytes / SAMPLE).max(1);
        Sampler {
            step,
            total: 0,
            next: step / 2,
            picks: Vec::new(),
        }
    }

    fn offer(&mut self, id: EntryId, weight: u64) {
        let before = self.total;
        self.total = before.saturating_add(weight);
        while self.next < self.total {
            let at = self.next - before;
            self.picks.push(Pick { id, at, weight });
            self.next = self.next.saturating_add(self.step);
        }
    }

    /// Returns the picks in a random order, which is the same each time: any part of them is a sample.
    fn shuffled(&self) -> Vec<Pick> {
        let mut picks = self.picks.clone();
        fastrand::Rng::with_seed(SEED).shuffle(&mut picks);
        picks
    }
}

/// A tree of files of one size, which need not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synthetic {
    /// The number of files.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Synthetic {
    /// Entries of a directory.
    const FANOUT: u64 = 1000;
    /// Bytes of a name.
    const NAME: u64 = 12;
    /// Bytes of the state database for an entry with such a name, measured with 2,504 entries.
    const ROW: u64 = 82;

    /// Bytes of each file.
    pub fn file_size(&self) -> u64 {
        self.bytes / self.files.max(1)
    }

    /// Returns the cost of a load of the tree. There is no content to compress: bytes are those without
    /// compression.
    pub fn estimate(&self) -> Estimate {
        // Any directory other than the root.
        let directory = EntryId::new(0);
        let file = Objects::of_file(self.file_size(), directory, Self::NAME);
        let mut puts = Puts {
            bucket: 1,
            log: 1,
            ..Puts::default()
        };
        puts.add(false, &file, self.files);
        let mut bytes = file.bytes().saturating_mul(self.files);
        let mut entries = self.files;
        loop {
            let rest = entries % Self::FANOUT;
            for (directories, entries) in [
                (entries / Self::FANOUT, Self::FANOUT),
                (u64::from(rest > 0 || entries == 0), rest),
            ] {
                let mut listing = Listing::new(directory, directory);
                (0..entries).for_each(|_| listing.push(Self::NAME));
                let objects = listing.objects(Self::NAME);
                puts.add(true, &objects, directories);
                bytes = bytes.saturating_add(objects.bytes().saturating_mul(directories));
            }
            entries = entries.div_ceil(Self::FANOUT);
            if entries <= 1 {
                break;
            }
        }
        let rows = self.files.saturating_add(puts.directories);
        Estimate {
            puts,
            bytes,
            uncompressed: bytes,
            database: rows.saturating_mul(Self::ROW),
            ..Estimate::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upload_time_is_bytes_by_rate() {
        let estimate = Estimate {
            bytes: 4_500_000_000_000,
            ..Estimate::default()
        };
        let hours = |rate| estimate.upload_time(rate).as_secs() / 3600;
        assert_eq!((hours(125_000_000), hours(1_250_000_000)), (10, 1));
        assert_eq!(Estimate::default().upload_time(1), Duration::ZERO);
        assert!(estimate.upload_time(0) > Duration::from_secs(1));
    }

    #[test]
    fn every_kind_of_object_is_a_put() {
        let puts = Puts {
            inodes: 1,
            directories: 20,
            file_segments: 300,
            directory_segments: 4000,
            indirect_blocks: 50_000,
            bucket: 600_000,
            log: 7_000_000,
        };
        assert_eq!(puts.total(), 7_654_321);
    }

    #[test]
    fn entries_are_drawn_by_their_bytes() {
        let mut sampler = Sampler::new(SAMPLE * 10);
        for (id, weight) in [(1, 3), (2, 40), (3, 0), (4, 10_197)] {
            sampler.offer(EntryId::new(id), weight);
        }
        assert_eq!(sampler.total, SAMPLE * 10);
        assert_eq!(sampler.picks.len() as u64, SAMPLE);
        let of = |id| {
            sampler
                .picks
                .iter()
                .filter(move |pick| pick.id == EntryId::new(id))
        };
        assert_eq!(
            of(2).map(|pick| pick.at).collect::<Vec<_>>(),
            [2, 12, 22, 32]
        );
        assert_eq!((of(1).count(), of(3).count()), (0, 0));
        assert_eq!(sampler.shuffled().len(), sampler.picks.len());
        assert_ne!(sampler.shuffled(), sampler.picks);
    }

    #[test]
    fn without_a_sample_nothing_is_known_of_the_compression() {
        assert_eq!(mean_and_error(&[]), (1.0, 1.0));
        assert_eq!(mean_and_error(&[0.5; 4]), (0.5, 0.0));
        assert_eq!(mean_and_error(&[0.0, 1.0]), (0.5, 0.5));
    }
}
