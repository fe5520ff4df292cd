//! The rules that every inode keeps, whatever it is of (docs/format.md sections 5 and 6).

use clfs_format::{
    Attributes, BlockId, BlockMap, DIRECTORY_SEGMENT_BYTES, FILE_SEGMENT_BYTES,
    FIRST_SEGMENT_BYTES, FileType, Filehandle, Inode, ObjectName, Timestamp,
};

use super::check::Check;
use super::finding::Found;
use super::identity::{Identity, is_possible};
use super::rule::Rule;

const NANOSECONDS: u32 = 1_000_000_000;

/// An inode and what its blob is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) blob: &'a ObjectName,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
}

impl Place<'_> {
    pub(super) fn found(&self, rule: Rule, text: impl Into<String>) -> Found {
        Found::of(rule, self.blob, self.handle, text)
    }
}

/// Bytes of each segment but the first when it is full.
pub(super) fn other_segment(file_type: FileType) -> u64 {
    match file_type {
        FileType::Directory => DIRECTORY_SEGMENT_BYTES,
        _ => FILE_SEGMENT_BYTES,
    }
}

impl Check {
    /// Judges what needs nothing but the inode.
    pub(super) fn judge_inode(&self, place: Place<'_>, inode: &Inode<'_>) -> Vec<Found> {
        let mut found = Vec::new();
        attributes(place, &inode.attributes, &mut found);
        identity(place, &inode.attributes, self.identity, &mut found);
        block_map(place, &inode.block_map, &mut found);
        found
    }
}

fn attributes(place: Place<'_>, attributes: &Attributes, found: &mut Vec<Found>) {
    let file_type = place.file_type;
    let mut must = |holds: bool, rule, text: String| {
        if !holds {
            found.push(place.found(rule, text));
        }
    };
    must(
        FileType::from_mode(attributes.mode.into()) == Some(file_type),
        Rule::AttributeType,
        format!("mode {:o} is not that of its type", attributes.mode),
    );
    must(
        attributes.flags == 0 && attributes.dtime == Timestamp::MIN,
        Rule::Reserved,
        format!(
            "flags {:#x} and dtime {}.{:09} are 0 in what loaders write",
            attributes.flags, attributes.dtime.seconds, attributes.dtime.nanoseconds
        ),
    );
    let times = [
        ("mtime", attributes.mtime),
        ("ctime", attributes.ctime),
        ("atime", attributes.atime),
    ];
    for (name, time) in times {
        must(
            time.nanoseconds < NANOSECONDS,
            Rule::Time,
            format!("{name} has {} nanoseconds", time.nanoseconds),
        );
    }
    must(
        attributes.used == attributes.size,
        Rule::Used,
        format!("used is {}, the size {}", attributes.used, attributes.size),
    );
    must(
        matches!(file_type, FileType::Block | FileType::Character)
            || (attributes.major, attributes.minor) == (0, 0),
        Rule::Device,
        format!(
            "it has the device number {}:{} and is no device",
            attributes.major, attributes.minor
        ),
    );
    must(
        matches!(
            file_type,
            FileType::Directory | FileType::Regular | FileType::Symlink
        ) || attributes.size == 0,
        Rule::Size,
        format!(
            "a size of {} bytes, though it has no content",
            attributes.size
        ),
    );
}

fn identity(
    place: Place<'_>,
    attributes: &Attributes,
    expected: Option<Identity>,
    found: &mut Vec<Found>,
) {
    let Attributes {
        fsid, container_id, ..
    } = *attributes;
    match expected {
        Some(expected) if fsid != expected.fsid => {
            let text = format!("fsid {fsid:#x}, elsewhere {:#x}", expected.fsid);
            found.push(place.found(Rule::FileSystemId, text));
        }
        None if !is_possible(fsid) => {
            let text = format!("fsid {fsid:#x} is 0 or no 32-bit number");
            found.push(place.found(Rule::FileSystemId, text));
        }
        _ => {}
    }
    match expected {
        Some(expected) if container_id != expected.container_id => {
            let text = format!(
                "container id {container_id:#x}, elsewhere {:#x}",
                expected.container_id
            );
            found.push(place.found(Rule::ContainerId, text));
        }
        None if !is_possible(container_id) => {
            let text = format!("container id {container_id:#x} is 0 or no 32-bit number");
            found.push(place.found(Rule::ContainerId, text));
        }
        _ => {}
    }
    let handle = place.handle;
    if let Some(expected) = expected
        && !handle.is_root()
        && !handle.as_bytes().starts_with(&expected.filehandle_start())
    {
        let text = format!(
            "its filehandle {handle} is not of a container {:#x}",
            expected.container_id
        );
        found.push(place.found(Rule::ContainerId, text));
    }
}

/// Sizes that are no segment size at all, and a block 0 of something else, are the decoder's to tell.
fn block_map(place: Place<'_>, map: &BlockMap, found: &mut Vec<Found>) {
    let other = u64::from(map.other_segment);
    let expected = other_segment(place.file_type);
    if other != expected && [FILE_SEGMENT_BYTES, DIRECTORY_SEGMENT_BYTES].contains(&other) {
        let text = format!("segments of {other} bytes; its type has {expected}");
        found.push(place.found(Rule::SegmentSizes, text));
    }
    let has_content = matches!(place.file_type, FileType::Directory | FileType::Regular);
    if !has_content && !is_single(map) {
        let text = "it uses segments, though all of it lies in the inode";
        found.push(place.found(Rule::BlockCount, text));
    }
}

fn is_single(map: &BlockMap) -> bool {
    map.direct.is_empty() && map.roots.iter().all(BlockId::is_none)
}

/// Segments that a file of this size needs besides the inode's.
pub(super) fn needed_segments(size: u64) -> u64 {
    size.saturating_sub(FIRST_SEGMENT_BYTES)
        .div_ceil(FILE_SEGMENT_BYTES)
}
