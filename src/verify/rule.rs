//! The rules that findings name, by the section of docs/format.md that states them.

use std::fmt;

/// How bad it is when a rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Something is lost, cannot be read, or is said in two ways; or a cache may refuse it.
    Error,
    /// A rule is broken, but everything can be read and nothing is lost.
    Warning,
    /// No rule is broken: worth knowing, such as what a cache added.
    Note,
}

impl Severity {
    /// The word that stands in front of a finding.
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
        /// A rule of docs/format.md or of the comparison with a source, or that a blob can be read.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $($($(#[$doc])* $rule,)*)*
        }

        impl Rule {
            /// All of them, by section.
            pub const ALL: &[Rule] = &[$($(Rule::$rule,)*)*];

            /// The short name that stands in findings; it does not change between versions.
            pub fn name(self) -> &'static str {
                match self {
                    $($(Rule::$rule => $name,)*)*
                }
            }

            /// The section of docs/format.md that states it; none for the rules of the comparison
            /// with a source and of reading.
            pub fn section(self) -> Option<u8> {
                match self {
                    $($(Rule::$rule => section!($section),)*)*
                }
            }

            /// How bad it is when it is broken.
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
        /// Version and local bits, byte 7, a known ftype.
        FilehandleLayout Error "filehandle",
        /// Byte 4 is byte 5 of the parent's; byte 5 is below 48, and byte 4 for all but directories.
        DirectoryManager Error "directory-manager",
        /// At least 1000, and unique.
        Sequence Error "sequence",
        /// The random number is not 0.
        RandomNumber Error "random-number",
        /// The handle's `fnv1` is not 0.
        HandleHash Error "handle-hash",
    }
    3 {
        /// At least the four bytes of the wrapper.
        WrapperShort Error "wrapper",
        /// Encryption is 0; anything else cannot be read.
        Encrypted Error "encrypted",
        /// Compression is 0 or 1.
        Compression Error "compression",
        /// The frame begins with its seven bytes.
        FrameHeader Warning "frame-header",
        /// No stored block, which the cache cannot read.
        StoredBlock Error "stored-block",
        /// The frame decodes, and ends with the blob.
        FrameDamage Error "frame",
        /// A compressed blob is smaller than the plain one.
        NotSmaller Warning "not-smaller",
        /// No payload is larger than objects of its kind can be.
        TooLarge Error "too-large",
    }
    4 {
        /// Fields, widths, digits.
        NameSyntax Error "name-syntax",
        /// The hash in the name is that of the id.
        NameHash Error "name-hash",
        /// V1 for the well-known ids, V2 for all others.
        NameKind Error "name-kind",
        /// The object type in the name fits the id, and the use.
        ObjectType Error "object-type",
        /// At least 9.
        Version Warning "version",
        /// An object of a snapshot, which is not looked at.
        Snapshot Note "snapshot",
        /// A name of an object that has one with a higher version.
        Leftover Warning "leftover",
        /// Two names of one object have the same version.
        Twin Error "twin",
    }
    5 {
        /// Magic, reserved word, lengths; all of it within the payload.
        HandleHeader Error "handle-header",
        /// Zeros behind the content.
        Padding Warning "padding",
        /// A type that loaders never write.
        UnknownHandle Note "unknown-handle",
        /// What is inside a handle adds up to the handle.
        HandleContent Error "handle-content",
        /// Mode, btype and ftype say the same.
        AttributeType Error "attribute-type",
        /// Flags, dtime and the unused fields are 0.
        Reserved Warning "reserved",
        /// Nanoseconds are below 10^9.
        Time Warning "time",
        /// `used` is the size.
        Used Warning "used",
        /// A u32, not 0, the same everywhere.
        FileSystemId Error "fsid",
        /// A u32, not 0, the same everywhere and in filehandles.
        ContainerId Error "container-id",
        /// `st_rdev` is 0 for all but devices.
        Device Warning "device",
        /// NAME is one of the names that directories give the object.
        OwnName Warning "own-name",
    }
    6 {
        /// The owner hash in a blob's name.
        Owner Error "owner",
        /// Which handles an object has, once each.
        Handles Error "handles",
        /// Their order.
        HandleOrder Warning "handle-order",
        /// The size is that of the content.
        Size Error "size",
        /// nlink: the number of back pointers, at most 1023; or 2 + child directories.
        Links Error "links",
        /// First and other segment size in the block map.
        SegmentSizes Error "segment-sizes",
        /// Block 0 is the entity itself.
        OwnBlock Error "own-block",
        /// The blob holds an object of the kind that its name says.
        OtherObject Error "other-object",
        /// Direct list and trees are filled in order, without gaps.
        BlockOrder Error "block-order",
        /// As many blocks as the size needs.
        BlockCount Error "block-count",
        /// A block is used once.
        BlockTwice Error "block-twice",
        /// Lengths of segments.
        SegmentLength Error "segment-length",
        /// Offset in the DATABACK.
        DataBackOffset Error "data-back-offset",
        /// Owner in the DATABACK.
        DataBackOwner Error "data-back-owner",
        /// Change time in the DATABACK.
        DataBackTime Warning "data-back-time",
        /// 1 to 1023 bytes without NUL.
        SymlinkTarget Error "symlink-target",
        /// `.` and `..` come first, and are right.
        Dots Error "dots",
        /// Entries are whole within their segment, and name an entity.
        Entry Error "entry",
        /// No NUL, no `/`, not empty, at most 255 bytes, no further `.` or `..`.
        EntryName Error "entry-name",
        /// A name stands once in a directory.
        DuplicateName Error "duplicate-name",
        /// One entry names a directory, and the root none.
        DirectoryTwice Error "directory-twice",
        /// A path leads from the root to every directory.
        Unreachable Error "unreachable",
        /// Back pointers are the directories that name the object, each as often as it does.
        BackPointers Error "back-pointers",
        /// What is referred to is there.
        Dangling Error "dangling",
        /// No object is in the archive tier, where it cannot be read.
        Offline Error "offline",
        /// What is there is referred to.
        Orphan Warning "orphan",
        /// The root's extended attributes.
        RootAttributes Error "root-attributes",
        /// The bucket's extended attributes.
        BucketAttributes Error "bucket-attributes",
        /// The bucket object is there.
        BucketMissing Error "bucket-missing",
        /// The bucket names every log in the container, and each once.
        Logs Warning "logs",
        /// A log that the bucket names is not in the container: often, it was not copied along.
        LogMissing Note "log-missing",
        /// Nothing but objects and logs lies in the container.
        ForeignBlob Warning "foreign-blob",
        /// An object that only caches write: tombstones, the space tracker and such.
        CacheObject Note "cache-object",
        /// The root is there: the load came to its end.
        Unfinished Error "unfinished",
    }
    7 {
        /// No inode is under the owner 0x62, which the original names while it is not sure.
        Provisional Warning "provisional",
    }
    service {
        /// The container has the blob and does not hand it out: it is not verified.
        Unread Error "unread",
    }
    source {
        /// An entry of the source is not in the container.
        SourceMissing Error "source-missing",
        /// An entry of the container is not in the source.
        SourceExtra Error "source-extra",
        /// The types of an entry differ.
        SourceType Error "source-type",
        /// The permissions differ.
        SourceMode Error "source-mode",
        /// uid or gid differ.
        SourceOwner Error "source-owner",
        /// The sizes of a file differ.
        SourceSize Error "source-size",
        /// The times of the last change of content differ by a microsecond or more.
        SourceTime Error "source-mtime",
        /// The numbers of a device differ.
        SourceDevice Error "source-device",
        /// The targets of a symlink differ.
        SourceTarget Error "source-target",
        /// The bytes of a file differ.
        SourceContent Error "source-content",
        /// One object of the container is several inodes in the source.
        SourceLinks Error "source-links",
        /// One inode of the source is several objects: links were not preserved.
        SourceLinksSplit Note "source-links-split",
        /// An entry of the source, or of the container, could not be read and so not compared.
        SourceUnread Error "source-unread",
    }
}

impl fmt::Display for Rule {
    /// `links, section 6`.
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
