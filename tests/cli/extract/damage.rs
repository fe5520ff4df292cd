//! Damaged containers: damaged entries are skipped and reported, all others are extracted.

use clfs_format::FileType;

use super::fixture::{
    Counted, Place, blob_of, changed, container, contents, entity, file, segments_of,
};
use crate::support::synthetic::Builder;

const FIRST: u64 = 16_384;
const SEGMENT: u64 = 8 << 20;
const BIG: u64 = FIRST + 2 * SEGMENT + 100;

struct Sample {
    valid: Counted,
    big: clfs_format::Filehandle,
    small: clfs_format::Filehandle,
    inner: clfs_format::Filehandle,
}

fn big_content() -> Vec<u8> {
    (0..BIG)
        .map(|at| (at / 4096 + at % 251) as u8 | 1)
        .collect()
}

/// `big`, `small`, `link`, and `inner/file`.
fn sample() -> Sample {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut inner = build.directory(&mut root, "inner");
    let big = file(&mut build, &mut root, "big", &big_content());
    let small = file(&mut build, &mut root, "small", b"small");
    entity(&mut build, &mut root, FileType::Symlink, "link", b"small");
    file(&mut build, &mut inner, "file", b"inside");
    build.finish_directory(&inner);
    build.finish_directory(&root);
    Sample {
        valid: container(build.blobs),
        big,
        small,
        inner: inner.handle,
    }
}

fn without(container: &Counted, blob: &str) -> Counted {
    changed(container, |name, _| name != blob)
}

fn names(place: &Place) -> Vec<String> {
    contents(&place.destination()).into_keys().collect()
}

#[test]
fn a_file_without_a_segment_is_skipped() {
    let sample = sample();
    let place = Place::new();
    let blob = segments_of(&sample.valid, sample.big)[1].clone();
    let id = blob.split(['_', '.']).nth(1).unwrap().to_owned();
    let done = place
        .extract(&without(&sample.valid, &blob))
        .with_problems(&[("/big", &id)]);
    assert_eq!((done.summary.files, done.summary.symlinks), (2, 1));
    assert_eq!(names(&place), ["inner", "inner/file", "link", "small"]);

    // After the segment is restored, only this file is extracted.
    let done = place.extract(&sample.valid).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (1, 3));
    assert_eq!(
        contents(&place.destination())["big"],
        Some(big_content()),
        "big"
    );
}

#[test]
fn a_damaged_segment_names_the_blob() {
    let sample = sample();
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    let damaged = changed(&sample.valid, |name, bytes| {
        if name == segment {
            bytes.truncate(bytes.len() - 9);
        }
        true
    });
    let place = Place::new();
    place
        .extract(&damaged)
        .with_problems(&[("/big", segment.as_str())]);
    assert_eq!(names(&place), ["inner", "inner/file", "link", "small"]);
}

#[test]
fn damaged_inodes_of_files_and_directories_are_skipped() {
    let sample = sample();
    let (small, inner) = (
        blob_of(&sample.valid, sample.small),
        blob_of(&sample.valid, sample.inner),
    );
    let damaged = changed(&sample.valid, |name, bytes| {
        if name == small {
            bytes[5] ^= 0xff;
        }
        name != inner
    });
    let place = Place::new();
    let id = sample.inner.to_string();
    place
        .extract(&damaged)
        .with_problems(&[("/small", small.as_str()), ("/inner", &id)]);
    assert_eq!(names(&place), ["big", "link"]);
}

fn kept(place: &Place, damaged: &Counted, name: &str) {
    let gap = format!("the readable parts are in {name}, without {SEGMENT} bytes at {FIRST}");
    let done = place.extract_with(damaged, |options| options.keep_damaged = true);
    let done = done.with_problems(&[("/big", &gap)]);
    assert_eq!(done.summary.kept_damaged, 1);
    let mut expected = big_content();
    expected[FIRST as usize..(FIRST + SEGMENT) as usize].fill(0);
    let found = contents(&place.destination());
    assert!(found[name] == Some(expected), "{name}: other content");
    assert!(!found.contains_key("big"));
}

/// The readable parts replace no file, not even the parts of an earlier run.
#[test]
fn readable_parts_are_kept_on_request() {
    let sample = sample();
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    let damaged = without(&sample.valid, &segment);
    let place = Place::new();
    std::fs::create_dir(place.destination()).unwrap();
    std::fs::write(place.destination().join("big.damaged"), "another's").unwrap();
    kept(&place, &damaged, "big.damaged-2");
    kept(&place, &damaged, "big.damaged-3");
    let found = contents(&place.destination());
    assert_eq!(found["big.damaged"], Some(b"another's".to_vec()));
    assert_eq!(found.len(), 7, "{:?}", found.keys());
}

/// Under the name of another file, the parts would count as that file or be replaced by it.
#[test]
fn readable_parts_never_use_the_names_of_other_files() {
    let mut build = Builder::new();
    let mut root = build.root();
    let big = file(&mut build, &mut root, "big", &big_content());
    file(&mut build, &mut root, "big.damaged-2", b"another");
    build.finish_directory(&root);
    let valid = container(build.blobs);
    let segment = segments_of(&valid, big)[0].clone();
    let damaged = without(&valid, &segment);
    let place = Place::new();
    kept(&place, &damaged, "big.damaged");
    kept(&place, &damaged, "big.damaged-3");
    let found = contents(&place.destination());
    assert_eq!(found["big.damaged-2"], Some(b"another".to_vec()));
    // This happens before the other file is extracted.
    std::fs::remove_file(place.destination().join("big.damaged-2")).unwrap();
    let done = place.extract_with(&damaged, |options| {
        options.keep_damaged = true;
        options.exclude = vec!["big.damaged-2".parse().unwrap()];
    });
    done.with_problems(&[("/big", "the readable parts are in big.damaged-4,")]);
}

/// The readable parts of a damaged file never count as the complete file, even if the container has a file of that
/// name, size and time, or if they were renamed to the file's own name.
#[test]
fn readable_parts_never_count_as_a_complete_file() {
    let sample = sample();
    let segment = segments_of(&sample.valid, sample.big)[0].clone();
    let place = Place::new();
    kept(&place, &without(&sample.valid, &segment), "big.damaged");
    let mut build = Builder::new();
    let mut root = build.root();
    for name in ["big", "big.damaged"] {
        file(&mut build, &mut root, name, &big_content());
    }
    build.finish_directory(&root);
    let done = place.extract_with(&container(build.blobs), |options| {
        options.record = None;
    });
    assert_eq!(done.with_problems(&[]).summary.files, 2);
    for name in ["big", "big.damaged"] {
        let found = std::fs::read(place.destination().join(name)).unwrap();
        assert!(found == big_content(), "{name}");
    }
}

/// An entry that violates a rule but can be read is extracted and counted.
#[test]
fn entries_with_deviations_are_extracted() {
    let mut build = Builder::new();
    let mut root = build.root();
    let odd = file(&mut build, &mut root, "odd", b"odd");
    build.finish_directory(&root);
    let valid = container(build.blobs);
    let blob = blob_of(&valid, odd);
    let deviating = changed(&valid, |name, bytes| {
        if name == blob {
            let payload = clfs_format::unwrap(bytes, 1 << 20).unwrap().into_owned();
            // The fifth word of the first handle is 0 in everything that loaders write.
            *bytes = [&[0; 4], &payload[..16], &[1], &payload[17..]].concat();
        }
        true
    });
    let place = Place::new();
    let done = place.extract(&deviating).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.deviating), (1, 1));
    assert_eq!(names(&place), ["odd"]);
}
