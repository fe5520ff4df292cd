//! Inodes: an entity of the file system with the first piece of its content.

use std::borrow::Cow;

use bytes::Bytes;
use clfs_format::{
    Attributes, BlockMap, Claim, Content, ExtendedAttributes, FileType, Filehandle, FormatError,
    Object, ObjectId, ObjectName, UnknownHandle,
};

use super::fetch::Fetched;
use super::{ReadError, Reader, identity};

/// What an inode holds of its entity's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum First {
    /// Nothing: devices, sockets, fifos.
    None,
    /// The first bytes of a file, or a symlink's target.
    Data(Bytes),
    /// The first entries of a directory, encoded.
    Entries(Bytes),
}

/// An inode that was read.
#[derive(Debug, Clone)]
pub struct Entity {
    /// Its id: what directories name it by.
    pub handle: Filehandle,
    /// By the object type in the blob's name.
    pub file_type: FileType,
    /// The blob's name.
    pub blob: ObjectName,
    /// Owner, times and so on.
    pub attributes: Attributes,
    /// Where its other segments are.
    pub block_map: BlockMap,
    /// The directories that name it, as the inode says; none for directories.
    pub back: Vec<Filehandle>,
    /// Its own name, as the inode says.
    pub name: Bytes,
    /// The first segment.
    pub first: First,
    /// Extended attributes; the root has some.
    pub extended: ExtendedAttributes,
    /// Rules that the blob breaks, though it can be read.
    pub deviations: Vec<FormatError>,
    /// Handles of unknown types, which were passed over.
    pub unknown: Vec<UnknownHandle>,
}

impl Entity {
    /// Takes the inode out of a fetched object.
    ///
    /// # Errors
    /// When it is no inode that can be read, or that of another entity than its name says.
    pub fn from_fetched(fetched: &Fetched) -> Result<Self, ReadError> {
        let inspection = fetched.inspect();
        let inode = match inspection.object {
            Ok(Object::Inode(inode)) => inode,
            Ok(_) => {
                return Err(ReadError::Misplaced {
                    blob: fetched.name.to_string(),
                    problem: "it is named as an inode and holds none".to_owned(),
                });
            }
            Err(error) => {
                let own = |claim: &Claim| match (claim, fetched.name.id) {
                    (Claim::Inode(said), ObjectId::Entity(handle)) => *said == handle,
                    _ => false,
                };
                return Err(identity::unlike(fetched, error, own));
            }
        };
        let (ObjectId::Entity(handle), Some(file_type)) = (
            fetched.name.id,
            FileType::from_object_type(fetched.name.object_type()),
        ) else {
            return Err(ReadError::Misplaced {
                blob: fetched.name.to_string(),
                problem: "it is no inode".to_owned(),
            });
        };
        identity::check_inode(handle, &inode)
            .and_then(|()| identity::check_type(handle, file_type))
            .map_err(|mismatch| mismatch.of(&fetched.name))?;
        let (first, extended) = match inode.content {
            Content::None => (First::None, ExtendedAttributes::default()),
            Content::Data(data) => (
                First::Data(shared(&fetched.payload, data)),
                ExtendedAttributes::default(),
            ),
            Content::Directory(entries) => (
                First::Entries(shared(&fetched.payload, entries.into_encoded())),
                ExtendedAttributes::default(),
            ),
            Content::Root(entries, extended) => (
                First::Entries(shared(&fetched.payload, entries.into_encoded())),
                extended,
            ),
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
            name: shared(&fetched.payload, inode.name),
            first,
            extended,
            deviations,
            unknown: inspection.unknown,
        })
    }

    /// The target of a symlink; none for anything else.
    pub fn target(&self) -> Option<&Bytes> {
        match (&self.first, self.file_type) {
            (First::Data(target), FileType::Symlink) => Some(target),
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

/// The same bytes without a copy where they lie in the payload.
fn shared(payload: &Bytes, part: Cow<'_, [u8]>) -> Bytes {
    match part {
        Cow::Borrowed(part) => payload.slice_ref(part),
        Cow::Owned(part) => Bytes::from(part),
    }
}

impl Reader {
    /// Reads the inode of an entity.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub async fn entity(&self, handle: Filehandle) -> Result<Entity, ReadError> {
        let fetched = self.fetch_id(&ObjectId::Entity(handle)).await?;
        Entity::from_fetched(&fetched)
    }

    /// Reads the root directory's inode.
    ///
    /// # Errors
    /// When there is none, as in a container whose load was not finished, or it cannot be read.
    pub async fn root(&self) -> Result<Entity, ReadError> {
        match self.entity(Filehandle::ROOT).await {
            Err(ReadError::Missing(_)) => Err(ReadError::NoRoot(self.location().to_owned())),
            other => other,
        }
    }
}
