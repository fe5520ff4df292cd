//! Files that change between the look and the read, and while they are read.

use fuser::Errno;

use crate::fixture::{Fixture, LARGE, paths};
use crate::support::faulty_source::{Act, Call, Fault};

/// Sizes on all sides of the first segment and of the others.
const SIZES: [u64; 6] = [0, 16_384, 16_385, 9 << 20, LARGE - 1, LARGE + (9 << 20)];

#[test]
fn a_file_that_changed_before_the_read_is_taken_with_its_new_size() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for path in ["small/file-09", "large/one"] {
        let before = fixture.source.size(path);
        for size in SIZES {
            fixture.source.heal();
            fixture.source.resize(path, before);
            let fault = Fault::new(path, Call::Open, Act::Resize(size)).once();
            fixture.source.fault(fault);
            let name = format!("{path}-{size}").replace('/', "-");
            let ran = fixture
                .load(&name, &[])
                .refused(0, "changed since the scan");
            assert!(ran.stderr.contains(path), "{name}: {ran:#?}");
            fixture.assert_whole(&name);
        }
    }
}

#[test]
fn a_file_that_changes_during_the_read_is_read_again() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let acts = [
        Act::Change,
        Act::Resize(9 << 20),
        Act::Resize(100),
        Act::Resize(LARGE + 1),
    ];
    let reads = [
        ("small/file-09", 0),
        ("large/one", 0),
        ("large/one", 12 << 20),
    ];
    for (path, at) in reads {
        let before = fixture.source.size(path);
        for (number, act) in acts.into_iter().enumerate() {
            fixture.source.heal();
            fixture.source.resize(path, before);
            let fault = Fault::new(path, Call::Read, act).at(at).once();
            fixture.source.fault(fault);
            let name = format!("{path}-{at}-{number}").replace('/', "-");
            fixture
                .load(&name, &[])
                .refused(0, "changed since the scan");
            fixture.assert_whole(&name);
        }
    }
}

#[test]
fn a_file_that_never_stops_changing_is_a_problem() {
    for path in ["small/file-09", "large/one"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture
            .source
            .fault(Fault::new(path, Call::Read, Act::Change));
        fixture
            .load("t", &[])
            .refused(3, "changed while it was read");
        fixture.assert_no_root("t");
        assert_eq!(fixture.failed("t", "changed"), paths([path]));
        fixture.resume("t", &[]).expect(3);
        assert_eq!(fixture.problems("t")[path].attempt, 2);
        fixture.load("skip", &["--skip-failed"]).expect(3);
        assert_eq!(fixture.missing("skip"), paths([path]));
        fixture.source.heal();
        fixture.resume("t", &[]).expect(0);
        fixture.assert_whole("t");
    }
}

/// Segments of `large/one`: nothing else in the tree has as many bytes.
fn segments(fixture: &Fixture, name: &str) -> usize {
    let blobs = fixture.blobs(name);
    blobs.values().filter(|blob| blob.len() > 8 << 20).count()
}

/// A load in which `large/one` fails behind its first segments.
fn load_a_part(fixture: &Fixture, name: &str) {
    let broken = Fault::new("large/one", Call::Read, Act::Fail(Errno::EIO)).at(15 << 20);
    fixture.source.fault(broken);
    fixture.load(name, &[]).expect(3);
    assert!(segments(fixture, name) > 0, "it left no segment");
    fixture.source.heal();
}

#[test]
fn what_an_earlier_attempt_left_of_a_larger_file_is_deleted() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for size in SIZES {
        let name = size.to_string();
        fixture.source.resize("large/one", LARGE);
        load_a_part(&fixture, &name);
        fixture.source.resize("large/one", size);
        fixture.resume(&name, &[]).expect(0);
        fixture.assert_whole(&name);
    }
}

#[test]
fn what_attempts_left_of_a_file_that_is_given_up_is_deleted() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    load_a_part(&fixture, "t");
    fixture.source.remove("large/one");
    fixture.resume("t", &["--skip-failed"]).expect(3);
    assert_eq!(segments(&fixture, "t"), 0);
    assert_eq!(fixture.failed("t", "vanished"), paths(["large/one"]));
    assert_eq!(fixture.missing("t"), paths(["large/one"]));
}

#[test]
fn something_of_another_type_in_its_place_is_a_problem() {
    for path in ["small/file-09", "large/one", "small/symlink"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        let fault = Fault::new(path, Call::Lookup, Act::BecomeDirectory).after(1);
        fixture.source.fault(fault);
        fixture.load("t", &[]).expect(3);
        assert_eq!(fixture.failed("t", "type-changed"), paths([path]));
        fixture.resume("t", &["--skip-failed"]).expect(3);
        assert_eq!(fixture.missing("t"), paths([path]));
    }
}
