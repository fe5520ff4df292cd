//! Maps errors of the decoders to rules.

use clfs_format::{Corrupt, FormatError, HandleType, Limit, Part, Place, Unsupported};

use super::rule::Rule;

/// Offset of the end of an LZ4 frame's header: 4 bytes of wrapper, 7 of header with its checksum.
const FRAME_HEADER_END: u64 = 4 + 7;
/// Handles begin at multiples of this (format.md §5).
const ALIGNMENT: u64 = 8;

/// Returns the rule that a blob or payload breaks.
pub(super) fn rule_of(error: &FormatError) -> Rule {
    let place = error.place();
    match error {
        FormatError::Limit { limit, .. } => of_limit(*limit, place.part),
        FormatError::Unsupported { kind, .. } => of_unsupported(*kind),
        FormatError::Corrupt { kind, .. } => match place.part {
            Part::Wrapper => of_wrapper(*kind),
            Part::Frame => of_frame(*kind, place),
            Part::ObjectName | Part::Id => of_name(*kind),
            Part::Payload => of_payload(*kind, place),
            Part::Handle(handle) => of_handle(*kind, handle),
            Part::Entry => of_entry(*kind),
            Part::IndirectTree => Rule::BlockOrder,
            _ => Rule::HandleContent,
        },
        _ => Rule::HandleContent,
    }
}

fn of_limit(limit: Limit, part: Part) -> Rule {
    match limit {
        Limit::NameBytes if part == Part::Entry => Rule::EntryName,
        Limit::NameBytes => Rule::OwnName,
        Limit::SymlinkTargetBytes => Rule::SymlinkTarget,
        Limit::Links => Rule::Links,
        Limit::FirstSegmentBytes | Limit::FileSegmentBytes | Limit::DirectorySegmentBytes => {
            Rule::SegmentLength
        }
        Limit::DirectBlocks | Limit::Pointers => Rule::BlockOrder,
        Limit::Blocks => Rule::BlockCount,
        Limit::PayloadBytes(_) => Rule::TooLarge,
        _ => Rule::HandleContent,
    }
}

fn of_unsupported(kind: Unsupported) -> Rule {
    match kind {
        Unsupported::Encryption(_) => Rule::Encrypted,
        Unsupported::Compression(_) => Rule::Compression,
        Unsupported::FrameVersion | Unsupported::FrameDictionary => Rule::FrameHeader,
        Unsupported::ObjectType(_) => Rule::ObjectType,
        Unsupported::WellKnownObject(_) => Rule::CacheObject,
        Unsupported::HandleType(_) => Rule::UnknownHandle,
        Unsupported::SegmentSize(_) => Rule::SegmentSizes,
        _ => Rule::HandleContent,
    }
}

fn of_wrapper(kind: Corrupt) -> Rule {
    match kind {
        Corrupt::NotSmaller => Rule::NotSmaller,
        _ => Rule::WrapperShort,
    }
}

fn of_frame(kind: Corrupt, place: Place) -> Rule {
    match kind {
        Corrupt::FrameStored => Rule::StoredBlock,
        Corrupt::NotSmaller => Rule::NotSmaller,
        Corrupt::FrameHeader | Corrupt::FrameMagic => Rule::FrameHeader,
        Corrupt::FrameChecksum if place.offset < FRAME_HEADER_END => Rule::FrameHeader,
        _ => Rule::FrameDamage,
    }
}

fn of_name(kind: Corrupt) -> Rule {
    match kind {
        Corrupt::NameHash => Rule::NameHash,
        Corrupt::NameVersion => Rule::NameKind,
        Corrupt::TypeMismatch => Rule::ObjectType,
        _ => Rule::NameSyntax,
    }
}

fn of_payload(kind: Corrupt, place: Place) -> Rule {
    match kind {
        Corrupt::HandleTwice | Corrupt::HandleMissing | Corrupt::HandleUnexpected => Rule::Handles,
        // The reserved word is at byte 16 of a handle. Padding never begins at a multiple of 8: it
        // has at most 7 bytes, and ends at such a multiple.
        Corrupt::NotZero if !place.offset.is_multiple_of(ALIGNMENT) => Rule::Padding,
        _ => Rule::HandleHeader,
    }
}

fn of_handle(kind: Corrupt, handle: HandleType) -> Rule {
    use HandleType as H;
    match (kind, handle) {
        (Corrupt::HandleMissing | Corrupt::HandleUnexpected | Corrupt::HandleTwice, _) => {
            Rule::Handles
        }
        (Corrupt::HandleOrder, _) => Rule::HandleOrder,
        (Corrupt::NotZero, H::Attributes) => Rule::Reserved,
        (Corrupt::TypeMismatch, H::Attributes) => Rule::AttributeType,
        (Corrupt::NotTheRoot | Corrupt::LongRoot | Corrupt::OwnHandle, H::BlockMap) => {
            Rule::OwnBlock
        }
        (Corrupt::NullId | Corrupt::BlockMapGap, H::BlockMap) | (Corrupt::NullId, H::Indirect) => {
            Rule::BlockOrder
        }
        (Corrupt::BlockMapCount, _) => Rule::BlockCount,
        (Corrupt::NameEmpty | Corrupt::NameByte, H::Name) => Rule::OwnName,
        _ => Rule::HandleContent,
    }
}

fn of_entry(kind: Corrupt) -> Rule {
    match kind {
        Corrupt::NameEmpty | Corrupt::NameByte => Rule::EntryName,
        _ => Rule::Entry,
    }
}
