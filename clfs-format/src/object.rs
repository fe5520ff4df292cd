//! Any object: which decoder a name asks for (docs/format.md section 6).

use crate::buffer::ObjectBuffer;
use crate::error::{Corrupt, FormatError, Part, Place, Unsupported};
use crate::extended::Bucket;
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
        let mut unknown = Vec::new();
        let object_type = name.object_type();
        let place = Place::new(Part::ObjectName, 0);
        let unsupported = place.unsupported(Unsupported::ObjectType(u16::from(object_type.code())));
        let object = match (&name.id, object_type) {
            (ObjectId::WellKnown(WellKnownId::Bucket), _) => {
                Self::Bucket(Bucket::decode(Handles::read(payload, &mut unknown)?)?)
            }
            (ObjectId::WellKnown(other), _) => {
                let kind = Unsupported::WellKnownObject(other.code());
                return Err(place.unsupported(kind));
            }
            (_, ObjectType::Tombstone | ObjectType::Special | ObjectType::HardLink) => {
                return Err(unsupported);
            }
            (ObjectId::Block(_), ObjectType::Segment) => {
                let handles = Handles::read(payload, &mut unknown)?;
                if handles.has(HandleType::Dirents) {
                    Self::DirectorySegment(DirectorySegment::decode(handles)?)
                } else {
                    Self::FileSegment(FileSegment::decode(handles)?)
                }
            }
            (ObjectId::Block(_), ObjectType::Indirect) => Self::IndirectBlock(
                IndirectBlock::decode(Handles::read(payload, &mut unknown)?)?,
            ),
            (ObjectId::Entity(handle), _) => {
                let handles = Handles::read(payload, &mut unknown)?;
                let inode = Inode::decode(object_type, handles)?;
                if inode.block_map.handle != *handle {
                    let place = Place::new(Part::Handle(HandleType::BlockMap), 0);
                    return Err(place.corrupt(Corrupt::OwnHandle));
                }
                Self::Inode(inode)
            }
            (ObjectId::Block(_), _) => return Err(place.corrupt(Corrupt::TypeMismatch)),
        };
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
