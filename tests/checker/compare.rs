//! Compares a container's tree with the `lstat` data of the source.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Node};
use crate::source_tree::{SourceNode, UnixTime};

/// The maximum number of links of one object (format.md §6).
const LINKS: usize = 1023;

/// The options of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct CompareOptions {
    /// Whether the load preserved hard links. If not, every path is a separate object.
    pub hardlinks: bool,
    /// Whether nanoseconds are compared. The original stores times as floats (format.md §7).
    pub nanoseconds: bool,
}

impl Default for CompareOptions {
    fn default() -> Self {
        CompareOptions {
            hardlinks: false,
            nanoseconds: true,
        }
    }
}

/// Returns a time as the format can store it (format.md §5).
fn clamped(time: UnixTime) -> (u32, u32) {
    match u32::try_from(time.0) {
        Ok(seconds) => (seconds, time.1),
        Err(_) if time.0 < 0 => (0, 0),
        Err(_) => (u32::MAX, 999_999_999),
    }
}

/// Returns the differences, one per line; none if the container matches the source.
pub fn compare(
    source: &BTreeMap<Vec<u8>, SourceNode>,
    tree: &BTreeMap<Vec<u8>, Node>,
    options: CompareOptions,
) -> Vec<String> {
    let mut differences = Vec::new();
    for path in tree.keys().filter(|path| !source.contains_key(*path)) {
        differences.push(format!("{}: not in the source", shown(path)));
    }
    for (path, from) in source {
        match tree.get(path) {
            None => differences.push(format!("{}: not in the container", shown(path))),
            Some(node) => compare_node(path, from, node, options, &mut differences),
        }
    }
    links(source, tree, options.hardlinks, &mut differences);
    differences
}

fn shown(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

fn compare_node(
    path: &[u8],
    from: &SourceNode,
    node: &Node,
    options: CompareOptions,
    differences: &mut Vec<String>,
) {
    let mut same = |what: &str, source: String, container: String| {
        if source != container {
            let path = shown(path);
            differences.push(format!(
                "{path}: {what}: source {source}, container {container}"
            ));
        }
    };
    let time = |(seconds, nanoseconds): (u32, u32)| match options.nanoseconds {
        true => format!("{seconds}.{nanoseconds:09}"),
        false => seconds.to_string(),
    };
    let kind = Kind::from_mode(from.mode);
    same(
        "kind",
        format!("{kind:?}"),
        format!("{:?}", Some(node.kind)),
    );
    same(
        "mode",
        format!("{:o}", from.mode),
        format!("{:o}", node.mode),
    );
    same("uid", from.uid.to_string(), node.uid.to_string());
    same("gid", from.gid.to_string(), node.gid.to_string());
    same("ino", from.ino.to_string(), node.file_id.to_string());
    same("mtime", time(clamped(from.mtime)), time(node.mtime));
    same("ctime", time(clamped(from.ctime)), time(node.ctime));
    same(
        "sha256",
        format!("{:02x?}", from.sha256),
        format!("{:02x?}", node.sha256),
    );
    same(
        "target",
        format!("{:?}", from.target),
        format!("{:?}", node.target),
    );
    same(
        "device",
        format!("{}:{}", from.major, from.minor),
        format!("{}:{}", node.major, node.minor),
    );
    if kind == Some(Kind::Regular) {
        same("size", from.size.to_string(), node.size.to_string());
    }
}

/// Checks that the paths of one source inode, and no others, share an object (or several, above the link limit).
fn links(
    source: &BTreeMap<Vec<u8>, SourceNode>,
    tree: &BTreeMap<Vec<u8>, Node>,
    preserved: bool,
    differences: &mut Vec<String>,
) {
    let mut groups: BTreeMap<(u64, u64), Vec<&Vec<u8>>> = BTreeMap::new();
    for (path, from) in source {
        groups.entry((from.dev, from.ino)).or_default().push(path);
    }
    let mut inode_of_object = BTreeMap::new();
    for (inode, paths) in &groups {
        let nodes: Vec<&Node> = paths.iter().filter_map(|path| tree.get(*path)).collect();
        let objects: BTreeSet<&Vec<u8>> = nodes.iter().map(|node| &node.object).collect();
        let expected = match preserved {
            true => nodes.len().div_ceil(LINKS),
            false => nodes.len(),
        };
        if objects.len() != expected {
            differences.push(format!(
                "{}: {} paths of one inode are {} objects, not {expected}",
                shown(paths[0]),
                nodes.len(),
                objects.len()
            ));
        }
        for object in objects {
            if inode_of_object.insert(object, inode).is_some() {
                let path = shown(paths[0]);
                differences.push(format!("{path}: shares its object with another inode"));
            }
        }
    }
}
