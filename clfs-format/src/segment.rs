//! Segments after the first, which are separate objects (format.md §6).

use std::borrow::Cow;

use crate::buffer::ObjectBuffer;
use crate::databack::DataBack;
use crate::deviations::Deviations;
use crate::directory::DirEntries;
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::handle::{HEADER_BYTES, Handle, HandleType, Handles};

/// Appends a DATA handle: u32 length, bytes.
pub(crate) fn encode_data(
    data: &[u8],
    limit: Limit,
    buffer: &mut ObjectBuffer,
) -> Result<(), FormatError> {
    Place::new(Part::Handle(HandleType::Data), 0).limit(limit, data.len() as u64)?;
    let handle = buffer.begin(HandleType::Data);
    buffer.counted_bytes(data);
    buffer.end(handle)
}

pub(crate) fn decode_data<'a>(
    handle: Handle<'a>,
    limit: Limit,
    deviations: &mut Deviations,
) -> Result<&'a [u8], FormatError> {
    let mut cursor = handle.cursor();
    let place = cursor.place();
    let data = cursor.counted_bytes()?;
    deviations.optional(cursor.finish())?;
    deviations.optional(place.limit(limit, data.len() as u64))?;
    Ok(data)
}

/// A segment of a file after the first, at most 8 MiB (format.md §6 "Regular file"). Layout: DATA
/// (u32 length, bytes), DATABACK.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileSegment<'a> {
    /// The bytes of the file.
    pub data: Cow<'a, [u8]>,
    /// The file, and the offset of the bytes in it ([`crate::file_segment_range`]).
    pub data_back: DataBack,
}

impl<'a> FileSegment<'a> {
    /// Returns a capacity in bytes that suffices for the payload.
    pub fn payload_capacity(&self) -> usize {
        HEADER_BYTES + 4 + self.data.len() + 8 + DataBack::MAX_HANDLE_BYTES
    }

    /// Appends the payload: DATA, DATABACK. [`ObjectBuffer::file_segment`] encodes the same payload
    /// without copying the data.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if the data exceeds 8 MiB.
    pub fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        encode_data(&self.data, Limit::FileSegmentBytes, buffer)?;
        self.data_back.encode(buffer);
        Ok(())
    }

    pub(crate) fn decode(
        mut handles: Handles<'a>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let data = handles.require(HandleType::Data)?;
        let data = decode_data(data, Limit::FileSegmentBytes, deviations)?;
        let data_back = DataBack::decode(handles.require(HandleType::DataBack)?, deviations)?;
        handles.finish(deviations)?;
        Ok(Self {
            data: Cow::Borrowed(data),
            data_back,
        })
    }
}

/// A segment of a directory after the first, at most 256 KiB of entries (format.md §6 "Directory").
/// Layout: DIRENTS, DATA of length 0, DATABACK.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectorySegment<'a> {
    /// The entries.
    pub entries: DirEntries<'a>,
    /// The directory, and the offset of the segment ([`crate::directory_segment_offset`]).
    pub data_back: DataBack,
}

impl<'a> DirectorySegment<'a> {
    /// Returns a capacity in bytes that suffices for the payload.
    pub fn payload_capacity(&self) -> usize {
        2 * (HEADER_BYTES + 8) + self.entries.as_bytes().len() + DataBack::MAX_HANDLE_BYTES
    }

    /// Appends the payload: DIRENTS, empty DATA (the cache requires it), DATABACK.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if the entries exceed 256 KiB.
    pub fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        self.entries.encode(Limit::DirectorySegmentBytes, buffer)?;
        encode_data(&[], Limit::DirectorySegmentBytes, buffer)?;
        self.data_back.encode(buffer);
        Ok(())
    }

    pub(crate) fn decode(
        mut handles: Handles<'a>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let entries = handles.require(HandleType::Dirents)?;
        let entries = DirEntries::decode(entries, Limit::DirectorySegmentBytes, deviations)?;
        if let Some(data) = handles.take_or_report(HandleType::Data, deviations)? {
            let not_empty = data.cursor().corrupt(Corrupt::DataNotEmpty);
            // The entries do not depend on this handle, so any fault in it is a deviation.
            let bytes = decode_data(data, Limit::DirectorySegmentBytes, deviations);
            if deviations.optional(bytes)?.is_some_and(|b| !b.is_empty()) {
                deviations.report(not_empty)?;
            }
        }
        let data_back = DataBack::decode(handles.require(HandleType::DataBack)?, deviations)?;
        handles.finish(deviations)?;
        Ok(Self { entries, data_back })
    }
}
