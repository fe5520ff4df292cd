//! Failed entries: recorded, counted, solved, and missing in their directories.

use super::*;

#[test]
fn problems_are_recorded_counted_and_solved() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let known = ["a", "b"].map(|name| entry(name, FileType::Regular));
    state.record(&[chunk(ROOT, known.to_vec(), true)]).unwrap();
    let reader = state.reader().unwrap();
    let (a, b) = (EntryId::new(1000), EntryId::new(1001));
    let settle = |done: &[EntryId], failed: &[(EntryId, Problem)]| {
        let done = done.iter().map(|&id| Settled {
            id,
            changed: false,
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
    // Missing in its directory.
    let children = reader
        .directory_entries(EntryId::ROOT, EntryId::new(0), 9)
        .unwrap();
    assert_eq!(
        children.iter().map(|child| child.id).collect::<Vec<_>>(),
        [b]
    );
    let size = failed[0].attributes.size;
    assert!(size > 0);
    assert_eq!(reader.problem_bytes().unwrap(), size);
    settle(&[a], &[]);
    assert_eq!(reader.problem_bytes().unwrap(), 0);
    assert_eq!(reader.problem_count().unwrap(), 0);
    assert_eq!(reader.totals().unwrap().get(Counter::Objects), 6);
}

#[test]
fn the_pass_over_directories_restarts_if_other_entries_failed() {
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
        changed: false,
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

#[test]
fn directories_that_are_not_listed_completely_hide_subtrees() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let directories = ["a", "b", "c"].map(|name| entry(name, FileType::Directory));
    state
        .record(&[chunk(ROOT, directories.to_vec(), true)])
        .unwrap();
    // b is listed in part, c completely.
    let files = || vec![entry("file", FileType::Regular)];
    state
        .record(&[chunk(1001, files(), false), chunk(1002, files(), true)])
        .unwrap();
    let unreadable = Problem::new(Reason::PermissionDenied);
    let reader = state.reader().unwrap();
    assert!(!reader.subtrees().unwrap().any());
    for id in [1000, 1001] {
        let id = EntryId::new(id);
        assert!(state.listing_failed(id, &unreadable).unwrap(), "new");
        assert!(!state.listing_failed(id, &unreadable).unwrap(), "no more");
    }
    let settlement = Settlement {
        pass: Pass::Files,
        progress: PassProgress::default(),
        done: vec![],
        failed: vec![(EntryId::new(1003), unreadable)],
        refreshed: vec![],
    };
    state.settle(&settlement).unwrap();
    let subtrees = reader.subtrees().unwrap();
    let expected = Subtrees {
        unlisted: 2,
        partial: 1,
        unknown: 0,
    };
    assert_eq!(subtrees, expected);
    assert_eq!(
        subtrees.to_string(),
        "2 directories could not be listed: everything below them is missing (1 listed in part)"
    );
    let first = reader.first_problems(9).unwrap().into_iter();
    let first: Vec<_> = first.map(|p| (p.id.get(), p.subtree)).collect();
    let expected = [
        (1000, Some(Subtree::Missing)),
        (1001, Some(Subtree::Partial)),
        (1003, None),
    ];
    assert_eq!(first, expected);
}

#[test]
fn changed_files_are_recorded_until_they_are_uploaded_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let state = new_state(folder.path());
    let files = ["a", "b"].map(|name| entry(name, FileType::Regular));
    state.record(&[chunk(ROOT, files.to_vec(), true)]).unwrap();
    let reader = state.reader().unwrap();
    let settle = |changed: [bool; 2]| {
        let done = [1000, 1001].into_iter().zip(changed);
        let done = done.map(|(id, changed)| Settled {
            id: EntryId::new(id),
            bytes_read: 1,
            changed,
            bytes_put: 2,
            objects: 3,
        });
        let settlement = Settlement {
            pass: Pass::Files,
            progress: PassProgress::default(),
            done: done.collect(),
            failed: vec![],
            refreshed: vec![],
        };
        state.settle(&settlement).unwrap();
        assert_eq!(
            reader.changed_count().unwrap(),
            changed.iter().filter(|changed| **changed).count() as u64
        );
    };
    settle([true, true]);
    // A file that is uploaded again after a crash counts once.
    settle([true, true]);
    settle([false, true]);
    assert_eq!(
        reader.changed(EntryId::new(0), 9).unwrap(),
        [EntryId::new(1001)]
    );
    assert_eq!(reader.changed(EntryId::new(1001), 9).unwrap(), []);
    settle([false, false]);
}

/// A transfer of schema 1 can be examined unchanged, and resumes with the present schema.
#[test]
fn a_state_of_schema_1_resumes() {
    let folder = tempfile::tempdir().unwrap();
    drop(new_state(folder.path()));
    let folder = folder.path().join("state");
    let database = folder.join("state.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch(migration::TO_1).unwrap();
    drop(connection);
    let version = || -> i64 {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    };
    let view = State::view(&folder).unwrap();
    assert_eq!(view.counts().unwrap().changed, 0);
    assert_eq!(view.reader.changed(EntryId::new(0), 9).unwrap(), []);
    drop(view);
    assert_eq!(version(), 1);
    let state = State::open(&folder).unwrap();
    assert_eq!(version(), 1);
    state.upgrade(None, &[]).unwrap();
    assert_eq!(state.reader().unwrap().changed_count().unwrap(), 0);
    drop(state);
    assert_eq!(version(), schema::VERSION);
    State::open(&folder).unwrap().upgrade(None, &[]).unwrap();
}
