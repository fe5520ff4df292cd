//! Tests of objects that break one or two rules: an inspection decodes them and lists the rules with
//! their places.

use std::borrow::Cow;

use crate::samples::*;
use clfs_format::*;

use Corrupt as C;
use HandleType as H;

/// Inspects an inode like [`read`], and compares the result with `expected`.
#[track_caller]
fn read_inode(expected: &Inode<'_>, payload: &[u8], deviations: &[FormatError]) {
    let object = read(&name_of(expected), payload, deviations);
    assert_eq!(object, Object::Inode(expected.clone()));
}

/// Returns the handles of the sample file. VATTR is at 0, BMAP at 128, BACK at 264, NAME at 312, DATA
/// at 344; the content of each is 20 bytes later.
fn file_handles() -> [Vec<u8>; 5] {
    split(&payload(&file())).try_into().unwrap()
}

fn root() -> Inode<'static> {
    let own = Filehandle::ROOT;
    let entries = DirectorySegmenter::new(own, own).finish().last;
    Inode {
        block_map: BlockMap::single(own, 262_144),
        content: Content::Root(
            DirEntries::from_encoded(entries),
            ExtendedAttributes::root_attributes("a", "b"),
        ),
        ..directory()
    }
}

#[test]
fn well_formed_objects_have_no_deviations() {
    for inode in [file(), directory(), root()] {
        read_inode(&inode, &payload(&inode), &[]);
    }
}

#[test]
fn nonzero_reserved_bytes_are_deviations() {
    let good = payload(&file());
    for (offset, part) in [
        (16, Part::Payload),
        (27, Part::Handle(H::Attributes)),
        (116, Part::Handle(H::Attributes)),
        (263, Part::Payload),
        (375, Part::Payload),
    ] {
        let mut bytes = good.clone();
        bytes[offset] = 1;
        // The place of an error in padding is the start of the padding.
        let place = if offset == 263 { 262 } else { offset as u64 };
        read_inode(&file(), &bytes, &[broken(C::NotZero, part, place)]);
    }
    // Several of them are listed in the order of the payload.
    let mut bytes = good;
    for offset in [16, 27, 116, 375] {
        bytes[offset] = 1;
    }
    let vattr = |offset| broken_in(C::NotZero, H::Attributes, offset);
    let payload = |offset| broken(C::NotZero, Part::Payload, offset);
    let inspection = Object::inspect(&name_of(&file()), &bytes);
    assert_eq!(inspection.object, Ok(Object::Inode(file())));
    let all = [payload(16), vattr(27), vattr(116), payload(375)];
    assert_eq!(inspection.deviations, all);
}

#[test]
fn bytes_after_the_last_field_are_deviations() {
    let handles = file_handles();
    for (index, code, handle, end) in [
        (0, 4, H::Attributes, 20 + 108),
        (1, 5, H::BlockMap, 148 + 114),
        (2, 9, H::Back, 284 + 22),
        (3, 16, H::Name, 332 + 8),
        (4, 2, H::Data, 364 + 11),
    ] {
        let mut handles = handles.clone();
        let real = handles[index][8] as usize;
        let content = [&handles[index][20..20 + real], &[7]].concat();
        handles[index] = raw_handle(code, &content);
        let deviation = broken_in(C::TrailingBytes, handle, end);
        read_inode(&file(), &handles.concat(), &[deviation]);
    }
}

#[test]
fn attributes_after_the_known_ones_are_deviations() {
    let mut handles = file_handles();
    let attributes = handles[0][24..128].to_vec();
    let vattr = |length: u32, more: &[u8]| {
        let content = [&length.to_le_bytes(), &attributes[..], more].concat();
        raw_handle(4, &content)
    };
    let deviation = broken_in(C::FixedValue, H::Attributes, 20);
    handles[0] = vattr(112, &[9; 8]);
    read_inode(&file(), &handles.concat(), &[deviation]);
    // A length that exceeds the handle, or is under 104, makes the attributes unreadable.
    for (length, more) in [(112, &[9; 7][..]), (105, &[]), (103, &[]), (u32::MAX, &[])] {
        handles[0] = vattr(length, more);
        let error = unreadable(&name_of(&file()), &handles.concat());
        assert_eq!(error, deviation, "{length}");
    }
}

#[test]
fn other_segment_sizes_are_deviations() {
    let size = |size, offset| FormatError::Unsupported {
        kind: Unsupported::SegmentSize(size),
        place: broken_in(C::FixedValue, H::BlockMap, offset).place(),
    };
    let mut bytes = payload(&file());
    bytes[148..152].copy_from_slice(&4096_u32.to_le_bytes());
    let mut expected = file();
    expected.block_map.first_segment = 4096;
    read_inode(&expected, &bytes, &[size(4096, 148)]);
    bytes[152..156].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    expected.block_map.other_segment = 1 << 20;
    read_inode(&expected, &bytes, &[size(4096, 148), size(1 << 20, 152)]);

    let mut bytes = payload(&file());
    bytes[152..156].fill(0);
    let error = unreadable(&name_of(&file()), &bytes);
    assert_eq!(error, size(0, 152));
}

#[test]
fn block_0_of_another_object_is_a_deviation() {
    let deviation = broken_in(C::OwnHandle, H::BlockMap, 160);
    let other = handle(FileType::Regular, 1999);
    let mut expected = file();
    expected.block_map.handle = other;
    let object = payload(&expected);
    let object = read(&name_of(&file()), &object, &[deviation]);
    assert_eq!(object, Object::Inode(expected));

    // The object's name determines whether an object is the root, whose NAME may be empty.
    let no_name = raw_handle(16, &[0; 4]);
    let mut false_root = directory();
    false_root.name = Cow::Borrowed(b"");
    false_root.block_map.handle = Filehandle::ROOT;
    let mut handles = split(&payload(&directory()));
    handles[1] = split(&payload(&root())).swap_remove(1);
    handles[2] = no_name.clone();
    let at = handles[..2].concat().len() as u64 + 20;
    let object = handles.concat();
    let empty = broken_in(C::NameEmpty, H::Name, at);
    let object = read(&name_of(&directory()), &object, &[deviation, empty]);
    assert_eq!(object, Object::Inode(false_root));
    let mut true_root = root();
    true_root.name = Cow::Borrowed(b"");
    true_root.block_map.handle = directory().block_map.handle;
    let mut handles = split(&payload(&root()));
    handles[1] = split(&payload(&directory())).swap_remove(1);
    handles[2] = no_name;
    let object = handles.concat();
    let object = read(&ObjectName::root(), &object, &[deviation]);
    assert_eq!(object, Object::Inode(true_root));
}

#[test]
fn block_0_that_is_not_a_filehandle_is_a_deviation() {
    let long_root = [Filehandle::ROOT.as_bytes(), &[0; 8]].concat();
    for (id, kind) in [(&long_root[..], C::LongRoot), (&[5; 16], C::NotTheRoot)] {
        let mut handles = file_handles();
        let bmap = &handles[1];
        let id = [&[id.len() as u8, 0], id].concat();
        let content = [&bmap[20..32], &id, &bmap[58..134]].concat();
        handles[1] = raw_handle(5, &content);
        let mut expected = file();
        expected.block_map.handle = Filehandle::NULL;
        let bytes = handles.concat();
        let deviation = broken_in(kind, H::BlockMap, 160);
        let object = read(&name_of(&file()), &bytes, &[deviation]);
        assert_eq!(object, Object::Inode(expected));
    }
    let mut bytes = payload(&file());
    bytes[160] = 23;
    let error = unreadable(&name_of(&file()), &bytes);
    assert_eq!(error, broken_in(C::IdLength, H::BlockMap, 160));
}

#[test]
fn gaps_and_wrong_types_make_an_inode_unreadable() {
    let mut bytes = payload(&file());
    bytes[261] = 1;
    let error = unreadable(&name_of(&file()), &bytes);
    assert_eq!(error, broken_in(C::BlockMapGap, H::BlockMap, 148));
    let mut bytes = payload(&file());
    bytes[26] = ObjectType::Symlink.code();
    let error = unreadable(&name_of(&file()), &bytes);
    assert_eq!(error, broken_in(C::TypeMismatch, H::Attributes, 20));
}

#[test]
fn invalid_names_are_deviations() {
    let name = |name: &[u8]| {
        let mut handles = file_handles();
        handles[3] = raw_handle(16, &counted(name));
        handles.concat()
    };
    let long = [b'n'; 256];
    let mut long_slash = long;
    long_slash[255] = b'/';
    let length = over(Limit::NameBytes, 256, H::Name, 332);
    let byte = broken_in(C::NameByte, H::Name, 332);
    for (bad, deviations) in [
        (&b""[..], &[broken_in(C::NameEmpty, H::Name, 332)][..]),
        (b"a/b", &[byte]),
        (b"a\0", &[byte]),
        (&long, &[length]),
        (&long_slash, &[length, byte]),
    ] {
        let expected = Inode {
            name: Cow::Borrowed(bad),
            ..file()
        };
        read_inode(&expected, &name(bad), deviations);
    }
    // The NAME of the root may be empty.
    let expected = Inode {
        name: Cow::Borrowed(b""),
        ..root()
    };
    read_inode(&expected, &payload(&expected), &[]);
}

#[test]
fn missing_or_unreadable_names_and_back_pointers_are_deviations() {
    let mut handles = file_handles().to_vec();
    handles.remove(3);
    let nameless = Inode {
        name: Cow::Borrowed(b""),
        ..file()
    };
    let missing = broken_in(C::HandleMissing, H::Name, 376 - 32);
    read_inode(&nameless, &handles.concat(), &[missing]);
    let mut handles = file_handles();
    handles[3][20] = 5;
    let cut = broken_in(C::Truncated, H::Name, 336);
    read_inode(&nameless, &handles.concat(), &[cut]);

    let mut handles = file_handles().to_vec();
    handles.remove(2);
    let lost = Inode {
        back: Cow::Owned(vec![]),
        ..file()
    };
    let missing = broken_in(C::HandleMissing, H::Back, 376 - 48);
    read_inode(&lost, &handles.concat(), &[missing]);
    let mut handles = file_handles();
    handles[2][20] = 2;
    let count = broken_in(C::Count, H::Back, 284);
    read_inode(&lost, &handles.concat(), &[count]);
}

#[test]
fn invalid_back_pointers_are_deviations() {
    let own = handle(FileType::Directory, 1002);
    let pointer = |bytes: &[u8]| [&[bytes.len() as u8, 0], bytes].concat();
    let back = |count: u32, pointers: &[Vec<u8>]| {
        let mut handles = file_handles();
        let content = [&count.to_le_bytes()[..], &pointers.concat()].concat();
        handles[2] = raw_handle(9, &content);
        handles.concat()
    };
    let with = |back| Inode {
        back: Cow::Owned(back),
        ..file()
    };
    // All of them are kept.
    let many = back(1024, &vec![pointer(own.as_bytes()); 1024]);
    let deviation = over(Limit::Links, 1024, H::Back, 284);
    read_inode(&with(vec![own; 1024]), &many, &[deviation]);
    // Invalid ones are skipped.
    let bad = [
        pointer(&[3; 16]),
        pointer(own.as_bytes()),
        pointer(&[3; 20]),
    ];
    let deviations = [
        broken_in(C::NotTheRoot, H::Back, 288),
        broken_in(C::IdLength, H::Back, 288 + 18 + 26),
    ];
    read_inode(&with(vec![own]), &back(3, &bad), &deviations);
    // Those before the end of the bytes are kept.
    let cut = [pointer(own.as_bytes()), vec![24, 0, 1], vec![0; 15]];
    let deviation = broken_in(C::Truncated, H::Back, 288 + 26 + 2);
    read_inode(&with(vec![own]), &back(2, &cut), &[deviation]);
}

#[test]
fn the_attributes_of_the_root_are_checked() {
    let mut bare = root();
    if let Content::Root(_, attributes) = &mut bare.content {
        *attributes = ExtendedAttributes::default();
    }
    let mut handles = split(&payload(&root()));
    handles.pop();
    let end = handles.concat().len() as u64;
    let missing = broken_in(C::HandleMissing, H::ExtendedAttributes, end);
    read_inode(&bare, &handles.concat(), &[missing]);
    let at = end + 20;
    for (content, kind, offset) in [
        (&[0][..], C::Truncated, at),
        (&[9, 0, 0, 0, 0], C::Count, at),
        (
            &[1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0, 0, 0, 0],
            C::NotUtf8,
            at + 4,
        ),
    ] {
        let bytes = [handles.concat(), raw_handle(12, content)].concat();
        let deviation = broken_in(kind, H::ExtendedAttributes, offset);
        read_inode(&bare, &bytes, &[deviation]);
    }
    // The bucket object has nothing else, so it is unreadable without them.
    let bucket = raw_handle(12, &[1, 0, 0, 0, 1, 0, 0, 0, 0xff, 0, 0, 0, 0]);
    let error = unreadable(&ObjectName::bucket(), &bucket);
    assert_eq!(error, broken_in(C::NotUtf8, H::ExtendedAttributes, 24));
}

#[test]
fn first_segments_that_are_too_long_are_deviations() {
    for (object_type, limit, length) in [
        (ObjectType::Regular, Limit::FirstSegmentBytes, 16385),
        (ObjectType::Symlink, Limit::SymlinkTargetBytes, 1024),
    ] {
        let mut expected = file();
        expected.attributes.object_type = object_type.code();
        let mut handles = split(&payload(&expected));
        let content = vec![b'x'; length];
        handles[4] = raw_handle(2, &counted(&content));
        expected.content = Content::Data(Cow::Owned(content));
        let deviation = over(limit, length as u64, H::Data, 364);
        read_inode(&expected, &handles.concat(), &[deviation]);
    }
    let entries = entry(&[b'n'; 10], file().block_map.handle.as_bytes()).repeat(410);
    assert_eq!(entries.len(), 16400);
    let mut handles = split(&payload(&directory()));
    let before = handles[..3].concat().len() as u64;
    handles[3] = raw_handle(3, &entries);
    let mut expected = directory();
    expected.content = Content::Directory(DirEntries::from_encoded(entries));
    let deviation = over(Limit::FirstSegmentBytes, 16400, H::Dirents, before + 20);
    read_inode(&expected, &handles.concat(), &[deviation]);
}
