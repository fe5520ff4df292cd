//! Encodes and decodes the objects of CLFS, the format in which an Avere cluster (vFXT, FXT Edge
//! Filer, Azure HPC Cache) keeps a file system in an Azure Blob container.
//!
//! An object is one blob: a 4-byte wrapper and a payload. The payload is a sequence of typed
//! handles, either as it is or as one LZ4 frame. The blob's name contains the object's id and type,
//! so both the name and the bytes are needed to decode an object. The crate performs no I/O: the
//! caller downloads and uploads the blobs. The programs in `examples/` decode, inspect and encode
//! files.
//!
//! | layer | decode | encode |
//! |---|---|---|
//! | name of a blob | [`ObjectName::parse`] | `to_string` of an [`ObjectName`] |
//! | blob: wrapper and payload | [`unwrap()`], [`inspect_wrapper`] | [`Lz4Encoder::wrap`] |
//! | payload | [`Object::decode`], [`Object::inspect`] | [`Object::encode`], [`Inode::encode`] and so on |
//! | entries of a directory | [`DirEntries::iter`] | [`DirectorySegmenter`] |
//! | segments of a file or directory | [`BlockMapReader`] | [`BlockMapBuilder`] |
//!
//! The specification is `docs/format.md` in the package; comments cite its sections as
//! "format.md §6".
//!
//! # Untrusted input
//!
//! Decoders treat their input as untrusted. They check a length before they use it, they allocate no
//! more than the input or the caller's limit justifies, and they do not panic. Every failure is a
//! [`FormatError`] with the structure and the offset. [`Object::decode`] rejects an object that
//! breaks a rule; [`Object::inspect`] decodes as much as possible and lists the broken rules.
//!
//! # Decode a blob
//!
//! ```
//! use clfs_format::{Object, ObjectName, limits::PAYLOAD_BYTES, unwrap};
//! # use clfs_format::{Bucket, Compression, Lz4Encoder, ObjectBuffer};
//!
//! # fn main() -> Result<(), clfs_format::FormatError> {
//! # let mut buffer = ObjectBuffer::with_capacity(0);
//! # Bucket::new("8c2f3a52-5d0e-4d0b-9d0c-0f2a6f6f6c11", &[]).encode(&mut buffer)?;
//! # let blob = Lz4Encoder::new().wrap(buffer, Compression::Lz4);
//! # let blob_name = "00000063_00000000000000000000000000000063.00000000009.FFFFFFFF.0001";
//! // `blob_name` and `blob` are the name and the bytes of a downloaded blob.
//! let name = ObjectName::parse(blob_name)?;
//! let payload = unwrap(&blob, PAYLOAD_BYTES)?;
//! match Object::decode(&name, &payload)? {
//!     Object::Bucket(bucket) => {
//!         assert_eq!(bucket.uuid(), Some("8c2f3a52-5d0e-4d0b-9d0c-0f2a6f6f6c11"));
//!     }
//!     other => panic!("expected the bucket object: {other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Encode a blob
//!
//! The inode of a five-byte file in the root directory:
//!
//! ```
//! use clfs_format::{
//!     Attributes, BlockMap, Compression, Content, FILE_SEGMENT_BYTES, FIRST_SEQUENCE, FileType,
//!     Filehandle, FilehandleFields, Inode, Lz4Encoder, ObjectBuffer, ObjectName, ObjectType,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let fields = FilehandleFields {
//!     container_id: 0x0012_3456,
//!     parent_directory_manager: 0,
//!     directory_manager: 0,
//!     file_type: FileType::Regular,
//!     sequence: FIRST_SEQUENCE,
//!     random: 0x5eed,
//! };
//! let handle = fields.filehandle().ok_or("choose another random number")?;
//! let inode = Inode {
//!     attributes: Attributes {
//!         mode: 0o100_644,
//!         object_type: ObjectType::Regular.code(),
//!         size: 5,
//!         used: 5,
//!         nlink: 1,
//!         ..Attributes::default()
//!     },
//!     block_map: BlockMap::single(handle, FILE_SEGMENT_BYTES.try_into()?),
//!     back: vec![Filehandle::ROOT].into(),
//!     name: b"greeting".as_slice().into(),
//!     content: Content::Data(b"hello".as_slice().into()),
//! };
//!
//! let mut buffer = ObjectBuffer::with_capacity(inode.payload_capacity());
//! inode.encode(&mut buffer)?;
//! let blob = Lz4Encoder::new().wrap(buffer, Compression::Lz4);
//! let blob_name = ObjectName::entity(handle, ObjectType::Regular, Filehandle::ROOT).to_string();
//! // Upload `blob` as `blob_name`.
//! # assert_eq!(blob[..4], [0, 0, 1, 0]);
//! # assert_eq!(ObjectName::parse(&blob_name)?.object_type(), ObjectType::Regular);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

/// Runs the example of the README as a documentation test.
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
