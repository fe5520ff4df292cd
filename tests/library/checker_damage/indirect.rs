//! Damage to the trees of indirect blocks, in a directory of 9,216 segments: tree 0, and tree 1 with two leaves.

use std::collections::BTreeSet;

use clfs_format::FileType;

use super::edit::{Container, handle, v2_name};
use crate::support::synthetic::Builder;
use clfsload_checker::{Rule, check, hash64, parse_handles};

const ENTRIES: usize = 1023 + 4096 + 4096 + 1;
const LINKS: usize = 1000;
const BMAP: u32 = 5;
const INDIR: u32 = 7;
const DATABACK: u32 = 10;

#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) container: Container,
    wide: Vec<u8>,
    /// The root of tree 0, a leaf with 4096 pointers.
    pub(crate) tree0: Vec<u8>,
    /// The root of tree 1, and its leaves with 4096 pointers and 1 pointer.
    tree1: Vec<u8>,
    leaves: [Vec<u8>; 2],
}

/// Returns the `back`th id from the end of a list.
fn last_id(list: &[u8], back: usize) -> Vec<u8> {
    let end = list.len() - 18 * back;
    list[end - 16..end].to_vec()
}

fn data(container: &Container, id: &[u8], kind: u32) -> Vec<u8> {
    let payload = container.payload(id);
    let (handles, _) = parse_handles(&payload);
    let found = handles.iter().find(|handle| handle.kind == kind).unwrap();
    payload[found.data.clone()].to_vec()
}

pub(crate) fn fixture() -> Fixture {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut wide = build.directory(&mut root, "wide");
    for first in (0..ENTRIES).step_by(LINKS) {
        let object = build.handle(wide.handle, FileType::Regular);
        let numbers = first..ENTRIES.min(first + LINKS);
        let back = vec![wide.handle; numbers.len()];
        build.entity(object, &back, &first.to_string(), b"x");
        for number in numbers {
            wide.add(number.to_string(), object);
        }
    }
    build.finish_directory_one_entry_per_segment(&wide);
    build.finish_directory(&root);
    build.finish_bucket();
    let container = Container { blobs: build.blobs };
    let wide = wide.handle.as_bytes().to_vec();
    let map = data(&container, &wide, BMAP);
    let tree1 = last_id(&map, 2);
    let pointers = data(&container, &tree1, INDIR);
    Fixture {
        tree0: last_id(&map, 3),
        leaves: [last_id(&pointers, 1), last_id(&pointers, 0)],
        tree1,
        wide,
        container,
    }
}

pub(crate) type Case = (&'static str, &'static [Rule], fn(&mut Fixture));

pub(crate) const CASES: &[Case] = &[
    ("nothing", &[], |_| ()),
    // The original ends a tree with an empty leaf if its last leaf is full.
    ("an empty leaf at the end", &[], |f| {
        let leaf = f.leaves[1].clone();
        let pointers = data(&f.container, &leaf, INDIR);
        f.container.remove(&last_id(&pointers, 0));
        f.container.data(&leaf, INDIR, |data| *data = vec![0; 4]);
        let last = (ENTRIES - 1).to_string();
        forget_last_entry(f, &last);
    }),
    (
        "an empty leaf behind one that is not full",
        &[Rule::BlockMapOrder],
        |f| {
            let [first, second] = f.leaves.clone();
            let only = data(&f.container, &second, INDIR)[4..].to_vec();
            let last = data(&f.container, &first, INDIR);
            f.container.remove(&last_id(&only, 0));
            f.container.data(&second, INDIR, |data| *data = vec![0; 4]);
            forget_last_entry(f, &(ENTRIES - 1).to_string());
            f.container.remove(&last_id(&last, 0));
            f.container.data(&first, INDIR, |data| {
                data.truncate(data.len() - 18);
                data[..4].copy_from_slice(&4095u32.to_le_bytes());
            });
            forget_last_entry(f, &(ENTRIES - 2).to_string());
        },
    ),
    (
        "leaves in the wrong order",
        &[Rule::BlockMapOrder, Rule::DataBackOffset],
        |f| {
            let [first, second] = f.leaves.clone();
            f.container.data(&f.tree1, INDIR, |data| {
                data[6..22].copy_from_slice(&second);
                data[24..40].copy_from_slice(&first);
            });
        },
    ),
    (
        "tree 2 instead of tree 1",
        &[Rule::BlockMapOrder, Rule::DataBackOffset],
        |f| {
            // A block with one pointer, to the old root. Tree 2 has three levels.
            let (id, root) = ([0xcd; 16], f.tree1.clone());
            let mut indirect = vec![1, 0, 0, 0, 16, 0];
            indirect.extend_from_slice(&root);
            let back = data(&f.container, &root, DATABACK);
            let mut blob = vec![0; 4];
            blob.extend(handle(INDIR, &indirect));
            blob.extend(handle(DATABACK, &back));
            f.container
                .blobs
                .insert(v2_name(&id, 9, hash64(&f.wide)), blob);
            f.container.data(&f.wide, BMAP, |data| {
                let end = data.len();
                data[end - 52..end - 36].fill(0);
                data[end - 34..end - 18].copy_from_slice(&id);
            });
        },
    ),
    (
        "depth in the offset of a leaf",
        &[Rule::DataBackOffset],
        |f| {
            f.container
                .data(&f.leaves[0].clone(), DATABACK, |data| data[4] = 0);
        },
    ),
    (
        "tree in the offset of a root",
        &[Rule::DataBackOffset],
        |f| {
            f.container
                .data(&f.tree1.clone(), DATABACK, |data| data[6] = 2);
        },
    ),
    ("owner of an indirect block", &[Rule::DataBackOwner], |f| {
        f.container
            .data(&f.tree0.clone(), DATABACK, |data| data[20] ^= 1);
    }),
    ("ctime of an indirect block", &[Rule::DataBackTime], |f| {
        f.container
            .data(&f.tree0.clone(), DATABACK, |data| data[0] ^= 1);
    }),
    (
        "an indirect block in itself",
        &[
            Rule::BlockTwice,
            Rule::Orphan,
            Rule::AttributeSize,
            Rule::BackPointers,
        ],
        |f| {
            let own = f.tree1.clone();
            f.container
                .data(&own, INDIR, |data| data[24..40].copy_from_slice(&own));
        },
    ),
    (
        "a pointer of another width",
        &[
            Rule::HandleContent,
            Rule::Orphan,
            Rule::AttributeSize,
            Rule::BackPointers,
        ],
        |f| {
            f.container.data(&f.leaves[1].clone(), INDIR, |data| {
                data[4] = 15;
                data.pop();
            });
        },
    ),
    (
        "a leaf is missing",
        &[
            Rule::Dangling,
            Rule::Orphan,
            Rule::AttributeSize,
            Rule::BackPointers,
        ],
        |f| {
            f.container.remove(&f.leaves[1].clone());
        },
    ),
    (
        "4097 pointers",
        &[Rule::BlockMapOrder, Rule::BlockTwice, Rule::DataBackOffset],
        |f| {
            f.container.data(&f.tree0.clone(), INDIR, |data| {
                let first = data[4..22].to_vec();
                data.extend_from_slice(&first);
                data[..4].copy_from_slice(&4097u32.to_le_bytes());
            });
        },
    ),
];

/// Subtracts the last entry from the directory's size and from its object's links.
fn forget_last_entry(f: &mut Fixture, name: &str) {
    let size = data(&f.container, &f.wide, 4);
    let size = u64::from_le_bytes(size[20..28].try_into().unwrap());
    let size = size - 4 - (4 + name.len() + 2 + 24) as u64;
    let wide = f.wide.clone();
    f.container.attribute(&wide, 20..28, size);
    f.container.attribute(&wide, 60..68, size);
    let last_object = f
        .container
        .blobs
        .keys()
        .filter(|name| name.contains(".0001."));
    let ids = last_object.map(|name| clfsload_checker::Name::parse(name).unwrap().id);
    let object = ids.max_by_key(|id| id[8..12].iter().rev().copied().collect::<Vec<u8>>());
    let object = object.unwrap();
    let count = u32::from_le_bytes(data(&f.container, &object, 9)[..4].try_into().unwrap()) - 1;
    f.container.data(&object, 9, |data| {
        data.truncate(data.len() - 26);
        data[..4].copy_from_slice(&count.to_le_bytes());
    });
    f.container.attribute(&object, 92..96, count.into());
}

/// Returns the rules that these cases violate.
pub(crate) fn covered() -> BTreeSet<Rule> {
    CASES
        .iter()
        .flat_map(|(_, rules, _)| rules.iter().copied())
        .collect()
}

#[test]
fn damage_to_indirect_blocks_is_found() {
    let valid = fixture();
    for (what, expected, damage) in CASES {
        let mut fixture = valid.clone();
        damage(&mut fixture);
        let checked = check(&fixture.container.blobs);
        let found: BTreeSet<Rule> = checked.findings.iter().map(|f| f.rule).collect();
        let expected = expected.iter().copied().collect();
        assert_eq!(found, expected, "{what}: {:?}", checked.findings.first());
    }
}
