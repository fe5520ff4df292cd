//! Shows that an object is the one that it is read as (docs/format.md section 6).
//!
//! A blob's name is no proof: whoever copies or restores blobs may put one object's bytes under
//! another's name. Every object says inside whose it is, and only what agrees is used:
//!
//! - an inode by block 0 of its block map, a directory's by its entry `.` as well;
//! - a segment or an indirect block by owner and offset in its DATABACK.
//!
//! Other fields repeat parts of this, but a cache may leave them behind when it renames an entry or
//! changes attributes: NAME, BACK, `..`, the owner in the name, the ctime in DATABACK. They are rules
//! that `verify` checks, not identity.

use clfs_format::{
    Claim, Content, DataBack, FileType, Filehandle, FormatError, Inode, ObjectName, RawDirEntries,
};

use super::ReadError;
use super::fetch::Fetched;

/// How an object shows that it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is another object.
    #[error("it holds {0}")]
    Other(Claim),
    /// Block 0 of an inode's block map is no filehandle that names anything.
    #[error("block 0 of its block map does not say whose inode it is")]
    Unnamed,
    /// A directory's `.` is another directory.
    #[error("its entry \".\" is {0}")]
    Dot(Filehandle),
    /// The filehandle and the blob's name have different types.
    #[error("its name says another type than its filehandle")]
    Type,
    /// A block of another entity.
    #[error("its DATABACK names {found}, not {wanted}")]
    Owner {
        /// The owner that it names.
        found: Filehandle,
        /// The entity that uses it.
        wanted: Filehandle,
    },
    /// A block of another place in the same entity.
    #[error("its DATABACK says offset {found}, not {wanted}")]
    Offset {
        /// The offset that it says.
        found: u64,
        /// Where it is used.
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
/// How it shows that it is another's.
pub(crate) fn check_inode(handle: Filehandle, inode: &Inode<'_>) -> Result<(), Mismatch> {
    let said = inode.block_map.handle;
    if said.is_null() {
        return Err(Mismatch::Unnamed);
    }
    if said != handle {
        return Err(Mismatch::Other(Claim::Inode(said)));
    }
    match &inode.content {
        Content::Directory(entries) | Content::Root(entries, _) => {
            check_dot(handle, entries.as_bytes())
        }
        _ => Ok(()),
    }
}

/// A first entry `.` that is another directory. That there is one is a rule, and `verify`'s.
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
/// [`Mismatch::Type`] when they differ.
pub(crate) fn check_type(handle: Filehandle, file_type: FileType) -> Result<(), Mismatch> {
    match handle.file_type() == Some(file_type) {
        true => Ok(()),
        false => Err(Mismatch::Type),
    }
}

/// Checks that a segment or an indirect block belongs to `owner`, at `offset`.
///
/// # Errors
/// How it shows that it belongs elsewhere.
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

/// Why an object could not be read as what it should be: `error`, unless it is another object. `fits`
/// says whether a claim may be that of the right one.
pub(crate) fn unlike(
    fetched: &Fetched,
    error: FormatError,
    fits: impl FnOnce(&Claim) -> bool,
) -> ReadError {
    match Claim::of(&fetched.payload) {
        Some(claim) if !fits(&claim) => Mismatch::Other(claim).of(&fetched.name),
        _ => fetched.error(error),
    }
}
