//! Which rule a decoder's complaint is about.

use clfs_format::{
    Corrupt, Filehandle, FormatError, HandleType, Limit, ObjectName, Part, Place, UnknownHandle,
    Unsupported,
};

use super::finding::{Found, PathOf};
use super::rule::{Rule, Severity};
use crate::read::ReadError;

/// Bytes of an LZ4 frame's header with its checksum, and of the wrapper before it.
const FRAME_HEADER_END: u64 = 4 + 7;
/// Handles begin at multiples of this (docs/format.md section 5).
const ALIGNMENT: u64 = 8;

/// The rule that a blob or payload breaks.
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
        // The reserved word lies 16 bytes into a handle. Padding never begins at a multiple of 8:
        // it ends at one and has at most 7 bytes.
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

/// A bad directory entry.
fn of_entry(kind: Corrupt) -> Rule {
    match kind {
        Corrupt::NameEmpty | Corrupt::NameByte => Rule::EntryName,
        _ => Rule::Entry,
    }
}

/// What of an object could be read although it breaks rules. Bad entries are left out: they are
/// told one by one, with their names.
pub(super) fn deviations(
    deviations: &[FormatError],
    unknown: &[UnknownHandle],
    blob: &ObjectName,
    entity: Option<Filehandle>,
) -> Vec<Found> {
    let found = |rule, text: String| match entity {
        Some(entity) => Found::of(rule, blob, entity, text),
        None => Found::blob(rule, blob, text),
    };
    let broken = deviations
        .iter()
        .filter(|error| error.place().part != Part::Entry)
        .map(|error| found(rule_of(error), error.to_string()));
    let unknown = unknown
        .iter()
        .map(|handle| found(Rule::UnknownHandle, format!("{handle}: it is passed over")));
    broken.chain(unknown).collect()
}

/// Why an object could not be read.
pub(super) fn unreadable(
    error: &ReadError,
    blob: &ObjectName,
    entity: Option<Filehandle>,
) -> Found {
    let (rule, text) = match error {
        ReadError::Encrypted { method, .. } => (
            Rule::Encrypted,
            format!("encrypted ({method}): it cannot be checked"),
        ),
        ReadError::Format { error, .. } => (rule_of(error), format!("unreadable: {error}")),
        ReadError::TooLarge { size, .. } => (
            Rule::TooLarge,
            format!("the blob has {size} bytes, more than any object of its kind"),
        ),
        // It may be sound, or damaged.
        ReadError::Unreadable(error) => (Rule::Unread, format!("not verified: {error}")),
        ReadError::Archived { problem, .. } => (Rule::Offline, problem.clone()),
        other => (Rule::Dangling, other.to_string()),
    };
    Found {
        rule,
        severity: Severity::Error,
        blob: Some(blob.to_string()),
        path: entity.map_or(PathOf::Nothing, PathOf::Entity),
        text,
    }
}
