//! The rules for every inode, whatever its type (format.md §5 and §6), and the ids that all inodes of
//! a container share: fsid and container id (format.md §2).

use std::collections::HashMap;
use std::sync::Arc;

use clfs_format::{
    Attributes, BlockId, BlockMap, DIRECTORY_SEGMENT_BYTES, FILE_SEGMENT_BYTES, FileType,
    Filehandle, Inode, Object, ObjectId, ObjectName, Timestamp,
};

use super::checker::{Checker, inspect_as};
use super::finding::NewFinding;
use super::rule::Rule;
use crate::read::index::{Index, IndexError, Listed, ObjectKey};
use crate::read::{ReadError, Reader, blocking};

const NANOSECONDS: u32 = 1_000_000_000;
/// Number of inodes in the sample, including the root: damage to a few of them does not matter.
const SAMPLE: usize = 33;
/// Objects read from the index at a time. They are ordered by a hash, so the first ones are a random
/// sample.
const PAGE: usize = 1024;

/// The two ids of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ContainerIds {
    fsid: u64,
    container_id: u64,
}

impl ContainerIds {
    /// Returns the ids that occur most often in a sample of inodes; none if none can be read.
    ///
    /// # Errors
    /// If the container or the index fails.
    pub(super) async fn of_container(
        reader: &Reader,
        index: &Arc<Index>,
    ) -> Result<Option<Self>, ReadError> {
        let sample = {
            let index = Arc::clone(index);
            blocking(move || sample(&index)).await?
        };
        let sample = sample.map_err(|error| index.failed(error))?;
        let mut counts: HashMap<Self, usize> = HashMap::new();
        for (listed, file_type) in sample {
            if let Some(ids) = read_ids(reader, &listed, file_type).await? {
                *counts.entry(ids).or_default() += 1;
            }
        }
        // The ids break ties, so that the result does not depend on the order of the map.
        let most = counts.into_iter().max_by_key(|(ids, count)| (*count, *ids));
        Ok(most.map(|(ids, _)| ids))
    }

    /// Returns the first four bytes of every filehandle except the root's.
    fn filehandle_start(&self) -> [u8; 4] {
        let bits = (self.container_id as u32 & 0x07ff_ffff) << 5 | 0x11;
        bits.to_le_bytes()
    }
}

/// Returns the root and some other inodes, with the types in their filehandles.
fn sample(index: &Index) -> Result<Vec<(Listed, FileType)>, IndexError> {
    let entity = |listed: Listed| match listed.name.id {
        ObjectId::Entity(handle) => Some((listed, handle.file_type()?)),
        _ => None,
    };
    let root = ObjectId::Entity(Filehandle::ROOT);
    let mut sample: Vec<_> = index.find(&root)?.and_then(entity).into_iter().collect();
    let mut after: Option<ObjectKey> = None;
    while sample.len() < SAMPLE {
        let page = index.after(after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(ObjectKey::new(&last.name.id));
        let others = page.into_iter().filter(|listed| listed.name.id != root);
        sample.extend(others.filter_map(entity).take(SAMPLE - sample.len()));
    }
    Ok(sample)
}

async fn read_ids(
    reader: &Reader,
    listed: &Listed,
    file_type: FileType,
) -> Result<Option<ContainerIds>, ReadError> {
    let fetched = match reader.fetch(listed).await {
        Ok(fetched) => fetched,
        Err(error) if error.is_damage() => return Ok(None),
        Err(error) => return Err(error),
    };
    let inode = match inspect_as(&fetched, file_type.object_type()).object {
        Ok(Object::Inode(inode)) => inode,
        _ => return Ok(None),
    };
    let Attributes {
        fsid, container_id, ..
    } = inode.attributes;
    let possible = is_possible_id(fsid) && is_possible_id(container_id);
    Ok(possible.then_some(ContainerIds { fsid, container_id }))
}

/// Returns whether a number can be an fsid or a container id.
fn is_possible_id(id: u64) -> bool {
    id != 0 && u32::try_from(id).is_ok()
}

/// An inode's blob, filehandle and type.
#[derive(Debug, Clone, Copy)]
pub(super) struct InodeRef<'a> {
    pub(super) blob: &'a ObjectName,
    pub(super) handle: Filehandle,
    pub(super) file_type: FileType,
}

impl InodeRef<'_> {
    pub(super) fn finding(&self, rule: Rule, text: impl Into<String>) -> NewFinding {
        NewFinding::entity(rule, self.blob, self.handle, text)
    }
}

impl Checker {
    /// Checks the rules that need only the inode.
    pub(super) fn check_inode(&self, at: InodeRef<'_>, inode: &Inode<'_>) -> Vec<NewFinding> {
        let mut findings = Vec::new();
        check_attributes(at, &inode.attributes, &mut findings);
        check_ids(at, &inode.attributes, self.ids, &mut findings);
        check_block_map(at, &inode.block_map, &mut findings);
        findings
    }
}

fn check_attributes(at: InodeRef<'_>, attributes: &Attributes, findings: &mut Vec<NewFinding>) {
    let file_type = at.file_type;
    let mut must = |holds: bool, rule, text: String| {
        if !holds {
            findings.push(at.finding(rule, text));
        }
    };
    must(
        FileType::from_mode(attributes.mode.into()) == Some(file_type),
        Rule::AttributeType,
        format!(
            "mode {:o} does not match the type of the filehandle",
            attributes.mode
        ),
    );
    must(
        attributes.flags == 0 && attributes.dtime == Timestamp::MIN,
        Rule::Reserved,
        format!(
            "flags {:#x} and dtime {}.{:09}: loaders write 0",
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
        format!(
            "used is {}, but size is {}",
            attributes.used, attributes.size
        ),
    );
    must(
        matches!(file_type, FileType::Block | FileType::Character)
            || (attributes.major, attributes.minor) == (0, 0),
        Rule::Device,
        format!(
            "it has the device number {}:{} but is not a device",
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
            "size is {} bytes, but entities of its type have no content",
            attributes.size
        ),
    );
}

fn check_ids(
    at: InodeRef<'_>,
    attributes: &Attributes,
    expected: Option<ContainerIds>,
    findings: &mut Vec<NewFinding>,
) {
    let ids = [
        (
            Rule::FileSystemId,
            "fsid",
            attributes.fsid,
            expected.map(|ids| ids.fsid),
        ),
        (
            Rule::ContainerId,
            "container id",
            attributes.container_id,
            expected.map(|ids| ids.container_id),
        ),
    ];
    for (rule, name, id, expected) in ids {
        let text = match expected {
            Some(expected) if id != expected => {
                format!("{name} is {id:#x}, but {expected:#x} elsewhere")
            }
            None if !is_possible_id(id) => {
                format!("{name} {id:#x} is 0 or not a 32-bit number")
            }
            _ => continue,
        };
        findings.push(at.finding(rule, text));
    }
    if let Some(expected) = expected
        && !at.handle.is_root()
        && !at
            .handle
            .as_bytes()
            .starts_with(&expected.filehandle_start())
    {
        let text = format!(
            "its filehandle {} does not belong to container {:#x}",
            at.handle, expected.container_id
        );
        findings.push(at.finding(Rule::ContainerId, text));
    }
}

/// Checks what the decoder does not: it reports impossible segment sizes and a wrong block 0 itself.
fn check_block_map(at: InodeRef<'_>, map: &BlockMap, findings: &mut Vec<NewFinding>) {
    let other = u64::from(map.other_segment);
    let expected = match at.file_type {
        FileType::Directory => DIRECTORY_SEGMENT_BYTES,
        _ => FILE_SEGMENT_BYTES,
    };
    if other != expected && [FILE_SEGMENT_BYTES, DIRECTORY_SEGMENT_BYTES].contains(&other) {
        let text = format!("segments have {other} bytes; for its type, {expected} are expected");
        findings.push(at.finding(Rule::SegmentSizes, text));
    }
    let has_segments = !map.direct.is_empty() || !map.roots.iter().all(BlockId::is_none);
    let may_have = matches!(at.file_type, FileType::Directory | FileType::Regular);
    if has_segments && !may_have {
        let text = "it has segments, but content of its type is stored in the inode";
        findings.push(at.finding(Rule::BlockCount, text));
    }
}
