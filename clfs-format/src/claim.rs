//! The identity stored in an object's payload, independent of the blob name (format.md §6).

use std::fmt;

use crate::cursor::Cursor;
use crate::databack::DataBack;
use crate::deviations::Deviations;
use crate::filehandle::Filehandle;
use crate::handle::{Handle, HandleType, Handles};

/// u32 first segment, u32 other segments, u32 count: what precedes block 0 in BMAP.
const BEFORE_BLOCK_0: usize = 12;

/// The identity stored in a payload. If the blob name of an undamaged payload differs from it, the blob
/// holds another object.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// The inode of an entity: block 0 of its block map.
    Inode(Filehandle),
    /// A segment of a file.
    FileSegment(DataBack),
    /// A segment of a directory.
    DirectorySegment(DataBack),
    /// An indirect block of a file or directory.
    IndirectBlock(DataBack),
    /// The bucket object, which has no id inside.
    Bucket,
}

impl Claim {
    /// Reads the identity stored in a payload. Returns None if the payload is too damaged.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let mut deviations = Deviations::collected();
        let mut handles = Handles::read(payload, &mut Vec::new(), &mut deviations).ok()?;
        if handles.has(HandleType::Attributes) {
            let map = handles.require(HandleType::BlockMap).ok()?;
            return own_block(map).map(Self::Inode);
        }
        if let Ok(back) = handles.require(HandleType::DataBack) {
            let back = DataBack::decode(back, &mut deviations).ok()?;
            return if handles.has(HandleType::Indirect) {
                Some(Self::IndirectBlock(back))
            } else if handles.has(HandleType::Dirents) {
                Some(Self::DirectorySegment(back))
            } else if handles.has(HandleType::Data) {
                Some(Self::FileSegment(back))
            } else {
                None
            };
        }
        handles
            .has(HandleType::ExtendedAttributes)
            .then_some(Self::Bucket)
    }
}

fn own_block(map: Handle<'_>) -> Option<Filehandle> {
    let mut cursor: Cursor<'_> = map.cursor();
    cursor.take(BEFORE_BLOCK_0).ok()?;
    Filehandle::from_bytes(cursor.raw_id().ok()?).ok()
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, back) = match self {
            Self::Inode(handle) if handle.is_root() => {
                return f.write_str("the inode of the root directory");
            }
            Self::Inode(handle) => return write!(f, "the inode of the entity {handle}"),
            Self::Bucket => return f.write_str("the bucket object"),
            Self::FileSegment(back) => ("a segment of the file", back),
            Self::DirectorySegment(back) => ("a segment of the directory", back),
            Self::IndirectBlock(back) => ("an indirect block of", back),
        };
        write!(f, "{what} {} (offset {})", back.owner, back.offset)
    }
}
