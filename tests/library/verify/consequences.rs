//! The verification's rule for each rule of the checker, and the further findings that a violation may cause.

use clfsload::verify::Rule;
use clfsload_checker::Rule as Checked;

/// Returns the verification's rule for a rule of the checker.
pub(crate) fn counterpart(rule: Checked) -> Rule {
    match rule {
        Checked::FilehandleLayout => Rule::FilehandleLayout,
        Checked::FilehandleDirectoryManager => Rule::DirectoryManager,
        Checked::FilehandleSequence => Rule::Sequence,
        Checked::FilehandleRandom => Rule::RandomNumber,
        Checked::FilehandleHash => Rule::HandleHash,
        Checked::WrapperShort => Rule::WrapperShort,
        Checked::WrapperEncryption => Rule::Encrypted,
        Checked::WrapperCompression => Rule::Compression,
        Checked::FrameHeader => Rule::FrameHeader,
        Checked::FrameStoredBlock => Rule::StoredBlock,
        Checked::FrameCorrupt => Rule::FrameDamage,
        Checked::FrameNotSmaller => Rule::NotSmaller,
        Checked::NameSyntax => Rule::NameSyntax,
        Checked::NameHash => Rule::NameHash,
        Checked::NameKind => Rule::NameKind,
        Checked::NameObjectType => Rule::ObjectType,
        Checked::NameVersion => Rule::Version,
        Checked::NameSnapshot => Rule::Snapshot,
        Checked::NameDuplicate => Rule::Leftover,
        Checked::HandleHeader => Rule::HandleHeader,
        Checked::HandlePadding => Rule::Padding,
        Checked::HandleUnknown => Rule::UnknownHandle,
        Checked::HandleContent => Rule::HandleContent,
        Checked::AttributeType => Rule::AttributeType,
        Checked::AttributeReserved => Rule::Reserved,
        Checked::AttributeTime => Rule::Time,
        Checked::AttributeUsed => Rule::Used,
        Checked::AttributeFsid => Rule::FileSystemId,
        Checked::AttributeContainerId => Rule::ContainerId,
        Checked::AttributeDevice => Rule::Device,
        Checked::EntityName => Rule::OwnName,
        Checked::NameOwner => Rule::Owner,
        Checked::HandleOrder => Rule::HandleOrder,
        Checked::AttributeSize => Rule::Size,
        Checked::AttributeLinks => Rule::Links,
        Checked::BlockMapSegmentSize => Rule::SegmentSizes,
        Checked::BlockMapSelf => Rule::OwnBlock,
        Checked::BlockMapOrder => Rule::BlockOrder,
        Checked::BlockMapCount => Rule::BlockCount,
        Checked::BlockTwice => Rule::BlockTwice,
        Checked::SegmentSize => Rule::SegmentLength,
        Checked::DataBackOffset => Rule::DataBackOffset,
        Checked::DataBackOwner => Rule::DataBackOwner,
        Checked::DataBackTime => Rule::DataBackTime,
        Checked::SymlinkTarget => Rule::SymlinkTarget,
        Checked::DirectoryDots => Rule::Dots,
        Checked::DirectoryEntry => Rule::Entry,
        Checked::DirectoryEntryName => Rule::EntryName,
        Checked::DirectoryDuplicate => Rule::DuplicateName,
        Checked::DirectoryTwice => Rule::DirectoryTwice,
        Checked::BackPointers => Rule::BackPointers,
        Checked::Dangling => Rule::Dangling,
        Checked::Orphan => Rule::Orphan,
        Checked::RootAttributes => Rule::RootAttributes,
        Checked::BucketAttributes => Rule::BucketAttributes,
        Checked::Logs => Rule::Logs,
        Checked::ForeignBlob => Rule::ForeignBlob,
        Checked::BucketMissing => Rule::BucketMissing,
        Checked::RootMissing => Rule::Unfinished,
    }
}

/// Returns the rules that may be violated in consequence.
pub(crate) fn consequences(rule: Rule) -> &'static [Rule] {
    match rule {
        // An object without a valid name is missing.
        Rule::NameSyntax | Rule::NameHash | Rule::Snapshot => &[Rule::Dangling],
        // Logs are known only from the bucket object.
        Rule::NameKind => &[Rule::Dangling, Rule::BucketMissing, Rule::Logs],
        // The object is larger than the type in its name allows.
        Rule::ObjectType => &[Rule::TooLarge],
        // The inode has more content than allowed.
        Rule::SegmentLength => &[Rule::Size],
        // An object of another identity is not read, and neither are the objects that it references.
        Rule::OwnBlock | Rule::OtherObject | Rule::DataBackOwner | Rule::DataBackOffset => {
            &[Rule::Orphan, Rule::BackPointers, Rule::OwnName]
        }
        // Back pointers that cannot be read count as none.
        Rule::HandleContent => &[Rule::Links, Rule::BackPointers],
        _ => &[],
    }
}
