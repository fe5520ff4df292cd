//! Attributes of both sides against each other.

use clfs_format::{FileType, Timestamp};

use crate::loss::Loss;
use crate::read::Entity;
use crate::source::Seen;
use crate::verify::finding::Found;
use crate::verify::rule::Rule;

/// The original keeps times as floating-point numbers, which are off by less (docs/format.md
/// section 7).
const TOLERANCE_NANOSECONDS: i128 = 1000;
/// The permissions in a `st_mode`.
const PERMISSIONS: u16 = 0o7777;

/// How the container's entity differs from what stands in the source.
pub(super) fn differences(path: &[u8], seen: &Seen, entity: &Entity) -> Vec<Found> {
    let (source, ours) = (&seen.attributes, &entity.attributes);
    let mut found = Vec::new();
    let mut differ = |rule, text| found.push(Found::path(rule, path.to_vec(), text));
    if source.file_type != entity.file_type {
        let text = format!(
            "a {} in the source, a {} in the container",
            type_name(source.file_type),
            type_name(entity.file_type)
        );
        differ(Rule::SourceType, text);
        // Nothing else of two different things can be compared.
        return found;
    }
    let modes = [source.mode, ours.mode].map(|mode| mode & PERMISSIONS);
    if modes[0] != modes[1] {
        // The container's may be the mask: loaders before this one stored it.
        let how = match source.losses.has(Loss::AccessAcl) || source.losses.has(Loss::Nfs4Acl) {
            true => " (without the mask of its ACL)",
            false => "",
        };
        let text = format!(
            "mode {:04o} in the source{how}, {:04o} in the container",
            modes[0], modes[1]
        );
        differ(Rule::SourceMode, text);
    }
    if (source.uid, source.gid) != (ours.uid, ours.gid) {
        let text = format!(
            "owner {}:{} in the source, {}:{} in the container",
            source.uid, source.gid, ours.uid, ours.gid
        );
        differ(Rule::SourceOwner, text);
    }
    if source.file_type == FileType::Regular && source.size != ours.size {
        let text = format!(
            "{} bytes in the source, {} in the container",
            source.size, ours.size
        );
        differ(Rule::SourceSize, text);
    }
    let later = nanoseconds(source.mtime) - nanoseconds(ours.mtime);
    if later.abs() >= TOLERANCE_NANOSECONDS {
        let hint = match later > 0 {
            true => ": it was changed after it was loaded",
            false => "",
        };
        let text = format!(
            "mtime {} in the source, {} in the container{hint}",
            shown(source.mtime),
            shown(ours.mtime)
        );
        differ(Rule::SourceTime, text);
    }
    let devices = [
        (source.device.major, source.device.minor),
        (ours.major, ours.minor),
    ];
    let device = matches!(source.file_type, FileType::Block | FileType::Character);
    if device && devices[0] != devices[1] {
        let text = format!(
            "device {}:{} in the source, {}:{} in the container",
            devices[0].0, devices[0].1, devices[1].0, devices[1].1
        );
        differ(Rule::SourceDevice, text);
    }
    found
}

fn nanoseconds(time: Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

fn shown(time: Timestamp) -> String {
    format!("{}.{:09}", time.seconds, time.nanoseconds)
}

fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Directory => "directory",
        FileType::Regular => "file",
        FileType::Symlink => "symlink",
        FileType::Block => "block device",
        FileType::Character => "character device",
        FileType::Socket => "socket",
        FileType::Fifo => "fifo",
    }
}
