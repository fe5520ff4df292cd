//! The rules of findings, by the section of format.md that states them.

use std::fmt;

/// The severity of a broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Data is lost, unreadable or contradictory, or a cache may refuse it.
    Error,
    /// A rule is broken, but everything can be read and nothing is lost.
    Warning,
    /// No rule is broken; for information, such as an object that a cache added.
    Note,
}

impl Severity {
    /// Returns the prefix of a finding.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

macro_rules! rules {
    ($($section:tt { $($(#[$doc:meta])* $rule:ident $severity:ident $name:literal,)* })*) => {
        /// A rule of format.md, of the comparison with a source, or of reading.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $($($(#[$doc])* $rule,)*)*
        }

        impl Rule {
            /// All rules, by section.
            pub const ALL: &[Rule] = &[$($(Rule::$rule,)*)*];

            /// Returns the name in findings; it does not change between versions.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Rule::$rule => $name,)*)*
                }
            }

            /// Returns the section of format.md that states the rule; none for the rules of the
            /// comparison with a source and of reading.
            pub fn section(self) -> Option<u8> {
                match self {
                    $($(Rule::$rule => section!($section),)*)*
                }
            }

            /// Returns the severity of a finding by this rule.
            pub fn severity(self) -> Severity {
                match self {
                    $($(Rule::$rule => Severity::$severity,)*)*
                }
            }
        }
    };
}

macro_rules! section {
    (source) => {
        None
    };
    (service) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

rules! {
    2 {
        /// Version and local bits, byte 7 and ftype have allowed values.
        FilehandleLayout Error "filehandle",
        /// Byte 4 is byte 5 of the parent's; byte 5 is below 48, and the same as byte 4 except for directories.
        DirectoryManager Error "directory-manager",
        /// Sequence numbers are at least 1000, and unique.
        Sequence Error "sequence",
        /// The random number is not 0.
        RandomNumber Error "random-number",
        /// The handle's `fnv1` is not 0.
        HandleHash Error "handle-hash",
    }
    3 {
        /// A blob has at least the four bytes of the wrapper.
        WrapperShort Error "wrapper",
        /// Encryption is 0: encrypted objects cannot be read.
        Encrypted Error "encrypted",
        /// Compression is 0 or 1.
        Compression Error "compression",
        /// The frame begins with the seven bytes that loaders write.
        FrameHeader Warning "frame-header",
        /// A frame has no stored block, which the cache cannot read.
        StoredBlock Error "stored-block",
        /// The frame decodes, and ends with the blob.
        FrameDamage Error "frame",
        /// A compressed blob is smaller than the uncompressed one.
        NotSmaller Warning "not-smaller",
        /// A payload is not larger than objects of its kind can be.
        TooLarge Error "too-large",
    }
    4 {
        /// The fields of a name have the right number, width and digits.
        NameSyntax Error "name-syntax",
        /// The hash in the name is that of the id.
        NameHash Error "name-hash",
        /// Well-known ids have V1 names, all others V2 names.
        NameKind Error "name-kind",
        /// The object type in the name matches the id and the use.
        ObjectType Error "object-type",
        /// The version in a name is at least 9.
        Version Warning "version",
        /// An object belongs to a snapshot, and is not checked.
        Snapshot Note "snapshot",
        /// An object has only one name: older versions are removed.
        Leftover Warning "leftover",
        /// Names of one object have different versions.
        Twin Error "twin",
    }
    5 {
        /// Magic, reserved word and lengths are right, and the handle is within the payload.
        HandleHeader Error "handle-header",
        /// The padding after the content is 0.
        Padding Warning "padding",
        /// An object has a handle of a type that loaders never write.
        UnknownHandle Note "unknown-handle",
        /// The parts of a handle fill it exactly.
        HandleContent Error "handle-content",
        /// Mode, btype and ftype are the same type.
        AttributeType Error "attribute-type",
        /// Flags, dtime and the unused fields are 0.
        Reserved Warning "reserved",
        /// Nanoseconds are below 10^9.
        Time Warning "time",
        /// `used` is equal to the size.
        Used Warning "used",
        /// The fsid is a u32, not 0, and the same everywhere.
        FileSystemId Error "fsid",
        /// The container id is a u32, not 0, and the same everywhere and in filehandles.
        ContainerId Error "container-id",
        /// `st_rdev` is 0 except for devices.
        Device Warning "device",
        /// NAME is one of the names in the entries of the object.
        OwnName Warning "own-name",
    }
    6 {
        /// The owner hash in a blob's name is that of its owner.
        Owner Error "owner",
        /// An object has the handles of its kind, once each.
        Handles Error "handles",
        /// Handles are in the right order.
        HandleOrder Warning "handle-order",
        /// The size is equal to that of the content.
        Size Error "size",
        /// nlink is the number of back pointers, at most 1023; for directories, 2 + the number of subdirectories.
        Links Error "links",
        /// The segment sizes in the block map are right.
        SegmentSizes Error "segment-sizes",
        /// Block 0 is the entity itself.
        OwnBlock Error "own-block",
        /// A blob holds an object of the kind in its name.
        OtherObject Error "other-object",
        /// The direct list and the trees are filled in order, without gaps.
        BlockOrder Error "block-order",
        /// There are as many blocks as the size needs.
        BlockCount Error "block-count",
        /// A block is used once.
        BlockTwice Error "block-twice",
        /// A segment has the right length.
        SegmentLength Error "segment-length",
        /// The offset in a DATABACK is right.
        DataBackOffset Error "data-back-offset",
        /// The owner in a DATABACK is right.
        DataBackOwner Error "data-back-owner",
        /// The change time in a DATABACK is that of the inode.
        DataBackTime Warning "data-back-time",
        /// A target has 1 to 1023 bytes without NUL.
        SymlinkTarget Error "symlink-target",
        /// `.` and `..` are the first entries, and are right.
        Dots Error "dots",
        /// Each entry is complete in its segment, and names an entity.
        Entry Error "entry",
        /// A name has 1 to 255 bytes without NUL and `/`, and is not another `.` or `..`.
        EntryName Error "entry-name",
        /// A directory has each name once.
        DuplicateName Error "duplicate-name",
        /// One entry names each directory, none the root.
        DirectoryTwice Error "directory-twice",
        /// A path leads from the root to each directory.
        Unreachable Error "unreachable",
        /// Back pointers are the directories whose entries name the object, one for each entry.
        BackPointers Error "back-pointers",
        /// An object that is referred to exists.
        Dangling Error "dangling",
        /// An object is not in the archive tier, where it cannot be read.
        Offline Error "offline",
        /// An object is referred to.
        Orphan Warning "orphan",
        /// The extended attributes of the root are right.
        RootAttributes Error "root-attributes",
        /// The extended attributes of the bucket are right.
        BucketAttributes Error "bucket-attributes",
        /// The bucket object exists.
        BucketMissing Error "bucket-missing",
        /// The bucket names each log in the container once.
        Logs Warning "logs",
        /// The logs that the bucket names are in the container. Often, they were not copied with it.
        LogMissing Note "log-missing",
        /// The container has only objects and logs.
        ForeignBlob Warning "foreign-blob",
        /// An object is one that only caches write, such as a tombstone or the space tracker.
        CacheObject Note "cache-object",
        /// The root exists: the load finished.
        Unfinished Error "unfinished",
    }
    7 {
        /// The owner of an inode is not 0x62, which the original loader writes provisionally.
        Provisional Warning "provisional",
    }
    service {
        /// A blob could be read. If not, it is not verified.
        Unread Error "unread",
    }
    source {
        /// An entry of the source is in the container.
        SourceMissing Error "source-missing",
        /// An entry of the container is in the source.
        SourceExtra Error "source-extra",
        /// The types of an entry are equal.
        SourceType Error "source-type",
        /// The permissions are equal.
        SourceMode Error "source-mode",
        /// uid and gid are equal.
        SourceOwner Error "source-owner",
        /// The sizes of a file are equal.
        SourceSize Error "source-size",
        /// The modification times differ by less than a microsecond.
        SourceTime Error "source-mtime",
        /// The numbers of a device are equal.
        SourceDevice Error "source-device",
        /// The targets of a symlink are equal.
        SourceTarget Error "source-target",
        /// The bytes of a file are equal.
        SourceContent Error "source-content",
        /// One object of the container is one inode of the source.
        SourceLinks Error "source-links",
        /// One inode of the source is one object. If not, links were not preserved.
        SourceLinksSplit Note "source-links-split",
        /// An entry of the source and of the container could be read and compared.
        SourceUnread Error "source-unread",
    }
}

impl fmt::Display for Rule {
    /// Writes `links, section 6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section() {
            Some(section) => write!(f, "{}, section {section}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_in_kebab_case() {
        let names: HashSet<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
        assert_eq!(names.len(), Rule::ALL.len());
        let kebab = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.into_iter().all(kebab));
    }
}
