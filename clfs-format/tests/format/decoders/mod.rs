//! One check for each decoder, for any input: the decoder does not panic, a decoded value is
//! unchanged after encoding and decoding, and inspection reports a fault exactly if the strict
//! decoder rejects the input. Each check returns whether its input decoded. Both the fuzz targets
//! (`fuzz/`) and the test `corpus` run these checks.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use clfs_format::*;

/// Payload limit in bytes; low, so that a decompression bomb exceeds it early.
const PAYLOAD_LIMIT: usize = 1 << 20;

/// Checks the parser of object names.
pub fn name(data: &[u8]) -> bool {
    let _ = Filehandle::from_bytes(data);
    if let Ok(id) = ObjectId::from_bytes(data) {
        assert_eq!(id.as_bytes(), data);
    }
    let Ok(name) = ObjectName::parse(data) else {
        return false;
    };
    assert_eq!(name.to_string().as_bytes(), data);
    true
}

/// Checks the decoder of blobs.
pub fn wrapper(data: &[u8]) -> bool {
    let unwrapped = unwrap(data, PAYLOAD_LIMIT);
    let inspected = inspect_wrapper(data, PAYLOAD_LIMIT);
    assert_eq!(
        unwrapped.as_ref(),
        inspected.as_ref().map(|inspected| &inspected.payload)
    );
    let (Ok(payload), Ok(inspected)) = (unwrapped, inspected) else {
        return false;
    };
    check_list(&inspected.deviations);
    if inspected.compression == Compression::Disabled {
        assert_eq!(inspected.deviations, []);
    }
    assert!(payload.len() <= PAYLOAD_LIMIT);
    // LZ4 expands at most 255 times, and the payload keeps no spare memory.
    assert!(payload.len() <= 255 * data.len());
    if let std::borrow::Cow::Owned(payload) = &payload {
        assert!(payload.capacity() <= payload.len() + 64);
    }
    let mut encoder = Lz4Encoder::new();
    for compression in [Compression::Disabled, Compression::Lz4] {
        let blob = encoder.wrap(ObjectBuffer::from_payload(&payload), compression);
        let again = inspect_wrapper(&blob, PAYLOAD_LIMIT).unwrap();
        assert_eq!(again.payload, payload);
        assert_eq!(again.deviations, []);
        assert!(blob.len() <= 4 + payload.len());
    }
    true
}

/// Checks the decoder of objects. Input: one byte for the type (0 is the bucket), 24 bytes for the id
/// (zeros are the root), and a payload.
pub fn object(data: &[u8]) -> bool {
    let Some((object_type, rest)) = data.split_first() else {
        return false;
    };
    let Some((id, payload)) = rest.split_first_chunk::<24>() else {
        return false;
    };
    let object_type = ObjectType::from_code(u16::from(*object_type));
    let name = match object_type {
        None => ObjectName::bucket(),
        Some(block @ (ObjectType::Segment | ObjectType::Indirect)) => {
            ObjectName::block(BlockId([7; 16]), block, Filehandle::ROOT)
        }
        Some(entity) => {
            let handle = match Filehandle::from_bytes(id) {
                Ok(handle) if !handle.is_null() => handle,
                _ => Filehandle::ROOT,
            };
            ObjectName::entity(handle, entity, Filehandle::ROOT)
        }
    };
    round_trip(&name, payload).is_some()
}

/// Asserts that the list is bounded and sorted.
fn check_list(deviations: &[FormatError]) {
    assert!(deviations.len() <= limits::DEVIATIONS);
    let offsets = deviations.iter().map(|rule| rule.place().offset);
    assert!(offsets.is_sorted(), "{deviations:?}");
}

/// Returns whether the strict decoder accepts the deviation.
fn tolerated(rule: &FormatError) -> bool {
    match rule {
        FormatError::Corrupt { kind, place } => match kind {
            Corrupt::HandleOrder => true,
            Corrupt::NullId => place.part == Part::Entry,
            _ => false,
        },
        _ => false,
    }
}

/// Asserts that inspection and the strict decoder agree, and returns the result of the strict one.
fn inspect<'a>(name: &ObjectName, payload: &'a [u8]) -> Option<(Object<'a>, Vec<UnknownHandle>)> {
    let inspection = Object::inspect(name, payload);
    check_list(&inspection.deviations);
    assert!(inspection.unknown.len() <= payload.len() / 20);
    let strict = Object::decode_with_unknown(name, payload);
    match &strict {
        Ok((object, unknown)) => {
            assert!(
                inspection.deviations.iter().all(tolerated),
                "{inspection:?}"
            );
            assert_eq!(inspection.object.as_ref(), Ok(object));
            assert_eq!(&inspection.unknown, unknown);
        }
        Err(error) => {
            // Inspection reports the same error, either as the object's error or as a deviation.
            let fatal = inspection.object.as_ref().err() == Some(error);
            let listed = inspection.deviations.contains(error);
            assert!(fatal || listed, "{error}: {inspection:?}");
            assert!(!tolerated(error), "{error}");
        }
    }
    if let Ok(Object::Inode(Inode {
        content: Content::Directory(entries),
        ..
    })) = &inspection.object
    {
        read_entries(entries);
    }
    strict.ok()
}

/// Asserts that both iterators return the same entries in order, each from its own bytes.
fn read_entries(entries: &DirEntries<'_>) {
    let mut end = 0;
    let mut raw = entries.iter_raw();
    // An entry has at least six bytes, and an incomplete entry causes at most two errors.
    let max_items = entries.as_bytes().len() / 6 + 2;
    for (count, entry) in (1..).zip(entries) {
        assert!(count <= max_items, "the iterator does not end");
        match (entry, raw.next().unwrap()) {
            (Ok(entry), Ok(same)) => {
                assert_eq!(entry, same);
                end += entry.encoded_length();
            }
            (Err(error), Err(bad)) => {
                assert_eq!(error, bad.error);
                assert_eq!(error.place().part, Part::Entry);
                assert_eq!(bad.offset, end as u64);
                if let (Some(name), Some(handle)) = (bad.name, bad.handle) {
                    end += 6 + name.len() + handle.len();
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(raw.next().is_none());
    assert!(end <= entries.as_bytes().len());
}

/// Decodes, encodes, decodes and encodes, and returns the first decoded object.
fn round_trip<'a>(name: &ObjectName, payload: &'a [u8]) -> Option<Object<'a>> {
    let (object, unknown) = inspect(name, payload)?;
    assert_eq!(Object::decode(name, payload).is_ok(), unknown.is_empty());
    let encode = |object: &Object<'_>| {
        let mut buffer = ObjectBuffer::with_capacity(0);
        object.encode(&mut buffer).unwrap();
        buffer
    };
    let encoded = encode(&object);
    // Only the unknown handles are not encoded again.
    let skipped: usize = unknown
        .iter()
        .map(|u| (20 + u.length).next_multiple_of(8))
        .sum();
    assert_eq!(encoded.payload().len() + skipped, payload.len());
    let again = Object::decode(name, encoded.payload()).unwrap();
    assert_eq!(again, object);
    assert_eq!(encode(&again), encoded);
    Some(object)
}

/// Checks the decoder of directory entries.
pub fn dirents(data: &[u8]) -> bool {
    let entries = DirEntries::from_encoded(data);
    read_entries(&entries);
    let mut segmenter = DirectorySegmenter::new(Filehandle::ROOT, Filehandle::ROOT);
    let mut encoded = Vec::new();
    let mut pushed = 0;
    for entry in &entries {
        let Ok(entry) = entry else {
            return false;
        };
        pushed += entry.encoded_length();
        encoded.extend(segmenter.push(entry.name, entry.handle).unwrap());
    }
    assert_eq!(pushed, data.len());
    encoded.push(segmenter.finish().last);
    let dots = 23 + 24;
    assert_eq!(encoded.concat()[dots..], *data);
    true
}

/// Returns a handle with this type and content.
fn raw_handle(code: u32, content: &[u8]) -> Vec<u8> {
    let real = u32::try_from(content.len()).unwrap();
    let padded = (20 + real).next_multiple_of(8);
    let mut bytes = [0x0301_6005, padded, real, code, 0]
        .map(u32::to_le_bytes)
        .concat();
    bytes.extend_from_slice(content);
    bytes.resize(padded as usize, 0);
    bytes
}

/// Checks the decoder of BMAP and the block map reader. Input: the content of the BMAP handle of a
/// fifo; the same bytes determine the lengths of the indirect blocks.
pub fn block_map(data: &[u8]) -> bool {
    let own = match data.get(14..38).map(Filehandle::from_bytes) {
        Some(Ok(handle)) if !handle.is_null() => handle,
        _ => return false,
    };
    let mut attributes = [0; 108];
    attributes[0] = 104;
    attributes[6] = ObjectType::Fifo.code();
    let payload = [
        raw_handle(4, &attributes),
        raw_handle(5, data),
        raw_handle(9, &[0; 4]),
        raw_handle(16, &[1, 0, 0, 0, b'f']),
    ];
    let payload = payload.concat();
    let name = ObjectName::entity(own, ObjectType::Fifo, Filehandle::ROOT);
    let Some(Object::Inode(inode)) = round_trip(&name, &payload) else {
        return false;
    };
    walk(&inode.block_map, data);
    true
}

fn walk(map: &BlockMap, data: &[u8]) {
    for first in [1, 2, 1024, 5000, 1 << 24, u64::MAX] {
        walk_from(map, data, first);
    }
}

fn walk_from(map: &BlockMap, data: &[u8], first: u64) {
    let max_blocks = 20_000;
    let mut reader = BlockMapReader::starting_at(map, max_blocks, first);
    let (mut blocks, mut fetched) = (0, 0_usize);
    let mut lengths = data.iter().rev().cycle();
    loop {
        match reader.next_step() {
            Ok(BlockStep::Data(_)) => blocks += 1,
            Ok(BlockStep::End) | Err(_) => break,
            Ok(BlockStep::Fetch { id, position }) => {
                assert!(position.depth <= position.tree && position.tree < 4);
                fetched += 1;
                // Three of four are full, so that the walk continues.
                let length = match lengths.next() {
                    Some(byte) if byte % 4 != 3 => POINTERS_PER_INDIRECT,
                    Some(byte) => usize::from(*byte) * 17,
                    None => 0,
                };
                if reader.supply(vec![id; length]).is_err() {
                    break;
                }
            }
        }
    }
    assert!(blocks <= max_blocks);
    assert!(
        fetched <= 64,
        "{fetched} indirect blocks for {blocks} blocks"
    );
}

/// Checks the decoder of INDIR. Input: the content of the handle.
pub fn indirect(data: &[u8]) -> bool {
    let owner = [&[3; 12], &[24, 0][..], &[9; 24]].concat();
    let payload = [raw_handle(7, data), raw_handle(10, &owner)].concat();
    let name = ObjectName::block(BlockId([7; 16]), ObjectType::Indirect, Filehandle::ROOT);
    round_trip(&name, &payload).is_some()
}

/// A check, which returns whether its input decoded.
pub type Check = fn(&[u8]) -> bool;

/// The check of every decoder, with the name of its fuzz target and corpus.
pub const ALL: [(&str, Check); 6] = [
    ("name", name),
    ("wrapper", wrapper),
    ("object", object),
    ("dirents", dirents),
    ("block_map", block_map),
    ("indirect", indirect),
];
