//! Objects of all kinds: the name of an object selects its decoder (format.md §6).

use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Part, Place, Unsupported};
use crate::extended::Bucket;
use crate::filehandle::Filehandle;
use crate::handle::{HandleType, Handles, UnknownHandle, reject_unknown};
use crate::id::{ObjectId, ObjectType, WellKnownId};
use crate::indirect::IndirectBlock;
use crate::inode::Inode;
use crate::name::ObjectName;
use crate::segment::{DirectorySegment, FileSegment};

/// The decoded payload of an object (format.md §6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
// Nearly all objects are inodes, so a box would only add an allocation to each.
#[allow(clippy::large_enum_variant)]
pub enum Object<'a> {
    /// The inode of a file-system entity.
    Inode(Inode<'a>),
    /// A segment of a file.
    FileSegment(FileSegment<'a>),
    /// A segment of a directory.
    DirectorySegment(DirectorySegment<'a>),
    /// An indirect block.
    IndirectBlock(IndirectBlock),
    /// The bucket object.
    Bucket(Bucket),
}

impl<'a> Object<'a> {
    /// Decodes a payload as the kind of object that `name` names. Content is borrowed from the
    /// payload.
    ///
    /// # Errors
    /// - [`FormatError::Corrupt`] or [`FormatError::Limit`] if the payload breaks a rule.
    /// - [`FormatError::Unsupported`] if the object has no decoder, a segment size other than those
    ///   of format.md §6, or a handle that no loader writes (see [`Object::decode_with_unknown`]).
    pub fn decode(name: &ObjectName, payload: &'a [u8]) -> Result<Self, FormatError> {
        let (object, unknown) = Self::decode_with_unknown(name, payload)?;
        reject_unknown(&unknown)?;
        Ok(object)
    }

    /// Decodes a payload like [`Object::decode`], but skips well-formed handles of unknown types and
    /// returns a list of them.
    ///
    /// # Errors
    /// The same errors as [`Object::decode`], except for unknown handles.
    pub fn decode_with_unknown(
        name: &ObjectName,
        payload: &'a [u8],
    ) -> Result<(Self, Vec<UnknownHandle>), FormatError> {
        let decoder = Decoder::for_name(name)?;
        let mut unknown = Vec::new();
        let mut deviations = Deviations::Strict;
        let handles = Handles::read(payload, &mut unknown, &mut deviations)?;
        let object = decoder.decode(handles, &mut deviations)?;
        Ok((object, unknown))
    }

    /// Appends the payload to `buffer`.
    ///
    /// # Errors
    /// [`FormatError::Limit`], [`FormatError::Corrupt`] or [`FormatError::Unsupported`] (segment
    /// sizes) if the object breaks a rule. The buffer then contains a part of the payload.
    pub fn encode(&self, buffer: &mut ObjectBuffer) -> Result<(), FormatError> {
        match self {
            Self::Inode(inode) => inode.encode(buffer),
            Self::FileSegment(segment) => segment.encode(buffer),
            Self::DirectorySegment(segment) => segment.encode(buffer),
            Self::IndirectBlock(block) => block.encode(buffer),
            Self::Bucket(bucket) => bucket.encode(buffer),
        }
    }
}

/// The decoder that an object's name selects.
pub(crate) enum Decoder {
    Inode(Filehandle, ObjectType),
    Segment,
    IndirectBlock,
    Bucket,
}

impl Decoder {
    pub(crate) fn for_name(name: &ObjectName) -> Result<Self, FormatError> {
        let place = Place::new(Part::ObjectName, 0);
        let object_type = name.object_type();
        match (&name.id, object_type) {
            (ObjectId::WellKnown(WellKnownId::Bucket), _) => Ok(Self::Bucket),
            (ObjectId::WellKnown(other), _) => {
                Err(place.unsupported(Unsupported::WellKnownObject(other.code())))
            }
            (_, ObjectType::Tombstone | ObjectType::Special | ObjectType::HardLink) => {
                let code = u16::from(object_type.code());
                Err(place.unsupported(Unsupported::ObjectType(code)))
            }
            (ObjectId::Block(_), ObjectType::Segment) => Ok(Self::Segment),
            (ObjectId::Block(_), ObjectType::Indirect) => Ok(Self::IndirectBlock),
            (ObjectId::Entity(handle), _) => Ok(Self::Inode(*handle, object_type)),
            (ObjectId::Block(_), _) => Err(place.corrupt(Corrupt::TypeMismatch)),
        }
    }

    pub(crate) fn decode<'a>(
        &self,
        handles: Handles<'a>,
        deviations: &mut Deviations,
    ) -> Result<Object<'a>, FormatError> {
        match self {
            Self::Inode(own, object_type) => {
                Inode::decode(*own, *object_type, handles, deviations).map(Object::Inode)
            }
            Self::Segment if handles.has(HandleType::Dirents) => {
                DirectorySegment::decode(handles, deviations).map(Object::DirectorySegment)
            }
            Self::Segment => FileSegment::decode(handles, deviations).map(Object::FileSegment),
            Self::IndirectBlock => {
                IndirectBlock::decode(handles, deviations).map(Object::IndirectBlock)
            }
            Self::Bucket => Bucket::decode(handles, deviations).map(Object::Bucket),
        }
    }
}
