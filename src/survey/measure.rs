//! How large objects become: entries of a sample, encoded as a load encodes them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clfs_format::{
    BlockMap, Content, FILE_SEGMENT_BYTES, FIRST_SEGMENT_BYTES, FileType, Filehandle, FormatError,
    Inode, Lz4Encoder, ObjectBuffer, file_segment_count, file_segment_range,
};

use super::SurveyError;
use super::objects::{FileObjects, Named};
use super::sample::{Sample, Sampler};
use super::tally::single_weight;
use crate::encode::{
    EncodeContext, EncodeError, Encoded, EncodedObject, Encoder, LargeFile, ObjectSink, attributes,
};
use crate::entry::{Entry, EntryId};
use crate::state::{LOG_NAME, Reader};
use crate::stop::StopFlag;

/// Counts what it is given.
#[derive(Debug, Default)]
struct Scale(AtomicU64);

impl ObjectSink for Scale {
    type Room = ();

    fn room(&self, _: u64) {}

    fn put(&self, object: EncodedObject, (): ()) {
        self.0
            .fetch_add(object.bytes.len() as u64, Ordering::Relaxed);
    }
}

/// The bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Before compression.
    pub(super) plain: u64,
    /// As it is stored.
    pub(super) stored: u64,
}

impl Size {
    /// Wraps an object.
    pub(super) fn of(buffer: ObjectBuffer, context: &EncodeContext, lz4: &mut Lz4Encoder) -> Self {
        // With the four bytes of the wrapper (docs/format.md section 3).
        let plain = buffer.payload().len() as u64 + 4;
        let stored = lz4.wrap(buffer, context.compression).len() as u64;
        Size { plain, stored }
    }
}

/// Encodes an inode, and returns the bytes of its object.
pub(super) fn inode_blob(
    context: &EncodeContext,
    lz4: &mut Lz4Encoder,
    entry: &Entry,
    map: BlockMap,
    content: Content<'_>,
    (size, links): (u64, u32),
) -> Result<Size, FormatError> {
    // As long as the right one, which another look at the state would give.
    let parent = context
        .identity
        .filehandle(entry.parent, EntryId::ROOT, FileType::Directory);
    let back: &[Filehandle] = match entry.attributes.file_type {
        FileType::Directory => &[],
        _ => &[parent],
    };
    let inode = Inode {
        attributes: attributes(&context.identity, &entry.attributes, size, links),
        block_map: map,
        back: Cow::Borrowed(back),
        name: Cow::Borrowed(&entry.name),
        content,
    };
    let mut buffer = ObjectBuffer::with_capacity(inode.payload_capacity());
    inode.encode(&mut buffer)?;
    Ok(Size::of(buffer, context, lz4))
}

/// An estimate of a sum, and the square of its standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Measured {
    pub(super) bytes: f64,
    pub(super) variance: f64,
}

impl Measured {
    /// From pairs of weight and bytes, for `total` of weight.
    fn whole(pairs: &[(u64, u64)], total: u64) -> Self {
        let weight: u64 = pairs.iter().map(|(weight, _)| weight).sum();
        let bytes: u64 = pairs.iter().map(|(_, bytes)| bytes).sum();
        // Where nothing could be read, nothing is known: not compressed then.
        let ratio = match weight {
            0 => 1.0,
            weight => bytes as f64 / weight as f64,
        };
        Measured {
            bytes: ratio * total as f64,
            variance: 0.0,
        }
    }

    /// The same where each pair was drawn by weight.
    pub(super) fn drawn(pairs: &[(u64, u64)], total: u64) -> Self {
        if pairs.len() < 2 {
            return Self::whole(pairs, total);
        }
        let count = pairs.len() as f64;
        let ratios = || {
            let some = pairs.iter().filter(|(weight, _)| *weight > 0);
            some.map(|(weight, bytes)| *bytes as f64 / *weight as f64)
        };
        let mean = ratios().sum::<f64>() / count;
        let squares: f64 = ratios().map(|ratio| (ratio - mean).powi(2)).sum();
        let total = total as f64;
        Measured {
            bytes: mean * total,
            variance: squares / (count - 1.0) / count * total * total,
        }
    }
}

/// Encodes samples.
pub(super) struct Measure<'a> {
    context: Arc<EncodeContext>,
    encoder: Encoder,
    lz4: Lz4Encoder,
    reader: &'a Reader,
    stop: &'a StopFlag,
    /// Bytes that were read from the source.
    pub(super) read: u64,
}

impl<'a> Measure<'a> {
    pub(super) fn new(
        context: Arc<EncodeContext>,
        encoder: Encoder,
        reader: &'a Reader,
        stop: &'a StopFlag,
    ) -> Self {
        Measure {
            context,
            encoder,
            lz4: Lz4Encoder::new(),
            reader,
            stop,
            read: 0,
        }
    }

    /// The bytes of the bucket object.
    pub(super) fn bucket(&mut self) -> Result<u64, SurveyError> {
        let scale = Scale::default();
        let logs = [LOG_NAME.to_owned()];
        self.encoder
            .bucket(&logs, &scale)
            .map_err(|_| SurveyError::Internal("the bucket object".to_owned()))?;
        Ok(scale.0.into_inner())
    }

    /// Files of one object.
    pub(super) fn small_files(&mut self, sampler: Sampler) -> Result<Measured, SurveyError> {
        self.entries(sampler, |measure, entry| {
            let scale = Scale::default();
            match measure.encoder.entry(entry, &scale)? {
                Encoded::Complete(read) => {
                    measure.read += read.bytes;
                    Ok(Some((single_weight(entry), scale.0.into_inner())))
                }
                Encoded::Large(_) => Ok(None),
            }
        })
    }

    /// Inodes of files of several objects, with their indirect blocks.
    pub(super) fn large_inodes(&mut self, sampler: Sampler) -> Result<Measured, SurveyError> {
        self.entries(sampler, |measure, entry| {
            let scale = Scale::default();
            let Some(file) = measure.open(entry, &scale)? else {
                return Ok(None);
            };
            measure.encoder.large_inode(&file, &scale)?;
            let objects = FileObjects::of(entry.attributes.size, Named::of(entry));
            Ok(Some((objects.inode_bytes, scale.0.into_inner())))
        })
    }

    /// Symlinks, devices, fifos and sockets. A symlink is not read, which would set its access time: a
    /// target of its length stands in, of letters that hardly compress, as paths do.
    pub(super) fn others(&mut self, sampler: Sampler) -> Result<Measured, SurveyError> {
        self.entries(sampler, |measure, entry| {
            let file_type = entry.attributes.file_type;
            let handle = measure
                .context
                .identity
                .filehandle(entry.id, entry.parent, file_type);
            let size = entry.attributes.size;
            let mut random = fastrand::Rng::with_seed(entry.id.get());
            let content = match file_type {
                FileType::Symlink => {
                    Content::Data((0..size).map(|_| random.lowercase() as u8).collect())
                }
                _ => Content::None,
            };
            let size = inode_blob(
                &measure.context,
                &mut measure.lz4,
                entry,
                BlockMap::single(handle, FILE_SEGMENT_BYTES as u32),
                content,
                (size, 1),
            )?;
            Ok(Some((size.plain, size.stored)))
        })
    }

    /// Segments of files, by their bytes; no further one is read after `budget` bytes when not all are.
    pub(super) fn segments(
        &mut self,
        sampler: Sampler,
        budget: u64,
    ) -> Result<Measured, SurveyError> {
        let total = sampler.total();
        let picks = match sampler.sample() {
            Sample::All(all) => {
                let mut pairs = Vec::new();
                for id in all {
                    for index in 1..=self.segment_count(id)? {
                        pairs.extend(self.segment(id, index)?);
                    }
                }
                return Ok(Measured::whole(&pairs, total));
            }
            Sample::Drawn(picks) => picks,
        };
        let mut known = HashMap::new();
        let mut pairs = Vec::new();
        let end = self.read.saturating_add(budget);
        for pick in picks {
            // The slots are drawn in the same way: those that are left out are like the others.
            if self.read >= end {
                break;
            }
            let index = 1 + pick.at / FILE_SEGMENT_BYTES;
            // Large segments are drawn several times where there are few.
            let measured = match known.get(&(pick.id, index)) {
                Some(measured) => *measured,
                None => self.segment(pick.id, index)?,
            };
            known.insert((pick.id, index), measured);
            pairs.extend(measured);
        }
        Ok(Measured::drawn(&pairs, total))
    }

    fn segment_count(&self, id: EntryId) -> Result<u64, SurveyError> {
        let entry = self.reader.entry(id)?;
        Ok(entry.map_or(0, |entry| file_segment_count(entry.attributes.size)))
    }

    fn segment(&mut self, id: EntryId, index: u64) -> Result<Option<(u64, u64)>, SurveyError> {
        self.encoded(id, |measure, entry| {
            let scale = Scale::default();
            let Some(file) = measure.open(entry, &scale)? else {
                return Ok(None);
            };
            measure.encoder.segment(&file, index, &scale)?;
            let range = file_segment_range(index, entry.attributes.size);
            let length = range.end - range.start;
            measure.read += length;
            Ok(Some((length, scale.0.into_inner())))
        })
    }

    fn open(
        &mut self,
        entry: &Entry,
        scale: &Scale,
    ) -> Result<Option<Box<LargeFile>>, EncodeError> {
        match self.encoder.entry(entry, scale)? {
            Encoded::Large(file) => {
                self.read += FIRST_SEGMENT_BYTES;
                Ok(Some(file))
            }
            Encoded::Complete(_) => Ok(None),
        }
    }

    fn entries(
        &mut self,
        sampler: Sampler,
        mut measure: impl FnMut(&mut Self, &Entry) -> Result<Option<(u64, u64)>, EncodeError>,
    ) -> Result<Measured, SurveyError> {
        let total = sampler.total();
        let (ids, drawn) = match sampler.sample() {
            Sample::All(all) => (all, false),
            Sample::Drawn(picks) => (picks.iter().map(|pick| pick.id).collect(), true),
        };
        let mut pairs = Vec::with_capacity(ids.len());
        for id in ids {
            pairs.extend(self.encoded(id, &mut measure)?);
        }
        Ok(match drawn {
            true => Measured::drawn(&pairs, total),
            false => Measured::whole(&pairs, total),
        })
    }

    /// None for what the source does not give, or gives in another way than before: the others of
    /// the sample stand for it.
    fn encoded(
        &mut self,
        id: EntryId,
        measure: impl FnOnce(&mut Self, &Entry) -> Result<Option<(u64, u64)>, EncodeError>,
    ) -> Result<Option<(u64, u64)>, SurveyError> {
        if self.stop.is_requested() {
            return Err(SurveyError::Stopped);
        }
        let Some(entry) = self.reader.entry(id)? else {
            return Ok(None);
        };
        match measure(self, &entry) {
            Ok(measured) => Ok(measured),
            Err(EncodeError::State(error)) => Err(error.into()),
            Err(EncodeError::Problem(_) | EncodeError::Changed(_)) => Ok(None),
        }
    }
}
