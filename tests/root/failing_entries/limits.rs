//! Names that the format cannot store, limits on failed entries, and the display of odd names.

use fuser::Errno;

use super::fixture::{Fixture, paths};
use crate::support::faulty_source::{Act, Call, Fault};

/// Creates a tree in which `failing` files cannot be read.
fn failing(failing: usize) -> Option<Fixture> {
    let fixture = Fixture::empty()?;
    for number in 0..200 {
        let path = format!("d/file-{number:03}");
        fixture.source.file(&path, 100);
        if number < failing {
            let fault = Fault::new(&path, Call::Open, Act::Fail(Errno::EACCES));
            fixture.source.fault(fault);
        }
    }
    Some(fixture)
}

#[test]
fn too_many_problems_stop_the_run() {
    let Some(fixture) = failing(60) else { return };
    for (name, options) in [("t", &[][..]), ("three", &["--max_errors", "3"])] {
        let ran = fixture.load(name, options).expect(1);
        assert!(ran.stdout.contains("--max-errors was reached"), "{ran:#?}");
        fixture.assert_no_root(name);
        assert!(!fixture.problems(name).is_empty());
    }
    fixture.source.heal();
    fixture.resume("t", &[]).expect(0);
    fixture.assert_complete("t");
    fixture.resume("three", &["--max_errors", "3"]).expect(0);
    fixture.assert_complete("three");
}

/// Threads that may be processing an entry when the limit is reached.
const THREADS: usize = 64;

/// Files that cannot be read, names that cannot be examined and directories that cannot be listed, each far more
/// than the limit.
#[test]
fn a_run_stops_close_to_the_limit() {
    let trees: [(&str, &[(&str, Call)]); 3] = [
        ("files", &[("f", Call::Open)]),
        ("names", &[("n", Call::Lookup)]),
        (
            "both",
            &[("n", Call::Lookup), ("f", Call::Open), ("d", Call::List)],
        ),
    ];
    for (name, kinds) in trees {
        let Some(fixture) = Fixture::empty() else {
            return;
        };
        for (kind, call) in kinds {
            for number in 0..700 {
                let path = format!("{kind}{}/{number:03}", number / 200);
                match call {
                    Call::List => fixture.source.file(format!("{path}/inside"), 1),
                    _ => fixture.source.file(&path, 100),
                }
                let fault = Fault::new(&path, *call, Act::Fail(Errno::EIO));
                fixture.source.fault(fault);
            }
        }
        let ran = fixture.load(name, &["--max-errors", "10"]).expect(1);
        let failed = fixture.problems(name).len();
        println!("{name}: {failed} failed");
        assert!((10..=10 + THREADS).contains(&failed), "{name}: {failed}");
        let end = format!("stopped: {failed} entries failed");
        assert!(ran.stdout.contains(&end), "{ran:#?}");
        // Each run gets as far again.
        fixture.resume(name, &["--max-errors", "10"]).expect(1);
        let more = fixture.problems(name).len();
        assert!(
            (failed + 10..=failed + 10 + THREADS).contains(&more),
            "{name}: {more}"
        );
        if name == "both" {
            fixture.source.heal();
            fixture.resume(name, &["--max-errors", "10"]).expect(0);
            fixture.assert_complete(name);
        }
    }
}

#[test]
fn many_failures_print_few_lines() {
    let Some(fixture) = failing(60) else { return };
    let ran = fixture.load("t", &["--max-errors", "0"]).expect(3);
    let errors = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 10, "{ran:#?}");
    let log = fixture.scratch.path("t/output.txt");
    let note = "note: further failed entries are not printed; the log has all:";
    assert_eq!(ran.stderr.matches(note).count(), 1, "{ran:#?}");
    assert!(ran.stderr.contains(&log.display().to_string()), "{ran:#?}");
    let logged = std::fs::read_to_string(log).unwrap();
    assert_eq!(logged.matches(" error problem ").count(), 60);
    assert!(
        ran.stdout
            .contains("failed entries, by reason:\n            60  permission-denied\n")
    );
    assert!(
        ran.stdout.contains("failed entries, the first 10 of 60:\n"),
        "{ran:#?}"
    );
}

#[test]
fn a_run_below_its_limit_or_without_limit_finishes() {
    let Some(fixture) = failing(60) else { return };
    for limit in ["0", "61"] {
        fixture.load(limit, &["--max_errors", limit]).expect(3);
        assert_eq!(fixture.failed(limit, "permission-denied").len(), 60);
        fixture
            .resume(limit, &["--max_errors", limit, "--skip-failed"])
            .expect(3);
        assert_eq!(fixture.missing(limit).len(), 60);
    }
}

#[test]
fn problems_of_an_earlier_run_do_not_stop_a_run_that_skips_them() {
    let Some(fixture) = failing(60) else { return };
    fixture.load("t", &["--max_errors", "0"]).expect(3);
    // More problems than the default limit, but no new ones.
    let leave = ["--retry_errors", "0"];
    fixture.resume("t", &leave).expect(3);
    fixture
        .resume("t", &["--retry_errors", "0", "--skip-failed"])
        .expect(3);
    assert_eq!(fixture.missing("t").len(), 60);
}

#[test]
fn names_and_link_targets_that_the_format_cannot_store_are_problems() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    let source = &fixture.source;
    // No other Linux file system has such names. The kernel passes them through from FUSE.
    let long_name = format!("d/{}", "n".repeat(300));
    source.file(&long_name, 10);
    source.file(format!("d/{}", "m".repeat(255)), 10);
    source.symlink("d/too-long", &[b't'; 1024]);
    source.symlink("d/longest", &[b't'; 1023]);
    fixture.load("t", &[]).expect(3);
    let problems = fixture.problems("t");
    assert_eq!(problems[&long_name].reason, "name-too-long");
    assert_eq!(problems["d/too-long"].reason, "link-target-too-long");
    assert_eq!(problems.len(), 2);
    fixture.resume("t", &["--skip-failed"]).expect(3);
    assert_eq!(
        fixture.missing("t"),
        paths([long_name.as_str(), "d/too-long"])
    );
}

#[test]
fn odd_names_are_escaped_in_the_lists() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    let names: [&[u8]; 5] = [
        b"new\nline",
        b"back\\slash",
        b"\xff\xfe",
        b"\x1b[31m",
        b"plain",
    ];
    for name in names {
        fixture.source.file(name, 10);
        let fault = Fault::at_bytes(name, Call::Open, Act::Fail(Errno::EACCES));
        fixture.source.fault(fault);
    }
    let ran = fixture.load("t", &[]).expect(3);
    assert!(!ran.stderr.contains('\x1b'), "{ran:?}");
    // `problems` also checks that the three lists agree.
    assert_eq!(fixture.problems("t").len(), 5);
    let read = |file: &str| std::fs::read(fixture.scratch.path("t").join(file)).unwrap();
    let mut raw: Vec<Vec<u8>> = read("problems0.txt")
        .split_inclusive(|byte| *byte == 0)
        .map(|path| path[..path.len() - 1].to_vec())
        .collect();
    raw.sort();
    let mut expected = names.map(<[u8]>::to_vec);
    expected.sort();
    assert_eq!(raw, expected);
    let text = String::from_utf8(read("problems.txt")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let shown = [
        "\\x1b[31m",
        "\\xff\\xfe",
        "back\\\\slash",
        "new\\x0aline",
        "plain",
    ];
    assert_eq!(lines, shown);
}
