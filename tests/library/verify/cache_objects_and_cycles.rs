//! Cases that the checker lacks: objects of caches, provisional owners, cycles, damaged orphans.

use std::collections::BTreeSet;

use clfsload::verify::{Depth, Rule, Severity};

use super::consequences::counterpart;
use super::damage::OTHERWISE;
use super::run::verify_blobs;
use crate::checker_damage::edit::v2_name;
use crate::checker_damage::fixture::Fixture;
use clfsload_checker::{Rule as Checked, hash64};

const DIRENTS: u32 = 3;

/// Returns a well-known id.
fn known(last: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[15] = last;
    id
}

fn rename_field(f: &mut Fixture, id: &[u8], number: usize, value: &str) {
    f.container.rename(id, |name| {
        let mut fields: Vec<&str> = name.split('.').collect();
        fields[number] = value;
        fields.join(".")
    });
}

/// A description of the damage, the rules that it violates (and no others), and the function that causes it.
type Case = (&'static str, &'static [Rule], fn(&mut Fixture));

const CASES: &[Case] = &[
    ("an inode under the owner 0x62", &[Rule::Provisional], |f| {
        let owner = format!("{:016X}", hash64(&known(0x62)));
        rename_field(f, &f.small.clone(), 2, &owner);
    }),
    (
        "a directory under the owner 0x62",
        &[Rule::Provisional],
        |f| {
            let owner = format!("{:016X}", hash64(&known(0x62)));
            rename_field(f, &f.inner.clone(), 2, &owner);
        },
    ),
    ("the space tracker", &[Rule::CacheObject], |f| {
        let id = known(0x65);
        let name = format!(
            "{:08X}_{}.00000000009.FFFFFFFF.0001",
            hash64(&id) >> 32,
            clfsload_checker::hex(&id)
        );
        f.container.blobs.insert(name, b"not known".to_vec());
    }),
    ("a tombstone", &[Rule::CacheObject], |f| {
        let mut id = f.small.clone();
        id[8..16].copy_from_slice(&77_777u64.to_le_bytes());
        let name = v2_name(&id, 10, hash64(&f.a));
        f.container.blobs.insert(name, b"not known".to_vec());
    }),
    // The named object is missing, whichever object has its place.
    (
        "a file that is a tombstone",
        &[Rule::CacheObject, Rule::ObjectType],
        |f| rename_field(f, &f.small.clone(), 1, "0010"),
    ),
    (
        "a symlink that is a hard link object",
        &[Rule::CacheObject, Rule::ObjectType],
        |f| rename_field(f, &f.symlink.clone(), 1, "0012"),
    ),
    (
        "a directory that is a special object",
        &[Rule::CacheObject, Rule::ObjectType],
        |f| rename_field(f, &f.inner.clone(), 1, "0011"),
    ),
    (
        "a segment that nothing uses, and that is damaged",
        &[Rule::Orphan, Rule::HandleHeader],
        |f| {
            let name = v2_name(&[0xab; 16], 8, hash64(&f.multi));
            let blob = [0, 0, 0, 0, 1, 2, 3, 4].to_vec();
            f.container.blobs.insert(name, blob);
        },
    ),
    (
        "a file that nothing names, and that is damaged",
        &[Rule::Orphan, Rule::Used],
        |f| {
            let small = f.small.clone();
            remove_entry(f, |f| f.a.clone(), &small);
            f.container.attribute(&small, 60..68, 1);
        },
    ),
    // `a` is named only by `inner`, which is an entry of `a`.
    (
        "a cycle outside the tree",
        &[
            Rule::Unreachable,
            Rule::Dots,
            Rule::Owner,
            Rule::OwnName,
            Rule::DirectoryManager,
        ],
        |f| {
            let (a, inner) = (f.a.clone(), f.inner.clone());
            remove_entry(f, |f| f.root.clone(), &a);
            add_entry(f, &inner, b"loop", &a);
        },
    ),
    ("more than any inode", &[Rule::TooLarge], |f| {
        // No inode is larger than this when decompressed.
        f.container
            .raw(&f.fifo.clone(), |blob| blob.resize(3 << 20, 0));
    }),
];

/// Removes an entry from a directory of one segment, and corrects size and nlink.
fn remove_entry(f: &mut Fixture, pick: fn(&Fixture) -> Vec<u8>, handle: &[u8]) {
    let directory = pick(f);
    f.container.data(&directory, DIRENTS, |data| {
        // The handle of `.` is preceded by the length of its name.
        let at = (0..data.len()).find(|at| data[*at..].starts_with(handle));
        let end = at.unwrap() + handle.len();
        // u32 length, name, u16 length.
        let start = (0..end)
            .rev()
            .find(|start| {
                let length = data.get(*start..start + 4);
                let name = end - handle.len() - 2;
                length.is_some_and(|bytes| {
                    let length = u32::from_le_bytes(bytes.try_into().unwrap()) as usize;
                    start + 4 + length == name
                })
            })
            .unwrap();
        data.drain(start..end);
    });
    corrected(f, &directory, handle[6] == 1, |n| n - 1);
}

fn add_entry(f: &mut Fixture, directory: &[u8], name: &[u8], handle: &[u8]) {
    let entry = crate::checker_damage::edit::entry(name, handle);
    f.container
        .data(directory, DIRENTS, |data| data.extend_from_slice(&entry));
    corrected(f, directory, handle[6] == 1, |n| n + 1);
}

fn corrected(f: &mut Fixture, directory: &[u8], is_directory: bool, links: fn(u64) -> u64) {
    let payload = f.container.payload(directory);
    let (handles, _) = clfsload_checker::parse_handles(&payload);
    let data = |kind| {
        let found = handles.iter().find(|handle| handle.kind == kind).unwrap();
        &payload[found.data.clone()]
    };
    let size = 4 + data(DIRENTS).len() as u64;
    let nlink = u32::from_le_bytes(data(4)[92..96].try_into().unwrap());
    f.container.attribute(directory, 20..28, size);
    f.container.attribute(directory, 60..68, size);
    if is_directory {
        f.container
            .attribute(directory, 92..96, links(nlink.into()));
    }
}

#[test]
fn each_case_violates_exactly_the_expected_rules() {
    let valid = Fixture::new();
    let mut wrong = Vec::new();
    for (what, expected, damage) in CASES {
        let mut fixture = valid.clone();
        damage(&mut fixture);
        let verified = verify_blobs(&fixture.container.blobs, Depth::Full);
        let expected: BTreeSet<Rule> = expected.iter().copied().collect();
        if verified.rules() != expected {
            let found = verified.rules();
            wrong.push(format!("{what}: {found:?}\n    {}", verified.shown()));
        }
        let worst = expected.iter().map(|rule| rule.severity()).min().unwrap();
        assert_eq!(
            verified.summary.is_clean(),
            worst == Severity::Note,
            "{what}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_tombstone_is_not_accepted_as_the_root() {
    let mut f = Fixture::new();
    rename_field(
        &mut f,
        &crate::checker_damage::fixture::Fixture::new().root,
        1,
        "0010",
    );
    let verified = verify_blobs(&f.container.blobs, Depth::Quick);
    assert!(
        verified.rules().contains(&Rule::Unfinished),
        "{}",
        verified.shown()
    );
}

/// A map of 18 KB that references one segment a thousand times does not cause a thousand reads.
#[test]
fn a_segment_that_a_directory_repeats_is_read_once() {
    let mut f = Fixture::new();
    let segment = f.many_segments[0].clone();
    let id = [&16u16.to_le_bytes()[..], &segment].concat();
    f.container.data(&f.many, 5, |map| {
        // u32 first, u32 other, u32 count, block 0 in 26 bytes, then 18 bytes per segment.
        let blocks = u32::from_le_bytes([map[8], map[9], map[10], map[11]]) as usize;
        let rest = map.split_off(38 + 18 * (blocks - 1));
        map.truncate(38);
        map.extend(id.repeat(1023));
        map[8..12].copy_from_slice(&1024u32.to_le_bytes());
        map.extend(rest);
    });
    let verified = verify_blobs(&f.container.blobs, Depth::Quick);
    let rules = verified.rules();
    assert!(rules.contains(&Rule::BlockTwice), "{}", verified.shown());
    let again = [Rule::DuplicateName, Rule::DataBackOffset];
    assert!(!again.iter().any(|rule| rules.contains(rule)), "{rules:?}");
    assert!(
        verified.findings.len() < 50,
        "{} findings",
        verified.findings.len()
    );
}

/// Each encrypted object is reported once. One finding reports that no entry names them.
#[test]
fn encrypted_objects_are_reported_once_each() {
    let mut fixture = Fixture::new();
    let encrypted = fixture.container.blobs.len() as u64 - 1;
    for (name, blob) in &mut fixture.container.blobs {
        if !name.ends_with(".txt") {
            blob[0] = 2;
        }
    }
    let verified = verify_blobs(&fixture.container.blobs, Depth::Full);
    let count = verified.summary.findings[&(Severity::Error, Rule::Encrypted)];
    assert_eq!(count, encrypted, "{}", verified.shown());
    assert!(verified.findings.iter().any(|finding| {
        finding.text == "encrypted (2: AES-256-CBC with HMAC-SHA-512): it cannot be checked"
    }));
    let rules = verified.rules();
    assert_eq!(rules, BTreeSet::from([Rule::Encrypted, Rule::Orphan]));
    assert_eq!(verified.findings.len() as u64, encrypted + 1);
}

/// Some test violates each rule.
#[test]
fn every_rule_has_a_case() {
    let mut covered: BTreeSet<Rule> = Checked::ALL.iter().map(|r| counterpart(*r)).collect();
    covered.extend(
        crate::checker_damage::indirect::covered()
            .into_iter()
            .map(counterpart),
    );
    covered.extend(OTHERWISE.iter().flat_map(|(_, rules)| rules.iter()));
    covered.extend(CASES.iter().flat_map(|(_, rules, _)| rules.iter()));
    // Names of the same version are tested in flips.rs, objects of another kind in swapped.rs, archived blobs in
    // archived.rs, and the source in source.rs.
    covered.extend([Rule::Twin, Rule::OtherObject, Rule::Offline]);
    let missing: Vec<&Rule> = Rule::ALL
        .iter()
        .filter(|rule| !covered.contains(rule) && rule.section().is_some())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
