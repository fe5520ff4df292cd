//! The wrapper: four bytes before the payload that say how it is stored (docs/format.md section 3).

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

/// Whether payloads are compressed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// Never.
    Disabled,
    /// LZ4 where it makes the blob smaller and every block of the frame compresses.
    #[default]
    Lz4,
}

/// Turns payloads into blobs. It holds the compressor's memory, so that a small object allocates
/// nothing but its blob: one for each worker.
pub struct Lz4Encoder {
    small: CompressTable,
    large: CompressTable,
    scratch: Vec<u8>,
}

impl Lz4Encoder {
    /// An encoder for many objects, one after the other.
    pub fn new() -> Self {
        Self {
            small: CompressTable::small(),
            large: CompressTable::large(),
            scratch: Vec::new(),
        }
    }

    /// The blob: wrapper and payload. With [`Compression::Lz4`] it is compressed unless a block of
    /// the frame would be stored as it is, which the cache cannot read, or the blob would not
    /// become smaller. What comes out depends on the payload alone.
    pub fn wrap(&mut self, buffer: ObjectBuffer, compression: Compression) -> Vec<u8> {
        let mut blob = self.wrap_in(buffer, compression, Vec::new()).blob;
        blob.shrink_to_fit();
        blob
    }

    /// [`wrap`](Self::wrap) with memory that was used before; where it is too small, other memory
    /// is taken.
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

    /// The compressed blob; the memory alone when the object must be stored with compression 0.
    fn compress(&mut self, payload: &[u8], memory: Vec<u8>) -> Result<Vec<u8>, Vec<u8>> {
        let mut wrapper = [0; WRAPPER_BYTES];
        // Two of four bytes for a u16.
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

    /// One block: what the frame encoder would make of it, without its buffers of 576 KiB. None when
    /// the blob would not become smaller.
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

/// A blob, and memory that is not in use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wrapped {
    /// Wrapper and payload.
    pub blob: Vec<u8>,
    /// The payload's memory, or what was given for the blob and not needed.
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

/// The payload of a blob, borrowed when it is not compressed. `limit` bounds the payload in bytes,
/// whatever a frame says or expands to: [`crate::limits::PAYLOAD_BYTES`] is enough for every object.
///
/// # Errors
/// Corrupt when the blob is shorter than a wrapper or the frame is damaged; Unsupported for
/// encryption, for a compression other than LZ4, and for frames with a dictionary; Limit when the
/// payload would be longer than `limit`.
pub fn unwrap(blob: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, FormatError> {
    let (payload, _) = read(blob, limit, &mut Deviations::Refused)?;
    Ok(payload)
}

/// What looking at a blob gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unwrapped<'a> {
    /// The payload, borrowed when it is not compressed.
    pub payload: Cow<'a, [u8]>,
    /// How the blob holds it.
    pub compression: Compression,
    /// Rules of section 3 that the blob breaks, in order of place; offsets count bytes of the blob.
    /// At most [`crate::limits::DEVIATIONS`], and of stored blocks the first four.
    pub deviations: Vec<FormatError>,
}

/// Like [`unwrap`], and says which rules of section 3 the blob breaks though it can be read:
/// [`Corrupt::FrameHeader`], [`Corrupt::FrameStored`] and [`Corrupt::NotSmaller`].
///
/// # Errors
/// As [`unwrap`].
pub fn inspect_wrapper(blob: &[u8], limit: usize) -> Result<Unwrapped<'_>, FormatError> {
    let mut deviations = Deviations::listed();
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
                deviations.tolerated(place.corrupt(Corrupt::NotSmaller));
            }
            Ok((Cow::Owned(payload), Compression::Lz4))
        }
        other => Err(place.unsupported(Unsupported::Compression(other))),
    }
}
