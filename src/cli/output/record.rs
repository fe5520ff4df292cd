//! The JSON objects of the reading commands. docs/reading.md lists their fields, which are stable.

use std::collections::BTreeMap;
use std::fmt::Display;

use clfs_format::{BlockId, FileType, Filehandle, Timestamp};
use serde::Serialize;

use crate::read::{Entity, TreePath};
use crate::text::hex_unless_text;
use crate::text::human::type_names;

/// Bytes as text. Bytes that are not UTF-8 are replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Formats a time as `2026-01-31T12:00:00.000000000Z`. A billion nanoseconds or more in a container are added to
/// the seconds.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    humantime::format_rfc3339_nanos(system_time(time)).to_string()
}

/// Converts a timestamp. Every timestamp can be represented.
pub(crate) fn system_time(time: Timestamp) -> std::time::SystemTime {
    let since_1970 = std::time::Duration::from_secs(u64::from(time.seconds))
        + std::time::Duration::from_nanos(u64::from(time.nanoseconds));
    std::time::SystemTime::UNIX_EPOCH + since_1970
}

/// A path.
#[derive(Debug, Serialize)]
pub(crate) struct PathRecord {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl PathRecord {
    pub(crate) fn new(path: &TreePath) -> Self {
        let bytes = path.absolute();
        Self {
            path: text(&bytes),
            path_hex: hex_unless_text(&bytes),
        }
    }
}

/// An entry that could not be read.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorRecord {
    #[serde(flatten)]
    path: PathRecord,
    error: String,
}

impl ErrorRecord {
    pub(crate) fn new(path: &TreePath, error: &dyn Display) -> Self {
        Self {
            path: PathRecord::new(path),
            error: error.to_string(),
        }
    }
}

/// An entry of a directory, with its inode if it was read.
#[derive(Debug, Serialize)]
pub(crate) struct EntryRecord {
    #[serde(flatten)]
    path: PathRecord,
    #[serde(rename = "type")]
    file_type: &'static str,
    handle: String,
    #[serde(flatten)]
    inode: Option<InodeRecord>,
}

impl EntryRecord {
    pub(crate) fn new(
        path: &TreePath,
        file_type: FileType,
        handle: Filehandle,
        inode: Option<&Entity>,
    ) -> Self {
        Self {
            path: PathRecord::new(path),
            file_type: type_names(file_type).code,
            handle: handle.to_string(),
            inode: inode.map(InodeRecord::new),
        }
    }
}

#[derive(Debug, Serialize)]
struct InodeRecord {
    mode: String,
    nlink: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: String,
    ctime: String,
    atime: String,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    major: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minor: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
}

impl InodeRecord {
    fn new(entity: &Entity) -> Self {
        let attributes = &entity.attributes;
        let device = matches!(entity.file_type, FileType::Block | FileType::Character);
        Self {
            mode: format!("{:04o}", attributes.mode & 0o7777),
            nlink: attributes.nlink,
            uid: attributes.uid,
            gid: attributes.gid,
            size: attributes.size,
            mtime: rfc3339(attributes.mtime),
            ctime: rfc3339(attributes.ctime),
            atime: rfc3339(attributes.atime),
            inode: attributes.file_id,
            major: device.then_some(attributes.major),
            minor: device.then_some(attributes.minor),
            target: entity.target().map(|target| text(target)),
            target_hex: entity.target().and_then(|target| hex_unless_text(target)),
        }
    }
}

/// All fields of an inode.
#[derive(Debug, Serialize)]
pub(crate) struct StatRecord {
    #[serde(flatten)]
    entry: EntryRecord,
    st_mode: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    blob: String,
    version: u64,
    fsid: u64,
    container_id: u64,
    flags: u32,
    dtime: String,
    used: u64,
    direct_blocks: usize,
    trees: usize,
    back: Vec<String>,
    extended: BTreeMap<String, String>,
    unknown: Vec<UnknownRecord>,
    unusual: Vec<String>,
}

#[derive(Debug, Serialize)]
struct UnknownRecord {
    code: u32,
    offset: usize,
    length: usize,
}

impl StatRecord {
    pub(crate) fn new(path: &TreePath, entity: &Entity) -> Self {
        let attributes = &entity.attributes;
        let unknown = entity.unknown.iter().map(|handle| UnknownRecord {
            code: handle.code,
            offset: handle.offset,
            length: handle.length,
        });
        Self {
            entry: EntryRecord::new(path, entity.file_type, entity.handle, Some(entity)),
            st_mode: format!("{:o}", attributes.mode),
            name: text(&entity.name),
            name_hex: hex_unless_text(&entity.name),
            blob: entity.blob.to_string(),
            version: entity.blob.version,
            fsid: attributes.fsid,
            container_id: attributes.container_id,
            flags: attributes.flags,
            dtime: rfc3339(attributes.dtime),
            used: attributes.used,
            direct_blocks: entity.block_map.direct.len(),
            trees: trees(entity),
            back: entity.back.iter().map(Filehandle::to_string).collect(),
            extended: entity.extended.0.iter().cloned().collect(),
            unknown: unknown.collect(),
            unusual: entity.deviations.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Returns the number of trees of indirect blocks of an entity (format.md §6 "BMAP").
pub(crate) fn trees(entity: &Entity) -> usize {
    let roots = entity.block_map.roots.iter();
    roots.filter(|root| **root != BlockId::NONE).count()
}

/// The totals of a directory.
#[derive(Debug, Serialize)]
pub(crate) struct UsageRecord {
    #[serde(flatten)]
    path: PathRecord,
    bytes: u64,
    entries: u64,
}

impl UsageRecord {
    pub(crate) fn new(path: &TreePath, bytes: u64, entries: u64) -> Self {
        Self {
            path: PathRecord::new(path),
            bytes,
            entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_exact_bytes() {
        let record = PathRecord::new(&TreePath::root().child(b"a\xff"));
        assert_eq!(record.path, "/a\u{fffd}");
        assert_eq!(record.path_hex.as_deref(), Some("2f61ff"));
        let record = PathRecord::new(&TreePath::root().child("\u{fc}\n".as_bytes()));
        assert_eq!(record.path, "/\u{fc}\n");
        assert_eq!(record.path_hex, None);
    }

    #[test]
    fn any_timestamp_can_be_shown() {
        let time = |seconds, nanoseconds| {
            rfc3339(Timestamp {
                seconds,
                nanoseconds,
            })
        };
        assert_eq!(time(0, 7), "1970-01-01T00:00:00.000000007Z");
        assert_eq!(
            time(u32::MAX, 999_999_999),
            "2106-02-07T06:28:15.999999999Z"
        );
        assert_eq!(time(u32::MAX, u32::MAX), "2106-02-07T06:28:19.294967295Z");
    }
}
