//! The CLFS object format, both directions: names, hashes, filehandles, the wrapper, and every
//! object a loader writes.
//!
//! The specification is `docs/format.md` of the project; comments cite it by section. The crate
//! does no I/O: it turns values into the bytes of a blob and back. Everything it decodes is
//! untrusted: lengths are checked before they are believed, nothing is allocated that the input
//! does not pay for, and every failure is a [`FormatError`] that names the place.
#![forbid(unsafe_code)]

/// Its example is tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod attributes;
mod block_map_reader;
mod blockmap;
mod buffer;
mod claim;
mod cursor;
mod databack;
mod deviations;
mod directory;
mod entries;
mod error;
mod extended;
mod filehandle;
mod frame;
mod handle;
mod hash;
mod id;
mod indirect;
mod inode;
mod inspect;
pub mod limits;
mod name;
mod object;
mod segment;
mod wrapper;

pub use attributes::{Attributes, Timestamp};
pub use block_map_reader::{BlockMapReader, BlockStep};
pub use blockmap::{
    BlockMap, BlockMapBuilder, FinishedIndirect, IndirectPosition, directory_segment_offset,
    file_segment_count, file_segment_range,
};
pub use buffer::{ObjectBuffer, SegmentBuffer};
pub use claim::Claim;
pub use databack::DataBack;
pub use directory::{DirEntries, DirEntry, DirectorySegmenter, DirectorySegments};
pub use entries::{BadEntry, DirEntriesIter, RawDirEntries};
pub use error::{Corrupt, FormatError, Limit, Part, Place, Unsupported};
pub use extended::{BUCKET_VERSION, Bucket, ExtendedAttributes};
pub use filehandle::{FileType, Filehandle, FilehandleFields};
pub use handle::{HandleType, UnknownHandle};
pub use hash::{fnv1, hash64, murmur2};
pub use id::{BlockId, ObjectId, ObjectType, WellKnownId};
pub use indirect::IndirectBlock;
pub use inode::{Content, Inode};
pub use inspect::Inspection;
pub use limits::{
    DIRECT_BLOCKS, DIRECTORY_MANAGERS, DIRECTORY_SEGMENT_BYTES, FILE_SEGMENT_BYTES,
    FIRST_SEGMENT_BYTES, FIRST_SEQUENCE, FIRST_VERSION, POINTERS_PER_INDIRECT,
};
pub use name::{NameKind, ObjectName};
pub use object::Object;
pub use segment::{DirectorySegment, FileSegment};
pub use wrapper::{Compression, Lz4Encoder, Unwrapped, Wrapped, inspect_wrapper, unwrap};
