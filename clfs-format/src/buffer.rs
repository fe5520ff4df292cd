//! Buffers in which payloads are encoded, with room for the wrapper before the payload.

use crate::databack::DataBack;
use crate::error::{FormatError, Limit, Part, Place};
use crate::handle::{ALIGNMENT, HEADER_BYTES, HandleType, MAGIC, padding};
use crate::limits::FILE_SEGMENT_BYTES;
use crate::wrapper::WRAPPER_BYTES;

/// A payload under construction, preceded by the four bytes of the wrapper, so that an uncompressed
/// blob needs no copy. The wrapper is zero: no encryption, no compression (format.md §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectBuffer(Vec<u8>);

/// A handle whose lengths are not yet known; holds the offset of its header in the buffer.
#[derive(Debug)]
#[must_use]
pub(crate) struct OpenHandle(usize, HandleType);

impl ObjectBuffer {
    /// Capacity, in bytes, that suffices for any file segment and for its blob.
    pub const FILE_SEGMENT_MEMORY: usize = WRAPPER_BYTES
        + HEADER_BYTES
        + 4
        + FILE_SEGMENT_BYTES as usize
        + ALIGNMENT
        + DataBack::MAX_HANDLE_BYTES;

    /// Creates a buffer with room for `payload_bytes` bytes of payload.
    pub fn with_capacity(payload_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(WRAPPER_BYTES + payload_bytes);
        bytes.resize(WRAPPER_BYTES, 0);
        Self(bytes)
    }

    /// Creates a buffer with a copy of an encoded payload.
    pub fn from_payload(payload: &[u8]) -> Self {
        let mut buffer = Self::with_capacity(payload.len());
        buffer.bytes(payload);
        buffer
    }

    /// Returns the payload encoded so far.
    pub fn payload(&self) -> &[u8] {
        self.0.get(WRAPPER_BYTES..).unwrap_or_default()
    }

    /// Returns the wrapper and the payload: the uncompressed blob, or memory for the next one.
    pub fn into_memory(self) -> Vec<u8> {
        self.0
    }

    /// Removes the payload and keeps the memory.
    pub fn clear(&mut self) {
        self.0.truncate(WRAPPER_BYTES);
    }

    /// Starts a file segment of `length` bytes, which the caller writes into
    /// [`SegmentBuffer::data_mut`] without another copy. For its layout see [`crate::FileSegment`].
    ///
    /// # Errors
    /// [`FormatError::Limit`] if `length` exceeds 8 MiB.
    pub fn file_segment(length: u32) -> Result<SegmentBuffer, FormatError> {
        Self::file_segment_in(Vec::new(), length)
    }

    /// Starts a file segment like [`file_segment`](Self::file_segment), in memory that was used
    /// before. The data bytes keep the old content of that memory until the caller writes them.
    ///
    /// # Errors
    /// [`FormatError::Limit`] if `length` exceeds 8 MiB.
    pub fn file_segment_in(memory: Vec<u8>, length: u32) -> Result<SegmentBuffer, FormatError> {
        let place = Place::new(Part::Handle(HandleType::Data), 0);
        place.limit(Limit::FileSegmentBytes, u64::from(length))?;
        // `length` is at most 8 MiB, so neither the cast nor the sums below overflow.
        let length = length as usize;
        let data_start = WRAPPER_BYTES + HEADER_BYTES + 4;
        let data_end = data_start + length;
        let room = data_end + padding(4 + length) + DataBack::MAX_HANDLE_BYTES;
        let mut bytes = match memory.capacity() < room {
            // The allocator gets zeroed pages of this size from the system and does not clear them.
            true => vec![0; room],
            false => memory,
        };
        bytes.resize(data_end, 0);
        let mut header = Self::with_capacity(HEADER_BYTES + 4);
        let handle = header.begin(HandleType::Data);
        header.u32(length as u32);
        header.patch(&handle, 4 + length);
        // Both slices have `data_start` bytes: `header` holds the wrapper, the handle's header and the
        // length; `bytes` has `data_end` bytes, which is not less.
        bytes[..data_start].copy_from_slice(&header.0);
        Ok(SegmentBuffer {
            buffer: Self(bytes),
            data_start,
        })
    }

    pub(crate) fn begin(&mut self, kind: HandleType) -> OpenHandle {
        let start = self.0.len();
        self.u32(MAGIC);
        self.u32(0);
        self.u32(0);
        self.u32(kind as u32);
        self.u32(0);
        OpenHandle(start, kind)
    }

    /// Pads the handle and fills in its lengths.
    pub(crate) fn end(&mut self, handle: OpenHandle) -> Result<(), FormatError> {
        let real = self.0.len() - handle.0 - HEADER_BYTES;
        let place = Place::new(Part::Handle(handle.1), handle.0 - WRAPPER_BYTES);
        place.limit(Limit::HandleBytes, real as u64)?;
        self.end_small(handle);
        Ok(())
    }

    /// Ends a handle like [`end`](Self::end); for a small handle, whose length needs no check.
    pub(crate) fn end_small(&mut self, handle: OpenHandle) {
        let real = self.0.len() - handle.0 - HEADER_BYTES;
        self.patch(&handle, real);
        self.0.resize(self.0.len() + padding(real), 0);
    }

    /// Writes the lengths. `real` with header and padding must fit in a u32; the callers check that.
    fn patch(&mut self, handle: &OpenHandle, real: usize) {
        let padded = (HEADER_BYTES + real + padding(real)) as u32;
        // In bounds: `begin` wrote the magic and both lengths at `handle.0`, and a buffer with an open
        // handle never shrinks.
        let lengths = handle.0 + 4;
        self.0[lengths..lengths + 4].copy_from_slice(&padded.to_le_bytes());
        self.0[lengths + 4..lengths + 8].copy_from_slice(&(real as u32).to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a u32 length and the bytes. If the length does not fit, the handle is too large as
    /// well, which `end` reports.
    pub(crate) fn counted_bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.bytes(bytes);
    }

    /// Appends a u16 length and the id.
    pub(crate) fn id(&mut self, id: &[u8]) {
        // An id has 16 or 24 bytes.
        self.u16(id.len() as u16);
        self.bytes(id);
    }
}

/// A file segment under construction: a DATA handle whose bytes the caller writes.
#[derive(Debug)]
pub struct SegmentBuffer {
    buffer: ObjectBuffer,
    data_start: usize,
}

impl SegmentBuffer {
    /// Returns the data bytes, all of which the caller must write.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.0.get_mut(self.data_start..).unwrap_or_default()
    }

    /// Pads the data and appends the DATABACK handle.
    pub fn finish(mut self, data_back: DataBack) -> ObjectBuffer {
        let real = self.buffer.0.len() - WRAPPER_BYTES - HEADER_BYTES;
        let padded = self.buffer.0.len() + padding(real);
        self.buffer.0.resize(padded, 0);
        data_back.encode(&mut self.buffer);
        self.buffer
    }
}
