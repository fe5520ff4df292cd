//! The database's part of the invariants: ids by order alone, links, progress, settings.

use std::path::Path;

use clfs_format::{Compression, FileType, Timestamp};

use super::*;
use crate::entry::{DeviceNumber, EntryId, LinkKey, NewEntry, SourceAttributes};
use crate::identity::Seed;
use crate::problem::{Problem, Reason};

fn attributes(file_type: FileType, size: u64) -> SourceAttributes {
    let mode = match file_type {
        FileType::Directory => 0o040_755,
        FileType::Symlink => 0o120_777,
        FileType::Block => 0o060_600,
        _ => 0o100_644,
    };
    let time = |seconds| Timestamp {
        seconds,
        nanoseconds: 999_999_999,
    };
    SourceAttributes {
        file_type,
        mode,
        uid: u32::MAX,
        gid: 7,
        size,
        mtime: time(u32::MAX),
        ctime: time(1),
        atime: time(0),
        inode: u64::MAX,
        device: match file_type {
            FileType::Block => DeviceNumber {
                major: u32::MAX,
                minor: 300,
            },
            _ => DeviceNumber::default(),
        },
    }
}

fn entry(name: &str, file_type: FileType) -> NewEntry {
    NewEntry {
        name: name.as_bytes().to_vec(),
        attributes: attributes(file_type, 10),
        link: None,
        clamped_times: 0,
    }
}

fn settings() -> Settings {
    Settings {
        seed: Seed::from_bytes([5; 16]),
        source: "/a/source\n".into(),
        container: "file:///c".to_owned(),
        compression: Compression::Disabled,
        preserve_hardlinks: true,
        root: entry("source", FileType::Directory),
    }
}

fn new_state(folder: &Path) -> State {
    State::create(&folder.join("state"), &settings()).unwrap()
}

fn chunk(directory: u64, entries: Vec<NewEntry>, last: bool) -> ListingChunk {
    ListingChunk {
        directory: EntryId::new(directory),
        entries: entries.into_iter().map(FoundEntry::Known).collect(),
        last,
    }
}

const ROOT: u64 = EntryId::ROOT.get();

#[test]
fn settings_and_attributes_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let device = entry("device", FileType::Block);
    state
        .record(&[chunk(ROOT, vec![device.clone()], true)])
        .unwrap();
    drop(state);
    let state = State::open(&folder.path().join("state")).unwrap();
    assert_eq!(state.settings().unwrap(), settings());
    let back = state
        .reader()
        .unwrap()
        .entry(EntryId::new(1000))
        .unwrap()
        .unwrap();
    assert_eq!(
        (back.name, back.attributes),
        (device.name, device.attributes)
    );
    assert!(!state.is_finished().unwrap());
    state.set_finished().unwrap();
    assert!(state.is_finished().unwrap());
}

#[test]
fn ids_follow_the_order_of_recording_however_it_is_batched() {
    let names = |folder: &Path, batches: &[usize]| {
        let state = new_state(folder);
        let mut chunks = vec![
            chunk(
                ROOT,
                vec![
                    entry("a", FileType::Directory),
                    entry("b", FileType::Regular),
                ],
                false,
            ),
            chunk(ROOT, vec![entry("c", FileType::Regular)], true),
            chunk(1000, vec![entry("d", FileType::Regular)], true),
        ]
        .into_iter();
        for &count in batches {
            state
                .record(&chunks.by_ref().take(count).collect::<Vec<_>>())
                .unwrap();
        }
        let reader = state.reader().unwrap();
        (1000..1004)
            .map(|id| reader.path(EntryId::new(id)).unwrap().join(&b'/'))
            .collect::<Vec<_>>()
    };
    let folder = || tempfile::tempdir().unwrap();
    let expected = ["a", "b", "c", "a/d"].map(|path| path.as_bytes().to_vec());
    assert_eq!(names(folder().path(), &[3]), expected);
    assert_eq!(names(folder().path(), &[1, 1, 1]), expected);
    assert_eq!(names(folder().path(), &[2, 1]), expected);
}

#[test]
fn a_directory_in_chunks_knows_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let reader = state.reader().unwrap();
    let root = Unlisted {
        id: EntryId::ROOT,
        parent: EntryId::ROOT,
        name: b"source".to_vec(),
        after: None,
    };
    let in_part = Unlisted {
        after: Some(b"a".to_vec()),
        ..root.clone()
    };
    assert_eq!(reader.next_unlisted(0, 9, true).unwrap(), [root]);
    state
        .record(&[chunk(ROOT, vec![entry("a", FileType::Regular)], false)])
        .unwrap();
    assert_eq!(reader.next_unlisted(0, 9, true).unwrap(), [in_part]);
    state
        .record(&[chunk(ROOT, vec![entry("b", FileType::Regular)], true)])
        .unwrap();
    assert_eq!(reader.next_unlisted(0, 9, true).unwrap(), []);
    let children = reader
        .directory_entries(EntryId::ROOT, EntryId::new(0), 1)
        .unwrap();
    assert_eq!(children[0].name, b"a");
    let rest = reader
        .directory_entries(EntryId::ROOT, children[0].id, 9)
        .unwrap();
    assert_eq!(
        rest.iter().map(|child| &child.name[..]).collect::<Vec<_>>(),
        [b"b"]
    );
}

#[test]
fn the_first_name_owns_the_inode_and_1023_names_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let key = LinkKey {
        device: 1,
        inode: 2,
    };
    let names = (0..1030).map(|n| NewEntry {
        link: Some(key),
        ..entry(&format!("{n:04}"), FileType::Regular)
    });
    state.record(&[chunk(ROOT, names.collect(), true)]).unwrap();
    let reader = state.reader().unwrap();
    let owners = reader.next_inodes(0, 10).unwrap();
    let ids: Vec<u64> = owners.entries.iter().map(|entry| entry.id.get()).collect();
    assert_eq!(ids, [1000, 2023]);
    assert_eq!(reader.link_parents(EntryId::new(1000)).unwrap().len(), 1023);
    assert_eq!(reader.link_parents(EntryId::new(2023)).unwrap().len(), 7);
    assert_eq!(reader.split_inode_count().unwrap(), 1);
    assert!(reader.next_files(0, 10).unwrap().entries.is_empty());
    let totals = reader.totals().unwrap();
    assert_eq!(totals.get(Counter::FoundLinks), 1028);
    assert_eq!(totals.get(Counter::FoundBytes), 20);
}

#[test]
fn a_name_found_later_takes_its_inode_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let link = |name| NewEntry {
        link: Some(LinkKey {
            device: 1,
            inode: 2,
        }),
        ..entry(name, FileType::Regular)
    };
    let known = vec![entry("dir", FileType::Directory), link("one"), link("two")];
    state.record(&[chunk(ROOT, known, true)]).unwrap();
    let settled = Settlement {
        pass: Pass::Links,
        progress: PassProgress {
            cursor: 1001,
            outstanding: vec![],
        },
        done: vec![],
        failed: vec![],
        refreshed: vec![],
    };
    state.settle(&settled).unwrap();
    state
        .record(&[chunk(1000, vec![link("three")], true)])
        .unwrap();
    let reader = state.reader().unwrap();
    let progress = reader.progress(Pass::Links).unwrap();
    assert_eq!(progress.outstanding, [EntryId::new(1001)]);
    assert_eq!(progress.cursor, 1001);
}

#[test]
fn problems_are_kept_counted_and_solved() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let known = ["a", "b"].map(|name| entry(name, FileType::Regular));
    state.record(&[chunk(ROOT, known.to_vec(), true)]).unwrap();
    let reader = state.reader().unwrap();
    let (a, b) = (EntryId::new(1000), EntryId::new(1001));
    let settle = |done: &[EntryId], failed: &[(EntryId, Problem)]| {
        let done = done.iter().map(|&id| Settled {
            id,
            bytes_read: 1,
            bytes_put: 2,
            objects: 3,
        });
        let settlement = Settlement {
            pass: Pass::Files,
            progress: PassProgress {
                cursor: 1001,
                outstanding: vec![],
            },
            done: done.collect(),
            failed: failed.to_vec(),
            refreshed: vec![],
        };
        state.settle(&settlement).unwrap();
    };
    settle(&[b], &[(a, Problem::new(Reason::Vanished))]);
    settle(
        &[],
        &[(
            a,
            Problem {
                reason: Reason::InputOutput,
                errno: Some(5),
            },
        )],
    );
    let problems = reader.problems(EntryId::new(0), 9).unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].id, problems[0].attempt), (a, 2));
    assert_eq!(problems[0].problem.errno, Some(5));
    let failed = reader
        .failed_entries(Pass::Files, EntryId::new(0), 1001, 9)
        .unwrap();
    assert_eq!(failed.len(), 1);
    // Left out of its directory.
    let children = reader
        .directory_entries(EntryId::ROOT, EntryId::new(0), 9)
        .unwrap();
    assert_eq!(
        children.iter().map(|child| child.id).collect::<Vec<_>>(),
        [b]
    );
    settle(&[a], &[]);
    assert_eq!(reader.problem_count().unwrap(), 0);
    assert_eq!(reader.totals().unwrap().get(Counter::Objects), 6);
}

#[test]
fn directories_begin_anew_when_other_entries_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    state
        .record(&[chunk(ROOT, vec![entry("a", FileType::Regular)], true)])
        .unwrap();
    let reader = state.reader().unwrap();
    let at = |cursor| Settlement {
        pass: Pass::Directories,
        progress: PassProgress {
            cursor,
            outstanding: vec![],
        },
        done: vec![],
        failed: vec![],
        refreshed: vec![],
    };
    state.begin_directories().unwrap();
    state.settle(&at(1000)).unwrap();
    state.begin_directories().unwrap();
    assert_eq!(reader.progress(Pass::Directories).unwrap().cursor, 1000);
    state
        .listing_failed(EntryId::new(1000), &Problem::new(Reason::Vanished))
        .unwrap();
    state.begin_directories().unwrap();
    assert_eq!(reader.progress(Pass::Directories).unwrap().cursor, 0);
}

#[test]
fn one_process_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let path = folder.path().join("state");
    assert!(matches!(State::open(&path), Err(StateError::Locked(_))));
    assert!(matches!(
        State::create(&path, &settings()),
        Err(StateError::Exists(_))
    ));
    drop(state);
    State::open(&path).unwrap();
    assert!(matches!(
        State::open(&folder.path().join("none")),
        Err(StateError::Missing(_))
    ));
}

#[test]
fn a_row_that_no_version_of_ours_writes_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    state
        .record(&[chunk(ROOT, vec![entry("a", FileType::Regular)], true)])
        .unwrap();
    let reader = state.reader().unwrap();
    for damage in [
        "UPDATE entry SET mtime = -1 WHERE id = 1000",
        "UPDATE entry SET mode = 1 WHERE id = 1000",
        "UPDATE entry SET uid = -1, mode = 33188, mtime = 0 WHERE id = 1000",
    ] {
        state
            .write(|transaction| transaction.execute_batch(damage))
            .unwrap();
        let read = reader.next_files(0, 9);
        assert!(
            matches!(read, Err(StateError::Corrupt { .. })),
            "{damage}: {read:?}"
        );
    }
    // A directory that lies in itself does not send a reader in circles.
    let circle = "UPDATE entry SET parent = 1000 WHERE id = 1000";
    state
        .write(|transaction| transaction.execute_batch(circle))
        .unwrap();
    let path = reader.path(EntryId::new(1000));
    assert!(matches!(path, Err(StateError::Corrupt { .. })), "{path:?}");
}

#[test]
fn an_inode_number_of_another_type_is_another_inode() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let link = |name, file_type| NewEntry {
        link: Some(LinkKey {
            device: 1,
            inode: 2,
        }),
        ..entry(name, file_type)
    };
    let reused = vec![link("a", FileType::Regular), link("b", FileType::Symlink)];
    state.record(&[chunk(ROOT, reused, true)]).unwrap();
    let owners = state.reader().unwrap().next_inodes(0, 9).unwrap();
    assert_eq!(owners.entries.len(), 2);
}

#[test]
fn a_name_that_is_identified_later_is_loaded_or_joins_its_inode() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let link = |name| NewEntry {
        link: Some(LinkKey {
            device: 1,
            inode: 2,
        }),
        ..entry(name, FileType::Regular)
    };
    let failed = |name: &[u8]| FoundEntry::Failed {
        name: name.to_vec(),
        problem: Problem::new(Reason::InputOutput),
    };
    let entries = vec![
        FoundEntry::Known(link("a")),
        failed(b"b"),
        failed(b"c"),
        failed(b"d"),
    ];
    let listing = ListingChunk {
        directory: EntryId::ROOT,
        entries,
        last: true,
    };
    state.record(&[listing]).unwrap();
    let reader = state.reader().unwrap();
    assert_eq!(reader.unexplored_count().unwrap(), 3);
    let unknown = reader.unknown_entries(EntryId::new(0), 9).unwrap();
    state.identify(&unknown[0], &link("b")).unwrap();
    state
        .identify(&unknown[1], &entry("c", FileType::Regular))
        .unwrap();
    state
        .identify(&unknown[2], &entry("d", FileType::Directory))
        .unwrap();
    let problems = reader.problems(EntryId::new(0), 9).unwrap();
    let ids: Vec<u64> = problems.iter().map(|problem| problem.id.get()).collect();
    // The link is loaded with its inode; file and directory keep theirs until they are done.
    assert_eq!(ids, [1002, 1003]);
    assert_eq!(reader.link_parents(EntryId::new(1000)).unwrap().len(), 2);
    let retried = reader
        .failed_entries(Pass::Files, EntryId::new(0), 1003, 9)
        .unwrap();
    assert_eq!(retried.len(), 1);
    let unlisted = reader.next_unlisted(1000, 9, true).unwrap();
    let ids: Vec<u64> = unlisted
        .iter()
        .map(|directory| directory.id.get())
        .collect();
    assert_eq!(ids, [1003]);
    assert_eq!(reader.next_unlisted(1000, 9, false).unwrap(), []);
}

#[test]
fn a_directory_that_is_listed_in_part_keeps_its_problem() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let known = vec![entry("dir", FileType::Directory)];
    state.record(&[chunk(ROOT, known, true)]).unwrap();
    let dir = EntryId::new(1000);
    let part = vec![entry("a", FileType::Regular)];
    state.record(&[chunk(1000, part, false)]).unwrap();
    state
        .listing_failed(dir, &Problem::new(Reason::InputOutput))
        .unwrap();
    let reader = state.reader().unwrap();
    let settled = Settled {
        id: dir,
        bytes_read: 0,
        bytes_put: 1,
        objects: 1,
    };
    let settlement = Settlement {
        pass: Pass::Directories,
        progress: PassProgress {
            cursor: 1000,
            outstanding: vec![],
        },
        done: vec![settled],
        failed: vec![],
        refreshed: vec![],
    };
    state.settle(&settlement).unwrap();
    assert_eq!(reader.problem_count().unwrap(), 1);
    state.record(&[chunk(1000, vec![], true)]).unwrap();
    assert_eq!(reader.problem_count().unwrap(), 0);
}
