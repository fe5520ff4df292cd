//! The blob names of entities.

use clfs_format::{FileType, Filehandle, ObjectName};

use crate::container::BlobName;

/// Returns the name of an inode. `owner` is its directory or, with several names, the directory of the first.
pub fn entity_name(handle: Filehandle, file_type: FileType, owner: Filehandle) -> ObjectName {
    ObjectName::entity(handle, file_type.object_type(), owner)
}

/// Returns the name of the bucket object.
pub fn bucket_name() -> BlobName {
    BlobName::from(&ObjectName::bucket())
}

/// Returns the name of the root's inode.
pub fn root_name() -> BlobName {
    BlobName::from(&ObjectName::root())
}
