//! `verify` finds every damage that the checker finds.

use std::collections::{BTreeSet, HashMap};

use clfsload::verify::{Depth, Rule};

use super::consequences::{consequences, counterpart};
use super::run::verify_blobs;
use crate::checker_damage::fixture::Fixture;
use crate::checker_damage::{Case, cases_content, cases_names, cases_tree, indirect};
use clfsload_checker::Rule as Checked;

/// The cases in which the findings of `verify` differ from those of the checker, and the reasons.
pub(crate) const OTHERWISE: &[(&str, &[Rule])] = &[
    // A missing or duplicate handle is not a handle in the wrong place.
    ("a handle twice", &[Rule::Handles]),
    ("a directory segment without DATA", &[Rule::Handles]),
    // An invalid header is one finding. The handles after it are not reported as missing.
    ("a wrong magic", &[Rule::HandleHeader]),
    ("a wrong padded length", &[Rule::HandleHeader]),
    ("a payload that is cut off", &[Rule::HandleHeader]),
    // Deviations of the original loader are allowed.
    ("version 10", &[]),
    ("two names for one object", &[Rule::Leftover]),
    ("size of a symlink in characters", &[Rule::Used]),
    // A blob with this name is not a bucket object.
    (
        "a V2 name for the bucket",
        &[Rule::NameKind, Rule::BucketMissing],
    ),
    // Segments beyond the size are not read, so their bytes are not counted.
    (
        "size that needs another segment",
        &[Rule::Used, Rule::BlockCount],
    ),
    // The block map cannot be read, so the objects that it references are unknown.
    (
        "a hole in the direct list",
        &[Rule::BlockOrder, Rule::Orphan],
    ),
    ("a tree of a file that needs none", &[Rule::BlockOrder]),
    (
        "tree 2 instead of tree 1",
        &[Rule::BlockOrder, Rule::Orphan],
    ),
    // The block cannot be read, so its entries are unknown, and their objects may be orphans.
    ("4097 pointers", &[Rule::BlockOrder, Rule::Orphan]),
    // The size of the remaining segments is unknown.
    (
        "an indirect block in itself",
        &[Rule::BlockTwice, Rule::Orphan],
    ),
    (
        "a pointer of another width",
        &[Rule::HandleContent, Rule::Orphan],
    ),
    ("a leaf is missing", &[Rule::Dangling, Rule::Orphan]),
    // The name that the back pointers still count may be that of the damaged entry.
    ("an entry is cut off", &[Rule::Size, Rule::Entry]),
    ("an entry is split over two segments", &[Rule::Entry]),
    // A single finding, with the number of bytes that the inode must contain.
    ("a short first segment", &[Rule::Size]),
    // Both entries name the object, in agreement with its back pointers.
    ("a name twice", &[Rule::DuplicateName]),
    // The copy still has the identity of another directory, so it is not read as this one.
    ("an orphan inode", &[Rule::Orphan, Rule::OwnBlock]),
    // A segment of another place is not read, so its length is not checked.
    ("segments in the wrong order", &[Rule::DataBackOffset]),
    // Copies of a container often lack it.
    ("a log that is not there", &[Rule::LogMissing]),
];

fn expected(what: &str, rules: &[Checked]) -> BTreeSet<Rule> {
    match OTHERWISE.iter().find(|(case, _)| *case == what) {
        Some((_, rules)) => rules.iter().copied().collect(),
        None => rules.iter().map(|rule| counterpart(*rule)).collect(),
    }
}

/// Returns a description of unexpected or missing findings, or `None`.
fn unexpected(what: &str, rules: &[Checked], blobs: &HashMap<String, Vec<u8>>) -> Option<String> {
    let verified = verify_blobs(blobs, Depth::Full);
    let (found, expected) = (verified.rules(), expected(what, rules));
    let allowed: BTreeSet<Rule> = expected
        .iter()
        .flat_map(|rule| consequences(*rule).iter().copied())
        .chain(expected.iter().copied())
        .collect();
    let missing: Vec<&Rule> = expected.difference(&found).collect();
    let surplus: Vec<&Rule> = found.difference(&allowed).collect();
    (!missing.is_empty() || !surplus.is_empty()).then(|| {
        format!(
            "{what}: expected {expected:?}; missing {missing:?}, surplus {surplus:?}\n    {}",
            verified.shown()
        )
    })
}

fn run(cases: &[Case]) {
    let valid = Fixture::new();
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(what, rules, damage)| {
            let mut fixture = valid.clone();
            damage(&mut fixture);
            unexpected(what, rules, &fixture.container.blobs)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_undamaged_container_is_clean() {
    let fixture = Fixture::new();
    for depth in [Depth::Full, Depth::Quick] {
        let verified = verify_blobs(&fixture.container.blobs, depth);
        assert_eq!(verified.findings, [], "{}", verified.shown());
        assert!(verified.summary.is_clean());
        let objects: u64 = verified.summary.objects.iter().map(|(_, n)| n).sum();
        // All but the log.
        assert_eq!(objects as usize, fixture.container.blobs.len() - 1);
    }
}

#[test]
fn damage_to_names_and_handles_is_found() {
    run(cases_names::CASES);
}

#[test]
fn damage_to_attributes_and_segments_is_found() {
    run(cases_content::CASES);
}

#[test]
fn damage_to_the_tree_is_found() {
    run(cases_tree::CASES);
}

#[test]
fn damage_to_indirect_blocks_is_found() {
    let valid = indirect::fixture();
    let mut wrong = Vec::new();
    for (what, rules, damage) in indirect::CASES {
        let mut fixture = valid.clone();
        damage(&mut fixture);
        wrong.extend(unexpected(what, rules, &fixture.container.blobs));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With `--quick`, all damage is found except damage to the content of files.
#[test]
fn quick_finds_all_damage_except_in_file_content() {
    let valid = Fixture::new();
    let quick = |what: &str| {
        let all = [cases_names::CASES, cases_content::CASES, cases_tree::CASES];
        let (_, _, damage) = all.iter().copied().flatten().find(|c| c.0 == what).unwrap();
        let mut fixture = valid.clone();
        damage(&mut fixture);
        verify_blobs(&fixture.container.blobs, Depth::Quick)
    };
    let found = [
        ("a short first segment", Rule::Size),
        ("a segment is missing", Rule::Dangling),
        ("a segment's owner is another file", Rule::Owner),
        ("a segment called an indirect block", Rule::ObjectType),
        ("a segment twice", Rule::BlockTwice),
        ("an orphan segment", Rule::Orphan),
        ("a segment that nothing needs", Rule::BlockCount),
        ("offset of a directory's segment", Rule::DataBackOffset),
    ];
    for (what, rule) in found {
        let verified = quick(what);
        assert!(
            verified.rules().contains(&rule),
            "{what}: {}",
            verified.shown()
        );
    }
    for what in ["a short segment in the middle", "ctime of a segment"] {
        let verified = quick(what);
        assert_eq!(verified.findings, [], "{what}");
        assert_eq!(verified.summary.segments_unread, 2);
    }
}
