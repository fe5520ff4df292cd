//! Entities: an inode with the part of the content that it holds.

use std::borrow::Cow;

use bytes::Bytes;
use clfs_format::{
    Attributes, BlockMap, Claim, Content, ExtendedAttributes, FileType, Filehandle, FormatError,
    Object, ObjectId, ObjectName, UnknownHandle,
};

use super::fetch::Fetched;
use super::{ReadError, Reader, identity};

/// The content in an inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InlineContent {
    /// None: devices, sockets, fifos.
    None,
    /// The first bytes of a file, or the target of a symlink.
    Data(Bytes),
    /// The first entries of a directory, encoded.
    Entries(Bytes),
}

/// A decoded inode.
#[derive(Debug, Clone)]
pub struct Entity {
    /// The id by which directory entries name it.
    pub handle: Filehandle,
    /// The type, by the object type in the blob's name.
    pub file_type: FileType,
    /// The name of the blob.
    pub blob: ObjectName,
    /// Owner, permissions, times, size.
    pub attributes: Attributes,
    /// The ids of its other segments.
    pub block_map: BlockMap,
    /// Back pointers: the directories that name it, as stored in the inode; none for directories.
    pub back: Vec<Filehandle>,
    /// NAME, as stored in the inode.
    pub name: Bytes,
    /// The first segment, which is in the inode.
    pub inline: InlineContent,
    /// Extended attributes; only the root has some.
    pub extended: ExtendedAttributes,
    /// Rules that the blob breaks although it can be read.
    pub deviations: Vec<FormatError>,
    /// Handles of unknown types, which were ignored.
    pub unknown: Vec<UnknownHandle>,
}

impl Entity {
    /// Decodes the inode in a downloaded object.
    ///
    /// # Errors
    /// If it is not a readable inode, or belongs to another entity than its name says.
    pub fn from_fetched(fetched: &Fetched) -> Result<Self, ReadError> {
        let inspection = fetched.inspect();
        let inode = match inspection.object {
            Ok(Object::Inode(inode)) => inode,
            Ok(_) => {
                return Err(ReadError::Misplaced {
                    blob: fetched.name.to_string(),
                    problem: "its name is that of an inode, but it holds another object".to_owned(),
                });
            }
            Err(error) => {
                let own = |claim: &Claim| match (claim, fetched.name.id) {
                    (Claim::Inode(claimed), ObjectId::Entity(handle)) => *claimed == handle,
                    _ => false,
                };
                return Err(identity::other_object(fetched, error, own));
            }
        };
        let (ObjectId::Entity(handle), Some(file_type)) = (
            fetched.name.id,
            FileType::from_object_type(fetched.name.object_type()),
        ) else {
            return Err(ReadError::Misplaced {
                blob: fetched.name.to_string(),
                problem: "it is not an inode".to_owned(),
            });
        };
        identity::check_inode(handle, &inode)
            .and_then(|()| identity::check_type(handle, file_type))
            .map_err(|mismatch| mismatch.of(&fetched.name))?;
        let entries = |bytes| InlineContent::Entries(slice(&fetched.payload, bytes));
        let mut extended = ExtendedAttributes::default();
        let inline = match inode.content {
            Content::None => InlineContent::None,
            Content::Data(data) => InlineContent::Data(slice(&fetched.payload, data)),
            Content::Directory(listed) => entries(listed.into_encoded()),
            Content::Root(listed, attributes) => {
                extended = attributes;
                entries(listed.into_encoded())
            }
        };
        let mut deviations = fetched.deviations.clone();
        deviations.extend(inspection.deviations);
        Ok(Self {
            handle,
            file_type,
            blob: fetched.name,
            attributes: inode.attributes,
            block_map: inode.block_map,
            back: inode.back.into_owned(),
            name: slice(&fetched.payload, inode.name),
            inline,
            extended,
            deviations,
            unknown: inspection.unknown,
        })
    }

    /// Returns the target of a symlink; none for other types.
    pub fn target(&self) -> Option<&Bytes> {
        match (&self.inline, self.file_type) {
            (InlineContent::Data(target), FileType::Symlink) => Some(target),
            _ => None,
        }
    }

    pub(crate) fn misplaced(&self, problem: String) -> ReadError {
        ReadError::Misplaced {
            blob: self.blob.to_string(),
            problem,
        }
    }
}

/// Returns the same bytes; without a copy if they are borrowed from the payload.
fn slice(payload: &Bytes, part: Cow<'_, [u8]>) -> Bytes {
    match part {
        Cow::Borrowed(part) => payload.slice_ref(part),
        Cow::Owned(part) => Bytes::from(part),
    }
}

impl Reader {
    /// Reads the inode of an entity.
    ///
    /// # Errors
    /// If it does not exist, or cannot be read.
    pub async fn entity(&self, handle: Filehandle) -> Result<Entity, ReadError> {
        let fetched = self.fetch_id(&ObjectId::Entity(handle)).await?;
        Entity::from_fetched(&fetched)
    }

    /// Reads the root directory's inode.
    ///
    /// # Errors
    /// If it does not exist, as in a container whose load did not finish, or cannot be read.
    pub async fn root(&self) -> Result<Entity, ReadError> {
        match self.entity(Filehandle::ROOT).await {
            Err(ReadError::Missing(_)) => Err(ReadError::NoRoot(self.location().to_owned())),
            other => other,
        }
    }
}
