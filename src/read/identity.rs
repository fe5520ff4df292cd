//! Checks that a blob holds the object that its name says (format.md §6).
//!
//! The name is not proof: a copy or a restore may store the bytes of one object under the name of
//! another. Every object identifies itself, and is used only if this matches:
//!
//! - an inode by block 0 of its block map, and a directory also by its entry `.`;
//! - a segment or an indirect block by owner and offset in its DATABACK.
//!
//! Other fields repeat parts of this, but a cache may not update them when it renames an entry or
//! changes attributes: NAME, BACK, `..`, the owner in the name, the ctime in DATABACK. Only `verify`
//! checks them.

use clfs_format::{
    Claim, Content, DataBack, FileType, Filehandle, FormatError, Inode, ObjectName, RawDirEntries,
};

use super::ReadError;
use super::fetch::Fetched;

/// How an object differs from the one that its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The blob holds another object.
    #[error("it holds {0}")]
    Other(Claim),
    /// Block 0 of an inode's block map is not a filehandle.
    #[error("block 0 of its block map does not identify the inode")]
    Unnamed,
    /// The entry `.` of a directory names another directory.
    #[error("its entry \".\" is {0}")]
    Dot(Filehandle),
    /// The filehandle and the blob's name have different types.
    #[error("the type in its name is not that of its filehandle")]
    Type,
    /// The block belongs to another entity.
    #[error("its DATABACK names {found}, not {wanted}")]
    Owner {
        /// The owner in the DATABACK.
        found: Filehandle,
        /// The entity that uses it.
        wanted: Filehandle,
    },
    /// The block belongs at another offset of the same entity.
    #[error("its DATABACK has offset {found}, not {wanted}")]
    Offset {
        /// The offset in the DATABACK.
        found: u64,
        /// The offset where it is used.
        wanted: u64,
    },
}

impl Mismatch {
    pub(crate) fn of(self, blob: &ObjectName) -> ReadError {
        ReadError::OtherObject {
            blob: blob.to_string(),
            mismatch: self,
        }
    }
}

/// Checks that an inode is that of the entity `handle`.
///
/// # Errors
/// How it differs.
pub(crate) fn check_inode(handle: Filehandle, inode: &Inode<'_>) -> Result<(), Mismatch> {
    let claimed = inode.block_map.handle;
    if claimed.is_null() {
        return Err(Mismatch::Unnamed);
    }
    if claimed != handle {
        return Err(Mismatch::Other(Claim::Inode(claimed)));
    }
    match &inode.content {
        Content::Directory(entries) | Content::Root(entries, _) => {
            check_dot(handle, entries.as_bytes())
        }
        _ => Ok(()),
    }
}

/// Checks that the first entry, if it is `.`, names the directory itself. `verify` reports a missing `.`.
fn check_dot(handle: Filehandle, entries: &[u8]) -> Result<(), Mismatch> {
    match RawDirEntries::from_encoded(entries).next() {
        Some(Ok(entry)) if entry.name == b"." && entry.handle != handle => {
            Err(Mismatch::Dot(entry.handle))
        }
        _ => Ok(()),
    }
}

/// Checks that the type in a filehandle is that of its inode.
///
/// # Errors
/// [`Mismatch::Type`] if they differ.
pub(crate) fn check_type(handle: Filehandle, file_type: FileType) -> Result<(), Mismatch> {
    match handle.file_type() == Some(file_type) {
        true => Ok(()),
        false => Err(Mismatch::Type),
    }
}

/// Checks that a segment or an indirect block belongs to `owner`, at `offset`.
///
/// # Errors
/// How it differs.
pub(crate) fn check_block(back: &DataBack, owner: Filehandle, offset: u64) -> Result<(), Mismatch> {
    if back.owner != owner {
        return Err(Mismatch::Owner {
            found: back.owner,
            wanted: owner,
        });
    }
    if back.offset != offset {
        return Err(Mismatch::Offset {
            found: back.offset,
            wanted: offset,
        });
    }
    Ok(())
}

/// Returns why an object could not be decoded: `error`, unless it claims to be another object. `fits`
/// returns whether a claim may be that of the expected object.
pub(crate) fn other_object(
    fetched: &Fetched,
    error: FormatError,
    fits: impl FnOnce(&Claim) -> bool,
) -> ReadError {
    match Claim::of(&fetched.payload) {
        Some(claim) if !fits(&claim) => Mismatch::Other(claim).of(&fetched.name),
        _ => fetched.error(error),
    }
}
