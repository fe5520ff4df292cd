//! What can be wrong with an object.

use std::fmt;

use crate::handle::HandleType;

/// Why bytes are not an object of the format, or a value cannot be written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes break a rule of the format.
    #[error("corrupt: {kind}, in {place}")]
    Corrupt {
        /// The check that failed.
        kind: Corrupt,
        /// Where it failed.
        place: Place,
    },
    /// The bytes may be well formed, but use a part of the format that is not read here.
    #[error("not supported: {kind}, in {place}")]
    Unsupported {
        /// What it is that is not supported.
        kind: Unsupported,
        /// Where it was met.
        place: Place,
    },
    /// A value is larger than the format allows.
    #[error("too large: {limit} is {value}, at most {} allowed, in {place}", limit.maximum())]
    Limit {
        /// The limit.
        limit: Limit,
        /// The value that is over it.
        value: u64,
        /// Where it was met.
        place: Place,
    },
}

impl FormatError {
    /// Where the error is.
    pub fn place(&self) -> Place {
        match self {
            Self::Corrupt { place, .. }
            | Self::Unsupported { place, .. }
            | Self::Limit { place, .. } => *place,
        }
    }

    /// Whether both say the same of the same structure, be it at another offset.
    pub(crate) fn same_rule(&self, other: &Self) -> bool {
        let same = match (self, other) {
            (Self::Corrupt { kind, .. }, Self::Corrupt { kind: other, .. }) => kind == other,
            (Self::Unsupported { kind, .. }, Self::Unsupported { kind: other, .. }) => {
                kind == other
            }
            (Self::Limit { limit, .. }, Self::Limit { limit: other, .. }) => limit == other,
            _ => false,
        };
        same && self.place().part == other.place().part
    }
}

/// A place in a blob: the structure, and the offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The structure.
    pub part: Part,
    /// Bytes from the start of the blob (wrapper), of the payload (handles) or of the value itself
    /// (names, filehandles, entries).
    pub offset: u64,
}

impl Place {
    pub(crate) fn new(part: Part, offset: usize) -> Self {
        Self {
            part,
            offset: offset as u64,
        }
    }

    pub(crate) fn corrupt(self, kind: Corrupt) -> FormatError {
        FormatError::Corrupt { kind, place: self }
    }

    pub(crate) fn unsupported(self, kind: Unsupported) -> FormatError {
        FormatError::Unsupported { kind, place: self }
    }

    /// An error when `value` is over `limit`.
    pub(crate) fn limit(self, limit: Limit, value: u64) -> Result<(), FormatError> {
        if value > limit.maximum() {
            return Err(FormatError::Limit {
                limit,
                value,
                place: self,
            });
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} at byte {} (format section {})",
            self.part,
            self.offset,
            self.part.section()
        )
    }
}

/// A structure of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// The blob's name.
    ObjectName,
    /// A filehandle or another id.
    Id,
    /// The four bytes before the payload.
    Wrapper,
    /// The LZ4 frame.
    Frame,
    /// The payload as a sequence of handles.
    Payload,
    /// The content of a handle.
    Handle(HandleType),
    /// One entry of a directory, in a DIRENTS handle.
    Entry,
    /// An indirect tree as a whole.
    IndirectTree,
}

impl Part {
    /// The section of docs/format.md that describes it.
    pub fn section(self) -> u8 {
        match self {
            Self::Id => 2,
            Self::Wrapper | Self::Frame => 3,
            Self::ObjectName => 4,
            Self::Payload | Self::Handle(_) | Self::Entry => 5,
            Self::IndirectTree => 6,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectName => f.write_str("object name"),
            Self::Id => f.write_str("id"),
            Self::Wrapper => f.write_str("wrapper"),
            Self::Frame => f.write_str("LZ4 frame"),
            Self::Payload => f.write_str("payload"),
            Self::Handle(kind) => write!(f, "{kind} handle"),
            Self::Entry => f.write_str("directory entry"),
            Self::IndirectTree => f.write_str("tree of indirect blocks"),
        }
    }
}

/// The check that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Corrupt {
    /// The input ends inside a field.
    #[error("the input ends inside a field")]
    Truncated,
    /// Bytes are left after the last field.
    #[error("bytes are left after the last field")]
    TrailingBytes,
    /// A count says more elements than the bytes left can hold.
    #[error("a count says more elements than the bytes left can hold")]
    Count,
    /// A handle's magic number is not 0x03016005.
    #[error("the handle's magic number is wrong")]
    HandleMagic,
    /// A handle's padded length does not follow from its real length.
    #[error("the handle's padded length does not follow from its real length")]
    HandleLength,
    /// A field that must be zero is not.
    #[error("a field that must be zero is not")]
    NotZero,
    /// A handle comes twice.
    #[error("the handle comes twice")]
    HandleTwice,
    /// A handle is missing that this object must have.
    #[error("the handle is missing")]
    HandleMissing,
    /// A handle that this object must not have.
    #[error("an object of this kind has no such handle")]
    HandleUnexpected,
    /// A handle stands after one that it must come before. Strict decoders let it pass.
    #[error("the handle stands after one that it must come before")]
    HandleOrder,
    /// A fixed number of the format has another value.
    #[error("a fixed number of the format has another value")]
    FixedValue,
    /// A filehandle or id has a length other than 16 or 24 bytes, or not the one needed here.
    #[error("an id has a wrong length")]
    IdLength,
    /// A 16-byte filehandle other than the root's.
    #[error("a 16-byte filehandle that is not the root's")]
    NotTheRoot,
    /// The root's id padded to 24 bytes.
    #[error("the root's id with eight bytes more")]
    LongRoot,
    /// A null id where an object must be named.
    #[error("a null id where an object must be named")]
    NullId,
    /// A name that is empty.
    #[error("an empty name")]
    NameEmpty,
    /// A name that holds a NUL or a slash.
    #[error("a name that holds a NUL or a slash")]
    NameByte,
    /// A text that is not UTF-8.
    #[error("a text that is not UTF-8")]
    NotUtf8,
    /// The object type of the attributes is not that of the object's name or content.
    #[error("the object type does not fit the object's name or content")]
    TypeMismatch,
    /// Block 0 of the block map and the object's name disagree about the filehandle.
    #[error("block 0 of the block map is not the object's own filehandle")]
    OwnHandle,
    /// A directory segment whose DATA handle is not empty.
    #[error("the directory segment's DATA is not empty")]
    DataNotEmpty,
    /// An object name with a wrong number of fields.
    #[error("the object name has a wrong number of fields")]
    NameFields,
    /// A field of an object name with a wrong number of digits.
    #[error("a field of the object name has a wrong number of digits")]
    NameWidth,
    /// A character in an object name that is no upper-case hex or decimal digit.
    #[error("a field of the object name holds something other than its digits")]
    NameDigit,
    /// The hash in an object name is not that of its id.
    #[error("the object name's hash is not that of its id")]
    NameHash,
    /// An id that has the other kind of object name.
    #[error("the id does not belong to this version of object name")]
    NameVersion,
    /// The LZ4 frame does not begin as one.
    #[error("the LZ4 frame's magic number is wrong")]
    FrameMagic,
    /// The LZ4 frame does not begin with the seven bytes that the format's frames begin with. It
    /// can be read all the same.
    #[error("the LZ4 frame's header is not the format's")]
    FrameHeader,
    /// The LZ4 frame holds a stored block, which the cache cannot read.
    #[error("the LZ4 frame holds a stored block, which the cache cannot read")]
    FrameStored,
    /// A compressed blob is not smaller than the uncompressed one would be.
    #[error("the compressed blob is not smaller than the uncompressed one would be")]
    NotSmaller,
    /// A checksum of the LZ4 frame is wrong.
    #[error("a checksum of the LZ4 frame is wrong")]
    FrameChecksum,
    /// A block of the LZ4 frame is larger than the frame allows.
    #[error("a block is larger than the LZ4 frame allows")]
    FrameBlock,
    /// A block of the LZ4 frame does not decompress.
    #[error("a block of the LZ4 frame does not decompress")]
    FrameData,
    /// The LZ4 frame's content size is not what came out.
    #[error("the LZ4 frame's content size is not what came out")]
    FrameContentSize,
    /// A block follows a list that is not full.
    #[error("a block follows a list of blocks that is not full")]
    BlockMapGap,
    /// A block map has more blocks than the object's size allows.
    #[error("the block map has more blocks than the object's size allows")]
    BlockMapLength,
    /// A list of pointers is longer than a block may hold.
    #[error("the list of blocks is longer than allowed")]
    BlockMapCount,
    /// `SegmentBuffer` and its description disagree; or a reader was fed out of turn.
    #[error("an indirect block was supplied that was not asked for")]
    NotAskedFor,
}

/// A part of the format that is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// An encrypted object: 1 is AES-256-CBC with HMAC-SHA-256, 2 with HMAC-SHA-512.
    #[error("encryption {0}")]
    Encryption(u16),
    /// A compression other than none and LZ4.
    #[error("compression {0}")]
    Compression(u16),
    /// An LZ4 frame of another version.
    #[error("an LZ4 frame of another version")]
    FrameVersion,
    /// An LZ4 frame that needs a dictionary.
    #[error("an LZ4 frame that needs a dictionary")]
    FrameDictionary,
    /// An object type without a decoder, or an unknown one.
    #[error("object type {0}")]
    ObjectType(u16),
    /// A well-known object without a decoder.
    #[error("the well-known object {0:#04x}")]
    WellKnownObject(u8),
    /// A handle of a type that only the cache writes.
    #[error("handle type {0}")]
    HandleType(u32),
    /// The bytes of a segment size that is not the format's.
    #[error("segment size {0}")]
    SegmentSize(u32),
}

/// A limit of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// [`crate::limits::NAME_BYTES`].
    #[error("the length of a name in bytes")]
    NameBytes,
    /// [`crate::limits::SYMLINK_TARGET_BYTES`].
    #[error("the length of a symlink's target in bytes")]
    SymlinkTargetBytes,
    /// [`crate::limits::LINKS`].
    #[error("the number of links")]
    Links,
    /// [`crate::limits::FIRST_SEGMENT_BYTES`].
    #[error("the length of the first segment in bytes")]
    FirstSegmentBytes,
    /// [`crate::limits::FILE_SEGMENT_BYTES`].
    #[error("the length of a file segment in bytes")]
    FileSegmentBytes,
    /// [`crate::limits::DIRECTORY_SEGMENT_BYTES`].
    #[error("the length of a directory segment in bytes")]
    DirectorySegmentBytes,
    /// [`crate::limits::DIRECT_BLOCKS`].
    #[error("the number of direct blocks")]
    DirectBlocks,
    /// [`crate::limits::POINTERS_PER_INDIRECT`].
    #[error("the number of pointers in an indirect block")]
    Pointers,
    /// All four trees are full.
    #[error("the number of blocks of one object")]
    Blocks,
    /// [`crate::limits::EXTENDED_ATTRIBUTES`].
    #[error("the number of extended attributes")]
    ExtendedAttributes,
    /// The limit that the caller of `unwrap` gave.
    #[error("the length of the payload in bytes")]
    PayloadBytes(u64),
    /// What a 32-bit length field holds.
    #[error("the length of a handle in bytes")]
    HandleBytes,
}

impl Limit {
    /// The largest value allowed.
    pub fn maximum(self) -> u64 {
        use crate::limits as l;
        match self {
            Self::NameBytes => l::NAME_BYTES as u64,
            Self::SymlinkTargetBytes => l::SYMLINK_TARGET_BYTES as u64,
            Self::Links => l::LINKS as u64,
            Self::FirstSegmentBytes => l::FIRST_SEGMENT_BYTES,
            Self::FileSegmentBytes => l::FILE_SEGMENT_BYTES,
            Self::DirectorySegmentBytes => l::DIRECTORY_SEGMENT_BYTES,
            Self::DirectBlocks => l::DIRECT_BLOCKS as u64,
            Self::Pointers => l::POINTERS_PER_INDIRECT as u64,
            Self::Blocks => crate::blockmap::MOST_BLOCKS,
            Self::ExtendedAttributes => l::EXTENDED_ATTRIBUTES as u64,
            Self::PayloadBytes(limit) => limit,
            Self::HandleBytes => crate::handle::MOST_HANDLE_BYTES,
        }
    }
}
