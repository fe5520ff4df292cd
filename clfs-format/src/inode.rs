//! Inodes: one object for every file-system entity (format.md §6).

use std::borrow::Cow;

use crate::attributes::Attributes;
use crate::blockmap::BlockMap;
use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::directory::{DirEntries, check_name, check_name_bytes, check_name_length};
use crate::error::{Corrupt, FormatError, Limit, Part, Place};
use crate::extended::ExtendedAttributes;
use crate::filehandle::{FileType, Filehandle};
use crate::handle::{HEADER_BYTES, Handle, HandleType, Handles};
use crate::id::ObjectType;
use crate::segment::{decode_data, encode_data};

/// Length of an encoded back pointer: u16 length and the 16-byte filehandle of the root.
const MIN_BACK_BYTES: usize = 18;
/// Length of an encoded back pointer: u16 length and a 24-byte filehandle.
const MAX_BACK_BYTES: usize = 26;

/// The inode of a file-system entity, with the first segment of its content (format.md §6). Layout:
/// the handles VATTR, BMAP, BACK (not for directories), NAME, then DATA, DIRENTS or neither, and for
/// the root EXTATTRS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Inode<'a> {
    /// Owner, size, times and so on.
    pub attributes: Attributes,
    /// The block map, with the other segments.
    pub block_map: BlockMap,
    /// The back pointers: for each entry that names this entity, the directory that contains the
    /// entry. At most 1023. Empty for directories, which have no BACK handle.
    pub back: Cow<'a, [Filehandle]>,
    /// The last component of the path, at most 255 bytes without NUL and `/`. Empty only for a root
    /// directory whose source is `/`. After an inspection it may be any bytes, and is empty if NAME is
    /// missing or unreadable.
    pub name: Cow<'a, [u8]>,
    /// The first segment, with at most 16384 bytes.
    pub content: Content<'a>,
}

/// The content in an inode: the first segment (format.md §6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content<'a> {
    /// No content: a device, socket or fifo.
    None,
    /// DATA: the first 16384 bytes of a regular file, or the target of a symlink (at most 1023 bytes).
    Data(Cow<'a, [u8]>),
    /// DIRENTS: the first entries of a directory.
    Directory(DirEntries<'a>),
    /// DIRENTS and EXTATTRS: the first entries of the root directory, and its extended attributes.
    Root(DirEntries<'a>, ExtendedAttributes),
}

impl<'a> Inode<'a> {
    /// Returns a capacity in bytes that suffices for the payload.
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
        // At most six handles, each with a header, a count and padding, and 104 bytes of attributes.
        6 * (HEADER_BYTES + 4 + 8)
            + 104
            + self.block_map.encoded_length()
            + self.back.len() * MAX_BACK_BYTES
            + self.name.len()
            + content
    }

    /// Appends the payload: VATTR, BMAP, BACK (not for directories), NAME, then DATA, DIRENTS or
    /// neither, and for the root EXTATTRS.
    ///
    /// # Errors
    /// - [`FormatError::Limit`] if the name, the content or a list is too long.
    /// - [`FormatError::Corrupt`] if the object type in the attributes does not match the content, or
    ///   the name or the block map breaks a rule.
    /// - [`FormatError::Unsupported`] if a segment size is not one of format.md §6.
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

    /// Decodes an inode. `own` and `object_type` are the filehandle and the type in the object's name.
    pub(crate) fn decode(
        own: Filehandle,
        object_type: ObjectType,
        mut handles: Handles<'a>,
        deviations: &mut Deviations,
    ) -> Result<Self, FormatError> {
        let vattr = handles.require(HandleType::Attributes)?;
        let attributes = Attributes::decode(vattr, deviations)?;
        let file_type = FileType::from_object_type(object_type)
            .filter(|_| attributes.object_type == object_type.code())
            .ok_or_else(|| vattr.cursor().corrupt(Corrupt::TypeMismatch))?;
        let block_map = handles.require(HandleType::BlockMap)?;
        let block_map = BlockMap::decode(block_map, own, deviations)?;
        let back = match file_type {
            FileType::Directory => None,
            _ => handles.take_or_report(HandleType::Back, deviations)?,
        };
        let back = match back {
            None => Vec::new(),
            Some(back) => decode_back(back, deviations)?,
        };
        let name = match handles.take_or_report(HandleType::Name, deviations)? {
            None => &[],
            Some(name) => decode_name(name, own.is_root(), deviations)?,
        };
        let content = match file_type {
            FileType::Regular | FileType::Symlink => {
                let data = handles.require(HandleType::Data)?;
                let data = decode_data(data, data_limit(file_type), deviations)?;
                Content::Data(Cow::Borrowed(data))
            }
            FileType::Directory => {
                let entries = handles.require(HandleType::Dirents)?;
                let entries = DirEntries::decode(entries, Limit::FirstSegmentBytes, deviations)?;
                if own.is_root() {
                    let attributes = decode_root_attributes(&mut handles, deviations)?;
                    Content::Root(entries, attributes)
                } else {
                    Content::Directory(entries)
                }
            }
            _ => Content::None,
        };
        handles.finish(deviations)?;
        Ok(Self {
            attributes,
            block_map,
            back: Cow::Owned(back),
            name: Cow::Borrowed(name),
            content,
        })
    }

    /// Fails unless type, content and block map match.
    fn check(&self, place: Place) -> Result<FileType, FormatError> {
        let code = u16::from(self.attributes.object_type);
        let file_type = ObjectType::from_code(code).and_then(FileType::from_object_type);
        let root = self.block_map.handle.is_root();
        let matches = match (&self.content, file_type) {
            (Content::None, Some(file_type)) => matches!(
                file_type,
                FileType::Block | FileType::Character | FileType::Socket | FileType::Fifo
            ),
            (Content::Data(_), Some(FileType::Regular | FileType::Symlink)) => true,
            (Content::Directory(_), Some(FileType::Directory)) => !root,
            (Content::Root(..), Some(FileType::Directory)) => root,
            _ => false,
        };
        let Some(file_type) = file_type.filter(|_| matches) else {
            return Err(place.corrupt(Corrupt::TypeMismatch));
        };
        if file_type == FileType::Directory && !self.back.is_empty() {
            return Err(place.corrupt(Corrupt::HandleUnexpected));
        }
        Ok(file_type)
    }

    fn encode_name(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        let place = Place::new(Part::Handle(HandleType::Name), 0);
        if !is_empty_root_name(&self.name, self.block_map.handle.is_root()) {
            check_name(&self.name, place)?;
        }
        let handle = buffer.begin(HandleType::Name);
        buffer.counted_bytes(&self.name);
        buffer.end(handle)
    }
}

/// Decodes NAME. Nothing depends on the name, so an inspection keeps one that breaks the rules.
fn decode_name<'a>(
    handle: Handle<'a>,
    root: bool,
    deviations: &mut Deviations,
) -> Result<&'a [u8], FormatError> {
    let mut cursor = handle.cursor();
    let place = cursor.place();
    let Some(name) = deviations.optional(cursor.counted_bytes())? else {
        return Ok(&[]);
    };
    deviations.optional(cursor.finish())?;
    if !is_empty_root_name(name, root) {
        deviations.optional(check_name_length(name, place))?;
        deviations.optional(check_name_bytes(name, place))?;
    }
    Ok(name)
}

/// Returns whether the name is the empty name of a root directory, whose source is `/`.
fn is_empty_root_name(name: &[u8], root: bool) -> bool {
    name.is_empty() && root
}

fn decode_root_attributes(
    handles: &mut Handles<'_>,
    deviations: &mut Deviations,
) -> Result<ExtendedAttributes, FormatError> {
    let handle = handles.take_or_report(HandleType::ExtendedAttributes, deviations)?;
    let Some(handle) = handle else {
        return Ok(ExtendedAttributes::default());
    };
    let attributes = ExtendedAttributes::decode(handle, deviations);
    Ok(deviations.optional(attributes)?.unwrap_or_default())
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

/// Decodes BACK. Nothing else depends on the back pointers, so an inspection keeps those that it can
/// read.
fn decode_back(
    handle: Handle<'_>,
    deviations: &mut Deviations,
) -> Result<Vec<Filehandle>, FormatError> {
    let mut cursor = handle.cursor();
    let place = cursor.place();
    let Some(count) = deviations.optional(cursor.count(MIN_BACK_BYTES))? else {
        return Ok(Vec::new());
    };
    deviations.optional(place.limit(Limit::Links, count as u64))?;
    let mut back = Vec::with_capacity(count);
    for _ in 0..count {
        let place = cursor.place();
        let Some(bytes) = deviations.optional(cursor.raw_id())? else {
            return Ok(back);
        };
        back.extend(deviations.optional(Filehandle::from_bytes_at(bytes, place))?);
    }
    deviations.optional(cursor.finish())?;
    Ok(back)
}
