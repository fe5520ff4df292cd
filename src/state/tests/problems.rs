//! Entries that fail: counted, kept, solved, and left out of their directories.

use super::*;

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
    let size = failed[0].attributes.size;
    assert!(size > 0);
    assert_eq!(reader.problem_bytes().unwrap(), size);
    settle(&[a], &[]);
    assert_eq!(reader.problem_bytes().unwrap(), 0);
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
