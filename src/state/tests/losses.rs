//! Losses are counted once, follow a later reading, and count for stored entries only.

use super::*;
use crate::loss::{Loss, Losses, Lost};

fn losing(name: &str, losses: Losses) -> NewEntry {
    let mut entry = entry(name, FileType::Regular);
    entry.attributes.losses = losses;
    entry
}

fn lost(loss: Loss, entries: u64, first: &str) -> Lost {
    let first = first.as_bytes().to_vec();
    Lost {
        loss,
        entries,
        first,
    }
}

#[test]
fn losses_are_counted_by_kind_and_follow_a_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let acl = Losses::from(Loss::AccessAcl);
    let entries = vec![
        losing("a", Losses::NONE),
        losing("b", acl),
        losing("c", acl.with(Loss::UserAttributes)),
    ];
    state.record(&[chunk(ROOT, entries, true)]).unwrap();
    let reader = state.reader().unwrap();
    assert_eq!(
        reader.lost().unwrap(),
        [
            lost(Loss::AccessAcl, 2, "b"),
            lost(Loss::UserAttributes, 1, "c")
        ]
    );
    let first = reader.first_with_loss(Loss::AccessAcl, 9).unwrap();
    assert_eq!(first, [EntryId::new(1001), EntryId::new(1002)]);
    // The same again changes nothing.
    for _ in 0..2 {
        let fresh = losing("c", Loss::Unexamined.into()).attributes;
        state.refresh(EntryId::new(1002), &fresh, None).unwrap();
        assert_eq!(
            reader.lost().unwrap(),
            [
                lost(Loss::AccessAcl, 1, "b"),
                lost(Loss::Unexamined, 1, "c")
            ]
        );
    }
    let fresh = losing("a", acl).attributes;
    state.refresh(EntryId::new(1000), &fresh, None).unwrap();
    let fresh = losing("c", Losses::NONE).attributes;
    state.refresh(EntryId::new(1002), &fresh, None).unwrap();
    assert_eq!(reader.lost().unwrap(), [lost(Loss::AccessAcl, 2, "a")]);
}

#[test]
fn entries_with_a_problem_do_not_count_nor_do_further_names_of_their_inodes() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let acl = Losses::from(Loss::AccessAcl);
    let link = |name| NewEntry {
        link: Some(LinkKey {
            file_system: EntryId::ROOT,
            device: 0,
            inode: 2,
        }),
        ..losing(name, acl)
    };
    let directory = |name| {
        let mut entry = entry(name, FileType::Directory);
        entry.attributes.losses = acl;
        entry
    };
    let entries = vec![
        link("1000"),
        link("1001"),
        losing("1002", acl),
        losing("1003", acl),
        directory("1004"),
        directory("1005"),
    ];
    state.record(&[chunk(ROOT, entries, true)]).unwrap();
    // Listed in part: it is stored, with what was listed.
    let part = vec![losing("1006", Losses::NONE)];
    state.record(&[chunk(1005, part, false)]).unwrap();
    let reader = state.reader().unwrap();
    let fails = |id| {
        let problem = Problem::new(Reason::InputOutput);
        state.listing_failed(EntryId::new(id), &problem).unwrap();
        reader.lost().unwrap()
    };
    assert_eq!(reader.lost().unwrap(), [lost(Loss::AccessAcl, 6, "1000")]);
    assert_eq!(fails(1005), [lost(Loss::AccessAcl, 6, "1000")]);
    assert_eq!(fails(1004), [lost(Loss::AccessAcl, 5, "1000")]);
    assert_eq!(fails(1000), [lost(Loss::AccessAcl, 3, "1002")]);
    assert_eq!(fails(1002), [lost(Loss::AccessAcl, 2, "1003")]);
    assert_eq!(fails(1003), [lost(Loss::AccessAcl, 1, "1005")]);
    // All names of an inode follow its first one.
    let fresh = losing("1000", Loss::Unexamined.into()).attributes;
    state.refresh(EntryId::new(1000), &fresh, None).unwrap();
    let names = [1000, 1001].map(|id| reader.losses(EntryId::new(id)).unwrap());
    assert_eq!(names, [Losses::from(Loss::Unexamined); 2]);
}

#[test]
fn a_database_of_the_first_version_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    state
        .record(&[chunk(ROOT, vec![losing("a", Losses::NONE)], true)])
        .unwrap();
    drop(state);
    let path = folder.path().join("state");
    let database = Connection::open(path.join("state.db")).unwrap();
    database.execute_batch(migration::TO_1).unwrap();
    drop(database);
    // `status` and `report` change nothing.
    let look = State::view(&path).unwrap();
    assert_eq!(look.reader.first_with_loss(Loss::AccessAcl, 1).unwrap(), []);
    assert_eq!(look.reader.lost().unwrap(), []);
    drop(look);
    let state = State::open(&path).unwrap();
    assert!(!state.settings().unwrap().examines);
    state.upgrade(None, &[]).unwrap();
    let losses = Losses::from(Loss::DefaultAcl);
    let entry = losing("b", losses);
    state
        .refresh(EntryId::new(1000), &entry.attributes, None)
        .unwrap();
    let reader = state.reader().unwrap();
    assert_eq!(reader.lost().unwrap(), [lost(Loss::DefaultAcl, 1, "a")]);
    drop((reader, state));
    // Only once.
    State::open(&path).unwrap().upgrade(None, &[]).unwrap();
}
