//! Existing entries in the destination: kept, corrected or replaced.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use clfs_format::FileType;
use clfsload::extract::Owners;

use super::fixture::{Counted, Place, container, contents, entity, file};
use crate::support::skip::needs_root;
use crate::support::synthetic::Builder;
use crate::support::tree::is_superuser;

/// `file`, `symlink`, `fifo`, and `directory/file`.
fn sample() -> Counted {
    let mut build = Builder::new();
    let mut root = build.root();
    let mut directory = build.directory(&mut root, "directory");
    file(&mut build, &mut root, "file", b"content of the file");
    entity(&mut build, &mut root, FileType::Symlink, "symlink", b"file");
    entity(&mut build, &mut root, FileType::Fifo, "fifo", b"");
    file(&mut build, &mut directory, "file", b"inside");
    build.finish_directory(&directory);
    build.finish_directory(&root);
    container(build.blobs)
}

#[test]
fn different_entries_are_replaced_and_foreign_ones_are_kept() {
    let (place, sample) = (Place::new(), sample());
    fs::create_dir(place.destination()).unwrap();
    fs::write(place.destination().join("file"), "older, of another size").unwrap();
    fs::write(place.destination().join("foreign"), "stays").unwrap();
    let other_name = place.path("other-name");
    fs::hard_link(place.destination().join("file"), &other_name).unwrap();
    let done = place.extract(&sample).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (2, 0));
    let found = contents(&place.destination());
    assert_eq!(found["file"], Some(b"content of the file".to_vec()));
    assert_eq!(found["foreign"], Some(b"stays".to_vec()));
    // The old file was replaced, not overwritten.
    assert_eq!(fs::read(other_name).unwrap(), b"older, of another size");
}

#[test]
fn size_and_time_are_compared_and_content_on_request() {
    let (place, sample) = (Place::new(), sample());
    place.extract(&sample).with_problems(&[]);
    let path = place.destination().join("file");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, b"CONTENT OF THE FILE").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    // With the same size and time, the difference is found only with `--checksum`.
    let done = place.extract(&sample).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (0, 4));
    assert_eq!(fs::read(&path).unwrap(), b"CONTENT OF THE FILE");
    let checksum = |place: &Place| place.extract_with(&sample, |o| o.checksum = true);
    let done = checksum(&place).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (1, 3));
    assert_eq!(fs::read(&path).unwrap(), b"content of the file");

    // If only the time differs, `--checksum` corrects the time.
    let inode = fs::metadata(&path).unwrap().ino();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(time + std::time::Duration::from_nanos(1))
        .unwrap();
    let done = checksum(&place).with_problems(&[]);
    assert_eq!(
        (
            done.summary.files,
            done.summary.up_to_date,
            done.summary.corrected
        ),
        (0, 4, 1)
    );
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (metadata.ino(), metadata.modified().unwrap()),
        (inode, time)
    );
    // Without `--checksum`, the file is downloaded again.
    file.set_modified(time + std::time::Duration::from_nanos(1))
        .unwrap();
    assert_eq!(place.extract(&sample).ended().summary.files, 1);
}

#[test]
fn permissions_and_owners_are_corrected() {
    let (place, sample) = (Place::new(), sample());
    place.extract(&sample).with_problems(&[]);
    let path = place.destination().join("file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let done = place.extract(&sample).with_problems(&[]);
    assert_eq!((done.summary.up_to_date, done.summary.corrected), (4, 1));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
}

/// The old owner may have the file open for writing, so it is replaced, not given to another owner.
#[test]
fn entries_of_another_owner_are_replaced() {
    if !needs_root("changing owners") {
        return;
    }
    let (place, sample) = (Place::new(), sample());
    place.extract(&sample).with_problems(&[]);
    for checksum in [false, true] {
        for (name, count) in [("file", (1, 0)), ("fifo", (0, 1))] {
            let path = place.destination().join(name);
            let before = fs::File::options().read(true).write(true).open(&path);
            let before = before.unwrap();
            std::os::unix::fs::chown(&path, Some(7), Some(8)).unwrap();
            let done = place.extract_with(&sample, |options| options.checksum = checksum);
            let summary = done.with_problems(&[]).summary;
            assert_eq!((summary.files, summary.specials), count, "{name}");
            assert_eq!((summary.up_to_date, summary.corrected), (3, 0));
            let (before, after) = (before.metadata().unwrap(), fs::metadata(&path).unwrap());
            assert_eq!((before.uid(), before.gid()), (7, 8));
            assert_eq!((after.uid(), after.gid()), (1000, 100));
            assert_ne!(before.ino(), after.ino());
        }
    }
}

/// Links to foreign files: nothing is changed through them, and they are separated.
#[test]
fn foreign_links_are_separated() {
    let (place, sample) = (Place::new(), sample());
    place.extract(&sample).with_problems(&[]);
    let (path, foreign) = (place.destination().join("file"), place.path("foreign"));
    for (checksum, mode) in [(false, 0o600), (true, 0o600), (false, 0o644), (true, 0o644)] {
        fs::hard_link(&path, &foreign).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let done = place.extract_with(&sample, |options| options.checksum = checksum);
        let summary = done.with_problems(&[]).summary;
        assert_eq!(
            (summary.files, summary.up_to_date, summary.corrected),
            (1, 3, 0)
        );
        let (left, made) = (
            fs::metadata(&foreign).unwrap(),
            fs::metadata(&path).unwrap(),
        );
        assert_eq!((left.mode() & 0o7777, left.nlink()), (mode, 1));
        assert_eq!((made.mode() & 0o7777, made.nlink()), (0o644, 1));
        assert_ne!(left.ino(), made.ino());
        fs::remove_file(&foreign).unwrap();
    }
}

/// Two files with two names each, all with the same content.
#[test]
fn links_of_several_names_are_corrected() {
    let mut build = Builder::new();
    let mut root = build.root();
    for names in [["a", "b"], ["c", "d"]] {
        let handle = build.handle(root.handle, FileType::Regular);
        root.add(names[0], handle).add(names[1], handle);
        build.entity(handle, &[root.handle, root.handle], names[0], b"content");
    }
    build.finish_directory(&root);
    let (place, sample) = (Place::new(), container(build.blobs));
    let path = |name: &str| place.destination().join(name);
    let stat = |name: &str| fs::metadata(path(name)).unwrap();
    let run = |checksum: bool| {
        let done = place.extract_with(&sample, |options| options.checksum = checksum);
        let summary = done.with_problems(&[]).summary;
        for names in [["a", "b"], ["c", "d"]] {
            let [one, other] = names.map(stat);
            assert_eq!((one.ino(), one.nlink()), (other.ino(), 2), "{names:?}");
            assert_eq!(one.mode() & 0o7777, 0o644, "{names:?}");
        }
        assert_ne!(stat("a").ino(), stat("c").ino());
        (summary.files, summary.links, summary.up_to_date)
    };
    assert_eq!(run(false), (2, 2, 0));
    assert_eq!(run(false), (0, 0, 4));
    assert_eq!(run(true), (0, 0, 4));
    let time = stat("a").modified().unwrap();
    for checksum in [false, true] {
        // Two files with two names each: first linked across files of the container, then correctly.
        for names in [[["a", "c"], ["b", "d"]], [["a", "b"], ["c", "d"]]] {
            for name in ["a", "b", "c", "d"] {
                fs::remove_file(path(name)).unwrap();
            }
            for [name, other] in names {
                fs::write(path(name), "content").unwrap();
                if is_superuser() {
                    std::os::unix::fs::chown(path(name), Some(1000), Some(100)).unwrap();
                }
                fs::set_permissions(path(name), fs::Permissions::from_mode(0o644)).unwrap();
                let file = fs::File::options().write(true).open(path(name));
                file.unwrap().set_modified(time).unwrap();
                fs::hard_link(path(name), path(other)).unwrap();
            }
            let (files, links, _) = run(checksum);
            match names[0] {
                ["a", "b"] => assert_eq!((files, links), (0, 0)),
                // The order of names is not defined, but only "a" and "d" can both be kept.
                _ => assert!(files <= 1 && links == 2, "{files} {links}"),
            }
        }
    }
    // Permissions are not changed through a file with several names. The file is replaced.
    let before = stat("a").ino();
    fs::set_permissions(path("a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(false), (1, 1, 2));
    assert_ne!(stat("a").ino(), before);
}

#[test]
fn owners_are_not_set_on_request() {
    let (place, sample) = (Place::new(), sample());
    let done = place.extract_with(&sample, |options| options.owners = Owners::Mine);
    done.with_problems(&[]);
    let me = fs::metadata(place.path("record")).unwrap().uid();
    for name in ["file", "directory", "directory/file", "fifo", "symlink"] {
        let found = fs::symlink_metadata(place.destination().join(name)).unwrap();
        assert_eq!(found.uid(), me, "{name}");
    }
}

/// Only files that, according to the record, a killed run created are removed.
#[test]
fn leftovers_are_removed() {
    let (place, sample) = (Place::new(), sample());
    let inside = place.destination().join("directory");
    fs::create_dir_all(&inside).unwrap();
    let ours = ".clfsload-0123456789abcdef-1f.tmp";
    let stays = [
        ".clfsload-0123456789abcdee-1.tmp",
        "x.clfsload-0123456789abcdef-1.tmp",
        ".clfsload-0123456789abcdef.tmp",
        ".clfsload-0123abcd.tmp",
    ];
    for name in stays.iter().chain([&ours]) {
        fs::write(inside.join(name), "mine").unwrap();
    }
    fs::write(place.destination().join(ours), "half").unwrap();
    // No run created any of them.
    assert_eq!(
        place
            .extract(&sample)
            .with_problems(&[])
            .summary
            .leftovers_removed,
        0
    );
    let names = || contents(&inside).into_keys().collect::<Vec<String>>();
    assert_eq!(names().len(), 6);
    // The state that a killed run leaves.
    let record = rusqlite::Connection::open(place.path("record")).unwrap();
    let sql = "INSERT INTO attempt VALUES ('0123456789abcdef')";
    record.execute(sql, []).unwrap();
    drop(record);
    std::os::unix::fs::symlink("x", inside.join(".clfsload-0123456789abcdef-2.tmp")).unwrap();
    fs::create_dir(inside.join(".clfsload-0123456789abcdef-3.tmp")).unwrap();
    let done = place.extract_paths(&sample, &["directory"]);
    assert_eq!(done.with_problems(&[]).summary.leftovers_removed, 3);
    let mut expected = vec!["file", ".clfsload-0123456789abcdef-3.tmp"];
    expected.extend(stays);
    expected.sort_unstable();
    assert_eq!(names(), expected);
    // Only a run over everything sees all leftovers.
    let left = || {
        let record = rusqlite::Connection::open(place.path("record")).unwrap();
        let count = record.query_row("SELECT count(*) FROM attempt", [], |row| row.get(0));
        let count: i64 = count.unwrap();
        count
    };
    assert_eq!(left(), 1);
    assert_eq!(
        place
            .extract(&sample)
            .with_problems(&[])
            .summary
            .leftovers_removed,
        0
    );
    assert_eq!(left(), 0);
}

/// A non-empty folder keeps its owner's attributes; an empty one gets those of the root.
#[test]
fn an_empty_destination_gets_the_attributes_of_the_root() {
    let sample = sample();
    let mode = |place: &Place| fs::metadata(place.destination()).unwrap().mode() & 0o7777;
    let theirs = Place::new();
    fs::create_dir(theirs.destination()).unwrap();
    fs::write(theirs.destination().join("mine"), "mine").unwrap();
    fs::set_permissions(theirs.destination(), fs::Permissions::from_mode(0o1777)).unwrap();
    theirs.extract(&sample).with_problems(&[]);
    assert_eq!(mode(&theirs), 0o1777);
    let ours = Place::new();
    ours.extract(&sample).with_problems(&[]);
    assert_eq!(mode(&ours), 0o644);
    // It is not empty any more, but still a destination of the record.
    fs::set_permissions(ours.destination(), fs::Permissions::from_mode(0o700)).unwrap();
    ours.extract(&sample).with_problems(&[]);
    assert_eq!(mode(&ours), 0o644);
}

/// A destination that another user removed and created again is not a destination of the record any more.
#[test]
fn a_recreated_destination_keeps_its_attributes() {
    let (place, sample) = (Place::new(), sample());
    place.extract(&sample).with_problems(&[]);
    fs::rename(place.destination(), place.path("old")).unwrap();
    fs::create_dir(place.destination()).unwrap();
    fs::write(place.destination().join("mine"), "mine").unwrap();
    fs::set_permissions(place.destination(), fs::Permissions::from_mode(0o1777)).unwrap();
    place.extract(&sample).with_problems(&[]);
    let mode = fs::metadata(place.destination()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o1777);
}

#[test]
fn a_dry_run_changes_nothing() {
    let (place, sample) = (Place::new(), sample());
    let dry = |place: &Place| place.extract_with(&sample, |options| options.dry_run = true);
    let done = dry(&place).with_problems(&[]);
    let summary = done.summary;
    assert_eq!(
        (summary.files, summary.symlinks, summary.specials),
        (2, 1, 1)
    );
    assert_eq!(summary.content_bytes, 19 + 6);
    // The destination is one of them.
    assert_eq!(summary.directories, 2);
    assert!(!place.destination().exists());
    let real = place.extract(&sample).with_problems(&[]).summary;
    assert_eq!(real.directories, summary.directories);
    let path = place.destination().join("file");
    fs::remove_file(&path).unwrap();
    let before = crate::support::tree::walk_source(&place.destination());
    let done = dry(&place).with_problems(&[]);
    assert_eq!((done.summary.files, done.summary.up_to_date), (1, 3));
    let after = crate::support::tree::walk_source(&place.destination());
    assert_eq!(before, after);
}

/// Without a list of all names, only the names of the given paths are requested.
#[test]
fn single_paths_request_only_their_names() {
    let (place, sample) = (Place::new(), sample());
    let before = sample.counts();
    let done = place.extract_paths(&sample, &["directory", "symlink", "missing"]);
    done.with_problems(&[("/missing", "no such entry")]);
    let names: Vec<String> = contents(&place.destination()).into_keys().collect();
    assert_eq!(names, ["directory", "directory/file", "symlink"]);
    // The root at the start and for each path; the directory, its file, and the symlink, which was read on the way.
    let gets = sample.counts().gets.calls - before.gets.calls;
    assert_eq!(gets, 4 + 1 + 1 + 2);
}

/// Two concurrent runs would remove each other's temporary files.
#[test]
fn concurrent_extractions_are_refused() {
    let (place, sample) = (Place::new(), sample());
    fs::create_dir(place.destination()).unwrap();
    let held = fs::File::open(place.destination()).unwrap();
    held.lock().unwrap();
    let done = place.extract(&sample);
    let error = done.end.unwrap_err().to_string();
    assert!(error.contains("another clfsload extract"), "{error}");
    assert!(contents(&place.destination()).is_empty());
    drop(held);
    place.extract(&sample).with_problems(&[]);
}
