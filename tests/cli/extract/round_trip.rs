//! A tree with every kind of entry is unchanged after a load and an extraction.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use clfs_format::Timestamp;

use crate::support::command::{Scratch, run};
use crate::support::tree::{SourceNode, full, is_superuser, walk_source};

/// A file with data at its start, at the boundaries of segments, and at its end.
const SPARSE_SIZE: u64 = 60_000_001;
const ISLANDS: [u64; 5] = [0, 16_380, 20 << 20, (40 << 20) - 3, SPARSE_SIZE - 100];

fn sparse(scratch: &Scratch) {
    let file = File::create(scratch.source().join("sparse")).unwrap();
    file.set_len(SPARSE_SIZE).unwrap();
    for island in ISLANDS {
        file.write_all_at(&[7; 100], island).unwrap();
    }
    let hole = File::create(scratch.source().join("only-a-hole")).unwrap();
    hole.set_len(30 << 20).unwrap();
}

fn clamped((seconds, nanoseconds): (i64, u32)) -> (i64, u32) {
    let (time, _) = Timestamp::from_unix(seconds, nanoseconds);
    (time.seconds.into(), time.nanoseconds)
}

fn differences(
    source: &BTreeMap<Vec<u8>, SourceNode>,
    found: &BTreeMap<Vec<u8>, SourceNode>,
) -> Vec<String> {
    let mut differences = Vec::new();
    for path in source.keys().chain(found.keys()).collect::<HashSet<_>>() {
        let name = path.escape_ascii();
        let (Some(from), Some(node)) = (source.get(path), found.get(path)) else {
            differences.push(format!("{name} is only in one tree"));
            continue;
        };
        let same = |node: &SourceNode| {
            let attributes = (node.mode, node.uid, node.gid, clamped(node.mtime));
            let device = (node.major, node.minor);
            (attributes, device, node.sha256, node.target.clone())
        };
        if same(from) != same(node) {
            differences.push(format!("{name}: {from:?} became {node:?}"));
        }
    }
    differences
}

/// Asserts that paths of one inode are still paths of one inode.
fn assert_same_links(
    source: &BTreeMap<Vec<u8>, SourceNode>,
    found: &BTreeMap<Vec<u8>, SourceNode>,
) {
    let mut groups: HashMap<u64, HashSet<u64>> = HashMap::new();
    for (path, from) in source {
        if from.mode & 0o170_000 == 0o040_000 {
            continue;
        }
        let node = &found[path];
        groups.entry(from.ino).or_default().insert(node.ino);
        // The format permits 1,023 links; a file with more becomes several.
        if from.nlink <= 1023 {
            assert_eq!(node.nlink, from.nlink, "{}", path.escape_ascii());
        }
    }
    for (path, from) in source {
        if let Some(inodes) = groups.get(&from.ino) {
            let expected = from.nlink.div_ceil(1023) as usize;
            assert_eq!(inodes.len(), expected, "{}", path.escape_ascii());
        }
    }
}

#[test]
fn the_full_tree_survives_a_round_trip() {
    let scratch = Scratch::new();
    full(&scratch.source());
    sparse(&scratch);
    let source = walk_source(&scratch.source());
    scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
    let destination = scratch.path("out");
    let extract = || {
        run([
            "extract".as_ref(),
            scratch.container("t").as_os_str(),
            destination.as_os_str(),
            "--record".as_ref(),
            scratch.path("record").as_os_str(),
        ])
    };
    let first = extract().expect(0);
    let found = walk_source(&destination);
    let differences = differences(&source, &found);
    assert!(differences.is_empty(), "{differences:#?}");
    assert_same_links(&source, &found);
    if is_superuser() {
        assert_eq!(found[&b"modes/file-4755"[..]].mode, 0o104_755);
    }
    let mut lines = first.stdout.lines();
    assert!(lines.any(|line| line.starts_with("0 already up to date")));

    // Five islands of at most two blocks, and one block for the file system's metadata.
    let blocks = |name| std::fs::metadata(destination.join(name)).unwrap().blocks();
    assert!(blocks("sparse") * 512 < 64 << 10, "{}", blocks("sparse"));
    assert_eq!(blocks("only-a-hole"), 0);

    // Another run has nothing to do and changes nothing.
    let again = extract().expect(0);
    assert!(
        again
            .stdout
            .contains("extracted: 0 files, 0 symlinks, 0 fifos"),
        "{again:#?}"
    );
    assert!(again.stdout.contains(" 0 inodes and 0 B"), "{again:#?}");
    let inodes = |tree: &BTreeMap<Vec<u8>, SourceNode>| -> Vec<_> {
        tree.values().map(|node| (node.ino, node.mtime)).collect()
    };
    assert_eq!(inodes(&walk_source(&destination)), inodes(&found));
}
