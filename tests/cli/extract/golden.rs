//! Containers of the original loader are extracted as the trees that were loaded.

use std::collections::{BTreeMap, HashMap};

use super::fixture::{Place, container};
use crate::support::golden;
use crate::support::skip::needs_root;
use crate::support::tree::{SourceNode, walk_source};

const TYPE_BITS: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;

/// With `links` the container holds the links of the tree; otherwise each path is a file of its own.
fn comes_out(archive: &str, tree: &str, links: bool) {
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
            // Content and target stand for the size, which the list has for files only.
            (attributes, device, node.sha256, node.target.clone())
        };
        assert_eq!(same(node), same(from), "{name}");
        // The float of the original is off by less than a microsecond (docs/format.md section 7).
        let off = i64::from(node.mtime.1) - i64::from(from.mtime.1);
        assert!(off.abs() < 1000, "{name}: nanoseconds off by {off}");
        if node.mode & TYPE_BITS == DIRECTORY {
            continue;
        }
        match links {
            true => {
                assert_eq!(node.nlink, from.nlink, "{name}");
                let inode = inodes.entry(from.ino).or_insert(node.ino);
                assert_eq!(*inode, node.ino, "{name} is no link");
            }
            false => assert_eq!(node.nlink, 1, "{name}"),
        }
    }
}

#[test]
fn plain() {
    comes_out("container-plain.tar.gz", "tree-small.json", false);
}

#[test]
fn lz4() {
    comes_out("container-lz4-nolinks.tar.gz", "tree-small.json", false);
}

#[test]
fn lz4_with_hard_links() {
    comes_out("container-lz4-hardlinks.tar.gz", "tree-small.json", true);
}

#[test]
fn large() {
    comes_out("container-lz4-large.tar.gz", "tree-large.json.gz", true);
}
