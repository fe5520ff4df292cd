//! Files that change between the scan and the read, or during the read.

use fuser::Errno;

use super::fixture::{Fixture, LARGE, Paths, paths};
use crate::support::command::{clfsload, run};
use crate::support::faulty_source::{Act, Call, Fault};
use clfsload_checker::{FolderBlobs, check};

/// Sizes below, at and above the boundaries of segments.
const SIZES: [u64; 6] = [0, 16_384, 16_385, 9 << 20, LARGE - 1, LARGE + (9 << 20)];

#[test]
fn a_file_that_changed_before_the_read_is_stored_with_its_new_size() {
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
            fixture.assert_complete(&name);
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
            fixture.assert_complete(&name);
        }
    }
}

#[test]
fn a_file_that_never_stops_changing_is_a_problem_on_request() {
    for path in ["small/file-09", "large/one"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture
            .source
            .fault(Fault::new(path, Call::Read, Act::Change));
        let fail = ["--changed", "fail"];
        fixture
            .load("t", &fail)
            .refused(3, "changed while it was read");
        fixture.assert_no_root("t");
        assert_eq!(fixture.failed("t", "changed"), paths([path]));
        fixture.resume("t", &fail).expect(3);
        assert_eq!(fixture.problems("t")[path].attempt, 2);
        fixture
            .load("skip", &["--skip-failed", "--changed", "fail"])
            .expect(3);
        assert_eq!(fixture.missing("skip"), paths([path]));
        fixture.source.heal();
        fixture.resume("t", &fail).expect(0);
        fixture.assert_complete("t");
    }
}

/// Returns the files that are listed as changed. Both lists must agree.
fn changed(fixture: &Fixture, name: &str) -> Paths {
    let read =
        |file: &str| std::fs::read(fixture.scratch.path(name).join(file)).unwrap_or_default();
    let text = String::from_utf8(read("changed.txt")).unwrap();
    let raw = String::from_utf8(read("changed0.txt")).unwrap();
    assert_eq!(text.replace('\n', "\0"), raw);
    paths(text.lines())
}

/// Returns the content of `path` in the container and in the source.
fn contents(fixture: &Fixture, name: &str, path: &str) -> (Vec<u8>, Vec<u8>) {
    let mut cat = clfsload();
    cat.arg("cat").arg(fixture.scratch.container(name));
    let output = cat.arg(format!("/{path}")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let source = fixture.scratch.source().join(path);
    let source = fixture.source.without_faults(|| std::fs::read(source));
    (output.stdout, source.unwrap())
}

/// A log that grows with each read. The bytes that it had before the read are stored.
#[test]
fn a_growing_file_is_stored_with_its_size_before_the_read() {
    for path in ["small/file-09", "large/one"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        let before = fixture.source.size(path);
        let grows = Fault::new(path, Call::Read, Act::Append(1000));
        fixture.source.fault(grows);
        for (name, options) in [("retry", &[][..]), ("store", &["--changed", "store"])] {
            let ran = fixture
                .load(name, options)
                .refused(0, "changed while it was read; stored with");
            assert!(ran.stderr.contains(path), "{ran:#?}");
            let summary = "1 file changed while being read; stored with the size";
            assert!(ran.stdout.contains(summary), "{ran:#?}");
            assert_eq!(changed(&fixture, name), paths([path]));
            check(&FolderBlobs(fixture.scratch.container(name))).assert_clean();
            let (held, source) = contents(&fixture, name, path);
            assert!(held.len() as u64 > before && held.len() < source.len());
            assert!(source.starts_with(&held), "{path}: not its first bytes");
            // The state keeps the list for all displays.
            let state = fixture.scratch.path(name);
            let ran = run(["status", "--json", &state.display().to_string()]).expect(0);
            let status: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(
                (&status["changed"], &status["failed"]),
                (&1.into(), &0.into())
            );
            let again = fixture.resume(name, &[]).expect(0);
            assert!(again.stdout.contains(summary), "{again:#?}");
        }
    }
}

/// The content changes at each read, the size does not. The file is stored with a warning.
#[test]
fn a_constantly_overwritten_file_is_stored_with_a_warning() {
    for path in ["small/file-09", "large/one", "links/a/first"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture
            .source
            .fault(Fault::new(path, Call::Read, Act::Change));
        fixture
            .load("t", &[])
            .refused(0, "and may mix old and new content");
        let all = match path.starts_with("links") {
            true => paths(["links/a/first", "links/b/second", "links/third"]),
            false => paths([path]),
        };
        assert_eq!(changed(&fixture, "t"), all);
        assert_eq!(fixture.problems("t").len(), 0);
        check(&FolderBlobs(fixture.scratch.container("t"))).assert_clean();
        let (held, source) = contents(&fixture, "t", path);
        assert_eq!(held.len(), source.len());
    }
}

/// The file never has the size that it just had. After a few attempts, nothing remains of the larger sizes.
#[test]
fn a_constantly_shrinking_file_is_a_problem() {
    for (path, by) in [("small/file-09", 100), ("large/one", 300_000)] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        let shrinks = Fault::new(path, Call::Read, Act::Append(-by));
        fixture.source.fault(shrinks);
        let ran = fixture
            .load("t", &["--skip-failed"])
            .refused(3, "changed while it was read");
        assert!(!ran.stderr.contains("stored with the size"), "{ran:#?}");
        assert_eq!(fixture.failed("t", "changed"), paths([path]));
        assert_eq!(changed(&fixture, "t"), paths([]));
        assert_eq!(fixture.missing("t"), paths([path]));
    }
}

/// The file shrinks once, and its content keeps changing. The uploads of the attempts at the larger size are deleted.
#[test]
fn a_file_that_shrinks_and_keeps_changing_is_stored_with_the_smaller_size() {
    for to in [100, 16_385, 9 << 20] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        let path = "large/one";
        let changes = Fault::new(path, Call::Read, Act::Change);
        fixture.source.fault(changes);
        // At the last segment, after the only thread has read and uploaded the segments before it.
        let shrinks = Fault::new(path, Call::Read, Act::Resize(to)).at(LARGE);
        fixture.source.fault(shrinks.once());
        fixture
            .load("t", &["--changed", "store", "--worker-threads", "1"])
            .refused(0, "stored with the size");
        check(&FolderBlobs(fixture.scratch.container("t"))).assert_clean();
        assert_eq!(contents(&fixture, "t", path).0.len() as u64, to);
    }
}

/// Returns the number of segments of `large/one`. No other entry of the tree has as many bytes.
fn segments(fixture: &Fixture, name: &str) -> usize {
    let blobs = fixture.blobs(name);
    blobs.values().filter(|blob| blob.len() > 8 << 20).count()
}

/// Runs a load in which `large/one` fails after its first segments.
fn load_a_part(fixture: &Fixture, name: &str) {
    let broken = Fault::new("large/one", Call::Read, Act::Fail(Errno::EIO)).at(15 << 20);
    fixture.source.fault(broken);
    fixture.load(name, &[]).expect(3);
    assert!(segments(fixture, name) > 0, "it left no segment");
    fixture.source.heal();
}

#[test]
fn segments_of_an_earlier_attempt_at_a_larger_file_are_deleted() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for size in SIZES {
        let name = size.to_string();
        fixture.source.resize("large/one", LARGE);
        load_a_part(&fixture, &name);
        fixture.source.resize("large/one", size);
        fixture.resume(&name, &[]).expect(0);
        fixture.assert_complete(&name);
    }
}

#[test]
fn segments_of_an_abandoned_file_are_deleted() {
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

/// Some FUSE and network file systems return different times on each call.
#[test]
fn a_symlink_whose_times_differ_at_each_call_is_stored() {
    for changed in ["retry", "store", "fail"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        fixture.source.link("links/symlink", "small/symlink");
        let fault = Fault::new("small/symlink", Call::Stat, Act::Change);
        fixture.source.fault(fault);
        let ran = fixture.load("t", &["--changed", changed]).expect(0);
        assert!(!ran.stderr.contains("changed"), "{ran:#?}");
        let checked = check(&FolderBlobs(fixture.scratch.container("t")));
        checked.assert_clean();
        for path in ["small/symlink", "links/symlink"] {
            let node = &checked.tree[path.as_bytes()];
            assert_eq!(node.target.as_deref(), Some(&b"file-00"[..]), "{path}");
        }
    }
}

/// A new symlink may get the inode number of a removed one.
#[test]
fn a_symlink_that_is_replaced_during_the_read_gets_the_attributes_of_its_target() {
    for changed in ["retry", "store", "fail"] {
        let Some(fixture) = Fixture::new() else {
            return;
        };
        // The scan makes the first call; the encoder makes the second one after it has read the target.
        let fault = Fault::new("small/symlink", Call::Stat, Act::Target(b"another"));
        fixture.source.fault(fault.after(1).once());
        fixture.load("t", &["--changed", changed]).expect(0);
        fixture.assert_complete("t");
        // The symlink is replaced before the encoder reads it.
        let fault = Fault::new("small/symlink", Call::ReadLink, Act::Target(b"third"));
        fixture.source.fault(fault.once());
        fixture.load("u", &["--changed", changed]).expect(0);
        fixture.assert_complete("u");
    }
}

#[test]
fn an_entry_replaced_by_another_type_is_a_problem() {
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
