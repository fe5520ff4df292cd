//! Directories that cannot be listed hide subtrees of unknown size. Each output reports this first.

use fuser::Errno;
use serde_json::Value;

use super::fixture::{Fixture, paths};
use crate::support::command::run;
use crate::support::faulty_source::{Act, Call, Fault};

const SENTENCE: &str = "1 directory could not be listed: everything below it is missing; 1 name could \
                        not be examined: if it is a directory, everything below it is missing, too";

/// Returns a directory that cannot be listed, a name that cannot be examined and a file that cannot be read.
fn closed() -> Option<Fixture> {
    let fixture = Fixture::new()?;
    for (path, call) in [
        ("small/sub", Call::List),
        ("links", Call::Lookup),
        ("large/one", Call::Open),
    ] {
        let fault = Fault::new(path, call, Act::Fail(Errno::EIO));
        fixture.source.fault(fault);
    }
    Some(fixture)
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

#[test]
fn unlistable_directories_are_reported_first() {
    let Some(fixture) = closed() else { return };
    let state = fixture.scratch.path("t").display().to_string();
    let arguments = |arguments: &[&str]| {
        run(arguments.iter().chain(&[state.as_str()]))
            .expect(0)
            .stdout
    };
    for (finished, options) in [(false, &[][..]), (true, &["--skip-failed"])] {
        let ran = match finished {
            false => fixture.load("t", options),
            true => fixture.resume("t", options),
        };
        let ran = ran.expect(3);
        let first = format!("incomplete: {SENTENCE}\nfailed entries:\n  small/sub: ");
        assert!(ran.stdout.contains(&first), "{ran:#?}");
        let hidden = "(a directory: everything below it is missing)\n  links: ";
        assert!(ran.stdout.contains(hidden), "{ran:#?}");
        let end = format!("done, but incomplete: {SENTENCE}; 3 entries failed in total");
        assert_eq!(ran.stdout.contains(&end), finished, "{ran:#?}");
        assert!(!ran.stdout.contains("complete except for"), "{ran:#?}");

        let listed = std::fs::read_to_string(fixture.scratch.path("t/problems.json")).unwrap();
        let subtrees = listed.lines().map(json).map(|line| {
            let path = line["path"].as_str().unwrap().to_owned();
            (path, line["subtree"].clone())
        });
        let mut subtrees: Vec<_> = subtrees.collect();
        subtrees.sort_by(|one, other| one.0.cmp(&other.0));
        let expected = [
            ("large/one".to_owned(), Value::Null),
            ("links".to_owned(), "unknown".into()),
            ("small/sub".to_owned(), "missing".into()),
        ];
        assert_eq!(subtrees, expected);

        let status = arguments(&["status"]);
        let first = format!("incomplete: {SENTENCE}\nfailed entries, by reason:");
        assert!(status.contains(&first), "{status}");
        assert_eq!(
            status.contains("finished, but incomplete"),
            finished,
            "{status}"
        );
        let status = json(&arguments(&["status", "--json"]));
        assert_eq!(status["unlisted_directories"], 1);
        assert_eq!(status["unknown_entries"], 1);
        assert_eq!(status["progress"]["unlisted_directories"], 1);

        let page = arguments(&["report"]);
        let first = format!("<strong>Incomplete: {SENTENCE}.</strong></p>");
        assert!(page.contains(&first), "{page}");
        assert_eq!(page.contains("<strong>finished, but incomplete"), finished);
    }
    assert_eq!(fixture.missing("t").len(), 1 + 6 + 8);
}

#[test]
fn json_and_azcopy_report_unlistable_directories() {
    let Some(fixture) = closed() else { return };
    let ran = fixture.load("json", &["--output", "json"]).expect(3);
    let last = json(ran.stdout.lines().last().unwrap());
    assert_eq!(last["unlisted_directories"], 1, "{last}");
    assert_eq!(last["unknown_entries"], 1, "{last}");
    let ran = fixture.load("azcopy", &["--azcopy"]).expect(3);
    assert!(
        ran.stdout.contains(&format!("incomplete: {SENTENCE}")),
        "{ran:#?}"
    );
}

#[test]
fn a_dry_run_reports_unlistable_directories() {
    let Some(fixture) = closed() else { return };
    let source = fixture.scratch.source().display().to_string();
    let ran = run(["--dry-run", &source]).expect(3);
    let first = format!("incomplete: {SENTENCE}; these figures do not count what is missing\n");
    assert!(ran.stdout.contains(&first), "{ran:#?}");
    let ran = run(["--dry-run", "--json", &source]).expect(3);
    assert_eq!(json(&ran.stdout)["unlisted_directories"], 1);
}

/// No output mentions subtrees if none is missing.
#[test]
fn a_failed_file_hides_no_subtree() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let fault = Fault::new("large/one", Call::Open, Act::Fail(Errno::EIO));
    fixture.source.fault(fault);
    let ran = fixture.load("t", &["--skip-failed"]).expect(3);
    assert!(!ran.stdout.contains("incomplete"), "{ran:#?}");
    assert!(
        ran.stdout
            .contains("complete except for 1 entry that failed"),
        "{ran:#?}"
    );
    assert_eq!(fixture.missing("t"), paths(["large/one"]));
}
