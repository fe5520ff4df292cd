//! Hostile containers: nothing outside the destination is changed, and legitimate entries are extracted.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use clfs_format::{FileType, Filehandle};

use super::fixture::{Done, Place, container, contents, entity, file};
use crate::support::synthetic::{Builder, Directory};
use crate::support::tree::walk_source;

/// Creates a folder next to the destination with the files that a hostile container would try to change.
fn with_neighbour(place: &Place) {
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    fs::set_permissions(outside.join("file"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(outside.join("folder")).unwrap();
    fs::create_dir(place.destination()).unwrap();
}

/// Extracts, and asserts that nothing outside the destination changed, including times.
fn extract(place: &Place, build: &Builder) -> Done {
    let state = || {
        let mut state = walk_source(&place.path("outside"));
        let entries = fs::read_dir(place.path("")).unwrap();
        for item in entries {
            let name = item.unwrap().file_name();
            assert!(
                [
                    "outside",
                    "destination",
                    "record",
                    "record-wal",
                    "record-shm"
                ]
                .contains(&name.to_str().unwrap()),
                "{name:?} appeared"
            );
        }
        // Reading would change the access time.
        state.values_mut().for_each(|node| node.ino = 0);
        state
    };
    let before = state();
    let done = place.extract(&container(build.blobs.clone()));
    assert_eq!(state(), before, "something outside changed");
    done
}

fn names(place: &Place) -> Vec<String> {
    contents(&place.destination()).into_keys().collect()
}

/// Adds an entry with any name. `finish_directory_one_entry_per_segment` does not check names.
fn raw(build: &mut Builder, directory: &mut Directory, name: &[u8]) -> Filehandle {
    let handle = build.handle(directory.handle, FileType::Regular);
    directory.add(name, handle);
    build.entity(handle, &[directory.handle], "raw", b"hostile");
    handle
}

#[test]
fn names_outside_the_destination_are_rejected() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    let outside = place.path("outside/file");
    let hostile: [&[u8]; 9] = [
        b"..",
        b".",
        b"",
        b"/",
        b"a/b",
        b"../outside/file",
        outside.as_os_str().as_bytes(),
        b"nul\0inside",
        &[b'n'; 256],
    ];
    for name in hostile {
        raw(&mut build, &mut root, name);
    }
    let up = build.handle(root.handle, FileType::Directory);
    root.add("..", up);
    let mut inside = Directory {
        handle: up,
        parent: root.handle,
        name: b"..".to_vec(),
        entries: Vec::new(),
    };
    file(&mut build, &mut inside, "escaped", b"hostile");
    build.finish_directory(&inside);
    file(&mut build, &mut root, "good", b"good");
    build.finish_directory_one_entry_per_segment(&root);
    let done = extract(&place, &build).ended();
    assert_eq!(names(&place), ["good"]);
    // Each of them is reported.
    assert_eq!(done.summary.problems, hostile.len() as u64 + 1, "{done:#?}");
    assert_eq!(done.summary.files, 1);
}

#[test]
fn a_symlink_and_a_directory_with_the_same_name_do_not_mix() {
    let place = Place::new();
    with_neighbour(&place);
    let outside = place.path("outside");
    let target = outside.as_os_str().as_bytes();
    let mut build = Builder::new();
    let mut root = build.root();
    // Symlink first, directory first, and a file through a symlink.
    entity(&mut build, &mut root, FileType::Symlink, "x", target);
    let mut x = build.directory(&mut root, "x");
    file(&mut build, &mut x, "file", b"hostile");
    file(&mut build, &mut x, "new", b"hostile");
    let mut y = build.directory(&mut root, "y");
    file(&mut build, &mut y, "file", b"legitimate");
    entity(&mut build, &mut root, FileType::Symlink, "y", target);
    let through = [target, b"/file"].concat();
    entity(&mut build, &mut root, FileType::Symlink, "z", &through);
    file(&mut build, &mut root, "z", b"hostile");
    for directory in [&x, &y, &root] {
        build.finish_directory(directory);
    }
    for _ in 0..2 {
        let done = extract(&place, &build);
        done.with_problems(&[
            ("/x", "earlier entry"),
            ("/y", "earlier entry"),
            ("/z", "earlier entry"),
        ]);
        assert_eq!(names(&place), ["x", "y", "y/file", "z"]);
        let link = |name| fs::read_link(place.destination().join(name)).unwrap();
        assert_eq!(link("x").as_os_str().as_bytes(), target);
        assert_eq!(link("z").as_os_str().as_bytes(), through);
    }
}

#[test]
fn only_one_of_two_files_with_the_same_name_is_extracted() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    let mut inner = build.directory(&mut root, "inner");
    // The same name in another directory is another path.
    for content in ["first", "second", "third"] {
        file(&mut build, &mut root, "twice", content.as_bytes());
    }
    file(&mut build, &mut inner, "twice", b"inner");
    let mut second = build.directory(&mut root, "inner");
    file(&mut build, &mut second, "more", b"of the second");
    for directory in [&inner, &second, &root] {
        build.finish_directory(directory);
    }
    extract(&place, &build).with_problems(&[
        ("/twice", "earlier entry"),
        ("/twice", "earlier entry"),
        ("/inner", "earlier entry"),
    ]);
    let found = contents(&place.destination());
    assert_eq!(found["twice"], Some(b"first".to_vec()));
    assert_eq!(found["inner/twice"], Some(b"inner".to_vec()));
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn directories_in_cycles_are_extracted_once() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    let mut a = build.directory(&mut root, "a");
    let mut b = build.directory(&mut a, "b");
    let (a_handle, b_handle) = (a.handle, b.handle);
    b.add("up", a_handle).add("self", b_handle);
    b.add("root", Filehandle::ROOT);
    file(&mut build, &mut b, "file", b"in b");
    root.add("b-again", b_handle);
    for directory in [&a, &b, &root] {
        build.finish_directory(directory);
    }
    let done = extract(&place, &build).ended();
    assert_eq!(done.summary.problems, 4, "{done:#?}");
    assert!(
        done.problems
            .iter()
            .all(|line| line.contains("another path"))
    );
    // `b` is extracted once, under the path that was read first.
    let found = names(&place);
    let files = found.iter().filter(|name| name.ends_with("/file"));
    assert_eq!(files.count(), 1, "{found:?}");
}

#[test]
fn existing_symlinks_are_not_followed() {
    let place = Place::new();
    with_neighbour(&place);
    let (destination, outside) = (place.destination(), place.path("outside"));
    symlink(&outside, destination.join("directory")).unwrap();
    symlink(outside.join("file"), destination.join("file")).unwrap();
    symlink(outside.join("file"), destination.join("fifo")).unwrap();
    symlink(outside.join("file"), destination.join("symlink")).unwrap();
    fs::create_dir(destination.join("occupied")).unwrap();
    fs::write(destination.join("occupied/mine"), "mine").unwrap();
    fs::write(destination.join("blocked"), "mine").unwrap();
    let mut build = Builder::new();
    let mut root = build.root();
    let mut directory = build.directory(&mut root, "directory");
    file(&mut build, &mut directory, "file", b"new");
    file(&mut build, &mut root, "file", b"new");
    entity(&mut build, &mut root, FileType::Fifo, "fifo", b"");
    entity(&mut build, &mut root, FileType::Symlink, "symlink", b"new");
    file(&mut build, &mut root, "occupied", b"new");
    let mut blocked = build.directory(&mut root, "blocked");
    file(&mut build, &mut blocked, "below", b"new");
    for directory in [&directory, &blocked, &root] {
        build.finish_directory(directory);
    }
    extract(&place, &build).with_problems(&[
        ("/occupied", "exists under its name"),
        ("/blocked", "exists under its name"),
    ]);
    let found = contents(&destination);
    assert_eq!(found["directory/file"], Some(b"new".to_vec()));
    assert_eq!(found["file"], Some(b"new".to_vec()));
    assert_eq!(found["fifo"], None);
    assert_eq!(found["occupied/mine"], Some(b"mine".to_vec()));
    assert_eq!(found["blocked"], Some(b"mine".to_vec()));
    let target = fs::read_link(destination.join("symlink")).unwrap();
    assert_eq!(target, Path::new("new"));
}

/// The longest name leaves no space for a suffix. Names that look like those of temporary files are ordinary names.
#[test]
fn names_at_the_length_limits_are_extracted() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    let long = "n".repeat(255);
    let big = vec![7; 100_000];
    file(&mut build, &mut root, &long, &big);
    let temporary: Vec<String> = (0..25)
        .flat_map(|number| {
            let token = format!(".clfsload-{number:016x}-{number:x}.tmp");
            [format!(".clfsload-{number:08x}.tmp"), token]
        })
        .collect();
    for name in &temporary {
        file(&mut build, &mut root, name, name.as_bytes());
    }
    build.finish_directory(&root);
    for _ in 0..2 {
        extract(&place, &build).with_problems(&[]);
        let found = contents(&place.destination());
        assert_eq!(found.len(), 51);
        assert_eq!(found[&long], Some(big.clone()));
        for name in &temporary {
            assert_eq!(found[name], Some(name.clone().into_bytes()));
        }
    }
}

/// Targets are written unchanged, may point anywhere, and are not followed.
#[test]
fn targets_of_symlinks_are_only_text() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    entity(
        &mut build,
        &mut root,
        FileType::Symlink,
        "up",
        b"../outside/file",
    );
    entity(&mut build, &mut root, FileType::Symlink, "nul", b"a\0b");
    entity(&mut build, &mut root, FileType::Symlink, "empty", b"");
    build.finish_directory(&root);
    extract(&place, &build).with_problems(&[
        ("/nul", "cannot be the target"),
        ("/empty", "cannot be the target"),
    ]);
    let target = fs::read_link(place.destination().join("up")).unwrap();
    assert_eq!(target.as_os_str(), OsStr::new("../outside/file"));
    assert_eq!(names(&place), ["up"]);
}

/// Sets bytes of VATTR, at an offset from its start with the length word (format.md §5).
fn with_attribute(build: &mut Builder, handle: Filehandle, at: usize, value: u32) {
    let id = format!("_{handle}.");
    let (_, blob) = build
        .blobs
        .iter_mut()
        .find(|(name, _)| name.contains(&id))
        .unwrap();
    let mut payload = clfs_format::unwrap(blob, 1 << 20).unwrap().into_owned();
    // VATTR is the first handle: 20 bytes, a length word, the attributes.
    let at = 20 + 4 + at;
    payload[at..at + 4].copy_from_slice(&value.to_le_bytes());
    *blob = [&[0; 4], &payload[..]].concat();
}

#[test]
fn attributes_with_a_special_meaning_to_system_calls_are_not_passed() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    let omit = file(&mut build, &mut root, "omit", b"times");
    let uid = file(&mut build, &mut root, "uid", b"owner");
    let gid = file(&mut build, &mut root, "gid", b"group");
    build.finish_directory(&root);
    // UTIME_OMIT as the nanoseconds of mtime, and the id that chown(2) ignores.
    with_attribute(&mut build, omit, 36, 0x3fff_fffe);
    with_attribute(&mut build, uid, 8, u32::MAX);
    with_attribute(&mut build, gid, 12, u32::MAX);
    let done = extract(&place, &build).ended();
    let found = walk_source(&place.destination());
    assert_eq!(found[&b"omit"[..]].mtime, (1_500_000_001, 999_999_999));
    if crate::support::tree::is_superuser() {
        done.with_problems(&[("/uid", "setting its owner"), ("/gid", "setting its owner")]);
        assert_eq!(found.len(), 2);
    }
}

/// A size without segments uses no memory and no disk space.
#[test]
fn sizes_without_segments_use_no_resources() {
    let place = Place::new();
    with_neighbour(&place);
    let mut build = Builder::new();
    let mut root = build.root();
    let huge = file(&mut build, &mut root, "huge", b"small");
    file(&mut build, &mut root, "good", b"good");
    build.finish_directory(&root);
    // The upper half of the size.
    with_attribute(&mut build, huge, 20, 0x0fff_ffff);
    let blobs = build.blobs.clone();
    let done = extract(&place, &build).ended();
    assert_eq!(done.summary.problems, 1, "{done:#?}");
    assert_eq!(names(&place), ["good"]);
    let kept = place.extract_with(&container(blobs), |options| options.keep_damaged = true);
    assert_eq!(kept.ended().summary.problems, 1);
}
