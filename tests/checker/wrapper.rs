//! The wrapper and the LZ4 frame (format.md §3), decoded block by block to detect stored blocks.

use super::Rule;

/// Version 1, linked blocks, no sizes, no checksums; blocks of 256 KiB; header checksum.
const FRAME_START: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x40, 0x50, 0x77];
const BLOCK_BYTES: usize = 256 << 10;
/// The maximum offset of an LZ4 match.
const WINDOW: usize = 64 << 10;
/// The largest object is a file segment of 8 MiB with its handles.
const PAYLOAD_LIMIT: usize = (8 << 20) + 4096;

/// Returns the payload of a blob, if it can be read, and the rules that the blob violates.
pub fn unwrap_blob(blob: &[u8]) -> (Option<Vec<u8>>, Vec<(Rule, String)>) {
    let mut broken = Vec::new();
    let Some((wrapper, body)) = blob.split_first_chunk::<4>() else {
        return (
            None,
            vec![(Rule::WrapperShort, format!("{} bytes", blob.len()))],
        );
    };
    let encryption = u16::from_le_bytes([wrapper[0], wrapper[1]]);
    let compression = u16::from_le_bytes([wrapper[2], wrapper[3]]);
    if encryption != 0 {
        broken.push((Rule::WrapperEncryption, format!("encryption {encryption}")));
        return (None, broken);
    }
    match compression {
        0 => (Some(body.to_vec()), broken),
        1 => {
            let payload = frame(body, &mut broken);
            if payload.as_ref().is_some_and(|p| body.len() >= p.len()) {
                broken.push((
                    Rule::FrameNotSmaller,
                    format!("a frame of {} bytes", body.len()),
                ));
            }
            (payload, broken)
        }
        other => {
            broken.push((Rule::WrapperCompression, format!("compression {other}")));
            (None, broken)
        }
    }
}

fn frame(bytes: &[u8], broken: &mut Vec<(Rule, String)>) -> Option<Vec<u8>> {
    let Some((start, mut rest)) = bytes.split_first_chunk::<7>() else {
        broken.push((Rule::FrameCorrupt, "no frame header".into()));
        return None;
    };
    if *start != FRAME_START {
        broken.push((Rule::FrameHeader, super::hex(start)));
        return None;
    }
    let mut payload: Vec<u8> = Vec::new();
    loop {
        let Some((word, after)) = rest.split_first_chunk::<4>() else {
            broken.push((Rule::FrameCorrupt, "the end mark is missing".into()));
            return None;
        };
        let word = u32::from_le_bytes(*word);
        if word == 0 {
            if !after.is_empty() {
                broken.push((
                    Rule::FrameCorrupt,
                    format!("{} bytes behind the end mark", after.len()),
                ));
            }
            return Some(payload);
        }
        let stored = word >> 31 == 1;
        let length = (word & 0x7fff_ffff) as usize;
        if length > after.len() || length > BLOCK_BYTES || payload.len() > PAYLOAD_LIMIT {
            broken.push((
                Rule::FrameCorrupt,
                format!("a block of {length} bytes does not fit"),
            ));
            return None;
        }
        let (block, after) = after.split_at(length);
        rest = after;
        let from = payload.len();
        if stored {
            broken.push((
                Rule::FrameStoredBlock,
                format!("at byte {from} of the payload"),
            ));
            payload.extend_from_slice(block);
            continue;
        }
        let window = &payload[from.saturating_sub(WINDOW)..];
        // LZ4 expands one byte to at most 255.
        let mut place = vec![0; BLOCK_BYTES.min(64 + 255 * length)];
        match lz4_flex::block::decompress_into_with_dict(block, &mut place, window) {
            Ok(got) => payload.extend_from_slice(&place[..got]),
            Err(error) => {
                broken.push((Rule::FrameCorrupt, format!("block at {from}: {error}")));
                return None;
            }
        }
    }
}
