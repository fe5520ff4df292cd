//! The owner of an inode with several names, and the effect of names recorded later.

use super::*;

#[test]
fn the_first_name_owns_the_inode_and_1023_names_fill_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let key = LinkKey {
        file_system: EntryId::ROOT,
        device: 0,
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
            file_system: EntryId::ROOT,
            device: 0,
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
fn an_inode_number_of_another_type_is_another_inode() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let link = |name, file_type| NewEntry {
        link: Some(LinkKey {
            file_system: EntryId::ROOT,
            device: 0,
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
            file_system: EntryId::ROOT,
            device: 0,
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

/// Names of one number and file system that differ in one attribute are two files, whichever it is.
#[test]
fn names_that_do_not_agree_are_files_of_their_own_and_counted() {
    type Change = fn(&mut NewEntry);
    let key = LinkKey {
        file_system: EntryId::ROOT,
        device: 0,
        inode: 2,
    };
    let changes: [(Change, u64); 10] = [
        (|_| {}, 0),
        (|entry| entry.attributes.atime.seconds += 1, 0),
        (|entry| entry.attributes.size += 1, 1),
        (|entry| entry.attributes.mtime.nanoseconds -= 1, 1),
        (|entry| entry.attributes.ctime.nanoseconds -= 1, 1),
        (|entry| entry.attributes.uid -= 1, 1),
        (|entry| entry.attributes.gid -= 1, 1),
        (|entry| entry.attributes.mode ^= 0o040, 1),
        (
            |entry| entry.link.iter_mut().for_each(|key| key.device = 7),
            0,
        ),
        (
            |entry| {
                let other = EntryId::new(1000);
                entry
                    .link
                    .iter_mut()
                    .for_each(|key| key.file_system = other);
            },
            0,
        ),
    ];
    for (number, (change, unlike)) in changes.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let state = new_state(folder.path());
        let link = |name| NewEntry {
            link: Some(key),
            ..entry(name, FileType::Regular)
        };
        let mut other = link("b");
        change(&mut other);
        let again = NewEntry {
            name: b"c".to_vec(),
            ..other.clone()
        };
        let names = vec![link("a"), other, again];
        state.record(&[chunk(ROOT, names, true)]).unwrap();
        let reader = state.reader().unwrap();
        let inodes = reader.next_inodes(0, 9).unwrap().entries.len();
        assert_eq!(inodes, if number < 2 { 1 } else { 2 }, "{number}");
        let counted = reader.totals().unwrap().get(Counter::UnlikeNames);
        assert_eq!(counted, unlike, "{number}");
        let first = (unlike > 0).then_some(EntryId::new(1001));
        assert_eq!(reader.first_unlike_name().unwrap(), first, "{number}");
        assert_eq!(reader.split_inode_count().unwrap(), 0, "{number}");
    }
}

#[test]
fn devices_of_links_are_found_with_the_names_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let link = |name, file_system, device| NewEntry {
        link: Some(LinkKey {
            file_system,
            device,
            inode: 2,
        }),
        ..entry(name, FileType::Regular)
    };
    let (root, other) = (EntryId::ROOT, EntryId::new(1000));
    let reader = state.reader().unwrap();
    assert!(reader.link_devices(root).unwrap().is_empty());
    let names = vec![
        entry("other", FileType::Directory),
        link("a", root, 0),
        link("b", root, 7),
        link("c", root, 7),
        link("d", root, 3),
        link("e", other, 9),
    ];
    state.record(&[chunk(ROOT, names, true)]).unwrap();
    assert_eq!(reader.link_devices(root).unwrap(), [3, 7]);
    assert_eq!(reader.link_devices(other).unwrap(), [9]);
    let names = |device, at_most| {
        let found = reader.names_on_device(root, device, at_most).unwrap();
        let names = found.into_iter().map(|entry| entry.name);
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(7, 9), [b"b", b"c"]);
    assert_eq!(names(7, 1), [b"b"]);
    assert_eq!(names(9, 9), Vec::<Vec<u8>>::new());
}
