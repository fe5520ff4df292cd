//! Sources with unreliable inode numbers: one number for several files, numbers that change, and directories that
//! contain themselves.

use std::collections::BTreeMap;

use super::fixture::{Fixture, paths};
use crate::support::command::{CommandOutput, SEED, assert_same, clfsload, run};
use crate::support::faulty_source::{Act, Call, Fault, FaultySource};
use crate::support::tree::walk_source;
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

/// Checks that content and attributes other than inode numbers match. Shared objects are not compared.
fn assert_content(fixture: &Fixture, name: &str) {
    let checked = check(&FolderBlobs(fixture.scratch.container(name)));
    checked.assert_clean();
    let source = walk_source(&fixture.scratch.source());
    let differences = compare(&source, &checked.tree, CompareOptions::default());
    let differences: Vec<_> = differences
        .into_iter()
        .filter(|line| {
            let of_numbers = ["objects, not", "shares its object", ": ino: "];
            !of_numbers.iter().any(|text| line.contains(text))
        })
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn files_with_one_inode_number_keep_their_content() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    let source = &fixture.source;
    for (name, size) in [("a", 700), ("b", 900), ("c", 40_000)] {
        source.file(format!("m/{name}1"), size);
        source.link(&format!("n/{name}2"), &format!("m/{name}1"));
        source.show_number(&format!("m/{name}1"), 77);
    }
    let message =
        "names with the inode number of another file, but other attributes: 2 (first: m/b1)";
    let ran = fixture.load("t", &["--output", "json"]).expect(0);
    assert_content(&fixture, "t");
    let lines = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let warned = lines.iter().filter(|line| line["event"] == "unlike-names");
    let warned: Vec<_> = warned.collect();
    assert_eq!(warned.len(), 1, "{ran:#?}");
    assert_eq!(
        (&warned[0]["names"], &warned[0]["path"]),
        (&2.into(), &"m/b1".into())
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["unlike_names"], &last["links"]),
        (&2.into(), &3.into())
    );
    let ran = fixture.load("people", &[]).refused(0, message);
    let counted = "2 names with the inode number of another file, but other attributes";
    assert!(ran.stdout.contains(counted), "{ran:#?}");
    let state = fixture.scratch.path("t").display().to_string();
    let status = run(["status", &state]).expect(0);
    assert!(status.stdout.contains(counted), "{status:#?}");
    let status = run(["status", "--json", &state]).expect(0).stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["unlike_names"], 2);
    let report = run(["report", &state]).expect(0);
    assert!(report.stdout.contains(counted));
    let path = fixture.scratch.source().display().to_string();
    let survey = run(["--dry-run", "--json", &path]).expect(0).stdout;
    let survey: serde_json::Value = serde_json::from_str(&survey).unwrap();
    let findings = survey["findings"].as_array().unwrap().iter();
    let findings: BTreeMap<_, _> = findings
        .map(|finding| (finding["kind"].as_str().unwrap(), finding["count"].as_u64()))
        .collect();
    assert_eq!(findings.get("unlike-names"), Some(&Some(2)), "{findings:?}");
}

#[test]
fn a_directory_that_contains_itself_is_a_problem() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let source = &fixture.source;
    source.file("x/loop/again/again/file", 10);
    source.file("x/loop/neighbour", 10);
    source.show_number("x/loop", 5000);
    source.show_number("x/loop/again", 5000);
    source.show_number("x/loop/again/again", 5000);
    fixture.load("t", &[]).refused(3, "it contains itself");
    assert_eq!(
        fixture.failed("t", "contains-itself"),
        paths(["x/loop/again"])
    );
    // A resume does not walk it either.
    fixture.resume("t", &[]).expect(3);
    fixture.resume("t", &["--skip-failed"]).expect(3);
    let missing = [
        "x/loop/again",
        "x/loop/again/again",
        "x/loop/again/again/file",
    ];
    assert_eq!(fixture.missing("t"), paths(missing));
    // A directory that contains the source root.
    source.show_number("x/loop", 1);
    fixture.load("root", &[]).expect(3);
    assert_eq!(fixture.failed("root", "contains-itself"), paths(["x/loop"]));
}

#[test]
fn a_changed_inode_number_alone_does_not_make_another_file() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.load("undisturbed", &[]).expect(0);
    for (path, call) in [
        ("small/file-09", Call::Open),
        ("large/one", Call::Open),
        ("links/a/small-first", Call::Open),
        ("small/symlink", Call::ReadLink),
        ("small/sub", Call::Open),
    ] {
        let fault = Fault::new(path, call, Act::Renumber(9000)).once();
        fixture.source.fault(fault);
    }
    let ran = fixture.load("t", &[]).expect(0);
    assert!(!ran.stderr.contains("changed since"), "{ran:#?}");
    assert_same(&fixture.blobs("undisturbed"), &fixture.blobs("t"));
}

fn crash(fixture: &Fixture, name: &str, at: &str) {
    let mut command = clfsload();
    command.args(fixture.scratch.arguments(name, name));
    command.args(["--new", "--seed", SEED, "--preserve_hardlinks", "1"]);
    let ran = CommandOutput::from(command.env("CLFSLOAD_CRASH_AT", at).output().unwrap());
    assert_eq!(ran.status, -1, "{at}: {ran:#?}");
}

/// The inode numbers of the source root and of everything below it change with a remount.
#[test]
fn a_source_with_unstable_inode_numbers_is_identified_by_its_attributes() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for at in ["StatePublished", "ScanCommitted", "SettleCommitted"] {
        for path in ["", "small", "small/sub", "links/a"] {
            let number = fixture.source.number(path);
            fixture.source.show_number(path, number);
        }
        crash(&fixture, at, at);
        for path in ["", "small", "small/sub", "links/a"] {
            let number = fixture.source.number(path);
            fixture.source.show_number(path, number + 7000);
        }
        fixture
            .resume(at, &[])
            .refused(2, "add --source-identity attributes");
        fixture
            .resume(at, &["--source-identity", "attributes"])
            .expect(0);
        assert_content(&fixture, at);
    }
}

/// The root of every FUSE file system has the inode number 1.
#[test]
fn another_source_with_the_same_number_is_refused() {
    for at in ["StatePublished", "ScanCommitted", "SettleCommitted"] {
        let Some(mut fixture) = Fixture::new() else {
            return;
        };
        crash(&fixture, at, at);
        drop(fixture.source);
        fixture.source = FaultySource::mount(&fixture.scratch.source());
        // The names and numbers of the first source, with later times.
        fixture.source.touch("");
        for number in 0..20 {
            let path = format!("small/file-{number:02}");
            fixture.source.file(&path, number * 700);
            fixture.source.touch(&path);
        }
        fixture.source.touch("small");
        for options in [&[][..], &["--source-identity", "attributes"]] {
            fixture
                .resume(at, options)
                .refused(2, "cannot identify the source");
        }
    }
}

/// A live tree on a file system without birth times: every entry of its root is touched between two runs. The server
/// and path of the mount, which both sources share, do not identify it.
#[test]
fn a_live_source_without_a_birth_time_is_refused_only_until_it_is_accepted() {
    for at in ["ScanCommitted", "SettleCommitted"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture.load("undisturbed", &[]).expect(0);
        crash(&fixture, at, at);
        for path in ["", "small", "large", "links"] {
            fixture.source.touch(path);
        }
        for options in [&[][..], &["--source-identity", "attributes"]] {
            let hint = "add --source-identity accept";
            fixture.resume(at, options).refused(2, hint);
        }
        let accept = ["--source-identity", "accept"];
        fixture.resume(at, &accept).expect(0);
        assert_same(&fixture.blobs("undisturbed"), &fixture.blobs(at));
        // One unchanged entry is sufficient.
        fixture.load("touched", &[]).expect(0);
        crash(&fixture, "one", at);
        for path in ["", "small", "large"] {
            fixture.source.touch(path);
        }
        fixture.resume("one", &[]).expect(0);
        assert_same(&fixture.blobs("touched"), &fixture.blobs("one"));
    }
}

/// A source that contains no recorded entry cannot be accepted.
#[test]
fn a_source_without_any_recorded_entry_is_not_accepted() {
    let Some(mut fixture) = Fixture::new() else {
        return;
    };
    crash(&fixture, "t", "ScanCommitted");
    drop(fixture.source);
    fixture.source = FaultySource::mount(&fixture.scratch.source());
    fixture.source.touch("");
    for choice in ["inodes", "attributes", "accept"] {
        let ran = fixture.resume("t", &["--source-identity", choice]);
        ran.refused(
            2,
            "none of the recorded entries that were compared is in it",
        );
    }
}

/// The error may be temporary. A service manager must restart the command, which it does not do after status 2.
#[test]
fn a_source_that_fails_is_not_a_usage_error() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    crash(&fixture, "t", "ScanCommitted");
    fixture.source.touch("");
    // One damaged entry does not hide the evidence of the others.
    let failing = |path| Fault::new(path, Call::Lookup, Act::Fail(fuser::Errno::EIO));
    fixture.source.fault(failing("large"));
    let place = "ScanListed";
    let mut command = clfsload();
    command.args(fixture.scratch.arguments("t", "t"));
    let ran = CommandOutput::from(command.env("CLFSLOAD_CRASH_AT", place).output().unwrap());
    assert_eq!(ran.status, -1, "{ran:#?}");
    for path in ["small", "links"] {
        fixture.source.fault(failing(path));
    }
    fixture.resume("t", &[]).refused(1, "cannot be used");
    let fault = Fault::new("", Call::Stat, Act::Fail(fuser::Errno::ENOTCONN));
    let arguments = fixture.scratch.arguments("t", "t");
    fixture.source.fault(fault);
    run(arguments).refused(1, "cannot be used");
    let source = &fixture.source;
    source.without_faults(|| fixture.resume("t", &[]).expect(0));
}

/// SMB servers list names that they cannot map, and then report them as not found.
#[test]
fn a_name_that_is_listed_but_not_found_is_a_failed_entry() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let names = ["small/file-00", "small/file-07", "links"];
    for path in names {
        let fault = Fault::new(path, Call::Lookup, Act::Fail(fuser::Errno::ENOENT));
        fixture.source.fault(fault);
    }
    // This one is removed, so the second listing does not contain it.
    fixture
        .source
        .fault(Fault::new("small/file-19", Call::Lookup, Act::Remove).once());
    fixture.load("t", &[]).expect(3);
    assert_eq!(fixture.failed("t", "input-output"), paths(names));
    fixture
        .source
        .without_faults(|| fixture.resume("t", &[]).expect(0));
}

/// A replica created by rsync has the same times, and may have the same inode numbers, but never the same ctime.
#[test]
fn mtime_and_inode_number_alone_do_not_identify_a_source() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    crash(&fixture, "t", "ScanCommitted");
    fixture.source.touch("");
    for path in ["small", "large", "links"] {
        fixture.source.change_ctime(path);
    }
    fixture
        .resume("t", &[])
        .refused(2, "add --source-identity accept");
}
