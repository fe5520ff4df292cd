//! One check for each decoder, on any bytes: it does not panic, what decodes survives encoding and
//! decoding unchanged, and inspection finds fault with just what the strict decoder refuses. Each
//! says whether its input decoded. The fuzz targets (`fuzz/`) and the plain test `corpus` run the
//! same functions.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use clfs_format::*;

/// Payloads in these checks are bounded to this, so that a bomb is met early.
const PAYLOAD_LIMIT: usize = 1 << 20;

/// The bytes are an object's name.
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

/// The bytes are a blob.
pub fn wrapper(data: &[u8]) -> bool {
    let unwrapped = unwrap(data, PAYLOAD_LIMIT);
    let inspected = inspect_wrapper(data, PAYLOAD_LIMIT);
    assert_eq!(
        unwrapped.as_ref(),
        inspected.as_ref().map(|seen| &seen.payload)
    );
    let (Ok(payload), Ok(inspected)) = (unwrapped, inspected) else {
        return false;
    };
    check_list(&inspected.deviations);
    if inspected.compression == Compression::Disabled {
        assert_eq!(inspected.deviations, []);
    }
    assert!(payload.len() <= PAYLOAD_LIMIT);
    // Nothing expands more than 255 times, and no more memory is kept than is used.
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

/// A byte for the type (0 is the bucket), 24 for the id (zeros are the root), and a payload.
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

/// Bounded, in order, and no rule is told without end.
fn check_list(deviations: &[FormatError]) {
    assert!(deviations.len() <= limits::DEVIATIONS);
    let offsets = deviations.iter().map(|rule| rule.place().offset);
    assert!(offsets.is_sorted(), "{deviations:?}");
}

/// What the strict decoder lets pass.
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

/// Inspection and the strict decoder agree. Gives what the strict one gives.
fn inspect<'a>(name: &ObjectName, payload: &'a [u8]) -> Option<(Object<'a>, Vec<UnknownHandle>)> {
    let seen = Object::inspect(name, payload);
    check_list(&seen.deviations);
    assert!(seen.unknown.len() <= payload.len() / 20);
    let strict = Object::decode_with_unknown(name, payload);
    match &strict {
        Ok((object, unknown)) => {
            assert!(seen.deviations.iter().all(tolerated), "{seen:?}");
            assert_eq!(seen.object.as_ref(), Ok(object));
            assert_eq!(&seen.unknown, unknown);
        }
        Err(error) => {
            // What it refuses is in the way of reading, or one of the deviations.
            let told = seen.object.as_ref().err() == Some(error);
            assert!(told || seen.deviations.contains(error), "{error}: {seen:?}");
            assert!(!tolerated(error), "{error}");
        }
    }
    if let Ok(Object::Inode(Inode {
        content: Content::Directory(entries),
        ..
    })) = &seen.object
    {
        read_entries(entries);
    }
    strict.ok()
}

/// All entries, good and bad, in order and each from its own bytes.
fn read_entries(entries: &DirEntries<'_>) {
    let mut end = 0;
    let mut raw = entries.iter_raw();
    // An entry has six bytes or more, and what ends within one is told in at most two errors.
    let most = entries.as_bytes().len() / 6 + 2;
    for (count, entry) in (1..).zip(entries) {
        assert!(count <= most, "no end");
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

/// Decodes, encodes, decodes and encodes again.
fn round_trip<'a>(name: &ObjectName, payload: &'a [u8]) -> Option<Object<'a>> {
    let (object, unknown) = inspect(name, payload)?;
    assert_eq!(Object::decode(name, payload).is_ok(), unknown.is_empty());
    let encode = |object: &Object<'_>| {
        let mut buffer = ObjectBuffer::with_capacity(0);
        object.encode(&mut buffer).unwrap();
        buffer
    };
    let encoded = encode(&object);
    // What is passed over is lost, nothing else is.
    let lost: usize = unknown
        .iter()
        .map(|u| (20 + u.length).next_multiple_of(8))
        .sum();
    assert_eq!(encoded.payload().len() + lost, payload.len());
    let again = Object::decode(name, encoded.payload()).unwrap();
    assert_eq!(again, object);
    assert_eq!(encode(&again), encoded);
    Some(object)
}

/// The bytes are entries of a directory.
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

/// A handle with this type and content.
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

/// The bytes are the content of a BMAP handle, here of a fifo; its trees are then walked with
/// indirect blocks whose lengths come from the same bytes.
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
    let most = 20_000;
    let mut reader = BlockMapReader::starting_at(map, most, first);
    let (mut blocks, mut fetched) = (0, 0_usize);
    let mut lengths = data.iter().rev().cycle();
    loop {
        match reader.next_step() {
            Ok(BlockStep::Data(_)) => blocks += 1,
            Ok(BlockStep::End) | Err(_) => break,
            Ok(BlockStep::Fetch { id, position }) => {
                assert!(position.depth <= position.tree && position.tree < 4);
                fetched += 1;
                // Full ones now and then, so that the walk goes on.
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
    assert!(blocks <= most);
    assert!(
        fetched <= 64,
        "{fetched} indirect blocks for {blocks} blocks"
    );
}

/// The bytes are the content of an INDIR handle.
pub fn indirect(data: &[u8]) -> bool {
    let owner = [&[3; 12], &[24, 0][..], &[9; 24]].concat();
    let payload = [raw_handle(7, data), raw_handle(10, &owner)].concat();
    let name = ObjectName::block(BlockId([7; 16]), ObjectType::Indirect, Filehandle::ROOT);
    round_trip(&name, &payload).is_some()
}

/// A check; whether its input decoded.
pub type Check = fn(&[u8]) -> bool;

/// Every decoder with the name of its fuzz target and corpus.
pub const ALL: [(&str, Check); 6] = [
    ("name", name),
    ("wrapper", wrapper),
    ("object", object),
    ("dirents", dirents),
    ("block_map", block_map),
    ("indirect", indirect),
];
