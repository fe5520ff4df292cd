//! Segments that are objects of their own (docs/format.md section 6).

use std::borrow::Cow;

use crate::buffer::ObjectBuffer;
use crate::databack::DataBack;
use crate::deviations::Deviations;
use crate::directory::DirEntries;
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::handle::{HEADER_BYTES, Handle, HandleType, Handles};

/// A DATA handle: u32 length, bytes.
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
    deviations.allow(cursor.finish())?;
    deviations.allow(place.limit(limit, data.len() as u64))?;
    Ok(data)
}

/// Up to 8 MiB of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileSegment<'a> {
    /// The bytes.
    pub data: Cow<'a, [u8]>,
    /// The file, and where in it the bytes belong ([`crate::file_segment_range`]).
    pub data_back: DataBack,
}

impl<'a> FileSegment<'a> {
    /// Bytes of the payload, or a little more: what to reserve.
    pub fn payload_capacity(&self) -> usize {
        HEADER_BYTES + 4 + self.data.len() + 8 + DataBack::MOST_HANDLE_BYTES
    }

    /// Appends the payload: DATA, DATABACK. See [`ObjectBuffer::file_segment`] for a way without
    /// a copy.
    ///
    /// # Errors
    /// Limit when there are more than 8 MiB.
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

/// Up to 256 KiB of a directory's entries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DirectorySegment<'a> {
    /// The entries.
    pub entries: DirEntries<'a>,
    /// The directory, and the segment's offset ([`crate::directory_segment_offset`]).
    pub data_back: DataBack,
}

impl<'a> DirectorySegment<'a> {
    /// Bytes of the payload, or a little more: what to reserve.
    pub fn payload_capacity(&self) -> usize {
        2 * (HEADER_BYTES + 8) + self.entries.as_bytes().len() + DataBack::MOST_HANDLE_BYTES
    }

    /// Appends the payload: DIRENTS, empty DATA (the cache insists on it), DATABACK.
    ///
    /// # Errors
    /// Limit when there are more than 256 KiB of entries.
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
        if let Some(data) = handles.want(HandleType::Data, deviations)? {
            let not_empty = data.cursor().corrupt(Corrupt::DataNotEmpty);
            // What is in it does not matter to the entries.
            let bytes = decode_data(data, Limit::DirectorySegmentBytes, deviations);
            if deviations.allow(bytes)?.is_some_and(|b| !b.is_empty()) {
                deviations.broken(not_empty)?;
            }
        }
        let data_back = DataBack::decode(handles.require(HandleType::DataBack)?, deviations)?;
        handles.finish(deviations)?;
        Ok(Self { entries, data_back })
    }
}
