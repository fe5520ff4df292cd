//! Errors of the decoders and encoders, each with the structure and the offset.

use std::fmt;

use crate::handle::HandleType;

/// An error of a decoder or encoder: bytes that are not an object of the format, or a value that
/// cannot be encoded as one.
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
    /// The bytes may be well formed, but this crate does not decode this part of the format.
    #[error("not supported: {kind}, in {place}")]
    Unsupported {
        /// The part of the format.
        kind: Unsupported,
        /// Where the part begins.
        place: Place,
    },
    /// A value exceeds a limit.
    #[error("too large: {limit} is {value} (maximum {}), in {place}", limit.maximum())]
    Limit {
        /// The limit.
        limit: Limit,
        /// The value that exceeds it.
        value: u64,
        /// Where the value is.
        place: Place,
    },
}

impl FormatError {
    /// Returns the structure and the offset of the error.
    pub fn place(&self) -> Place {
        match self {
            Self::Corrupt { place, .. }
            | Self::Unsupported { place, .. }
            | Self::Limit { place, .. } => *place,
        }
    }

    /// Returns whether both errors name the same rule of the same structure, at any offset.
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

/// A place in a blob: a structure and an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The structure.
    pub part: Part,
    /// Offset in bytes: from the start of the blob (wrapper, LZ4 frame), of the payload (handles), or
    /// of the value itself (names, ids, encoded entries). An encoder counts in the same way, but
    /// reports 0 for most values.
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

    /// Fails if `value` exceeds `limit`.
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
            "the {} at byte {} (format.md §{})",
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
    /// The name of a blob.
    ObjectName,
    /// A filehandle or another id.
    Id,
    /// The wrapper: the four bytes before the payload.
    Wrapper,
    /// The LZ4 frame.
    Frame,
    /// The payload as a sequence of handles.
    Payload,
    /// The content of a handle.
    Handle(HandleType),
    /// One directory entry in a DIRENTS handle.
    Entry,
    /// A tree of indirect blocks; the offset is 0.
    IndirectTree,
}

impl Part {
    /// Returns the section of `docs/format.md` that describes the structure.
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
    /// Bytes follow the last field.
    #[error("bytes follow the last field")]
    TrailingBytes,
    /// A count is larger than the remaining bytes can hold.
    #[error("a count is larger than the remaining bytes can hold")]
    Count,
    /// A handle's magic number is not 0x03016005.
    #[error("the handle's magic number is wrong")]
    HandleMagic,
    /// A handle's padded length does not match its real length.
    #[error("the handle's padded length does not match its real length")]
    HandleLength,
    /// A field that must be zero is not.
    #[error("a field that must be zero is not")]
    NotZero,
    /// The payload contains the same type of handle twice.
    #[error("the payload contains the handle twice")]
    HandleTwice,
    /// A handle that objects of this kind must have is missing.
    #[error("the handle is missing")]
    HandleMissing,
    /// A handle that objects of this kind must not have is present.
    #[error("objects of this kind must not have this handle")]
    HandleUnexpected,
    /// A handle follows one that it must precede (format.md §6). Strict decoders accept it.
    #[error("the handle follows one that it must precede")]
    HandleOrder,
    /// A field with a fixed value has another value.
    #[error("a field with a fixed value has another value")]
    FixedValue,
    /// A filehandle or id has neither 16 nor 24 bytes, or not the length required at this place.
    #[error("an id has the wrong length")]
    IdLength,
    /// A 16-byte filehandle is not the root's.
    #[error("a 16-byte filehandle is not the root's")]
    NotTheRoot,
    /// The root's filehandle is padded to 24 bytes.
    #[error("the root's filehandle is padded to 24 bytes")]
    LongRoot,
    /// An id that must name an object is null.
    #[error("an id that must name an object is null")]
    NullId,
    /// A name is empty.
    #[error("a name is empty")]
    NameEmpty,
    /// A name contains a NUL or a slash.
    #[error("a name contains a NUL or a slash")]
    NameByte,
    /// A key or value of an extended attribute is not UTF-8.
    #[error("an extended attribute is not UTF-8")]
    NotUtf8,
    /// The object type in the attributes does not match the object's name or content.
    #[error("the object type does not match the object's name or content")]
    TypeMismatch,
    /// Block 0 of the block map is not the filehandle in the object's name.
    #[error("block 0 of the block map is not the object's own filehandle")]
    OwnHandle,
    /// The DATA handle of a directory segment is not empty.
    #[error("the directory segment's DATA is not empty")]
    DataNotEmpty,
    /// The object name has the wrong number of fields.
    #[error("the object name has the wrong number of fields")]
    NameFields,
    /// A field of the object name has the wrong number of digits.
    #[error("a field of the object name has the wrong number of digits")]
    NameWidth,
    /// A field of the object name contains a character other than a decimal or upper-case hex digit.
    #[error("a field of the object name contains a character that is not a digit")]
    NameDigit,
    /// The hash in the object name is not the hash of its id.
    #[error("the hash in the object name is not the hash of its id")]
    NameHash,
    /// The object name is V1 where the id requires V2, or V2 where it requires V1 (format.md §4).
    #[error("the object name has the wrong version for its id")]
    NameVersion,
    /// The magic number of the LZ4 frame is wrong.
    #[error("the LZ4 frame's magic number is wrong")]
    FrameMagic,
    /// The LZ4 frame does not begin with the seven bytes of format.md §3. It can be read
    /// nevertheless.
    #[error("the LZ4 frame does not begin with the seven bytes of CLFS frames")]
    FrameHeader,
    /// The LZ4 frame contains a stored block, which the cache cannot read.
    #[error("the LZ4 frame contains a stored block, which the cache cannot read")]
    FrameStored,
    /// The compressed blob is not smaller than the uncompressed one would be.
    #[error("the compressed blob is not smaller than the uncompressed one would be")]
    NotSmaller,
    /// A checksum of the LZ4 frame is wrong.
    #[error("a checksum of the LZ4 frame is wrong")]
    FrameChecksum,
    /// A block of the LZ4 frame is larger than the frame allows.
    #[error("a block is larger than the LZ4 frame allows")]
    FrameBlock,
    /// A block of the LZ4 frame cannot be decompressed.
    #[error("a block of the LZ4 frame cannot be decompressed")]
    FrameData,
    /// The LZ4 frame's content size is not the size of its decompressed content.
    #[error("the LZ4 frame's content size is not the size of its content")]
    FrameContentSize,
    /// A block follows a list of blocks that is not full.
    #[error("a block follows a list of blocks that is not full")]
    BlockMapGap,
    /// The block map has more blocks than the object's size allows.
    #[error("the block map has more blocks than the object's size allows")]
    BlockMapLength,
    /// A list of blocks that must not be empty is empty: the direct list, or an indirect block that
    /// is not a leaf.
    #[error("a list of blocks that must not be empty is empty")]
    BlockMapCount,
    /// The caller of a [`crate::BlockMapReader`] did not supply the indirect block that it requested,
    /// or supplied one that it did not request.
    #[error("indirect blocks were not supplied in the order in which they were requested")]
    SupplyOrder,
}

/// A part of the format that this crate does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// Encryption, with its code: 1 is AES-256-CBC with HMAC-SHA-256, 2 with HMAC-SHA-512.
    #[error("encryption {0}")]
    Encryption(u16),
    /// A compression code other than 0 (none) and 1 (LZ4).
    #[error("compression {0}")]
    Compression(u16),
    /// An LZ4 frame whose version is not 01.
    #[error("an LZ4 frame whose version is not 01")]
    FrameVersion,
    /// An LZ4 frame that needs a dictionary.
    #[error("an LZ4 frame that needs a dictionary")]
    FrameDictionary,
    /// An object type that is unknown or has no decoder, with its code.
    #[error("object type {0}")]
    ObjectType(u16),
    /// A well-known object without a decoder, with the last byte of its id.
    #[error("the well-known object {0:#04x}")]
    WellKnownObject(u8),
    /// A handle of a type that no loader writes, with its code.
    #[error("handle type {0}")]
    HandleType(u32),
    /// A segment size other than those of format.md §6, in bytes.
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
    /// The number of blocks of a block map whose four trees are full.
    #[error("the number of blocks of one object")]
    Blocks,
    /// [`crate::limits::EXTENDED_ATTRIBUTES`].
    #[error("the number of extended attributes")]
    ExtendedAttributes,
    /// The limit of a payload in bytes, as passed to [`crate::unwrap()`].
    #[error("the length of the payload in bytes")]
    PayloadBytes(u64),
    /// The largest content whose handle fits in a 32-bit length field.
    #[error("the length of a handle in bytes")]
    HandleBytes,
}

impl Limit {
    /// Returns the largest allowed value.
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
            Self::Blocks => crate::blockmap::MAX_BLOCKS,
            Self::ExtendedAttributes => l::EXTENDED_ATTRIBUTES as u64,
            Self::PayloadBytes(limit) => limit,
            Self::HandleBytes => crate::handle::MAX_HANDLE_BYTES,
        }
    }
}
