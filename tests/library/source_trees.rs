//! The test trees contain every edge case, and a comparison with a container finds every difference.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::tree::{self, SourceNode, walk_source};
use clfsload_checker::{CompareOptions, Kind, Node, compare};

type Source = BTreeMap<Vec<u8>, SourceNode>;
type Tree = BTreeMap<Vec<u8>, Node>;

#[test]
fn the_full_tree_contains_every_edge_case() {
    let folder = tempfile::tempdir().unwrap();
    tree::full(folder.path());
    let source = walk_source(folder.path());
    assert_eq!(source, walk_source(folder.path()));

    let kinds: BTreeSet<Kind> = source
        .values()
        .map(|node| Kind::from_mode(node.mode).unwrap())
        .collect();
    assert_eq!(kinds.len(), if tree::is_superuser() { 7 } else { 5 });
    let longest = source.keys().map(Vec::len).max().unwrap();
    assert!(longest > 4096, "the deepest path has {longest} bytes");
    let names = || {
        source
            .keys()
            .flat_map(|path| path.split(|byte| *byte == b'/'))
    };
    assert!(names().any(|name| name.len() == 255));
    assert!(names().any(|name| name.contains(&b'\n')));
    assert!(names().any(|name| std::str::from_utf8(name).is_err()));
    let links = source.values().filter(|node| node.nlink == 1040).count();
    assert_eq!(links, 1040);
    let wide = source
        .keys()
        .filter(|path| path.starts_with(b"wide/"))
        .count();
    assert_eq!(wide, 3000);
    let sizes: BTreeSet<u64> = source.values().map(|node| node.size).collect();
    for size in [0, 1, 16_384, 16_385, 8_404_991, 8_404_992, 8_404_993] {
        assert!(sizes.contains(&size), "no file of {size} bytes");
    }
    assert!(source.values().any(|node| node.mode & 0o7000 == 0o7000));
    assert!(source.values().any(|node| node.mtime.0 < 0));
    assert!(source.values().any(|node| node.mtime.1 % 1000 != 0));
}

#[test]
fn the_sparse_file_needs_an_indirect_block() {
    let folder = tempfile::tempdir().unwrap();
    tree::sparse(folder.path());
    let stat = rustix::fs::stat(folder.path().join("sparse")).unwrap();
    assert!(stat.st_size > 16_384 + 1023 * (8 << 20));
    assert!(stat.st_blocks * 512 < 10 << 20, "the file is not sparse");
}

/// Returns the tree that a correct load creates.
fn loaded(source: &Source, hardlinks: bool) -> Tree {
    let clamp = |(seconds, nanoseconds): (i64, u32)| match u32::try_from(seconds) {
        Ok(seconds) => (seconds, nanoseconds),
        Err(_) if seconds < 0 => (0, 0),
        Err(_) => (u32::MAX, 999_999_999),
    };
    let mut links: BTreeMap<u64, usize> = BTreeMap::new();
    source
        .iter()
        .map(|(path, from)| {
            let kind = Kind::from_mode(from.mode).unwrap();
            let number = links.entry(from.ino).or_default();
            let object = match hardlinks {
                true => format!("{}.{}", from.ino, *number / 1023).into_bytes(),
                false => path.clone(),
            };
            *number += 1;
            let node = Node {
                kind,
                mode: from.mode,
                uid: from.uid,
                gid: from.gid,
                size: from.size,
                sha256: from.sha256,
                target: from.target.clone(),
                major: from.major,
                minor: from.minor,
                nlink: 1,
                file_id: from.ino,
                object,
                mtime: clamp(from.mtime),
                ctime: clamp(from.ctime),
                atime: (0, 0),
            };
            (path.clone(), node)
        })
        .collect()
}

#[test]
fn compare_finds_every_difference() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, build) in [
        ("types", &tree::every_type as &dyn Fn(&std::path::Path)),
        ("times", &tree::times),
        ("links", &|at| tree::hard_links(at, 1040)),
    ] {
        std::fs::create_dir(root.join(name)).unwrap();
        build(&root.join(name));
    }
    let source = walk_source(root);
    let with = |hardlinks| CompareOptions {
        hardlinks,
        ..CompareOptions::default()
    };
    for hardlinks in [false, true] {
        let tree = loaded(&source, hardlinks);
        assert_eq!(compare(&source, &tree, with(hardlinks)), [""; 0]);
        assert_ne!(compare(&source, &tree, with(!hardlinks)), [""; 0]);
    }

    type Damage = fn(&mut Tree);
    fn regular(tree: &mut Tree) -> &mut Node {
        tree.get_mut(b"types/regular".as_slice()).unwrap()
    }
    let damages: [(&str, Damage); 14] = [
        ("not in the source", |tree| {
            let node = regular(tree).clone();
            tree.insert(b"types/more".to_vec(), node);
        }),
        ("not in the container", |tree| {
            tree.remove(b"types/fifo".as_slice());
        }),
        ("kind", |tree| regular(tree).kind = Kind::Fifo),
        ("mode", |tree| regular(tree).mode ^= 0o4000),
        ("uid", |tree| regular(tree).uid += 1),
        ("gid", |tree| regular(tree).gid += 1),
        ("ino", |tree| regular(tree).file_id += 1),
        ("size", |tree| regular(tree).size += 1),
        ("sha256", |tree| regular(tree).sha256 = Some([0; 32])),
        ("mtime", |tree| regular(tree).mtime.1 ^= 1),
        ("ctime", |tree| regular(tree).ctime.0 ^= 1),
        ("target", |tree| {
            let link = tree.get_mut(b"types/dangling".as_slice()).unwrap();
            link.target.as_mut().unwrap().pop();
        }),
        ("device", |tree| regular(tree).minor = 1),
        ("shares its object", |tree| {
            let other = tree[b"types/fifo".as_slice()].object.clone();
            regular(tree).object = other;
        }),
    ];
    for (word, damage) in damages {
        let mut tree = loaded(&source, true);
        damage(&mut tree);
        let found = compare(&source, &tree, with(true));
        assert!(
            found.len() == 1 && found[0].contains(word),
            "{word}: {found:?}"
        );
    }
    // 1,040 links become two objects of at most 1,023 links; a third object is an error.
    let mut tree = loaded(&source, true);
    tree.get_mut(b"links/a/link-00000".as_slice())
        .unwrap()
        .object = b"third".to_vec();
    let found = compare(&source, &tree, with(true));
    assert!(
        found.len() == 1 && found[0].contains("3 objects, not 2"),
        "{found:?}"
    );
}
