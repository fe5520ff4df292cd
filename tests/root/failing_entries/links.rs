//! Files with several names, some or all of which fail.

use fuser::Errno;

use super::fixture::{Fixture, Paths, paths};
use crate::support::command::assert_same;
use crate::support::faulty_source::{Act, Call, Fault};

const LARGE_NAMES: [&str; 3] = ["links/third", "links/a/first", "links/b/second"];
const SMALL_NAMES: [&str; 2] = ["links/a/small-first", "links/b/small-second"];

#[test]
fn a_file_is_read_by_another_name_if_its_first_is_removed() {
    for path in ["links/a/first", "links/a/small-first", "links/third"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture.load("undisturbed", &[]).expect(0);
        let fault = Fault::new(path, Call::Lookup, Act::Remove).after(2);
        fixture.source.fault(fault);
        fixture.load("t", &[]).expect(0);
        fixture.source.heal();
        fixture.assert_complete("t");
        assert_same(&fixture.blobs("undisturbed"), &fixture.blobs("t"));
    }
}

/// All names of the file fail together, and are loaded together later.
fn all_names_fail(names: &[&str], fault: impl Fn(&str) -> Fault, reason: &str) {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.load("undisturbed", &[]).expect(0);
    let faults = || {
        fixture.source.heal();
        names
            .iter()
            .for_each(|name| fixture.source.fault(fault(name)));
    };
    faults();
    fixture.load("t", &[]).expect(3);
    fixture.assert_no_root("t");
    assert_eq!(fixture.failed("t", reason), paths(names.iter().copied()));
    faults();
    fixture.load("skip", &["--skip-failed"]).expect(3);
    fixture.source.heal();
    assert_eq!(fixture.missing("skip"), paths(names.iter().copied()));
    fixture.resume("t", &[]).expect(0);
    fixture.assert_complete("t");
    assert_same(&fixture.blobs("undisturbed"), &fixture.blobs("t"));
}

#[test]
fn all_names_of_an_unreadable_file_fail() {
    let fault = |name: &str| Fault::new(name, Call::Read, Act::Fail(Errno::EIO));
    all_names_fail(&LARGE_NAMES, fault, "input-output");
    all_names_fail(&SMALL_NAMES, fault, "input-output");
}

#[test]
fn all_names_of_a_file_without_permission_fail() {
    let fault = |name: &str| Fault::new(name, Call::Open, Act::Fail(Errno::EACCES));
    all_names_fail(&LARGE_NAMES, fault, "permission-denied");
}

#[test]
fn a_file_whose_names_all_vanish_fails() {
    let fault = |name: &str| Fault::new(name, Call::Lookup, Act::Remove).after(2);
    all_names_fail(&LARGE_NAMES, fault, "vanished");
    all_names_fail(&SMALL_NAMES, fault, "vanished");
}

#[test]
fn one_name_that_cannot_be_examined_fails_alone() {
    for name in LARGE_NAMES.into_iter().chain(SMALL_NAMES) {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture
            .source
            .fault(Fault::new(name, Call::Lookup, Act::Fail(Errno::EIO)));
        fixture.load("t", &[]).expect(3);
        assert_eq!(fixture.failed("t", "input-output"), paths([name]));
        fixture.load("skip", &["--skip-failed"]).expect(3);
        fixture.source.heal();
        assert_eq!(fixture.missing("skip"), paths([name]));
        fixture.resume("t", &[]).expect(0);
        fixture.assert_complete("t");
    }
}

#[test]
fn names_in_an_unlistable_directory_are_missing() {
    for directory in ["links/a", "links/b"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        let fault = Fault::new(directory, Call::List, Act::Fail(Errno::EIO));
        fixture.source.fault(fault);
        fixture.load("t", &[]).expect(3);
        assert_eq!(fixture.failed("t", "input-output"), paths([directory]));
        fixture.load("skip", &["--skip-failed"]).expect(3);
        fixture.source.heal();
        let below = format!("{directory}/");
        let names = LARGE_NAMES.into_iter().chain(SMALL_NAMES);
        let mut lost: Paths = names
            .filter(|name| name.starts_with(&below))
            .map(str::to_owned)
            .collect();
        lost.insert(directory.to_owned());
        assert_eq!(fixture.missing("skip"), lost);
        fixture.resume("t", &[]).expect(0);
        fixture.assert_complete("t");
    }
}
