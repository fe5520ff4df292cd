//! Repaired containers: only entries that an earlier run read from damaged blobs are read again.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use clfsload::container::folder::Folder;
use clfsload::read::TreePath;

use super::fixture::{Counted, Place, blob_of, changed, container, entity, file, segments_of};
use crate::support::counting::Counting;
use crate::support::synthetic::Builder;

struct Sample {
    valid: Counted,
    small: Filehandle,
    big: Filehandle,
    link: Filehandle,
}

const BIG: usize = 100_000;

/// `big`, which has a segment, `small`, `link` and `other`.
fn sample() -> Sample {
    let mut build = Builder::new();
    let mut root = build.root();
    let big = file(&mut build, &mut root, "big", &vec![7; BIG]);
    let small = file(&mut build, &mut root, "small", b"the content");
    let link = entity(&mut build, &mut root, FileType::Symlink, "link", b"target");
    file(&mut build, &mut root, "other", b"not damaged");
    build.finish_directory(&root);
    Sample {
        valid: container(build.blobs),
        small,
        big,
        link,
    }
}

/// Returns the blob with another payload, uncompressed.
fn rewritten(blob: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = clfs_format::unwrap(blob, 1 << 24).unwrap().into_owned();
    change(&mut payload);
    [&[0; 4], &payload[..]].concat()
}

fn replace(payload: &mut [u8], from: &[u8], to: &[u8]) {
    let at = payload.windows(from.len()).position(|w| w == from).unwrap();
    payload[at..at + to.len()].copy_from_slice(to);
}

/// The offset of the attributes of an inode, after a handle's 20 bytes and a length word.
const ATTRIBUTES: usize = 24;

/// Sets the bytes at `at` in the attributes (format.md §5).
fn set(payload: &mut [u8], at: usize, value: &[u8]) {
    let at = ATTRIBUTES + at;
    payload[at..at + value.len()].copy_from_slice(value);
}

fn with_blob(container: &Counted, blob: &str, change: impl Fn(&mut Vec<u8>)) -> Counted {
    changed(container, |name, bytes| {
        if name == blob {
            *bytes = rewritten(bytes, &change);
        }
        true
    })
}

/// Returns every attribute of an extracted entry, and a symlink's target.
fn attributes_of(path: &Path) -> (u32, (u32, u32), [i64; 4], u64, Vec<u8>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let content = match metadata.is_symlink() {
        true => fs::read_link(path)
            .unwrap()
            .into_os_string()
            .into_encoded_bytes(),
        false => Vec::new(),
    };
    let times = [
        metadata.atime(),
        metadata.atime_nsec(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ];
    let owner = (metadata.uid(), metadata.gid());
    (
        metadata.permissions().mode(),
        owner,
        times,
        metadata.size(),
        content,
    )
}

fn assert_correct(place: &Place, valid: &Counted) {
    let fresh = Place::new();
    fresh.extract(valid).with_problems(&[]);
    for name in ["big", "small", "link", "other"] {
        let at = |place: &Place| place.destination().join(name);
        assert_eq!(
            attributes_of(&at(place)),
            attributes_of(&at(&fresh)),
            "{name}"
        );
    }
    for name in ["big", "small", "other"] {
        let read = |place: &Place| fs::read(place.destination().join(name)).unwrap();
        assert!(read(place) == read(&fresh), "{name}: other content");
    }
}

/// A blob, and the change to its payload.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

/// The damage violates no rule and changes no size or modification time.
#[test]
fn a_repaired_blob_is_read_again() {
    let sample = sample();
    let (small, link) = (
        blob_of(&sample.valid, sample.small),
        blob_of(&sample.valid, sample.link),
    );
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    let damages: [Damage<'_>; 6] = [
        (&small, &|payload| {
            replace(payload, b"the content", b"THE CONTENT")
        }),
        (&small, &|payload| {
            set(payload, 0, &0o100_777_u16.to_le_bytes())
        }),
        (&small, &|payload| set(payload, 8, &4321_u32.to_le_bytes())),
        (&small, &|payload| {
            set(payload, 48, &1_000_000_u32.to_le_bytes())
        }),
        (&link, &|payload| replace(payload, b"target", b"TARGET")),
        (&segment, &|payload| {
            let last = payload.len() / 2;
            payload[last] ^= 1;
        }),
    ];
    for (number, (blob, damage)) in damages.into_iter().enumerate() {
        let place = Place::new();
        let damaged = with_blob(&sample.valid, blob, damage);
        let done = place.extract(&damaged).with_problems(&[]);
        assert_eq!(done.summary.deviating, 0, "{number}");
        let gets = sample.valid.counts().gets.calls;
        let done = place.extract(&sample.valid).with_problems(&[]);
        let summary = done.summary;
        assert_eq!(
            summary.files + summary.symlinks + summary.up_to_date,
            4,
            "{number}: {summary:?}"
        );
        // The root and the inode, and the segment of `big`, which is compared until it differs and then downloaded.
        let gets = sample.valid.counts().gets.calls - gets;
        match number {
            5 => assert_eq!(gets, 4),
            _ => assert_eq!(gets, 2, "{number}"),
        }
        assert_correct(&place, &sample.valid);
        // Now the record contains it.
        let done = place.extract(&sample.valid).with_problems(&[]);
        assert_eq!(
            (done.summary.up_to_date, done.summary.compared),
            (4, 0),
            "{number}"
        );
        assert_eq!(
            (done.summary.content_bytes, done.summary.inodes_downloaded),
            (0, 0)
        );
    }
}

/// Directories are read in each run.
#[test]
fn a_repaired_directory_gets_its_attributes() {
    let mut build = Builder::new();
    let mut root = build.root();
    let inner = build.directory(&mut root, "inner");
    build.finish_directory(&inner);
    build.finish_directory(&root);
    let valid = container(build.blobs);
    let damages: [(usize, &[u8]); 3] = [
        (0, &0o040_700_u16.to_le_bytes()),
        (8, &4321_u32.to_le_bytes()),
        (32, &1_000_000_u32.to_le_bytes()),
    ];
    let fresh = Place::new();
    fresh.extract(&valid).with_problems(&[]);
    let at = |place: &Place| attributes_of(&place.destination().join("inner"));
    for (offset, value) in damages {
        let place = Place::new();
        let blob = blob_of(&valid, inner.handle);
        let damaged = with_blob(&valid, &blob, |payload| set(payload, offset, value));
        place.extract(&damaged).with_problems(&[]);
        place.extract(&valid).with_problems(&[]);
        assert_eq!(at(&place), at(&fresh), "{offset}");
    }
}

/// The damage also violates a rule, so no run records the entry as complete.
#[test]
fn entries_that_violate_a_rule_are_never_recorded_as_complete() {
    let sample = sample();
    // The fifth word of the first handle is 0 in everything that loaders write.
    let odd = |payload: &mut Vec<u8>| payload[16] = 1;
    let small = blob_of(&sample.valid, sample.small);
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    for blob in [&small, &segment] {
        let place = Place::new();
        let deviating = with_blob(&sample.valid, blob, odd);
        let done = place.extract(&deviating).with_problems(&[]);
        assert_eq!(done.summary.files, 3);
        for _ in 0..2 {
            let done = place.extract(&deviating).with_problems(&[]);
            let summary = done.summary;
            assert_eq!(
                (summary.files, summary.up_to_date, summary.compared),
                (0, 4, 1),
                "{blob}"
            );
        }
        let done = place.extract(&sample.valid).with_problems(&[]);
        assert_eq!((done.summary.up_to_date, done.summary.compared), (4, 1));
        let done = place.extract(&sample.valid).with_problems(&[]);
        assert_eq!((done.summary.up_to_date, done.summary.compared), (4, 0));
    }
}

/// If the container is not listed, the names of the segments are requested instead.
#[test]
fn a_repaired_blob_is_read_again_without_a_list_of_names() {
    let sample = sample();
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    let damaged = with_blob(&sample.valid, &segment, |payload| {
        let last = payload.len() / 2;
        payload[last] ^= 1;
    });
    let place = Place::new();
    let paths = ["big", "small", "link", "other"];
    place.extract_paths(&damaged, &paths).with_problems(&[]);
    let done = place
        .extract_paths(&sample.valid, &paths)
        .with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (1, 3));
    assert_correct(&place, &sample.valid);
    let done = place
        .extract_paths(&sample.valid, &paths)
        .with_problems(&[]);
    let summary = done.summary;
    assert_eq!(
        (summary.up_to_date, summary.content_bytes, summary.compared),
        (4, 0, 0)
    );
    // For the file that has a segment. The others are identified by their inode blobs.
    assert_eq!(summary.inodes_downloaded, 1);
}

/// In a folder, a blob that was repaired in place has the same size, time and inode. Only its ctime differs.
#[test]
fn a_repaired_blob_in_a_folder_is_read_again() {
    let sample = sample();
    let place = Place::new();
    let folder = place.path("container");
    fs::create_dir(&folder).unwrap();
    let small = blob_of(&sample.valid, sample.small);
    let mut right = Vec::new();
    for (name, body) in sample.valid.inner().blobs() {
        let mut bytes = body.bytes.to_vec();
        if name == small {
            right = rewritten(&bytes, |_| ());
            bytes = rewritten(&bytes, |payload| {
                replace(payload, b"the content", b"THE CONTENT")
            });
        }
        fs::write(folder.join(name), bytes).unwrap();
    }
    let opened = Arc::new(Counting::new(Folder::open(&folder, false).unwrap()));
    place.extract(&opened).with_problems(&[]);
    let blob = folder.join(&small);
    let before = fs::metadata(&blob).unwrap();
    fs::write(&blob, right).unwrap();
    let repaired = fs::File::options().write(true).open(&blob).unwrap();
    repaired.set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(&blob).unwrap();
    assert_eq!((after.ino(), after.size()), (before.ino(), before.size()));
    let gets = opened.counts().gets.calls;
    let done = place.extract(&opened).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (1, 3));
    assert_eq!(opened.counts().gets.calls - gets, 2);
    assert_correct(&place, &sample.valid);
}

/// The damaged file could not be read. The existing local file was kept, and is read again.
#[test]
fn an_unreadable_file_is_read_after_its_repair() {
    let sample = sample();
    let place = Place::new();
    place.extract(&sample.valid).with_problems(&[]);
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    let damaged = changed(&sample.valid, |name, _| name != segment);
    for _ in 0..2 {
        let done = place
            .extract(&damaged)
            .with_problems(&[("/big", "is not in the container")]);
        assert_eq!(done.summary.up_to_date, 3);
    }
    let path = place.destination().join("big");
    assert!(fs::read(&path).unwrap() == vec![7; BIG]);
    let done = place.extract(&sample.valid).with_problems(&[]);
    assert_eq!((done.summary.up_to_date, done.summary.files), (4, 0));
}

/// Only the directory's blob changes. The stamp in the record belongs to another local file.
#[test]
fn exchanged_names_are_not_mistaken_for_each_other() {
    let mut build = Builder::new();
    let mut root = build.root();
    let one = file(&mut build, &mut root, "one", b"11111");
    let two = file(&mut build, &mut root, "two", b"22222");
    build.finish_directory(&root);
    let first = container(build.blobs.clone());
    build.blobs.retain(|name, _| !name.contains("00000064."));
    let mut exchanged = build.root();
    exchanged.add("one", two).add("two", one);
    build.finish_directory(&exchanged);
    let second = container(build.blobs);
    let place = Place::new();
    place.extract(&first).with_problems(&[]);
    for expected in [("22222", "11111"), ("22222", "11111")] {
        place.extract(&second).with_problems(&[]);
        let read = |name| fs::read_to_string(place.destination().join(name)).unwrap();
        assert_eq!((&*read("one"), &*read("two")), expected);
    }
    // Now the record contains it.
    let done = place.extract(&second).with_problems(&[]);
    assert_eq!(
        (done.summary.up_to_date, done.summary.inodes_downloaded),
        (2, 0)
    );
}

/// A run over some names of an inode says nothing about the files under its other names.
#[test]
fn further_names_of_a_repaired_inode_are_read_again() {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut folders = ["d1", "d2"].map(|name| build.directory(&mut root, name));
    let handle = build.handle(folders[0].handle, FileType::Regular);
    for folder in &mut folders {
        folder.add("name", handle);
    }
    let back = [folders[0].handle, folders[1].handle];
    build.entity(handle, &back, "name", b"the content");
    for folder in &folders {
        build.finish_directory(folder);
    }
    build.finish_directory(&root);
    let valid = container(build.blobs);
    let damaged = with_blob(&valid, &blob_of(&valid, handle), |payload| {
        replace(payload, b"the content", b"THE CONTENT");
    });
    let place = Place::new();
    place.extract(&damaged).with_problems(&[]);
    for part in ["d1", "d2"] {
        let path = TreePath::parse(part.as_bytes());
        place
            .extract_with(&valid, |options| options.paths = vec![path])
            .with_problems(&[]);
        let read = fs::read_to_string(place.destination().join(part).join("name")).unwrap();
        assert_eq!(read, "the content", "{part}");
    }
    place.extract(&valid).with_problems(&[]);
    let inode = |part: &str| place.destination().join(part).join("name");
    let inode = |part| fs::metadata(inode(part)).unwrap().ino();
    assert_eq!(inode("d1"), inode("d2"), "not linked any more");
}
