//! The rules that findings name, by the section of format.md that defines them.

macro_rules! rules {
    ($($section:literal { $($(#[$doc:meta])* $rule:ident,)* })*) => {
        /// A rule of format.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($($(#[$doc])* $rule,)*)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Rule] = &[$($(Rule::$rule,)*)*];

            /// Returns the section of format.md that defines the rule.
            pub fn section(self) -> u8 {
                match self {
                    $($(Rule::$rule => $section,)*)*
                }
            }
        }
    };
}

rules! {
    2 {
        /// Container id bits, version, local bit, byte 7, known ftype.
        FilehandleLayout,
        /// Byte 4 is byte 5 of the parent. Byte 5 is below 48, and equals byte 4 except for directories.
        FilehandleDirectoryManager,
        /// At least 1000 and unique.
        FilehandleSequence,
        /// The random number is not 0.
        FilehandleRandom,
        /// `fnv1` of the handle is not 0.
        FilehandleHash,
    }
    3 {
        /// A blob has at least the four bytes of the wrapper.
        WrapperShort,
        /// Encryption is 0.
        WrapperEncryption,
        /// Compression is 0 or 1.
        WrapperCompression,
        /// The first seven bytes of the frame.
        FrameHeader,
        /// No stored block.
        FrameStoredBlock,
        /// The frame decodes, ends with its end mark and with the blob, blocks of at most 256 KiB.
        FrameCorrupt,
        /// The frame decodes, its end mark ends the blob, and its blocks have at most 256 KiB.
        FrameNotSmaller,
    }
    4 {
        /// Fields, widths, upper case.
        NameSyntax,
        /// The hash in the name belongs to the id.
        NameHash,
        /// V1 for 0x63, 0x65, 0x66, 0x67, V2 for all others.
        NameKind,
        /// The object type in the name matches the id.
        NameObjectType,
        /// 9 (the original: 9 and more).
        NameVersion,
        /// No snapshot.
        NameSnapshot,
        /// One name per object id.
        NameDuplicate,
    }
    5 {
        /// Magic number, reserved word and padded length are valid, and the handle lies within the payload.
        HandleHeader,
        /// The padding is zero.
        HandlePadding,
        /// The type is one that loaders write.
        HandleUnknown,
        /// Lengths inside the handle add up to its length.
        HandleContent,
        /// Mode, btype and ftype agree.
        AttributeType,
        /// Flags, dtime and the unused fields are 0.
        AttributeReserved,
        /// Nanoseconds are below 10^9.
        AttributeTime,
        /// `used` is `size`.
        AttributeUsed,
        /// fsid is a u32, not 0, and the same everywhere.
        AttributeFsid,
        /// The container id is a u32, not 0, the same everywhere and in the filehandles.
        AttributeContainerId,
        /// `st_rdev` is 0 except for devices.
        AttributeDevice,
        /// The NAME handle is one of the object's names in directories.
        EntityName,
    }
    6 {
        /// The owner hash is that of the first back pointer, the parent, or the entity of the segment.
        NameOwner,
        /// The handles of an object and their order.
        HandleOrder,
        /// The size equals the size of the content.
        AttributeSize,
        /// nlink is the number of back pointers, or 2 + child directories. There are at most 1023 back pointers.
        AttributeLinks,
        /// The sizes of the first segment and of the others.
        BlockMapSegmentSize,
        /// Block 0 is the entity itself.
        BlockMapSelf,
        /// The direct list and the trees are filled in order, without gaps.
        BlockMapOrder,
        /// The number of blocks matches the size.
        BlockMapCount,
        /// A block is used only once.
        BlockTwice,
        /// Segment lengths.
        SegmentSize,
        /// Offset of the DATABACK.
        DataBackOffset,
        /// Owner of the DATABACK.
        DataBackOwner,
        /// Change time of the DATABACK.
        DataBackTime,
        /// A symlink target has 1 to 1023 bytes.
        SymlinkTarget,
        /// `.` and `..` come first and are correct.
        DirectoryDots,
        /// Entries do not cross the end of a segment.
        DirectoryEntry,
        /// Names have no NUL and no `/`, and are not empty, `.` or `..`.
        DirectoryEntryName,
        /// A name appears once in a directory.
        DirectoryDuplicate,
        /// Only one entry names a directory, and it is not in one of its descendants.
        DirectoryTwice,
        /// Back pointers are the parents that name the object, once per name.
        BackPointers,
        /// Every referenced object exists.
        Dangling,
        /// Every object is referenced.
        Orphan,
        /// The root's attributes.
        RootAttributes,
        /// The bucket object's attributes.
        BucketAttributes,
        /// The bucket object names exactly the existing log blobs.
        Logs,
        /// The container contains only objects and logs.
        ForeignBlob,
        /// The bucket object exists.
        BucketMissing,
        /// The root exists.
        RootMissing,
    }
}
