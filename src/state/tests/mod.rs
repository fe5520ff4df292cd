//! The invariants of the database: ids follow from the order of recording, progress and settings persist.

mod links;
mod losses;
mod migration;
mod problems;

use std::path::Path;

use clfs_format::{Compression, FileType, Timestamp};

use super::*;
use crate::entry::{
    DeviceNumber, EntryId, KnownDirectory, LinkKey, Mount, MountBelow, Mounted, NewEntry, Place,
    SourceAttributes,
};
use crate::identity::Seed;
use crate::loss::Losses;
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
        losses: Losses::NONE,
    }
}

fn entry(name: &str, file_type: FileType) -> NewEntry {
    NewEntry {
        name: name.as_bytes().to_vec(),
        attributes: attributes(file_type, 10),
        link: None,
        clamped_times: 0,
        mount: None,
    }
}

fn settings() -> Settings {
    Settings {
        seed: Seed::from_bytes([5; 16]),
        source: "/a/source\n".into(),
        container: "file:///c".to_owned(),
        compression: Compression::Disabled,
        examines: true,
        preserve_hardlinks: true,
        mounts: vec![
            MountBelow {
                path: b"Z".to_vec(),
                inode: None,
                mount: Mount {
                    is_other_device: true,
                    ..Mount::default()
                },
            },
            MountBelow {
                path: b"a".to_vec(),
                inode: Some(u64::MAX),
                mount: Mount {
                    is_other_device: true,
                    ..Mount::default()
                },
            },
            MountBelow {
                path: b"b\nc/d\xff".to_vec(),
                inode: Some(2),
                mount: Mount {
                    is_other_device: true,
                    birth: Some(-1),
                    uuid: Some(0xfedc_ba98_7654_3210),
                },
            },
        ],
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
fn settings_and_attributes_are_read_as_stored() {
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
fn ids_follow_the_order_of_recording_for_all_batch_sizes() {
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
            .map(|id| reader.path(EntryId::new(id)).unwrap())
            .collect::<Vec<_>>()
    };
    let folder = || tempfile::tempdir().unwrap();
    let expected = ["a", "b", "c", "a/d"].map(|path| path.as_bytes().to_vec());
    assert_eq!(names(folder().path(), &[3]), expected);
    assert_eq!(names(folder().path(), &[1, 1, 1]), expected);
    assert_eq!(names(folder().path(), &[2, 1]), expected);
}

#[test]
fn a_directory_can_be_recorded_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let reader = state.reader().unwrap();
    let root = Unlisted {
        id: EntryId::ROOT,
        place: Place {
            parent: EntryId::ROOT,
            name: b"source".to_vec(),
            known: Some(KnownDirectory {
                attributes: attributes(FileType::Directory, 10),
                mounted: Mounted::Nothing,
            }),
        },
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
fn only_one_process_uses_a_state() {
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
fn a_row_that_no_version_writes_is_damage() {
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
    // A directory that is its own parent does not cause an endless loop.
    let circle = "UPDATE entry SET parent = 1000 WHERE id = 1000";
    state
        .write(|transaction| transaction.execute_batch(circle))
        .unwrap();
    let path = reader.path(EntryId::new(1000));
    assert!(matches!(path, Err(StateError::Corrupt { .. })), "{path:?}");
}
