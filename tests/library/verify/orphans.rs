//! Orphans, and objects that unreadable objects may reference: the latter are counted, not listed.

use std::collections::{BTreeSet, HashMap};

use clfs_format::FileType;
use clfsload::verify::{Depth, Finding, Rule, Severity};

use super::run::{Verified, verify_blobs};
use crate::checker_damage::fixture::Fixture;
use crate::support::kinds::inode;
use crate::support::synthetic::Builder;

/// Truncates a blob to the four bytes of the wrapper, so that it cannot be read.
fn cut(blobs: &mut HashMap<String, Vec<u8>>, name: &str) {
    blobs.get_mut(name).unwrap().truncate(2);
}

/// Returns the findings of the rule.
fn orphans(verified: &Verified) -> Vec<&Finding> {
    let findings = verified.findings.iter();
    findings
        .filter(|found| found.rule == Rule::Orphan)
        .collect()
}

/// Checks that a verification reports only the unreadable blob and this number of possible orphans.
fn expect_possible(verified: &Verified, count: u64) {
    let rules = BTreeSet::from([Rule::WrapperShort, Rule::Orphan]);
    assert_eq!(verified.rules(), rules, "{}", verified.shown());
    let [note] = orphans(verified)[..] else {
        panic!("{}", verified.shown());
    };
    assert_eq!(note.severity, Severity::Note, "{note}");
    assert_eq!((&note.path, &note.blob), (&None, &None), "{note}");
    let noun = if count == 1 { "orphan" } else { "orphans" };
    let start = format!("{count} possible {noun}: ");
    assert!(note.text.starts_with(&start), "{note}");
    assert_eq!(verified.summary.possible_orphans, count);
}

#[test]
fn entries_of_an_unreadable_directory_are_not_listed_as_orphans() {
    let mut fixture = Fixture::new();
    let a = fixture.container.blob_name(&fixture.a);
    cut(&mut fixture.container.blobs, &a);
    for depth in [Depth::Full, Depth::Quick] {
        let verified = verify_blobs(&fixture.container.blobs, depth);
        // `small` and `inner`. `linked` has two names in a readable directory and one in `a`.
        expect_possible(&verified, 2);
    }
}

#[test]
fn segments_of_an_unreadable_file_are_not_listed_as_orphans() {
    let mut fixture = Fixture::new();
    let multi = fixture.container.blob_name(&fixture.multi);
    cut(&mut fixture.container.blobs, &multi);
    let verified = verify_blobs(&fixture.container.blobs, Depth::Full);
    expect_possible(&verified, 2);
}

#[test]
fn directories_below_an_unreadable_one_are_not_reported_as_unreachable() {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut upper = build.directory(&mut root, "upper");
    let mut middle = build.directory(&mut upper, "middle");
    let lower = build.directory(&mut middle, "lower");
    let file = build.handle(middle.handle, FileType::Regular);
    middle.add("file", file);
    build.entity(file, &[middle.handle], "file", b"content");
    for directory in [&root, &upper, &middle, &lower] {
        build.finish_directory(directory);
    }
    build.finish_bucket();
    assert_eq!(verify_blobs(&build.blobs, Depth::Full).findings, []);
    let name = inode(&build, upper.handle);
    cut(&mut build.blobs, &name);
    // `middle` remains: its entries name everything below it.
    expect_possible(&verify_blobs(&build.blobs, Depth::Full), 1);
}

#[test]
fn orphans_are_listed_if_everything_was_read() {
    let mut build = Builder::new();
    let root = build.root();
    let file = build.handle(root.handle, FileType::Regular);
    build.entity(file, &[root.handle], "file", &[7; 20_000]);
    build.finish_directory(&root);
    build.finish_bucket();
    let verified = verify_blobs(&build.blobs, Depth::Full);
    let [orphan] = orphans(&verified)[..] else {
        panic!("{}", verified.shown());
    };
    assert_eq!(orphan.severity, Severity::Warning, "{orphan}");
    assert_eq!(orphan.blob, Some(inode(&build, file)), "{orphan}");
    assert_eq!(verified.summary.possible_orphans, 0);
    assert_eq!(verified.findings.len(), 1, "{}", verified.shown());
}
