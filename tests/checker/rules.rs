//! The rules that findings name, by the section of docs/format.md that states them.

macro_rules! rules {
    ($($section:literal { $($(#[$doc:meta])* $rule:ident,)* })*) => {
        /// A rule of docs/format.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $($($(#[$doc])* $rule,)*)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Rule] = &[$($(Rule::$rule,)*)*];

            /// The section of docs/format.md that states the rule.
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
        /// Byte 4 is byte 5 of the parent; byte 5 is below 48, and byte 4 for anything but directories.
        FilehandleDirectoryManager,
        /// At least 1000 and unique.
        FilehandleSequence,
        /// The random number is not 0.
        FilehandleRandom,
        /// `fnv1` of the handle is not 0.
        FilehandleHash,
    }
    3 {
        /// At least the four bytes of the wrapper.
        WrapperShort,
        /// Encryption is 0.
        WrapperEncryption,
        /// Compression is 0 or 1.
        WrapperCompression,
        /// The frame's first seven bytes.
        FrameHeader,
        /// No stored block.
        FrameStoredBlock,
        /// The frame decodes, ends with its end mark and with the blob, blocks of at most 256 KiB.
        FrameCorrupt,
        /// A compressed object is smaller than the plain one.
        FrameNotSmaller,
    }
    4 {
        /// Fields, widths, upper case.
        NameSyntax,
        /// The hash in the name is that of the id.
        NameHash,
        /// V1 for 0x63, 0x65, 0x66, 0x67, V2 for all others.
        NameKind,
        /// The object type in the name fits the id.
        NameObjectType,
        /// 9 (the original: 9 and more).
        NameVersion,
        /// No snapshot.
        NameSnapshot,
        /// One name for one object id.
        NameDuplicate,
    }
    5 {
        /// Magic, reserved word, padded length, all within the payload.
        HandleHeader,
        /// Zeros behind the data.
        HandlePadding,
        /// A type that loaders never write.
        HandleUnknown,
        /// Lengths inside the handle add up to the handle.
        HandleContent,
        /// Mode, btype and ftype say the same.
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
        /// `st_rdev` is 0 for all but devices.
        AttributeDevice,
        /// The NAME handle is one of the names that directories give the object.
        EntityName,
    }
    6 {
        /// The owner hash is that of the first back pointer, the parent, or the segment's entity.
        NameOwner,
        /// Which handles an object has, in which order.
        HandleOrder,
        /// The size is that of the content.
        AttributeSize,
        /// nlink is the number of back pointers, or 2 + child directories; at most 1023 back pointers.
        AttributeLinks,
        /// First and other segment size.
        BlockMapSegmentSize,
        /// Block 0 is the entity itself.
        BlockMapSelf,
        /// Direct list and trees are filled in order, without gaps.
        BlockMapOrder,
        /// As many blocks as the size needs.
        BlockMapCount,
        /// A block is used once.
        BlockTwice,
        /// Segment lengths.
        SegmentSize,
        /// Offset of the DATABACK.
        DataBackOffset,
        /// Owner of the DATABACK.
        DataBackOwner,
        /// Change time of the DATABACK.
        DataBackTime,
        /// At most 1023 bytes, not empty.
        SymlinkTarget,
        /// `.` and `..` first, and right.
        DirectoryDots,
        /// Entries parse within one segment.
        DirectoryEntry,
        /// No NUL, no `/`, not empty, no further `.` or `..`.
        DirectoryEntryName,
        /// A name appears once in a directory.
        DirectoryDuplicate,
        /// A directory is named by one entry only, and by none of its descendants.
        DirectoryTwice,
        /// Back pointers are the parents that name the object, with multiplicity.
        BackPointers,
        /// What is referred to is there.
        Dangling,
        /// What is there is referred to.
        Orphan,
        /// The root's attributes.
        RootAttributes,
        /// The bucket object's attributes.
        BucketAttributes,
        /// Log blobs that the bucket object names are there, and no others.
        Logs,
        /// Nothing but objects and logs lies in the container.
        ForeignBlob,
        /// The bucket object is there.
        BucketMissing,
        /// The root is there.
        RootMissing,
    }
}
