//! Where a payload is built: handles are appended behind room for the wrapper.

use crate::databack::DataBack;
use crate::error::{FormatError, Limit, Part, Place};
use crate::handle::{ALIGNMENT, HEADER_BYTES, HandleType, MAGIC, padding};
use crate::limits::FILE_SEGMENT_BYTES;
use crate::wrapper::WRAPPER_BYTES;

/// A payload that grows behind the four bytes of the wrapper, so that an uncompressed object needs
/// no copy. The wrapper's bytes are zero, which says: not encrypted, not compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectBuffer(Vec<u8>);

/// A handle whose lengths are still to be filled in; the offset of its header in the buffer.
#[derive(Debug)]
#[must_use]
pub(crate) struct OpenHandle(usize, HandleType);

impl ObjectBuffer {
    /// Memory, in bytes, that is enough for any file segment, and for its blob.
    pub const FILE_SEGMENT_MEMORY: usize = WRAPPER_BYTES
        + HEADER_BYTES
        + 4
        + FILE_SEGMENT_BYTES as usize
        + ALIGNMENT
        + DataBack::MOST_HANDLE_BYTES;

    /// A buffer with room for `payload` bytes.
    pub fn with_capacity(payload: usize) -> Self {
        let mut bytes = Vec::with_capacity(WRAPPER_BYTES + payload);
        bytes.resize(WRAPPER_BYTES, 0);
        Self(bytes)
    }

    /// A buffer that holds this payload, to wrap one that exists already.
    pub fn from_payload(payload: &[u8]) -> Self {
        let mut buffer = Self::with_capacity(payload.len());
        buffer.bytes(payload);
        buffer
    }

    /// The payload built so far.
    pub fn payload(&self) -> &[u8] {
        self.0.get(WRAPPER_BYTES..).unwrap_or_default()
    }

    /// The blob with compression 0, wrapper and payload; or just memory for the next one.
    pub fn into_memory(self) -> Vec<u8> {
        self.0
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.0.truncate(WRAPPER_BYTES);
    }

    /// Starts a file segment of `length` data bytes, which the caller reads straight into place.
    ///
    /// # Errors
    /// Limit when `length` is over 8 MiB.
    pub fn file_segment(length: u32) -> Result<SegmentBuffer, FormatError> {
        Self::file_segment_in(Vec::new(), length)
    }

    /// [`file_segment`](Self::file_segment) in memory that was used before. What it held stands in
    /// the place of the data until that is filled.
    ///
    /// # Errors
    /// Limit when `length` is over 8 MiB.
    pub fn file_segment_in(memory: Vec<u8>, length: u32) -> Result<SegmentBuffer, FormatError> {
        let place = Place::new(Part::Handle(HandleType::Data), 0);
        place.limit(Limit::FileSegmentBytes, u64::from(length))?;
        // `length` is at most 8 MiB: it fits, and so do the sums below.
        let length = length as usize;
        let data_start = WRAPPER_BYTES + HEADER_BYTES + 4;
        let data_end = data_start + length;
        let room = data_end + padding(4 + length) + DataBack::MOST_HANDLE_BYTES;
        let mut bytes = match memory.capacity() < room {
            // Zeroed memory of this size comes straight from the system, without a pass over it.
            true => vec![0; room],
            false => memory,
        };
        bytes.resize(data_end, 0);
        let mut header = Self::with_capacity(HEADER_BYTES + 4);
        let handle = header.begin(HandleType::Data);
        header.u32(length as u32);
        header.patch(&handle, 4 + length);
        // `bytes` has `data_end`, which is not less; `header` has the wrapper, a handle's header and the length.
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

    /// The same for a handle of few bytes, whose lengths cannot be too large.
    pub(crate) fn end_small(&mut self, handle: OpenHandle) {
        let real = self.0.len() - handle.0 - HEADER_BYTES;
        self.patch(&handle, real);
        self.0.resize(self.0.len() + padding(real), 0);
    }

    /// `real` fits a u32 with header and padding: the callers have checked it.
    fn patch(&mut self, handle: &OpenHandle, real: usize) {
        let padded = (HEADER_BYTES + real + padding(real)) as u32;
        // `begin` wrote magic and both lengths at `handle.0`, and a buffer never becomes shorter.
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

    /// A u32 length and the bytes. A length that does not fit makes the handle too large as well,
    /// which `end` reports.
    pub(crate) fn counted_bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.bytes(bytes);
    }

    /// A u16 length and the id.
    pub(crate) fn id(&mut self, id: &[u8]) {
        // Ids have 16 or 24 bytes.
        self.u16(id.len() as u16);
        self.bytes(id);
    }
}

/// A file segment under construction: the DATA handle stands, its bytes are to be filled in.
#[derive(Debug)]
pub struct SegmentBuffer {
    buffer: ObjectBuffer,
    data_start: usize,
}

impl SegmentBuffer {
    /// The place of the data bytes, all of which are to be filled.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.buffer.0.get_mut(self.data_start..).unwrap_or_default()
    }

    /// Pads the data and adds the DATABACK handle.
    pub fn finish(mut self, data_back: DataBack) -> ObjectBuffer {
        let real = self.buffer.0.len() - WRAPPER_BYTES - HEADER_BYTES;
        let padded = self.buffer.0.len() + padding(real);
        self.buffer.0.resize(padded, 0);
        data_back.encode(&mut self.buffer);
        self.buffer
    }
}
