//! Inodes: one object for every file-system entity (docs/format.md section 6).

use std::borrow::Cow;

use crate::attributes::Attributes;
use crate::blockmap::BlockMap;
use crate::buffer::ObjectBuffer;
use crate::directory::{DirEntries, check_name};
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::extended::ExtendedAttributes;
use crate::filehandle::{FileType, Filehandle};
use crate::handle::{HEADER_BYTES, Handle, HandleType, Handles};
use crate::id::ObjectType;
use crate::segment::{decode_data, encode_data};

/// u16 length and the shortest filehandle, the root's.
const LEAST_BACK_BYTES: usize = 18;
const MOST_BACK_BYTES: usize = 26;

/// The inode of an entity, with the first segment of its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inode<'a> {
    /// Owner, size, times and so on.
    pub attributes: Attributes,
    /// The other segments.
    pub block_map: BlockMap,
    /// The directories whose entries name this entity, one for each entry; empty for directories,
    /// which have no such handle.
    pub back: Cow<'a, [Filehandle]>,
    /// The last component of the path. Empty only for a root directory whose source has none (`/`).
    pub name: Cow<'a, [u8]>,
    /// The first segment.
    pub content: Content<'a>,
}

/// What an inode holds of its entity's content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content<'a> {
    /// Devices, sockets and fifos have none.
    None,
    /// The first 16384 bytes of a regular file, or a symlink's target.
    Data(Cow<'a, [u8]>),
    /// The first entries of a directory.
    Directory(DirEntries<'a>),
    /// The first entries of the root directory, and its extended attributes.
    Root(DirEntries<'a>, ExtendedAttributes),
}

impl<'a> Inode<'a> {
    /// Bytes of the payload, or a little more: what to reserve.
    pub fn payload_capacity(&self) -> usize {
        let content = match &self.content {
            Content::None => 0,
            Content::Data(data) => data.len(),
            Content::Directory(entries) => entries.as_bytes().len(),
            Content::Root(entries, attributes) => {
                let pairs = attributes.0.iter().map(|(k, v)| 8 + k.len() + v.len());
                entries.as_bytes().len() + pairs.sum::<usize>()
            }
        };
        // At most six handles, each with a header, a count and padding; the attributes have 104.
        6 * (HEADER_BYTES + 4 + 8)
            + 104
            + self.block_map.encoded_length()
            + self.back.len() * MOST_BACK_BYTES
            + self.name.len()
            + content
    }

    /// Appends the payload: VATTR, BMAP, BACK (unless it is a directory), NAME, then DATA, DIRENTS
    /// or nothing, and EXTATTRS for the root.
    ///
    /// # Errors
    /// Limit for what is too long; Corrupt when the attributes' object type and the content do not
    /// belong together, or the name breaks a rule.
    pub fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let file_type = self.check(Place::new(Part::Handle(HandleType::Attributes), 0))?;
        self.attributes.encode(buffer)?;
        self.block_map.encode(buffer)?;
        if file_type != FileType::Directory {
            encode_back(&self.back, buffer)?;
        }
        self.encode_name(buffer)?;
        match &self.content {
            Content::None => Ok(()),
            Content::Data(data) => encode_data(data, data_limit(file_type), buffer),
            Content::Directory(entries) => entries.encode(Limit::FirstSegmentBytes, buffer),
            Content::Root(entries, attributes) => {
                entries.encode(Limit::FirstSegmentBytes, buffer)?;
                attributes.encode(buffer)
            }
        }
    }

    /// `object_type` is the one in the object's name.
    pub(crate) fn decode(
        object_type: ObjectType,
        mut handles: Handles<'a>,
    ) -> Result<Self, FormatError> {
        let vattr = handles.require(HandleType::Attributes)?;
        let attributes = Attributes::decode(vattr)?;
        let place = vattr.cursor().place();
        let file_type = FileType::from_object_type(object_type)
            .filter(|_| attributes.object_type == object_type.code())
            .ok_or_else(|| place.corrupt(Corrupt::TypeMismatch))?;
        let block_map = BlockMap::decode(handles.require(HandleType::BlockMap)?)?;
        let back = match file_type {
            FileType::Directory => Vec::new(),
            _ => decode_back(handles.require(HandleType::Back)?)?,
        };
        let name = decode_name(handles.require(HandleType::Name)?, &block_map)?;
        let content = match file_type {
            FileType::Regular | FileType::Symlink => {
                let data = handles.require(HandleType::Data)?;
                Content::Data(Cow::Borrowed(decode_data(data, data_limit(file_type))?))
            }
            FileType::Directory => {
                let entries = handles.require(HandleType::Dirents)?;
                let entries = DirEntries::decode(entries, Limit::FirstSegmentBytes)?;
                if block_map.handle.is_root() {
                    let attributes = handles.require(HandleType::ExtendedAttributes)?;
                    Content::Root(entries, ExtendedAttributes::decode(attributes)?)
                } else {
                    Content::Directory(entries)
                }
            }
            _ => Content::None,
        };
        handles.finish()?;
        let inode = Self {
            attributes,
            block_map,
            back: Cow::Owned(back),
            name: Cow::Borrowed(name),
            content,
        };
        inode.check(place)?;
        Ok(inode)
    }

    /// That type, content and block map belong together.
    fn check(&self, place: Place) -> Result<FileType, FormatError> {
        let code = u16::from(self.attributes.object_type);
        let file_type = ObjectType::from_code(code).and_then(FileType::from_object_type);
        let root = self.block_map.handle.is_root();
        let fits = match (&self.content, file_type) {
            (Content::None, Some(file_type)) => matches!(
                file_type,
                FileType::Block | FileType::Character | FileType::Socket | FileType::Fifo
            ),
            (Content::Data(_), Some(FileType::Regular | FileType::Symlink)) => true,
            (Content::Directory(_), Some(FileType::Directory)) => !root,
            (Content::Root(..), Some(FileType::Directory)) => root,
            _ => false,
        };
        let Some(file_type) = file_type.filter(|_| fits) else {
            return Err(place.corrupt(Corrupt::TypeMismatch));
        };
        if file_type == FileType::Directory && !self.back.is_empty() {
            return Err(place.corrupt(Corrupt::HandleUnexpected));
        }
        Ok(file_type)
    }

    fn encode_name(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::Name), 0);
        check_own_name(&self.name, &self.block_map, place)?;
        let handle = buffer.begin(HandleType::Name);
        buffer.counted_bytes(&self.name);
        buffer.end(handle)
    }
}

fn decode_name<'a>(handle: Handle<'a>, map: &BlockMap) -> Result<&'a [u8], FormatError> {
    let mut cursor = handle.cursor();
    let place = cursor.place();
    let name = cursor.counted_bytes()?;
    cursor.finish()?;
    check_own_name(name, map, place)?;
    Ok(name)
}

/// The root alone may have no name: its source may be `/`.
fn check_own_name(name: &[u8], map: &BlockMap, place: Place) -> Result<(), FormatError> {
    if name.is_empty() && map.handle.is_root() {
        return Ok(());
    }
    check_name(name, place)
}

fn data_limit(file_type: FileType) -> Limit {
    match file_type {
        FileType::Symlink => Limit::SymlinkTargetBytes,
        _ => Limit::FirstSegmentBytes,
    }
}

fn encode_back(back: &[Filehandle], buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
    let place = Place::new(Part::Handle(HandleType::Back), 0);
    place.limit(Limit::Links, back.len() as u64)?;
    let handle = buffer.begin(HandleType::Back);
    buffer.u32(back.len() as u32);
    for parent in back {
        buffer.id(parent.as_bytes());
    }
    buffer.end(handle)
}

fn decode_back(handle: Handle<'_>) -> Result<Vec<Filehandle>, FormatError> {
    let mut cursor = handle.cursor();
    let place = cursor.place();
    let count = cursor.count(LEAST_BACK_BYTES)?;
    place.limit(Limit::Links, count as u64)?;
    let mut back = Vec::with_capacity(count);
    for _ in 0..count {
        back.push(cursor.filehandle()?);
    }
    cursor.finish()?;
    Ok(back)
}
