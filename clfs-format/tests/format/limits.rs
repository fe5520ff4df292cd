//! Tests of rules and limits: each is broken once, and the error names it.

use std::borrow::Cow;

use crate::samples::*;
use clfs_format::limits::*;
use clfs_format::*;

fn encode_error(inode: &Inode<'_>) -> FormatError {
    let mut buffer = ObjectBuffer::with_capacity(0);
    inode.encode(&mut buffer).unwrap_err()
}

fn corrupt(error: FormatError) -> Corrupt {
    match error {
        FormatError::Corrupt { kind, .. } => kind,
        other => panic!("{other}"),
    }
}

fn limit(error: FormatError) -> (Limit, u64) {
    match error {
        FormatError::Limit { limit, value, .. } => (limit, value),
        other => panic!("{other}"),
    }
}

#[test]
fn inode_limits_are_enforced() {
    let mut inode = file();
    inode.back = Cow::Owned(vec![Filehandle::ROOT; 1023]);
    inode.name = Cow::Owned(vec![0xff; 255]);
    inode.content = Content::Data(Cow::Owned(vec![1; 16384]));
    inode.block_map.direct = (1..1024).map(block).collect();
    let bytes = payload(&inode);
    let decoded = Object::decode(&name_of(&inode), &bytes);
    assert_eq!(decoded, Ok(Object::Inode(inode.clone())));

    inode.back.to_mut().push(Filehandle::ROOT);
    assert_eq!(limit(encode_error(&inode)), (Limit::Links, 1024));
    inode.back.to_mut().truncate(1);
    inode.name.to_mut().push(b'x');
    assert_eq!(limit(encode_error(&inode)), (Limit::NameBytes, 256));
    inode.name.to_mut().truncate(1);
    inode.block_map.direct.push(block(7));
    assert_eq!(limit(encode_error(&inode)), (Limit::DirectBlocks, 1025));
    inode.block_map.direct.clear();
    inode.content = Content::Data(Cow::Owned(vec![1; 16385]));
    let error = encode_error(&inode);
    assert_eq!(limit(error), (Limit::FirstSegmentBytes, 16385));
    let text = "too large: the length of the first segment in bytes is 16385 (maximum 16384), in \
                the DATA handle at byte 0 (format.md §5)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn symlink_targets_have_at_most_1023_bytes() {
    let mut inode = file();
    inode.attributes.object_type = ObjectType::Symlink.code();
    inode.content = Content::Data(Cow::Owned(vec![b'x'; 1023]));
    payload(&inode);
    inode.content = Content::Data(Cow::Owned(vec![b'x'; 1024]));
    let error = encode_error(&inode);
    assert_eq!(limit(error), (Limit::SymlinkTargetBytes, 1024));
}

#[test]
fn names_must_be_components_of_a_path() {
    let mut inode = file();
    for (name, kind) in [
        (&b""[..], Corrupt::NameEmpty),
        (b"a/b", Corrupt::NameByte),
        (b"a\0", Corrupt::NameByte),
    ] {
        inode.name = Cow::Borrowed(name);
        assert_eq!(corrupt(encode_error(&inode)), kind);
        let mut segmenter = DirectorySegmenter::new(Filehandle::ROOT, Filehandle::ROOT);
        let error = segmenter.push(name, handle(FileType::Regular, 1000));
        assert_eq!(corrupt(error.unwrap_err()), kind);
        assert_eq!(segmenter.finish().size, 4 + 23 + 24, "unchanged");
    }
}

#[test]
fn content_type_and_name_must_match() {
    let mut inode = file();
    inode.content = Content::None;
    assert_eq!(corrupt(encode_error(&inode)), Corrupt::TypeMismatch);
    let mut inode = directory();
    inode.back = Cow::Owned(vec![Filehandle::ROOT]);
    assert_eq!(corrupt(encode_error(&inode)), Corrupt::HandleUnexpected);
    inode.back = Cow::Owned(vec![]);
    inode.block_map.handle = Filehandle::ROOT;
    assert_eq!(corrupt(encode_error(&inode)), Corrupt::TypeMismatch);
    // The name contains another type, or the id of another entity.
    let bytes = payload(&file());
    let mut name = name_of(&file());
    name.kind = name_of(&directory()).kind;
    let error = Object::decode(&name, &bytes).unwrap_err();
    assert_eq!(corrupt(error), Corrupt::TypeMismatch);
    let other = handle(FileType::Regular, 1999);
    let name = ObjectName::entity(other, ObjectType::Regular, Filehandle::ROOT);
    let error = Object::decode(&name, &bytes).unwrap_err();
    assert_eq!(corrupt(error), Corrupt::OwnHandle);
}

/// Each case: an offset in a file's inode, another value for that byte, and the expected error and
/// offset. VATTR is at 0, BMAP at 128, BACK at 264, NAME at 312, DATA at 344.
#[test]
fn every_field_of_an_inode_is_checked() {
    let good = payload(&file());
    let name = name_of(&file());
    assert_eq!(good.len(), 376);
    for (offset, value, kind, place) in [
        (0, 6, Corrupt::HandleMagic, 0),
        (4, 129, Corrupt::HandleLength, 4),
        (8, 109, Corrupt::HandleLength, 4),
        (16, 1, Corrupt::NotZero, 16),
        (20, 105, Corrupt::FixedValue, 20),
        (26, 2, Corrupt::TypeMismatch, 20),
        (27, 1, Corrupt::NotZero, 27),
        (116, 1, Corrupt::NotZero, 116),
        (156, 0, Corrupt::BlockMapCount, 156),
        (156, 2, Corrupt::IdLength, 186),
        (157, 255, Corrupt::Count, 156),
        (160, 25, Corrupt::IdLength, 160),
        (186, 5, Corrupt::FixedValue, 186),
        (190, 15, Corrupt::IdLength, 190),
        (261, 1, Corrupt::BlockMapGap, 148),
        (262, 1, Corrupt::NotZero, 262),
        (284, 0, Corrupt::TrailingBytes, 288),
        (284, 2, Corrupt::Count, 284),
        (288, 15, Corrupt::IdLength, 288),
        (305, 0x65, Corrupt::NotTheRoot, 288),
        (332, 3, Corrupt::TrailingBytes, 339),
        (332, 5, Corrupt::Truncated, 336),
        (336, b'/', Corrupt::NameByte, 332),
        (364, 6, Corrupt::TrailingBytes, 374),
        (375, 1, Corrupt::NotZero, 375),
        (356, 9, Corrupt::HandleTwice, 344),
        (356, 3, Corrupt::HandleMissing, 376),
        (356, 6, Corrupt::HandleMissing, 376),
    ] {
        let mut bytes = good.clone();
        bytes[offset] = value;
        let error = Object::decode(&name, &bytes).unwrap_err();
        assert_eq!(corrupt(error), kind, "byte {offset}: {error}");
        assert_eq!(error.place().offset, place, "byte {offset}: {error}");
    }
    for length in 0..good.len() {
        let error = Object::decode(&name, &good[..length]).unwrap_err();
        let kind = corrupt(error);
        let expected = matches!(kind, Corrupt::Truncated | Corrupt::HandleMissing);
        assert!(expected, "{length} bytes: {error}");
    }
}

#[test]
fn other_segment_sizes_are_not_supported() {
    let mut bytes = payload(&file());
    bytes[153] = 0x10;
    let error = Object::decode(&name_of(&file()), &bytes).unwrap_err();
    let kind = Unsupported::SegmentSize((8 << 20) + 0x1000);
    assert!(matches!(error, FormatError::Unsupported { kind: k, .. } if k == kind));
}

#[test]
fn handles_of_the_cache_are_listed_and_skipped() {
    let inode = file();
    let mut bytes = raw_handle(6, b"registered");
    bytes.extend(payload(&inode));
    bytes.extend(raw_handle(99, b""));
    let name = name_of(&inode);
    let (object, unknown) = Object::decode_with_unknown(&name, &bytes).unwrap();
    assert_eq!(object, Object::Inode(inode));
    let listed: Vec<_> = unknown
        .iter()
        .map(|u| (u.code, u.offset, u.length))
        .collect();
    assert_eq!(listed, [(6, 0, 10), (99, 32 + 376, 0)]);
    let text = "handle of type 6 (node registration) with 10 bytes at byte 0 of the payload";
    assert_eq!(unknown[0].to_string(), text);
    let error = Object::decode(&name, &bytes).unwrap_err();
    let text = "not supported: handle type 6, in the payload at byte 0 (format.md §5)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn handles_that_do_not_belong_to_an_object_are_corrupt() {
    let mut bytes = payload(&file());
    bytes.extend(raw_handle(12, &[0; 4]));
    let error = Object::decode(&name_of(&file()), &bytes).unwrap_err();
    assert_eq!(corrupt(error), Corrupt::HandleUnexpected);
    assert_eq!(error.place().offset, 376 + 20);
    let mut bytes = payload(&directory());
    bytes.extend(raw_handle(9, &[0; 4]));
    let error = Object::decode(&name_of(&directory()), &bytes).unwrap_err();
    assert_eq!(corrupt(error), Corrupt::HandleUnexpected);
}

#[test]
fn a_directory_segment_needs_an_empty_data_handle() {
    let name = ObjectName::block(block(5), ObjectType::Segment, Filehandle::ROOT);
    let entries = raw_handle(3, &[]);
    let back = raw_handle(10, &[&[0; 12], &[24, 0][..], &[9; 24]].concat());
    let decode = |data: &[u8]| {
        let payload = [&entries, data, &back].concat();
        let object = Object::decode(&name, &payload);
        object.map(|o| matches!(o, Object::DirectorySegment(_)))
    };
    assert_eq!(decode(&raw_handle(2, &[0; 4])), Ok(true));
    assert_eq!(corrupt(decode(b"").unwrap_err()), Corrupt::HandleMissing);
    let error = decode(&raw_handle(2, &[1, 0, 0, 0, 7])).unwrap_err();
    assert_eq!(corrupt(error), Corrupt::DataNotEmpty);
}

#[test]
fn objects_without_a_decoder_are_not_supported() {
    let own = handle(FileType::Regular, 1001);
    for object_type in [
        ObjectType::Tombstone,
        ObjectType::Special,
        ObjectType::HardLink,
    ] {
        let name = ObjectName::entity(own, object_type, Filehandle::ROOT);
        let error = Object::decode(&name, b"").unwrap_err();
        assert!(matches!(error, FormatError::Unsupported { .. }), "{error}");
    }
    let tracker = WellKnownId::SpaceTracker;
    let name = ObjectName {
        id: ObjectId::WellKnown(tracker),
        ..ObjectName::bucket()
    };
    let error = Object::decode(&name, b"").unwrap_err();
    let text = "not supported: the well-known object 0x65, in the object name at byte 0 \
                (format.md §4)";
    assert_eq!(error.to_string(), text);
}

#[test]
fn segments_and_indirect_blocks_have_limits() {
    let error = ObjectBuffer::file_segment((8 << 20) + 1).unwrap_err();
    assert_eq!(limit(error), (Limit::FileSegmentBytes, (8 << 20) + 1));
    let data_back = DataBack {
        ctime_seconds: 0,
        offset: 0,
        owner: Filehandle::ROOT,
    };
    let mut indirect = IndirectBlock {
        pointers: (1..=4096).map(block).collect(),
        data_back,
    };
    let mut buffer = ObjectBuffer::with_capacity(indirect.payload_capacity());
    indirect.encode(&mut buffer).unwrap();
    assert!(buffer.payload().len() <= indirect.payload_capacity());
    indirect.pointers.push(block(1));
    let error = indirect.encode(&mut buffer).unwrap_err();
    assert_eq!(limit(error), (Limit::Pointers, 4097));
    indirect.pointers = vec![BlockId::NONE];
    let error = indirect.encode(&mut buffer).unwrap_err();
    assert_eq!(corrupt(error), Corrupt::NullId);
}

#[test]
fn times_are_clamped_to_the_range_of_the_format() {
    let time = |seconds, nanoseconds| Timestamp {
        seconds,
        nanoseconds,
    };
    let latest = i64::from(u32::MAX);
    assert_eq!(Timestamp::from_unix(0, 5), (time(0, 5), false));
    assert_eq!(Timestamp::from_unix(-1, 999), (Timestamp::MIN, true));
    assert_eq!(Timestamp::from_unix(i64::MIN, 0), (Timestamp::MIN, true));
    let (last, clamped) = Timestamp::from_unix(latest, 999_999_999);
    assert_eq!((last, clamped), (Timestamp::MAX, false));
    assert_eq!(Timestamp::from_unix(latest + 1, 0), (Timestamp::MAX, true));
    let (odd, clamped) = Timestamp::from_unix(7, 1_000_000_000);
    assert_eq!((odd, clamped), (time(7, 999_999_999), true));
}

#[test]
fn unusable_filehandles_are_rejected() {
    let mut fields = FilehandleFields {
        container_id: 1,
        parent_directory_manager: 0,
        directory_manager: 0,
        file_type: FileType::Regular,
        sequence: FIRST_SEQUENCE,
        random: 0,
    };
    assert_eq!(fields.filehandle(), None);
    fields.random = 1;
    assert!(fields.filehandle().is_some());
    // A random number that makes the hash 0, found by inverting the last two steps of the hash.
    fields.random = 0xa612_0000_0036_5000;
    let bytes = [
        &0x31_u32.to_le_bytes()[..],
        &[0, 0, 2, 0],
        &FIRST_SEQUENCE.to_le_bytes(),
        &fields.random.to_le_bytes(),
    ];
    assert_eq!(fnv1(&bytes.concat()), 0);
    assert_eq!(fields.filehandle(), None);
    fields.random += 1;
    assert!(fields.filehandle().is_some());
}
