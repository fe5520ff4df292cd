//! Extraction restores the source trees from containers of the original loader.

use std::collections::{BTreeMap, HashMap};

use super::fixture::{Place, container};
use crate::support::golden;
use crate::support::skip::needs_root;
use crate::support::tree::{SourceNode, walk_source};

const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

/// With `links`, the container has the hard links of the tree; otherwise each path is a separate file.
fn extracts_as(archive: &str, tree: &str, links: bool) {
    if !needs_root("creating devices") {
        return;
    }
    let (place, expected) = (Place::new(), golden::tree(tree));
    place
        .extract(&container(golden::container(archive)))
        .with_problems(&[]);
    let found = walk_source(&place.destination());
    let paths = |tree: &BTreeMap<Vec<u8>, SourceNode>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&found), paths(&expected));
    let mut inodes: HashMap<u64, u64> = HashMap::new();
    for (path, node) in &found {
        let from = &expected[path];
        let name = String::from_utf8_lossy(path);
        let same = |node: &SourceNode| {
            let attributes = (node.mode, node.uid, node.gid, node.mtime.0);
            let device = (node.major, node.minor);
            // Compare content and target instead of the size, which the list has only for files.
            (attributes, device, node.sha256, node.target.clone())
        };
        assert_eq!(same(node), same(from), "{name}");
        // The float times of the original are off by less than a microsecond (format.md §7).
        let off = i64::from(node.mtime.1) - i64::from(from.mtime.1);
        assert!(off.abs() < 1000, "{name}: nanoseconds off by {off}");
        if node.mode & TYPE_BITS == DIRECTORY {
            continue;
        }
        match links {
            true => {
                assert_eq!(node.nlink, from.nlink, "{name}");
                let inode = inodes.entry(from.ino).or_insert(node.ino);
                assert_eq!(*inode, node.ino, "{name} is not a hard link");
            }
            false => assert_eq!(node.nlink, 1, "{name}"),
        }
    }
}

#[test]
fn a_plain_container_is_extracted_as_its_tree() {
    extracts_as("container-plain.tar.gz", "tree-small.json", false);
}

#[test]
fn an_lz4_container_is_extracted_as_its_tree() {
    extracts_as("container-lz4-nolinks.tar.gz", "tree-small.json", false);
}

#[test]
fn an_lz4_container_with_hard_links_is_extracted_as_its_tree() {
    extracts_as("container-lz4-hardlinks.tar.gz", "tree-small.json", true);
}

#[test]
fn a_large_container_is_extracted_as_its_tree() {
    extracts_as("container-lz4-large.tar.gz", "tree-large.json.gz", true);
}
