//! Small well-formed objects, and helpers that build payloads and expected errors by hand.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::borrow::Cow;

use clfs_format::*;

pub fn handle(file_type: FileType, sequence: u64) -> Filehandle {
    let fields = FilehandleFields {
        container_id: 0x1234_5678,
        parent_directory_manager: 0,
        directory_manager: 7,
        file_type,
        sequence,
        random: sequence * 0x9e37_79b9,
    };
    fields.filehandle().unwrap()
}

pub fn block(i: u64) -> BlockId {
    BlockId(u128::from(i).to_be_bytes())
}

pub fn file() -> Inode<'static> {
    let own = handle(FileType::Regular, 1001);
    Inode {
        attributes: Attributes {
            object_type: ObjectType::Regular.code(),
            ..Attributes::default()
        },
        block_map: BlockMap::single(own, 8 << 20),
        back: Cow::Owned(vec![Filehandle::ROOT]),
        name: Cow::Borrowed(b"file"),
        content: Content::Data(Cow::Borrowed(b"content")),
    }
}

pub fn directory() -> Inode<'static> {
    let own = handle(FileType::Directory, 1002);
    let entries = DirectorySegmenter::new(own, Filehandle::ROOT).finish().last;
    Inode {
        attributes: Attributes {
            object_type: ObjectType::Directory.code(),
            ..Attributes::default()
        },
        block_map: BlockMap::single(own, 262_144),
        back: Cow::Owned(vec![]),
        name: Cow::Borrowed(b"directory"),
        content: Content::Directory(DirEntries::from_encoded(entries)),
    }
}

pub fn name_of(inode: &Inode<'_>) -> ObjectName {
    let object_type = ObjectType::from_code(inode.attributes.object_type.into()).unwrap();
    ObjectName::entity(inode.block_map.handle, object_type, Filehandle::ROOT)
}

pub fn payload(inode: &Inode<'_>) -> Vec<u8> {
    let mut buffer = ObjectBuffer::with_capacity(inode.payload_capacity());
    inode.encode(&mut buffer).unwrap();
    assert!(buffer.payload().len() <= inode.payload_capacity());
    buffer.payload().to_vec()
}

/// Returns a handle with this type and content.
pub fn raw_handle(code: u32, content: &[u8]) -> Vec<u8> {
    let real = u32::try_from(content.len()).unwrap();
    let padded = (20 + real).next_multiple_of(8);
    let header = [0x0301_6005, padded, real, code, 0].map(u32::to_le_bytes);
    let mut bytes = header.concat();
    bytes.extend_from_slice(content);
    bytes.resize(padded as usize, 0);
    bytes
}

/// Returns a u32 length and the bytes.
pub fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_le_bytes(), bytes].concat()
}

/// Splits a well-formed payload into its handles, each with header and padding.
pub fn split(mut payload: &[u8]) -> Vec<Vec<u8>> {
    let mut handles = Vec::new();
    while !payload.is_empty() {
        let padded = u32::from_le_bytes(payload[4..8].try_into().unwrap());
        let (handle, rest) = payload.split_at(padded as usize);
        handles.push(handle.to_vec());
        payload = rest;
    }
    handles
}

/// Returns a DATABACK handle with the root as its owner.
pub fn data_back() -> Vec<u8> {
    raw_handle(
        10,
        &[&[0; 12], &[16, 0][..], Filehandle::ROOT.as_bytes()].concat(),
    )
}

/// Returns an encoded entry, with any name and filehandle.
pub fn entry(name: &[u8], handle: &[u8]) -> Vec<u8> {
    let length = u16::try_from(handle.len()).unwrap();
    [&counted(name), &length.to_le_bytes()[..], handle].concat()
}

/// Returns the error of a rule that is broken at this place.
pub fn broken(kind: Corrupt, part: Part, offset: u64) -> FormatError {
    let place = Place { part, offset };
    FormatError::Corrupt { kind, place }
}

/// Returns the error of a rule that is broken in the content of a handle.
pub fn broken_in(kind: Corrupt, handle: HandleType, offset: u64) -> FormatError {
    broken(kind, Part::Handle(handle), offset)
}

/// Returns the error of a limit that is exceeded in the content of a handle.
pub fn over(limit: Limit, value: u64, handle: HandleType, offset: u64) -> FormatError {
    let part = Part::Handle(handle);
    let place = Place { part, offset };
    FormatError::Limit {
        limit,
        value,
        place,
    }
}

/// Inspects an object, which must have exactly these deviations and no unknown handle. The strict
/// decoder must reject it with the first deviation.
#[track_caller]
pub fn read<'a>(name: &ObjectName, payload: &'a [u8], deviations: &[FormatError]) -> Object<'a> {
    let inspection = Object::inspect(name, payload);
    assert_eq!(inspection.deviations, deviations);
    assert_eq!(inspection.unknown, []);
    let object = inspection.object.unwrap();
    match deviations.first() {
        Some(first) => assert_eq!(Object::decode(name, payload), Err(*first)),
        None => assert_eq!(Object::decode(name, payload).as_ref(), Ok(&object)),
    }
    object
}

/// Returns the error of an object that neither an inspection nor the strict decoder can decode, and
/// that has no deviations.
#[track_caller]
pub fn unreadable(name: &ObjectName, payload: &[u8]) -> FormatError {
    let inspection = Object::inspect(name, payload);
    assert_eq!(inspection.deviations, []);
    let error = inspection.object.unwrap_err();
    assert_eq!(Object::decode(name, payload), Err(error));
    error
}
