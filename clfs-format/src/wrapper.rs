//! The wrapper: the four bytes before a payload, with its encryption and compression (format.md §3).

use std::borrow::Cow;
use std::fmt;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::buffer::ObjectBuffer;
use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Place, Unsupported};
use crate::frame;

/// u16 encryption, u16 compression.
pub(crate) const WRAPPER_BYTES: usize = 4;
const NO_ENCRYPTION: u16 = 0;
const NO_COMPRESSION: u16 = 0;
const LZ4: u16 = 1;
/// Inputs under this length take lz4_flex's table of 16-bit positions.
const SMALL_TABLE_BYTES: usize = u16::MAX as usize;

/// The compression of payloads (format.md §3).
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// No compression.
    Disabled,
    /// LZ4. An encoder uses it if the blob becomes smaller and no block of the frame is stored
    /// uncompressed.
    #[default]
    Lz4,
}

/// An encoder of blobs: adds the wrapper to a payload and compresses it (format.md §3). It keeps the
/// compressor's tables, so that a small object allocates only its blob; use one per thread.
pub struct Lz4Encoder {
    small: CompressTable,
    large: CompressTable,
    scratch: Vec<u8>,
}

impl Lz4Encoder {
    /// Creates an encoder, which can be used for any number of objects.
    pub fn new() -> Self {
        Self {
            small: CompressTable::small(),
            large: CompressTable::large(),
            scratch: Vec::new(),
        }
    }

    /// Returns the blob: `u16 encryption`, `u16 compression` (both little-endian), payload. With
    /// [`Compression::Lz4`] the payload is compressed unless a block of the frame would be stored
    /// uncompressed, which the cache cannot read, or the blob would not become smaller. The blob
    /// depends only on the payload and `compression`.
    pub fn wrap(&mut self, buffer: ObjectBuffer, compression: Compression) -> Vec<u8> {
        let mut blob = self.wrap_in(buffer, compression, Vec::new()).blob;
        blob.shrink_to_fit();
        blob
    }

    /// Returns the same blob as [`wrap`](Self::wrap), in memory that was used before. Memory that is
    /// too small is reallocated.
    pub fn wrap_in(
        &mut self,
        buffer: ObjectBuffer,
        compression: Compression,
        memory: Vec<u8>,
    ) -> Wrapped {
        let compressed = match compression {
            Compression::Disabled => Err(memory),
            Compression::Lz4 => self.compress(buffer.payload(), memory),
        };
        match compressed {
            Ok(blob) => Wrapped {
                blob,
                spare: buffer.into_memory(),
            },
            Err(spare) => Wrapped {
                blob: buffer.into_memory(),
                spare,
            },
        }
    }

    /// Returns the compressed blob, or the unused memory if the payload must stay uncompressed.
    fn compress(&mut self, payload: &[u8], memory: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        let mut wrapper = [0; WRAPPER_BYTES];
        // The compression field: the last two of four bytes.
        wrapper[2..].copy_from_slice(&LZ4.to_le_bytes());
        if payload.len() > frame::BLOCK_BYTES {
            return frame::compress_linked(&wrapper, payload, memory);
        }
        let Some(block) = self.compress_block(payload) else {
            return Err(memory);
        };
        let mut blob = memory;
        blob.clear();
        blob.reserve_exact(WRAPPER_BYTES + frame::OVERHEAD_OF_ONE_BLOCK + block.len());
        blob.extend_from_slice(&wrapper);
        frame::append_one_block(block, &mut blob);
        Ok(blob)
    }

    /// Compresses a payload of one block to the bytes that the frame encoder would produce, without
    /// its buffers of 576 KiB. Returns `None` if the blob would not become smaller.
    fn compress_block(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let room = get_maximum_output_size(payload.len());
        if self.scratch.len() < room {
            self.scratch.resize(room, 0);
        }
        let table = if payload.len() < SMALL_TABLE_BYTES {
            &mut self.small
        } else {
            &mut self.large
        };
        let length = compress_into_with_table(payload, &mut self.scratch, table).ok()?;
        let block = self.scratch.get(..length)?;
        (frame::OVERHEAD_OF_ONE_BLOCK + block.len() < payload.len()).then_some(block)
    }
}

/// A blob, and memory that can be reused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wrapped {
    /// The wrapper and the payload.
    pub blob: Vec<u8>,
    /// The memory of the payload, or the memory that was passed in if the blob did not need it.
    pub spare: Vec<u8>,
}

impl Default for Lz4Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lz4Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lz4Encoder").finish_non_exhaustive()
    }
}

/// Returns the payload of a blob (format.md §3), borrowed if it is not compressed. `limit` is the
/// maximum length of the payload in bytes, and bounds the memory used;
/// [`crate::limits::PAYLOAD_BYTES`] suffices for every object.
///
/// # Errors
/// - [`FormatError::Corrupt`] if the blob is shorter than a wrapper, or the frame is damaged.
/// - [`FormatError::Unsupported`] if the blob is encrypted, has a compression other than LZ4, or has
///   a frame of another version or with a dictionary.
/// - [`FormatError::Limit`] if the payload is longer than `limit`.
pub fn unwrap(blob: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, FormatError> {
    let (payload, _) = read(blob, limit, &mut Deviations::Strict)?;
    Ok(payload)
}

/// The result of [`inspect_wrapper`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unwrapped<'a> {
    /// The payload, borrowed if it is not compressed.
    pub payload: Cow<'a, [u8]>,
    /// The compression of the payload.
    pub compression: Compression,
    /// The rules of format.md §3 that the blob breaks, sorted by offset; offsets count bytes of the
    /// blob. At most [`crate::limits::DEVIATIONS`] entries, and at most four for stored blocks.
    pub deviations: Vec<FormatError>,
}

/// Returns the payload of a blob like [`unwrap()`], and lists the broken rules of format.md §3 that
/// do not prevent reading: [`Corrupt::FrameHeader`], [`Corrupt::FrameStored`] and
/// [`Corrupt::NotSmaller`].
///
/// # Errors
/// The same errors as [`unwrap()`].
pub fn inspect_wrapper(blob: &[u8], limit: usize) -> Result<Unwrapped<'_>, FormatError> {
    let mut deviations = Deviations::collected();
    let (payload, compression) = read(blob, limit, &mut deviations)?;
    Ok(Unwrapped {
        payload,
        compression,
        deviations: deviations.into_list(),
    })
}

fn read<'a>(
    blob: &'a [u8],
    limit: usize,
    deviations: &mut Deviations,
) -> Result<(Cow<'a, [u8]>, Compression), FormatError> {
    let mut cursor = Cursor::new(blob, Part::Wrapper, 0);
    let encryption = cursor.u16()?;
    if encryption != NO_ENCRYPTION {
        let place = Place::new(Part::Wrapper, 0);
        return Err(place.unsupported(Unsupported::Encryption(encryption)));
    }
    let place = cursor.place();
    let compression = cursor.u16()?;
    let stored = cursor.take(cursor.remaining())?;
    match compression {
        NO_COMPRESSION => {
            place.limit(Limit::PayloadBytes(limit as u64), stored.len() as u64)?;
            Ok((Cow::Borrowed(stored), Compression::Disabled))
        }
        LZ4 => {
            let payload = frame::decompress(stored, WRAPPER_BYTES, limit, deviations)?;
            if stored.len() >= payload.len() {
                deviations.note(place.corrupt(Corrupt::NotSmaller));
            }
            Ok((Cow::Owned(payload), Compression::Lz4))
        }
        other => Err(place.unsupported(Unsupported::Compression(other))),
    }
}
