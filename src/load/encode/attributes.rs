//! Conversion of the source's attributes into those of the format.

use clfs_format::{Attributes, Timestamp};

use crate::entry::SourceAttributes;
use crate::identity::Identity;

/// Returns the attributes of an entity with `size` bytes of content and `nlink` names
/// (format.md §5, VATTR).
pub(crate) fn attributes(
    identity: &Identity,
    source: &SourceAttributes,
    size: u64,
    nlink: u32,
) -> Attributes {
    Attributes {
        mode: source.mode,
        object_type: source.file_type.object_type() as u8,
        flags: 0,
        uid: source.uid,
        gid: source.gid,
        size,
        dtime: Timestamp::MIN,
        mtime: source.mtime,
        ctime: source.ctime,
        atime: source.atime,
        used: size,
        fsid: u64::from(identity.fsid()),
        file_id: source.inode,
        major: source.device.major,
        minor: source.device.minor,
        nlink,
        container_id: u64::from(identity.container_id()),
    }
}
