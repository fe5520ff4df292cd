//! Destinations that cannot store everything: names that fold or are rejected, and owners, permissions and links that
//! are not kept. Every loss is reported, and nothing is downloaded in vain.

use crate::support::skip::needs_root;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicI64;

use clfs_format::FileType;
use clfsload::extract::{ExtractError, Owners};

use super::fixture::{Counted, Place, container, contents, entity, file};
use super::limited_disk::{LimitedDisk, Limits};
use crate::support::command::{CommandOutput, Scratch, clfsload};
use crate::support::faulty_source::FaultySource;
use crate::support::synthetic::Builder;

/// `README` and `readme`, `Dir/a` and `dir/b`, `mixed` and the directory `MIXED`, `alone`.
fn folding_names() -> Counted {
    let mut build = Builder::new();
    let mut root = build.root();
    file(&mut build, &mut root, "README", b"the upper one");
    file(
        &mut build,
        &mut root,
        "readme",
        b"the lower one, which is longer",
    );
    let mut upper = build.directory(&mut root, "Dir");
    file(&mut build, &mut upper, "a", b"a");
    let mut lower = build.directory(&mut root, "dir");
    file(&mut build, &mut lower, "b", b"b");
    file(&mut build, &mut root, "mixed", b"mixed");
    let mut mixed = build.directory(&mut root, "MIXED");
    file(&mut build, &mut mixed, "c", b"c");
    // Two names of one file.
    let linked = build.handle(root.handle, FileType::Regular);
    root.add("Link", linked).add("link", linked);
    build.entity(linked, &[root.handle, root.handle], "Link", b"linked");
    file(&mut build, &mut root, "alone", b"alone");
    for directory in [&upper, &lower, &mixed, &root] {
        build.finish_directory(directory);
    }
    container(build.blobs)
}

/// Both entries are listed, one is extracted, and further runs download nothing.
#[test]
fn two_entries_are_never_extracted_to_one_name() {
    if !FaultySource::is_possible() {
        return;
    }
    for has_no_flags in [false, true] {
        let (place, sample) = (Place::new(), folding_names());
        let limits = Limits {
            folds_case: true,
            has_no_flags,
            ..Limits::default()
        };
        let _disk = LimitedDisk::mount(&place.destination(), limits);
        let mut extracted = None;
        for run in 0..3 {
            let done = place.extract(&sample).ended();
            // Four pairs. Both entries of each pair are listed.
            let listed = |name: &str| {
                let start = format!("/{name}: the destination treats this name and ");
                done.problems
                    .iter()
                    .filter(|line| line.starts_with(&start))
                    .count()
            };
            for pair in [
                ["README", "readme"],
                ["Dir", "dir"],
                ["mixed", "MIXED"],
                ["Link", "link"],
            ] {
                assert_eq!(pair.map(listed), [1, 1], "{pair:?}: {done:#?}");
            }
            assert_eq!(done.summary.problems, 8, "{done:#?}");
            let found = contents(&place.destination());
            match found.get("README") {
                Some(content) => assert_eq!(content, &Some(b"the upper one".to_vec())),
                None => {
                    let lower = &found["readme"];
                    assert_eq!(lower, &Some(b"the lower one, which is longer".to_vec()));
                }
            }
            // The entry that was extracted first is kept.
            let extracted = extracted.get_or_insert_with(|| found.clone());
            assert_eq!(&found, extracted);
            if run > 0 {
                assert_eq!(
                    (done.summary.files, done.summary.content_bytes),
                    (0, 0),
                    "{done:#?}"
                );
            }
        }
    }
}

/// Each path is specified separately, so its directory is not listed.
#[test]
fn single_paths_are_never_extracted_to_one_name() {
    if !FaultySource::is_possible() {
        return;
    }
    let (place, sample) = (Place::new(), folding_names());
    let limits = Limits {
        folds_case: true,
        ..Limits::default()
    };
    let _disk = LimitedDisk::mount(&place.destination(), limits);
    place.extract_paths(&sample, &["README"]).with_problems(&[]);
    let done = place.extract_paths(&sample, &["readme", "README"]);
    done.with_problems(&[
        ("/readme", "README exists there"),
        ("/README", "only this entry"),
    ]);
    let found = contents(&place.destination());
    assert_eq!(found["README"], Some(b"the upper one".to_vec()));
}

/// An existing file under a folded name does not belong to the container and is kept.
#[test]
fn foreign_files_are_not_replaced_through_another_name() {
    if !FaultySource::is_possible() {
        return;
    }
    let (place, sample) = (Place::new(), folding_names());
    let limits = Limits {
        folds_case: true,
        ..Limits::default()
    };
    let _disk = LimitedDisk::mount(&place.destination(), limits);
    fs::write(place.destination().join("ALONE"), "somebody else's").unwrap();
    let done = place.extract(&sample).ended();
    let about: Vec<_> = done
        .problems
        .iter()
        .filter(|line| line.contains("ALONE"))
        .collect();
    assert_eq!(about.len(), 1, "{done:#?}");
    assert!(about[0].starts_with("/alone: "), "{about:?}");
    let found = fs::read(place.destination().join("ALONE")).unwrap();
    assert_eq!(found, b"somebody else's");
}

/// As above, on a disk whose directories do not show the name of the other file.
#[test]
fn foreign_files_of_an_unknown_name_are_not_replaced() {
    if !needs_root("mounting") {
        return;
    }
    let (place, sample) = (Place::new(), folding_names());
    let limits = Limits {
        folds_case: true,
        lists_other_inodes: true,
        ..Limits::default()
    };
    let _disk = LimitedDisk::mount(&place.destination(), limits);
    fs::write(place.destination().join("ALONE"), "somebody else's").unwrap();
    let done = place.extract(&sample).ended();
    let about: Vec<_> = done
        .problems
        .iter()
        .filter(|line| line.starts_with("/alone: "))
        .collect();
    let expected = "/alone: the destination treats this name and that of an existing entry as the same \
                    name: extract it to another folder";
    assert_eq!(about, [expected], "{done:#?}");
    let found = fs::read(place.destination().join("ALONE")).unwrap();
    assert_eq!(found, b"somebody else's");
    assert!(!contents(&place.destination()).contains_key("alone"));
}

/// On an ordinary disk, both names exist.
#[test]
fn names_that_do_not_fold_are_all_extracted() {
    let (place, sample) = (Place::new(), folding_names());
    for _ in 0..2 {
        place.extract(&sample).with_problems(&[]);
        let found = contents(&place.destination());
        assert_eq!(found.len(), 12, "{found:?}");
    }
}

/// The reason names the limit, the content is not downloaded, and no name is probed with an empty file.
#[test]
fn rejected_names_are_problems_without_a_download() {
    if !FaultySource::is_possible() {
        return;
    }
    let mut build = Builder::new();
    let mut root = build.root();
    let big = vec![7; 100_000];
    for name in [&b"a:b"[..], b"what?", b"dot.", b"\xff"] {
        let handle = build.handle(root.handle, FileType::Regular);
        root.add(name, handle);
        build.entity(handle, &[root.handle], "odd", &big);
    }
    let mut directory = build.directory(&mut root, "c:");
    file(&mut build, &mut directory, "below", b"below");
    file(&mut build, &mut root, "good, with a space", b"good");
    build.finish_directory(&directory);
    build.finish_directory_one_entry_per_segment(&root);
    let (place, sample) = (Place::new(), container(build.blobs));
    let limits = Limits {
        refuses_names: true,
        ..Limits::default()
    };
    let disk = LimitedDisk::mount(&place.destination(), limits);
    let reason = "the destination's file system rejects this name";
    for _ in 0..2 {
        let done = place.extract(&sample).with_problems(&[
            ("/a:b", reason),
            ("/what?", reason),
            ("/dot.", reason),
            ("/\\xff", reason),
            ("/c:", reason),
        ]);
        assert!(done.summary.content_bytes <= 4, "{done:#?}");
        assert_eq!(contents(&place.destination()).len(), 1);
    }
    // A killed run leaves only names that the next run removes.
    let created = disk.limits.created.lock().unwrap();
    let others: Vec<_> = created
        .iter()
        .filter(|name| !name.starts_with(b".clfsload-"))
        .collect();
    assert!(created.len() > 10 && others.is_empty(), "{others:?}");
}

fn two_files() -> Counted {
    let mut build = Builder::new();
    let mut root = build.root();
    file(&mut build, &mut root, "one", b"one");
    file(&mut build, &mut root, "two", b"two");
    build.finish_directory(&root);
    container(build.blobs)
}

/// Detected before anything is downloaded. The message names the option that helps.
#[test]
fn a_destination_that_rejects_owners_is_detected_first() {
    if !FaultySource::is_possible() {
        return;
    }
    let (place, sample) = (Place::new(), two_files());
    let limits = Limits {
        chowns: Some(AtomicI64::new(0)),
        ..Limits::default()
    };
    let _disk = LimitedDisk::mount(&place.destination(), limits);
    let before = sample.counts().gets.calls;
    let done = place.extract(&sample);
    let error = done.end.unwrap_err();
    assert!(
        matches!(error, ExtractError::OwnersRefused { .. }),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains("owners cannot be set there (Operation not permitted")
            && text.contains("--no-same-owner"),
        "{text}"
    );
    // The root, which identifies the folder as a container.
    assert_eq!(sample.counts().gets.calls - before, 1);
    assert!(contents(&place.destination()).is_empty());
    let done = place.extract_with(&sample, |options| options.owners = Owners::Mine);
    assert_eq!(done.with_problems(&[]).summary.files, 2);
}

/// A quota or an id mapping may reject only some owners. The content is kept, and the next run downloads nothing.
#[test]
fn an_owner_that_is_rejected_later_is_a_problem() {
    if !FaultySource::is_possible() {
        return;
    }
    let (place, sample) = (Place::new(), two_files());
    let limits = Limits {
        chowns: Some(AtomicI64::new(1)),
        ..Limits::default()
    };
    let disk = LimitedDisk::mount(&place.destination(), limits);
    let reason = "it was extracted, but setting its owner failed: Operation not permitted";
    let problems = [("/one", reason), ("/two", reason), ("/", reason)];
    let done = place.extract(&sample).with_problems(&problems);
    assert_eq!(done.summary.files, 2);
    let found = contents(&place.destination());
    assert_eq!(found["two"], Some(b"two".to_vec()));
    let chowns = disk.limits.chowns.as_ref().unwrap();
    chowns.store(1, std::sync::atomic::Ordering::SeqCst);
    let done = place.extract(&sample).with_problems(&problems);
    let summary = done.summary;
    assert_eq!(
        (summary.files, summary.up_to_date, summary.content_bytes),
        (0, 2, 0)
    );
    // Now changes of the owner are permitted.
    chowns.store(100, std::sync::atomic::Ordering::SeqCst);
    let done = place.extract(&sample).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.corrected), (0, 2));
    let owner = fs::metadata(place.destination().join("two")).unwrap();
    assert_eq!((owner.uid(), owner.gid()), (1000, 100));
}

/// One warning for attributes that are stored only in part, and exit status 0.
#[test]
fn a_simple_file_system_causes_one_warning() {
    if !FaultySource::is_possible() {
        return;
    }
    let scratch = Scratch::new();
    for name in ["one", "two"] {
        fs::write(scratch.source().join(name), name).unwrap();
    }
    fs::hard_link(scratch.source().join("one"), scratch.source().join("same")).unwrap();
    scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
    let limits = Limits {
        is_simple: true,
        folds_case: true,
        ..Limits::default()
    };
    let out = scratch.path("out");
    let _disk = LimitedDisk::mount(&out, limits);
    let extract = || {
        let mut command = clfsload();
        command
            .args(["extract", "--record"])
            .arg(scratch.path("record"));
        command.arg(scratch.container("t")).arg(&out);
        CommandOutput::from(command.output().unwrap())
    };
    for _ in 0..2 {
        let ran = extract().expect(0);
        assert_eq!(ran.stderr.matches("warning:").count(), 1, "{ran:#?}");
        for message in [
            "permissions are not kept",
            "hard links become separate files",
            "symlinks are skipped",
            "only in upper and lower case are the same name",
        ] {
            assert!(ran.stderr.contains(message), "{message}: {ran:#?}");
        }
        assert!(!ran.stderr.contains("times are"), "{ran:#?}");
    }
    let again = extract().expect(0);
    assert!(again.stdout.contains("extracted: 0 files"), "{again:#?}");
    assert!(again.stdout.contains("3 already up to date"), "{again:#?}");
    assert_eq!(contents(&out)["same"], Some(b"one".to_vec()));
}

/// If the destination has no symlinks, each symlink is a separate problem.
#[test]
fn entries_that_cannot_be_created_are_problems() {
    if !FaultySource::is_possible() {
        return;
    }
    let mut build = Builder::new();
    let mut root = build.root();
    entity(&mut build, &mut root, FileType::Symlink, "link", b"target");
    file(&mut build, &mut root, "file", b"file");
    build.finish_directory(&root);
    let (place, sample) = (Place::new(), container(build.blobs));
    let limits = Limits {
        is_simple: true,
        ..Limits::default()
    };
    let _disk = LimitedDisk::mount(&place.destination(), limits);
    let done = place
        .extract(&sample)
        .with_problems(&[("/link", "creating it failed: Operation not permitted")]);
    assert_eq!(done.summary.files, 1);
}
