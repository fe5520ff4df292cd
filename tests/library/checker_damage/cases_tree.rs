//! Damage to directories, links, and the container as a unit (format.md §6).

use super::Case;
use super::cases_names::BUCKET;
use super::edit::{entry, v2_name};
use super::fixture::Fixture;
use clfsload_checker::Rule::*;
use clfsload_checker::hash64;

const DIRENTS: u32 = 3;
const BACK: u32 = 9;
const EXTATTRS: u32 = 12;
const NAME: u32 = 16;

fn string(text: &[u8]) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(text);
    bytes
}

/// Replaces bytes of the same length in one handle.
fn swap(f: &mut Fixture, id: &[u8], kind: u32, from: &[u8], to: &[u8]) {
    f.container.data(id, kind, |data| {
        let at = data
            .windows(from.len())
            .position(|bytes| bytes == from)
            .unwrap();
        data[at..at + to.len()].copy_from_slice(to);
    });
}

/// Adds an entry to a directory and corrects its size (and nlink, which counts directories).
fn add_entry(f: &mut Fixture, id: &[u8], name: &[u8], handle: &[u8], nlink: u64) {
    let more = entry(name, handle);
    let mut size = 4;
    f.container
        .data(id, DIRENTS, |data| data.extend_from_slice(&more));
    let (handles, _) = clfsload_checker::parse_handles(&f.container.payload(id));
    size += handles
        .iter()
        .find(|h| h.kind == DIRENTS)
        .unwrap()
        .data
        .len() as u64;
    f.container.attribute(id, 20..28, size);
    f.container.attribute(id, 60..68, size);
    if nlink > 0 {
        f.container.attribute(id, 92..96, nlink);
    }
}

pub(crate) const CASES: &[Case] = &[
    ("no dot", &[DirectoryDots], |f| {
        let id = f.a.clone();
        swap(f, &id, DIRENTS, b".", b",");
    }),
    ("dot-dot is not the parent", &[DirectoryDots], |f| {
        let (id, a, b) = (f.inner.clone(), f.a.clone(), f.b.clone());
        swap(f, &id, DIRENTS, &a, &b);
    }),
    // The name is `linked-3`. The object remains reachable through its other links.
    (
        "an entry is cut off",
        &[DirectoryEntry, AttributeSize, BackPointers],
        |f| {
            f.container.data(&f.b, DIRENTS, |data| {
                data.pop();
            });
        },
    ),
    (
        "an entry is split over two segments",
        &[DirectoryEntry, BackPointers],
        |f| {
            let (first, second) = (f.many.clone(), f.many_segments[0].clone());
            let mut moved = Vec::new();
            let payload = f.container.payload(&first);
            let (handles, _) = clfsload_checker::parse_handles(&payload);
            let dirents = handles.iter().find(|h| h.kind == DIRENTS).unwrap();
            moved.extend_from_slice(&payload[dirents.data.end - 10..dirents.data.end]);
            f.container
                .data(&first, DIRENTS, |data| data.truncate(data.len() - 10));
            f.container.data(&second, DIRENTS, |data| {
                drop(data.splice(0..0, moved.clone()))
            });
        },
    ),
    (
        "an entry with the null filehandle",
        &[DirectoryEntry, Orphan],
        |f| {
            let (id, small) = (f.a.clone(), f.small.clone());
            swap(f, &id, DIRENTS, &small, &[0; 24]);
        },
    ),
    ("a slash in a name", &[DirectoryEntryName, Orphan], |f| {
        let id = f.a.clone();
        swap(f, &id, DIRENTS, b"small", b"sm/ll");
    }),
    ("a NUL in a name", &[DirectoryEntryName, Orphan], |f| {
        let id = f.a.clone();
        swap(f, &id, DIRENTS, b"small", b"sm\0ll");
    }),
    ("a second dot-dot", &[DirectoryEntryName], |f| {
        let (id, root) = (f.b.clone(), f.root.clone());
        add_entry(f, &id, b"..", &root, 3);
    }),
    ("a name twice", &[DirectoryDuplicate, BackPointers], |f| {
        let id = f.b.clone();
        swap(f, &id, DIRENTS, b"linked-3", b"linked-2");
    }),
    ("a directory named twice", &[DirectoryTwice], |f| {
        let (id, inner) = (f.a.clone(), f.inner.clone());
        add_entry(f, &id, b"again", &inner, 4);
    }),
    ("a directory below itself", &[DirectoryTwice], |f| {
        let (id, a) = (f.inner.clone(), f.a.clone());
        add_entry(f, &id, b"loop", &a, 3);
    }),
    ("the root as an entry", &[DirectoryTwice], |f| {
        let (id, root) = (f.inner.clone(), f.root.clone());
        add_entry(f, &id, b"loop", &root, 3);
    }),
    ("an entry more than back pointers", &[BackPointers], |f| {
        let (id, small) = (f.b.clone(), f.small.clone());
        add_entry(f, &id, b"more", &small, 0);
    }),
    (
        "a back pointer to another directory",
        &[BackPointers],
        |f| {
            let (id, b, root) = (f.linked.clone(), f.b.clone(), f.inner.clone());
            swap(f, &id, BACK, &b, &root);
        },
    ),
    (
        "the right back pointers, another first",
        &[NameOwner, FilehandleDirectoryManager],
        |f| {
            f.container
                .data(&f.linked, BACK, |data| data[4..].rotate_left(26));
        },
    ),
    ("no back pointer", &[BackPointers, AttributeLinks], |f| {
        f.container.data(&f.small, BACK, |data| *data = vec![0; 4]);
    }),
    ("1024 links", &[BackPointers, AttributeLinks], |f| {
        f.container.attribute(&f.links.clone(), 92..96, 1024);
        let many = f.many.clone();
        f.container.data(&f.links, BACK, |data| {
            data[..4].copy_from_slice(&1024u32.to_le_bytes());
            for _ in 1000..1024 {
                data.extend_from_slice(&[24, 0]);
                data.extend_from_slice(&many);
            }
        });
    }),
    ("NAME of a file", &[EntityName], |f| {
        f.container
            .data(&f.small, NAME, |data| *data = string(b"other"));
    }),
    ("NAME of a directory", &[EntityName], |f| {
        f.container
            .data(&f.inner, NAME, |data| *data = string(b"other"));
    }),
    ("a slash in the root's NAME", &[EntityName], |f| {
        f.container
            .data(&f.root, NAME, |data| *data = string(b"a/b"));
    }),
    ("an inode is missing", &[Dangling], |f| {
        f.container.remove(&f.small);
    }),
    ("a directory is missing", &[Dangling], |f| {
        f.container.remove(&f.inner);
    }),
    ("an orphan inode", &[Orphan], |f| add_orphan_directory(f)),
    ("an orphan segment", &[Orphan], |f| {
        let blob = f.container.blobs[&f.container.blob_name(&f.multi_segments[1])].clone();
        let name = v2_name(&[0xab; 16], 8, hash64(&f.multi));
        f.container.blobs.insert(name, blob);
    }),
    ("an epoch of the root", &[RootAttributes], |f| {
        let id = f.root.clone();
        swap(
            f,
            &id,
            EXTATTRS,
            b"Epoch\x01\0\0\x002",
            b"Epoch\x01\0\0\x003",
        );
    }),
    ("a UUID of the root", &[RootAttributes], |f| {
        let id = f.root.clone();
        swap(f, &id, EXTATTRS, b"-4cde-", b"-4CDE-");
    }),
    (
        "attributes of the root in another order",
        &[RootAttributes],
        |f| {
            let id = f.root.clone();
            swap(f, &id, EXTATTRS, b"massUUID", b"nassUUID");
        },
    ),
    ("a version of the bucket", &[BucketAttributes], |f| {
        swap(
            f,
            &BUCKET,
            EXTATTRS,
            b"NameVersion\x01\0\0\x002",
            b"NameVersion\x01\0\0\x001",
        );
    }),
    ("the UUID of the bucket", &[BucketAttributes], |f| {
        swap(f, &BUCKET, EXTATTRS, b"01234567-", b"012345678");
    }),
    ("the number of a log", &[BucketAttributes], |f| {
        swap(f, &BUCKET, EXTATTRS, b"logfile001", b"logfile002");
    }),
    ("a log that is named twice", &[Logs], |f| {
        f.container.data(&BUCKET, EXTATTRS, |data| {
            data[0] += 1;
            data.extend(string(b"logfile002"));
            data.extend(string(b"output.txt"));
        });
    }),
    (
        "attributes of the bucket that are cut off",
        &[HandleContent],
        |f| {
            f.container.data(&BUCKET, EXTATTRS, |data| {
                data.pop();
            });
        },
    ),
    ("a log that is not there", &[Logs], |f| {
        f.container.blobs.remove("output.txt").unwrap();
    }),
    ("a log that the bucket does not name", &[Logs], |f| {
        f.container
            .blobs
            .insert("more.txt".into(), b"text".to_vec());
    }),
    ("a foreign blob", &[ForeignBlob], |f| {
        f.container.blobs.insert("README".into(), b"text".to_vec());
    }),
    ("no bucket object", &[BucketMissing, Logs], |f| {
        f.container.remove(&BUCKET);
    }),
    ("no root", &[RootMissing, Orphan], |f| {
        f.container.remove(&f.root);
    }),
    ("an empty container", &[BucketMissing, RootMissing], |f| {
        f.container.blobs.clear()
    }),
];

/// Adds a copy of `inner` with another handle, which no entry names.
fn add_orphan_directory(f: &mut Fixture) {
    let mut id = f.inner.clone();
    id[8..16].copy_from_slice(&77_777u64.to_le_bytes());
    let blob = f.container.blobs[&f.container.blob_name(&f.inner)].clone();
    let name = v2_name(&id, 2, hash64(&f.a));
    f.container.blobs.insert(name, blob);
}
