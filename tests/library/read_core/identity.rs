//! One object's bytes under another's name: only the entry that needs the object is damaged.

use std::collections::BTreeMap;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use clfsload::read::{
    Entity, Mismatch, ReadError, Reader, Resolved, Step, TreePath, Walk, WalkOptions, WalkProblem,
};

use super::fixture::{container, open, run};
use crate::support::kinds::{Kinds, two_wide_directories};
use crate::support::synthetic::Builder;

/// All readable entries by path, and all errors.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    entries: BTreeMap<String, String>,
    problems: Vec<(String, String)>,
}

impl Seen {
    fn problem(&mut self, path: &TreePath, error: &ReadError) {
        let other = matches!(error, ReadError::OtherObject { .. });
        assert!(other && error.is_damage(), "{path}: {error}");
        self.problems.push((path.to_string(), error.to_string()));
    }

    async fn of(reader: &Arc<Reader>) -> Self {
        let mut seen = Self::default();
        let root = match reader.root().await {
            Ok(root) => Arc::new(root),
            Err(error) => {
                seen.problem(&TreePath::root(), &error);
                return seen;
            }
        };
        let start = Resolved {
            path: TreePath::root(),
            entity: root,
        };
        let mut walk = Walk::new(reader, start, WalkOptions::default());
        while let Some(step) = walk.next().await.unwrap() {
            match step {
                Step::Enter { path, entity } => {
                    let text = format!("{:?}", entity.attributes);
                    seen.entries.insert(path.to_string(), text);
                }
                Step::Entry {
                    path,
                    handle,
                    file_type,
                } if file_type != FileType::Directory => match describe(reader, handle).await {
                    Ok(text) => drop(seen.entries.insert(path.to_string(), text)),
                    Err(error) => seen.problem(&path, &error),
                },
                Step::Problem(
                    WalkProblem::Unreadable { path, error }
                    | WalkProblem::PartUnreadable { path, error },
                ) => {
                    seen.problem(&path, &error);
                }
                Step::Problem(problem) => panic!("{problem:?}"),
                _ => {}
            }
        }
        seen
    }
}

/// Returns a description of an entity with its content.
async fn describe(reader: &Arc<Reader>, handle: Filehandle) -> Result<String, ReadError> {
    let entity = Arc::new(reader.entity(handle).await?);
    let mut text = format!("{entity:?}");
    if entity.file_type == FileType::Regular {
        let mut content = reader.content(&entity, 0..u64::MAX);
        while let Some(chunk) = content.next().await? {
            text += &format!("{:?}", chunk.bytes);
        }
    }
    Ok(text)
}

#[test]
fn every_kind_under_every_name_damages_only_that_entry() {
    let kinds = Kinds::new();
    run(async {
        let valid = container(kinds.blobs.clone()).await;
        let valid = Seen::of(&open(&valid, true).await.unwrap()).await;
        assert!(valid.problems.is_empty(), "{:?}", valid.problems);
        let mut count = 0;
        for swap in kinds.swaps() {
            count += 1;
            let damaged = container(swap.blobs).await;
            // With all names listed first, and with a request for each name.
            for lists_all in [true, false] {
                let reader = open(&damaged, lists_all).await.unwrap();
                let seen = Seen::of(&reader).await;
                let what = &swap.what;
                let paths: Vec<&str> = seen.problems.iter().map(|(path, _)| &**path).collect();
                let expected: Vec<&str> = swap.kind.damaged.into_iter().collect();
                assert_eq!(paths, expected, "{what}: {seen:?}");
                for (_, error) in &seen.problems {
                    assert!(error.contains(&swap.kind.blob), "{what}: {error}");
                }
                if expected == ["/"] {
                    continue;
                }
                let mut kept = valid.entries.clone();
                kept.retain(|path, _| !swap.kind.unreachable.contains(&&**path));
                // A directory with a missing segment is still entered.
                if swap.kind.what != "segment of a directory" {
                    kept.retain(|path, _| swap.kind.damaged != Some(path));
                }
                assert!(seen.entries == kept, "{what}: other entries changed");
            }
        }
        // 12 kinds, each under the names of all kinds (root and bucket only under their own), and indirect blocks.
        assert_eq!(count, 12 * 12 - 2 + 12);
    });
}

#[test]
fn every_kind_under_the_name_of_an_indirect_block_is_damage() {
    let (blobs, [name, other]) = two_wide_directories();
    let kinds = Kinds::new();
    let foreign = kinds
        .kinds
        .iter()
        .map(|kind| (kind.what, &kinds.blobs[&kind.blob]));
    let foreign = foreign.chain([("indirect block", &blobs[&other])]);
    run(async {
        let path = TreePath::parse(b"wide/last");
        for (what, bytes) in foreign {
            let mut blobs = blobs.clone();
            blobs.insert(name.clone(), bytes.clone());
            let damaged = container(blobs).await;
            let reader = open(&damaged, true).await.unwrap();
            let error = reader.resolve(&path).await.unwrap_err();
            let text = error.to_string();
            let other = matches!(error, ReadError::OtherObject { .. });
            assert!(other && text.contains(&name), "{what}: {text}");
            if what == "small file" {
                let first = reader.resolve(&TreePath::parse(b"wide/0")).await;
                assert!(first.is_ok(), "{first:?}");
            }
        }
    });
}

/// An inode whose block 0 is correct and whose `.` is not, or whose block 0 is missing.
#[test]
fn both_identities_of_a_directory_are_checked() {
    let mut build = Builder::new();
    let mut root = build.root();
    let dir = build.directory(&mut root, "dir");
    build.finish_directory(&dir);
    build.finish_directory(&root);
    let name = crate::support::kinds::inode(&build, dir.handle);
    let payload = clfs_format::unwrap(&build.blobs[&name], 1 << 20)
        .unwrap()
        .into_owned();
    let own = dir.handle.as_bytes();
    let found = payload
        .windows(24)
        .enumerate()
        .filter(|(_, bytes)| *bytes == own);
    let places: Vec<usize> = found.map(|(at, _)| at).collect();
    let [block_0, dot] = places[..] else {
        panic!("{places:?}");
    };
    let read = |at: usize, bytes: &[u8]| -> Result<Entity, ReadError> {
        let mut payload = payload.clone();
        payload[at..at + bytes.len()].copy_from_slice(bytes);
        let mut blobs = build.blobs.clone();
        blobs.insert(name.clone(), [&[0; 4], &payload[..]].concat());
        run(async {
            let container = container(blobs).await;
            let reader = open(&container, true).await.unwrap();
            reader.entity(dir.handle).await
        })
    };
    read(block_0, own).unwrap();
    let mismatch = |read: Result<Entity, ReadError>| match read {
        Err(ReadError::OtherObject { mismatch, .. }) => mismatch,
        other => panic!("{other:?}"),
    };
    let mut other = own.to_vec();
    other[8] ^= 1;
    assert!(matches!(
        mismatch(read(block_0, &other)),
        Mismatch::Other(_)
    ));
    assert_eq!(mismatch(read(block_0, &[0; 24])), Mismatch::Unnamed);
    assert!(matches!(mismatch(read(dot, &other)), Mismatch::Dot(_)));
}
