//! The LZ4 frame inside the wrapper (format.md §3).
//!
//! The encoder writes one kind of frame: linked blocks of 256 KiB, no checksums, no content size.
//! The decoder reads any frame of version 01 without a dictionary.

use std::io::{self, Write};

use lz4_flex::block::decompress_into_with_dict;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use crate::cursor::Cursor;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Limit, Part, Unsupported};

/// Input bytes per block of an encoded frame.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;
/// Magic number, flags (version 01, linked blocks), block size (256 KiB), checksum of the two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x40, 0x50, 0x77];
const END_MARK: [u8; 4] = [0; 4];
const BLOCK_HEADER_BYTES: usize = 4;
/// Bytes of a frame with one block, without the block: header, length word, end mark.
pub(crate) const OVERHEAD_OF_ONE_BLOCK: usize = HEADER.len() + BLOCK_HEADER_BYTES + END_MARK.len();

const MAGIC: u32 = 0x184d_2204;
/// High bit of a block's length word: the block is stored uncompressed.
const STORED: u32 = 1 << 31;
/// Maximum distance of a match.
const WINDOW_BYTES: usize = 64 << 10;
/// A byte of compressed input expands to at most 255 bytes (as a match length); `EXPANSION_SLACK`
/// covers the token and offset of a match.
const MAX_EXPANSION: usize = 255;
const EXPANSION_SLACK: usize = 64;

/// Appends a frame with one compressed block.
pub(crate) fn append_one_block(block: &[u8], blob: &mut Vec<u8>) {
    blob.extend_from_slice(&HEADER);
    // The block is at most 10 % larger than 256 KiB, so its length fits in a u32 without the high bit.
    blob.extend_from_slice(&(block.len() as u32).to_le_bytes());
    blob.extend_from_slice(block);
    blob.extend_from_slice(&END_MARK);
}

/// Writes `wrapper` and a frame of linked blocks into `memory`. Returns the memory as the error if a
/// block would be stored uncompressed or the blob would not be smaller than wrapper and payload; it
/// stops compressing as soon as either is known.
pub(crate) fn compress_linked(
    wrapper: &[u8],
    payload: &[u8],
    memory: Vec<u8>,
) -> Result<Vec<u8>, Vec<u8>> {
    let uncompressed_length = wrapper.len() + payload.len();
    let mut bytes = memory;
    bytes.clear();
    bytes.reserve_exact(uncompressed_length);
    bytes.extend_from_slice(wrapper);
    let mut sink = FrameSink {
        next_block: bytes.len() + HEADER.len(),
        uncompressed_length,
        bytes,
    };
    let info = FrameInfo::new()
        .block_size(BlockSize::Max256KB)
        .block_mode(BlockMode::Linked);
    let mut encoder = FrameEncoder::with_frame_info(info, &mut sink);
    let accepted = encoder.write_all(payload).is_ok() && encoder.finish().is_ok();
    match accepted {
        true => Ok(sink.bytes),
        false => Err(sink.bytes),
    }
}

/// Collects a frame; rejects a stored block, which the cache cannot read, and a blob that is not
/// smaller than the uncompressed one.
struct FrameSink {
    bytes: Vec<u8>,
    /// Offset of the next block's length word.
    next_block: usize,
    /// Length of the uncompressed blob, which the compressed one must not reach.
    uncompressed_length: usize,
}

impl Write for FrameSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() >= self.uncompressed_length {
            return Err(io::Error::other(
                "the frame is not smaller than the payload",
            ));
        }
        self.bytes.extend_from_slice(bytes);
        let rest = self.bytes.get(self.next_block..).unwrap_or_default();
        if let Some(word) = rest.first_chunk() {
            let length = u32::from_le_bytes(*word);
            if length & STORED != 0 {
                return Err(io::Error::other("the frame contains a stored block"));
            }
            self.next_block += BLOCK_HEADER_BYTES + length as usize;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fields of a frame's header.
struct Header {
    linked: bool,
    block_checksums: bool,
    content_checksum: bool,
    content_size: Option<u64>,
    block_bytes: usize,
}

/// Returns the content of a frame, at most `limit` bytes. `offset` is the offset of the frame in the
/// blob.
pub(crate) fn decompress(
    frame: &[u8],
    offset: usize,
    limit: usize,
    deviations: &mut Deviations,
) -> Result<Vec<u8>, FormatError> {
    let mut cursor = Cursor::new(frame, Part::Frame, offset);
    let start = cursor.place();
    let header = read_header(&mut cursor)?;
    if !frame.starts_with(&HEADER) {
        deviations.note(start.corrupt(Corrupt::FrameHeader));
    }
    if let Some(size) = header.content_size {
        let place = cursor.place();
        place.limit(Limit::PayloadBytes(limit as u64), size)?;
    }
    let mut content = Vec::new();
    loop {
        let place = cursor.place();
        let word = cursor.u32()?;
        if word == 0 {
            break;
        }
        let length = (word & !STORED) as usize;
        if length > header.block_bytes {
            return Err(place.corrupt(Corrupt::FrameBlock));
        }
        let block = cursor.take(length)?;
        if header.block_checksums && cursor.u32()? != XxHash32::oneshot(0, block) {
            return Err(place.corrupt(Corrupt::FrameChecksum));
        }
        let left = limit - content.len();
        if word & STORED != 0 {
            deviations.note(place.corrupt(Corrupt::FrameStored));
            content.extend_from_slice(block);
        } else {
            let room = output_room(block.len(), header.block_bytes, left);
            expand(block, room, header.linked, &mut content).map_err(|error| match error {
                // The limit left less room than the frame allows a block: the payload is too long.
                ExpandError::OutputFull if left < header.block_bytes => FormatError::Limit {
                    limit: Limit::PayloadBytes(limit as u64),
                    value: (limit as u64).saturating_add(1),
                    place,
                },
                _ => place.corrupt(Corrupt::FrameData),
            })?;
        }
        place.limit(Limit::PayloadBytes(limit as u64), content.len() as u64)?;
    }
    let place = cursor.place();
    if header.content_checksum && cursor.u32()? != XxHash32::oneshot(0, &content) {
        return Err(place.corrupt(Corrupt::FrameChecksum));
    }
    if header
        .content_size
        .is_some_and(|size| size != content.len() as u64)
    {
        return Err(place.corrupt(Corrupt::FrameContentSize));
    }
    cursor.finish()?;
    content.shrink_to_fit();
    Ok(content)
}

/// Returns the output buffer size for a block, in bytes: the block size of the frame, the maximum
/// expansion of the block, or one byte more than the limit leaves, whichever is smallest. The extra
/// byte distinguishes a payload that exceeds the limit from one that equals it.
fn output_room(compressed: usize, block_bytes: usize, left: usize) -> usize {
    let expanded = compressed * MAX_EXPANSION + EXPANSION_SLACK;
    expanded.min(block_bytes).min(left.saturating_add(1))
}

/// Why a block cannot be decompressed.
enum ExpandError {
    /// The output is larger than the room for it.
    OutputFull,
    /// The block is damaged.
    Damaged,
}

/// Appends the content of a compressed block, at most `room` bytes.
fn expand(
    block: &[u8],
    room: usize,
    linked: bool,
    content: &mut Vec<u8>,
) -> Result<(), ExpandError> {
    let start = content.len();
    content.resize(start + room, 0);
    // In bounds: `content` now has `start + room` bytes.
    let (before, output) = content.split_at_mut(start);
    let window = match before.split_last_chunk::<WINDOW_BYTES>() {
        _ if !linked => &[],
        Some((_, window)) => window.as_slice(),
        None => before,
    };
    let expanded = decompress_into_with_dict(block, output, window);
    let length = expanded.map_err(|error| match error {
        lz4_flex::block::DecompressError::OutputTooSmall { .. } => ExpandError::OutputFull,
        _ => ExpandError::Damaged,
    })?;
    content.truncate(start + length);
    Ok(())
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<Header, FormatError> {
    cursor.fixed(MAGIC, Corrupt::FrameMagic)?;
    let place = cursor.place();
    let descriptor_start = cursor.clone();
    let [flags, block_size] = cursor.array()?;
    if flags >> 6 != 1 {
        return Err(place.unsupported(Unsupported::FrameVersion));
    }
    if flags & 0b10 != 0 || block_size & 0b1000_1111 != 0 {
        return Err(place.corrupt(Corrupt::NotZero));
    }
    if flags & 1 != 0 {
        return Err(place.unsupported(Unsupported::FrameDictionary));
    }
    // Code 4 is 64 KiB, and each further code four times the size, up to 7 (4 MiB).
    let block_bytes = match block_size >> 4 {
        code @ 4..=7 => 1_usize << (8 + 2 * code),
        _ => return Err(place.corrupt(Corrupt::FixedValue)),
    };
    let content_size = match flags & 0b1000 {
        0 => None,
        _ => Some(cursor.u64()?),
    };
    let length = descriptor_start.remaining() - cursor.remaining();
    let descriptor = descriptor_start.clone().take(length)?;
    let [_, checksum, ..] = XxHash32::oneshot(0, descriptor).to_le_bytes();
    if cursor.u8()? != checksum {
        return Err(place.corrupt(Corrupt::FrameChecksum));
    }
    Ok(Header {
        linked: flags & 0b10_0000 == 0,
        block_checksums: flags & 0b1_0000 != 0,
        content_checksum: flags & 0b100 != 0,
        content_size,
        block_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_room_is_bounded_by_the_input_the_block_size_and_the_limit() {
        assert_eq!(output_room(10, BLOCK_BYTES, usize::MAX), 2614);
        assert_eq!(
            output_room(BLOCK_BYTES, BLOCK_BYTES, usize::MAX),
            BLOCK_BYTES
        );
        assert_eq!(output_room(BLOCK_BYTES, BLOCK_BYTES, 100), 101);
        assert_eq!(output_room(0, BLOCK_BYTES, 0), 1);
    }
}
