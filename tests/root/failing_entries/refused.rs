//! Each call fails in turn: the transfer pauses and lists the problem. It completes when the fault is removed, and
//! the container is consistent without the entry if the fault remains.

use fuser::Errno;

use super::fixture::{Fixture, LARGE, Listed, Paths, paths};
use crate::support::command::assert_same;
use crate::support::faulty_source::{Act, Call, Fault};

/// A failing call and its expected effect.
struct Case {
    fault: Fault,
    path: &'static str,
    reason: &'static str,
    errno: Option<i64>,
    /// The paths that are missing from the container without the entry.
    lost: Paths,
    /// Whether ids equal those of an undisturbed run. Entries of a directory that is listed only on a resume get higher
    /// ids than all entries that were found before.
    same_ids: bool,
}

fn case(path: &'static str, call: Call, errno: Errno, reason: &'static str) -> Case {
    Case {
        fault: Fault::new(path, call, Act::Fail(errno)),
        path,
        reason,
        errno: Some(i64::from(i32::from(errno))),
        lost: paths([path]),
        same_ids: true,
    }
}

fn verify(case: &Case) {
    if let Some(fixture) = Fixture::new() {
        verify_in(&fixture, case);
    }
}

fn verify_in(fixture: &Fixture, case: &Case) {
    let source = &fixture.source;
    fixture.load("undisturbed", &[]).expect(0);
    fixture.assert_complete("undisturbed");
    let undisturbed = fixture.blobs("undisturbed");
    let listed = |attempt| {
        let problem = Listed {
            reason: case.reason.to_owned(),
            errno: case.errno,
            attempt,
        };
        [(case.path.to_owned(), problem)].into()
    };

    // Paused once more, with an unchanged container.
    source.fault(case.fault.clone());
    let ran = fixture.load("t", &[]).refused(3, case.path);
    assert!(ran.stdout.contains("paused: 1 entry failed"), "{ran:#?}");
    fixture.assert_no_root("t");
    assert_eq!(fixture.problems("t"), listed(1));
    fixture.resume("t", &[]).expect(3);
    assert_eq!(fixture.problems("t"), listed(2));
    let calls = || {
        let all = [Call::Open, Call::Read, Call::List, Call::ReadLink];
        all.map(|call| source.calls(case.path, call))
    };
    let before = match case.reason {
        "vanished" => None,
        _ => Some(calls()),
    };
    fixture.resume("t", &["--retry_errors", "0"]).expect(3);
    assert!(before.is_none_or(|before| before == calls()), "was tried");
    assert_eq!(fixture.problems("t"), listed(2));
    fixture.assert_no_root("t");

    // Skips the entry in a resume.
    let paused = fixture.blobs("t");
    fixture.resume("t", &["--skip-failed"]).expect(3);
    assert_eq!(fixture.missing("t"), case.lost);
    assert_eq!(fixture.problems("t").keys().count(), 1);
    assert!(paused.len() < fixture.blobs("t").len());

    // Skips it in a single run. The container is the same.
    source.heal();
    source.fault(case.fault.clone());
    let ran = fixture.load("skip", &["--skip-failed"]).expect(3);
    // For a directory, or a name that could not be examined, more may be missing.
    let ends = [
        "complete except for 1 entry that failed",
        "done, but incomplete: 1 ",
    ];
    assert!(ends.iter().any(|end| ran.stdout.contains(end)), "{ran:#?}");
    assert_eq!(fixture.missing("skip"), case.lost);
    assert_eq!(fixture.problems("skip"), listed(1));
    assert_same(&fixture.blobs("skip"), &fixture.blobs("t"));

    // The fault is removed.
    source.heal();
    source.fault(case.fault.clone());
    fixture.load("healed", &[]).expect(3);
    source.heal();
    fixture.resume("healed", &[]).expect(0);
    fixture.assert_complete("healed");
    if case.same_ids {
        assert_same(&undisturbed, &fixture.blobs("healed"));
    }
}

#[test]
fn a_file_without_permission_can_be_skipped_or_resumed() {
    verify(&case(
        "small/file-03",
        Call::Open,
        Errno::EACCES,
        "permission-denied",
    ));
}

#[test]
fn a_small_unreadable_file_can_be_skipped_or_resumed() {
    verify(&case(
        "small/file-03",
        Call::Read,
        Errno::EIO,
        "input-output",
    ));
}

#[test]
fn a_large_file_with_a_read_error_can_be_skipped_or_resumed() {
    let mut case = case("large/one", Call::Read, Errno::EIO, "input-output");
    case.fault = case.fault.at(12 << 20);
    verify(&case);
}

#[test]
fn a_file_with_a_stale_handle_can_be_skipped_or_resumed() {
    verify(&case("large/one", Call::Read, Errno::ESTALE, "vanished"));
}

#[test]
fn a_file_that_vanishes_between_stat_and_open_can_be_skipped_or_resumed() {
    for path in ["small/file-07", "large/one", "small/symlink"] {
        let mut case = case(path, Call::Lookup, Errno::ENOENT, "vanished");
        // The scan reads attributes and, except for symlinks, extended attributes.
        let looks = if path.ends_with("symlink") { 1 } else { 2 };
        case.fault = Fault::new(path, Call::Lookup, Act::Remove).after(looks);
        verify(&case);
    }
}

#[test]
fn a_name_that_cannot_be_examined_can_be_skipped_or_resumed() {
    verify(&case(
        "small/file-03",
        Call::Lookup,
        Errno::EIO,
        "input-output",
    ));
    verify(&case(
        "large/one",
        Call::Stat,
        Errno::EACCES,
        "permission-denied",
    ));
}

#[test]
fn an_unreadable_symlink_can_be_skipped_or_resumed() {
    verify(&case(
        "small/symlink",
        Call::ReadLink,
        Errno::EIO,
        "input-output",
    ));
}

/// Returns the five files of `small/sub` and the directory.
fn sub() -> Paths {
    let mut lost: Paths = (0..5)
        .map(|number| format!("small/sub/file-{number}"))
        .collect();
    lost.insert("small/sub".to_owned());
    lost
}

#[test]
fn a_directory_that_cannot_be_opened_can_be_skipped_or_resumed() {
    let case = case("small/sub", Call::Open, Errno::EACCES, "permission-denied");
    verify(&Case {
        lost: sub(),
        same_ids: false,
        ..case
    });
}

#[test]
fn a_directory_that_cannot_be_listed_can_be_skipped_or_resumed() {
    let case = case("small/sub", Call::List, Errno::EIO, "input-output");
    verify(&Case {
        lost: sub(),
        same_ids: false,
        ..case
    });
}

#[test]
fn a_directory_that_cannot_be_listed_completely_can_be_skipped_or_resumed() {
    let case = case("wide", Call::List, Errno::EIO, "input-output");
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let mut lost = fixture.add_wide();
    lost.insert("wide".to_owned());
    let fault = case.fault.clone().at(1200);
    let case = Case {
        fault,
        lost,
        same_ids: false,
        ..case
    };
    verify_in(&fixture, &case);
}

#[test]
fn a_directory_that_cannot_be_examined_can_be_skipped_or_resumed() {
    let case = case("small/sub", Call::Lookup, Errno::EIO, "input-output");
    verify(&Case {
        lost: sub(),
        same_ids: false,
        ..case
    });
}

#[test]
fn a_name_that_vanishes_between_listing_and_stat_is_not_a_problem() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let fault = Fault::new("small/file-07", Call::Lookup, Act::Remove);
    fixture.source.fault(fault);
    fixture.load("t", &[]).expect(0);
    fixture.source.heal();
    assert_eq!(fixture.missing("t"), paths(["small/file-07"]));
}

#[test]
fn a_name_that_fails_again_is_reported_again() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let fault = Fault::new("small/file-03", Call::Lookup, Act::Fail(Errno::EIO));
    fixture.source.fault(fault);
    fixture.load("t", &[]).refused(3, "small/file-03");
    fixture.resume("t", &[]).refused(3, "small/file-03");
}

/// Neither the estimate nor the percentage includes them as remaining.
#[test]
fn bytes_of_failed_files_are_counted_once() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let expect = |bytes: u64| {
        let latest = std::fs::read(fixture.scratch.path("t").join("progress.json")).unwrap();
        let latest: serde_json::Value = serde_json::from_slice(&latest).unwrap();
        let figure = |name: &str| latest["snapshot"][name].as_u64().unwrap();
        assert_eq!(figure("bytes_failed"), bytes);
        // Symlink targets are read too, but do not count as bytes of files.
        assert!(figure("bytes_read") + bytes >= figure("bytes_found"));
        assert!(figure("bytes_read") + bytes < figure("bytes_found") + 40);
    };
    let fail = |path: &str| {
        let fault = Fault::new(path, Call::Read, Act::Fail(Errno::EIO));
        fixture.source.fault(fault);
    };
    fail("large/one");
    fail("links/a/small-first");
    fail("links/b/small-second");
    fixture.load("t", &[]).expect(3);
    expect(LARGE + 40);
    // They fail again.
    fixture.resume("t", &[]).expect(3);
    expect(LARGE + 40);
    fixture.source.heal();
    fail("large/one");
    fixture.resume("t", &[]).expect(3);
    expect(LARGE);
    fixture.source.heal();
    fixture.resume("t", &[]).expect(0);
    expect(0);
}
