//! Any object: which decoder a name asks for (docs/format.md section 6).

use crate::buffer::ObjectBuffer;
use crate::deviations::Deviations;
use crate::error::{Corrupt, FormatError, Part, Place, Unsupported};
use crate::extended::Bucket;
use crate::filehandle::Filehandle;
use crate::handle::{HandleType, Handles, UnknownHandle, refuse};
use crate::id::{ObjectId, ObjectType, WellKnownId};
use crate::indirect::IndirectBlock;
use crate::inode::Inode;
use crate::name::ObjectName;
use crate::segment::{DirectorySegment, FileSegment};

/// An object's payload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
// Nearly all objects are inodes: a box would cost each of them an allocation and save none.
#[allow(clippy::large_enum_variant)]
pub enum Object<'a> {
    /// An entity of the file system.
    Inode(Inode<'a>),
    /// A piece of a file.
    FileSegment(FileSegment<'a>),
    /// A piece of a directory.
    DirectorySegment(DirectorySegment<'a>),
    /// A block of a tree of pointers.
    IndirectBlock(IndirectBlock),
    /// The bucket object.
    Bucket(Bucket),
}

impl<'a> Object<'a> {
    /// Decodes a payload; the name says what it must be.
    ///
    /// # Errors
    /// Corrupt or Limit when the payload breaks a rule; Unsupported for objects without a decoder
    /// and for handles that only the cache writes: see [`Object::decode_with_unknown`].
    pub fn decode(name: &ObjectName, payload: &'a [u8]) -> Result<Self, FormatError> {
        let (object, unknown) = Self::decode_with_unknown(name, payload)?;
        refuse(&unknown)?;
        Ok(object)
    }

    /// The same, but well-formed handles of unknown types are passed over and listed.
    ///
    /// # Errors
    /// As [`Object::decode`], unknown handles aside.
    pub fn decode_with_unknown(
        name: &ObjectName,
        payload: &'a [u8],
    ) -> Result<(Self, Vec<UnknownHandle>), FormatError> {
        let decoder = Decoder::of(name)?;
        let mut unknown = Vec::new();
        let mut deviations = Deviations::Refused;
        let handles = Handles::read(payload, &mut unknown, &mut deviations)?;
        let object = decoder.decode(handles, &mut deviations)?;
        Ok((object, unknown))
    }

    /// Appends the payload.
    ///
    /// # Errors
    /// Limit or Corrupt when the object breaks a rule; the buffer then holds a part of it.
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

/// What a name says about the payload.
pub(crate) enum Decoder {
    Inode(Filehandle, ObjectType),
    Segment,
    IndirectBlock,
    Bucket,
}

impl Decoder {
    pub(crate) fn of(name: &ObjectName) -> Result<Self, FormatError> {
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
