//! Tests of the wrapper and the LZ4 frame: encoding, and decoding of untrusted blobs.

use std::borrow::Cow;
use std::io::{Read, Write};

use clfs_format::limits::PAYLOAD_BYTES;
use clfs_format::*;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x40, 0x50, 0x77];

/// Returns pseudo-random bytes, which do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// Returns text, which compresses.
fn prose(length: usize) -> Vec<u8> {
    let line = |i: usize| format!("{} entries, {} of them files\n", i * 7, i % 13).into_bytes();
    (0..).flat_map(line).take(length).collect()
}

fn segment(data: &[u8]) -> ObjectBuffer {
    let data_back = DataBack {
        ctime_seconds: 1,
        offset: 16384,
        owner: Filehandle::ROOT,
    };
    let mut segment = ObjectBuffer::file_segment(data.len().try_into().unwrap()).unwrap();
    segment.data_mut().copy_from_slice(data);
    let in_place = segment.finish(data_back);
    let mut copied = ObjectBuffer::with_capacity(0);
    let data = Cow::Borrowed(data);
    let segment = FileSegment { data, data_back };
    segment.encode(&mut copied).unwrap();
    assert!(in_place == copied);
    assert!(copied.payload().len() <= segment.payload_capacity());
    in_place
}

/// Returns the length words of the blocks of a frame.
fn blocks(frame: &[u8]) -> Vec<u32> {
    let mut words = Vec::new();
    let mut rest = &frame[HEADER.len()..];
    loop {
        let word = u32::from_le_bytes(rest[..4].try_into().unwrap());
        if word == 0 {
            assert_eq!(rest.len(), 4, "nothing after the end mark");
            return words;
        }
        words.push(word);
        rest = &rest[4 + (word & 0x7fff_ffff) as usize..];
    }
}

#[test]
fn compressed_blobs_are_frames_that_the_cache_can_read() {
    let mut encoder = Lz4Encoder::new();
    // Sizes around those that need the other table, a second block or the frame encoder.
    let sizes = [
        200,
        3000,
        65_440,
        65_450,
        65_451,
        262_049,
        262_064,
        263_000,
        600_000,
        8 << 20,
    ];
    for size in sizes {
        let buffer = segment(&prose(size));
        let blob = encoder.wrap(buffer.clone(), Compression::Lz4);
        assert_eq!(blob[..4], [0, 0, 1, 0], "{size}");
        assert_eq!(blob[4..11], HEADER, "{size}");
        let expected = buffer.payload().len().div_ceil(256 << 10);
        assert_eq!(blocks(&blob[4..]).len(), expected);
        assert!(blocks(&blob[4..]).iter().all(|word| *word >> 31 == 0));
        let mut payload = Vec::new();
        let mut decoder = FrameDecoder::new(&blob[4..]);
        decoder.read_to_end(&mut payload).unwrap();
        assert!(payload == buffer.payload(), "{size}");
        assert!(unwrap(&blob, PAYLOAD_BYTES).unwrap() == buffer.payload());
        assert!(blob.len() < buffer.payload().len());
    }
}

#[test]
fn a_blob_does_not_depend_on_earlier_use_of_the_encoder() {
    let mut used = Lz4Encoder::new();
    for size in [600_000, 100_000, 70_000, 3000, 5, 70_000, 3000] {
        let again = used.wrap(segment(&prose(size)), Compression::Lz4);
        let fresh = Lz4Encoder::new().wrap(segment(&prose(size)), Compression::Lz4);
        assert!(again == fresh, "{size}");
    }
}

#[test]
fn incompressible_payloads_are_stored_without_a_frame() {
    for size in [1000, 70_000, 262_000, 700_000, 8 << 20] {
        let buffer = segment(&noise(size));
        let blob = Lz4Encoder::new().wrap(buffer.clone(), Compression::Lz4);
        assert_eq!(blob[..4], [0; 4], "{size}");
        assert!(blob[4..] == *buffer.payload());
        assert!(matches!(unwrap(&blob, PAYLOAD_BYTES), Ok(Cow::Borrowed(p)) if p == &blob[4..]));
    }
}

#[test]
fn one_incompressible_block_leaves_the_object_uncompressed() {
    // The first, a middle and the last block; the others would compress well.
    for noisy in [0_usize, 2, 4] {
        let mut data = prose(5 << 18);
        data.truncate((5 << 18) - 100);
        let start = (noisy << 18).saturating_sub(24);
        let end = (start + (256 << 10)).min(data.len());
        data[start..end].copy_from_slice(&noise(end - start));
        let blob = Lz4Encoder::new().wrap(segment(&data), Compression::Lz4);
        assert_eq!(blob[..4], [0; 4], "block {noisy}");
    }
}

#[test]
fn a_last_block_too_short_to_compress_leaves_the_object_uncompressed() {
    // The second block has eight bytes, which LZ4 cannot compress.
    let buffer = segment(&prose(262_065));
    assert_eq!(buffer.payload().len(), (256 << 10) + 8);
    let blob = Lz4Encoder::new().wrap(buffer, Compression::Lz4);
    assert_eq!(blob[..4], [0; 4]);
}

#[test]
fn disabled_compression_never_compresses() {
    let blob = Lz4Encoder::new().wrap(segment(&prose(5000)), Compression::Disabled);
    assert_eq!(blob[..4], [0; 4]);
}

/// Returns a blob with a frame such as other encoders write.
fn foreign(info: FrameInfo, content: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, vec![0, 0, 1, 0]);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn kind(blob: &[u8], limit: usize) -> Corrupt {
    match unwrap(blob, limit).unwrap_err() {
        FormatError::Corrupt { kind, .. } => kind,
        other => panic!("{other}"),
    }
}

#[test]
fn frames_of_other_encoders_are_read() {
    let mixed = [prose(300_000), noise(300_000), prose(300_000)].concat();
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max4MB] {
            for flag in [false, true] {
                let info = FrameInfo::new()
                    .block_mode(mode)
                    .block_size(size)
                    .block_checksums(flag)
                    .content_checksum(flag)
                    .content_size(flag.then_some(mixed.len() as u64));
                let blob = foreign(info, &mixed);
                assert!(unwrap(&blob, PAYLOAD_BYTES).unwrap() == mixed);
                // A payload may equal the limit, but not exceed it.
                assert!(unwrap(&blob, mixed.len()).is_ok());
                let error = unwrap(&blob, mixed.len() - 1).unwrap_err();
                assert!(matches!(error, FormatError::Limit { .. }), "{error}");
            }
        }
    }
}

#[test]
fn checksums_of_other_encoders_are_verified() {
    let content = noise(1000);
    let info = FrameInfo::new()
        .block_checksums(true)
        .content_checksum(true);
    let good = foreign(info, &content);
    let last = good.len() - 1;
    for byte in [10, 20, last] {
        let mut blob = good.clone();
        blob[byte] ^= 1;
        let wrong = unwrap(&blob, PAYLOAD_BYTES).unwrap_err();
        let checksum = matches!(
            wrong,
            FormatError::Corrupt {
                kind: Corrupt::FrameChecksum,
                ..
            }
        );
        assert!(checksum, "byte {byte}: {wrong}");
    }
    let size = FrameInfo::new().content_size(Some(1000));
    let mut blob = foreign(size, &content);
    // Without its end mark the frame is incomplete, although the content is complete.
    blob.truncate(blob.len() - 4);
    assert_eq!(kind(&blob, PAYLOAD_BYTES), Corrupt::Truncated);
    blob.extend([0; 5]);
    assert_eq!(kind(&blob, PAYLOAD_BYTES), Corrupt::TrailingBytes);
}

#[test]
fn a_decompression_bomb_is_bounded_by_the_limit() {
    let zeros = vec![0; 64 << 20];
    let info = FrameInfo::new().block_size(BlockSize::Max4MB);
    let bomb = foreign(info, &zeros);
    assert!(bomb.len() < 300_000);
    for limit in [
        0,
        1,
        4095,
        1 << 20,
        (4 << 20) - 1,
        4 << 20,
        (4 << 20) + 1,
        9 << 20,
    ] {
        let error = unwrap(&bomb, limit).unwrap_err();
        let expected = Limit::PayloadBytes(limit as u64);
        let matches = matches!(error, FormatError::Limit { limit, .. } if limit == expected);
        assert!(matches, "{limit}: {error}");
    }
}

#[test]
fn each_unreadable_wrapper_has_its_error() {
    let unsupported = |blob: &[u8]| match unwrap(blob, 100).unwrap_err() {
        FormatError::Unsupported { kind, .. } => kind,
        other => panic!("{other}"),
    };
    assert_eq!(unsupported(&[1, 0, 0, 0]), Unsupported::Encryption(1));
    assert_eq!(unsupported(&[2, 0, 1, 0]), Unsupported::Encryption(2));
    assert_eq!(unsupported(&[0, 0, 2, 0]), Unsupported::Compression(2));
    assert_eq!(kind(&[], 100), Corrupt::Truncated);
    assert_eq!(kind(&[0, 0, 0], 100), Corrupt::Truncated);
    assert_eq!(kind(&[0, 0, 1, 0], 100), Corrupt::Truncated);
    assert_eq!(kind(&[0, 0, 1, 0, 1, 2, 3, 4], 100), Corrupt::FrameMagic);
    let frame = |flags: u8, size: u8| [&[0, 0, 1, 0], &HEADER[..4], &[flags, size, 0]].concat();
    assert_eq!(unsupported(&frame(0x80, 0x50)), Unsupported::FrameVersion);
    assert_eq!(
        unsupported(&frame(0x41, 0x50)),
        Unsupported::FrameDictionary
    );
    assert_eq!(kind(&frame(0x42, 0x50), 100), Corrupt::NotZero);
    assert_eq!(kind(&frame(0x40, 0x51), 100), Corrupt::NotZero);
    assert_eq!(kind(&frame(0x40, 0x30), 100), Corrupt::FixedValue);
    assert_eq!(kind(&frame(0x40, 0x50), 100), Corrupt::FrameChecksum);
    let block = |block: &[u8]| [&[0, 0, 1, 0], &HEADER[..], block].concat();
    assert_eq!(kind(&block(&[1, 0, 4, 0]), 100), Corrupt::FrameBlock);
    assert_eq!(kind(&block(&[2, 0, 0, 0, 0xff]), 100), Corrupt::Truncated);
    // A match that refers to bytes before the content.
    let before = [5, 0, 0, 0, 0x10, b'x', 9, 0, 0];
    assert_eq!(kind(&block(&before), 100), Corrupt::FrameData);
    assert!(matches!(
        unwrap(&[0, 0, 0, 0, 1, 2, 3], 2).unwrap_err(),
        FormatError::Limit { value: 3, .. }
    ));
}

fn deviations(blob: &[u8]) -> Vec<FormatError> {
    let inspected = inspect_wrapper(blob, PAYLOAD_BYTES).unwrap();
    assert_eq!(inspected.compression, Compression::Lz4);
    assert!(inspected.payload == unwrap(blob, PAYLOAD_BYTES).unwrap());
    inspected.deviations
}

fn broken(kind: Corrupt, part: Part, offset: u64) -> FormatError {
    let place = Place { part, offset };
    FormatError::Corrupt { kind, place }
}

#[test]
fn encoded_blobs_have_no_deviations() {
    for size in [3000, 262_064, 263_000, 600_000] {
        let blob = Lz4Encoder::new().wrap(segment(&prose(size)), Compression::Lz4);
        assert_eq!(deviations(&blob), []);
        let blob = Lz4Encoder::new().wrap(segment(&prose(size)), Compression::Disabled);
        let inspected = inspect_wrapper(&blob, PAYLOAD_BYTES).unwrap();
        assert_eq!(inspected.compression, Compression::Disabled);
        assert_eq!(inspected.deviations, []);
        assert!(matches!(inspected.payload, Cow::Borrowed(_)));
    }
}

#[test]
fn frames_with_another_header_have_a_deviation() {
    let header = broken(Corrupt::FrameHeader, Part::Frame, 4);
    let ours = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max256KB);
    let content = prose(300_000);
    assert_eq!(deviations(&foreign(ours.clone(), &content)), []);
    for info in [
        ours.clone().block_mode(BlockMode::Independent),
        ours.clone().block_size(BlockSize::Max64KB),
        ours.clone().block_checksums(true),
        ours.clone().content_checksum(true),
        ours.content_size(Some(300_000)),
    ] {
        assert_eq!(deviations(&foreign(info, &content)), [header]);
    }
}

#[test]
fn stored_blocks_and_blobs_that_are_not_smaller_are_deviations() {
    let info = FrameInfo::new()
        .block_mode(BlockMode::Linked)
        .block_size(BlockSize::Max256KB);
    let not_smaller = broken(Corrupt::NotSmaller, Part::Wrapper, 2);
    let stored = |offset| broken(Corrupt::FrameStored, Part::Frame, offset);
    let block = 256_u64 << 10;
    // The rest compresses well, so the blob is smaller.
    let content = [noise(256 << 10), prose(600_000)].concat();
    assert_eq!(deviations(&foreign(info.clone(), &content)), [stored(11)]);
    let content = noise(300_000);
    let all = [not_smaller, stored(11), stored(11 + 4 + block)];
    assert_eq!(deviations(&foreign(info.clone(), &content)), all);
    // Of more than four stored blocks, the first four are listed.
    let content = noise(2 << 20);
    let four = (0..4).map(|i| stored(11 + i * (4 + block)));
    let all: Vec<_> = [not_smaller].into_iter().chain(four).collect();
    assert_eq!(deviations(&foreign(info.clone(), &content)), all);
    // An empty payload has a frame of 11 bytes.
    assert_eq!(deviations(&foreign(info, b"")), [not_smaller]);
    // A blob as long as the uncompressed one is not smaller. The block has 25 + n bytes of content: a
    // literal, a match of length 19 + n at distance 1, five literals.
    for (more, expected) in [(0, &[not_smaller][..]), (1, &[not_smaller]), (2, &[])] {
        let block = [0x1f, b'a', 1, 0, more, 0x50, 1, 2, 3, 4, 5];
        let blob = [&[0, 0, 1, 0], &HEADER[..], &[11, 0, 0, 0], &block, &[0; 4]].concat();
        let payload = unwrap(&blob, PAYLOAD_BYTES).unwrap();
        assert_eq!(payload.len(), 25 + usize::from(more));
        assert_eq!(blob.len(), 4 + 26);
        assert_eq!(deviations(&blob), expected, "{more}");
    }
}

#[test]
fn unreadable_blobs_fail_in_unwrap_and_in_inspection() {
    let good = foreign(FrameInfo::new(), &prose(1000));
    let longer = [&good[..], &[0]].concat();
    for blob in [&[1, 0, 0, 0][..], &[0, 0, 2, 0], b"", &good[..20], &longer] {
        let error = inspect_wrapper(blob, PAYLOAD_BYTES).unwrap_err();
        assert_eq!(unwrap(blob, PAYLOAD_BYTES), Err(error));
    }
    assert!(inspect_wrapper(&good, 999).is_err());
}
