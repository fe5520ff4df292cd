//! A source that is unmounted, mounted again, replaced or renumbered between two runs: the transfer
//! is refused, or paused with failed entries, or ends with the container of an uninterrupted run. It is never
//! reported as complete unless it is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::command::{Ran, SEED, Scratch, assert_same, blobs, clfsload};
use crate::support::mounts::{self, Loop, Mounted, image};
use crate::support::tree::walk_source;
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

const OPTIONS: [&str; 5] = ["--seed", SEED, "--preserve_hardlinks", "1", "--no-progress"];
const REFUSED: &str = "another folder or file system is at";

fn new(scratch: &Scratch, name: &str, crash: Option<&str>) -> Ran {
    let mut command = clfsload();
    command
        .args(scratch.words(name, name))
        .arg("--new")
        .args(OPTIONS);
    if let Some(place) = crash {
        command.env("CLFSLOAD_CRASH_AT", place);
    }
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.status == -1, crash.is_some(), "{crash:?}: {ran:#?}");
    ran
}

/// Directories with files, links and a symlink: 200 entries and some more.
fn build(root: &Path) {
    for directory in 0..20 {
        let at = root.join(format!("d{directory:02}"));
        fs::create_dir(&at).unwrap();
        for file in 0..8 {
            fs::write(at.join(format!("f{file}")), format!("{directory} {file}")).unwrap();
        }
        fs::hard_link(at.join("f0"), root.join(format!("link-{directory:02}"))).unwrap();
    }
    std::os::unix::fs::symlink("d00/f0", root.join("symlink")).unwrap();
}

/// All that the state holds, whatever its pages and logs are.
fn rows(state: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = rusqlite::Connection::open(state.join("state.db")).unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut tables = connection.prepare(tables).unwrap();
    let names = tables.query_map([], |row| row.get(0)).unwrap();
    let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
    let of = |table: &String| {
        let mut rows = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let columns = rows.column_count();
        let shown = rows.query_map([], |row| {
            let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
            values
                .collect::<Result<Vec<_>, _>>()
                .map(|row| format!("{row:?}"))
        });
        shown.unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    names.iter().map(|name| (name.clone(), of(name))).collect()
}

/// Resumes, which must be refused with nothing changed: rows, files of the state folder, container.
fn assert_refused(scratch: &Scratch, name: &str, what: &str) {
    let files = || -> Vec<_> {
        let entries = fs::read_dir(scratch.path(name)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| !name.starts_with("state.db-"))
            .collect();
        names.sort();
        names
    };
    let container = || match scratch.container(name).exists() {
        true => blobs(&scratch.container(name)),
        false => BTreeMap::new(),
    };
    let state = scratch.path(name);
    let before = (rows(&state), files(), container());
    for options in [
        &[][..],
        &["--source-identity", "attributes"],
        &["--skip-failed"],
    ] {
        scratch.resume(name, options).refused(2, what);
    }
    assert!(
        before == (rows(&state), files(), container()),
        "{name}: something was written"
    );
}

fn assert_complete(scratch: &Scratch, name: &str) {
    assert_complete_but(scratch, name, &[]);
}

/// Without differences that begin with one of `ignored`.
fn assert_complete_but(scratch: &Scratch, name: &str, ignored: &[&str]) {
    let checked = check(&FolderBlobs(scratch.container(name)));
    checked.assert_clean();
    let source = walk_source(&scratch.source());
    let options = CompareOptions {
        hardlinks: true,
        ..CompareOptions::default()
    };
    let mut differences = compare(&source, &checked.tree, options);
    differences.retain(|line| !ignored.iter().any(|ignored| line.starts_with(ignored)));
    assert!(differences.is_empty(), "{name}: {differences:#?}");
}

/// A folder to load, and another one.
struct Course {
    scratch: Scratch,
    data: PathBuf,
    other: PathBuf,
    source: PathBuf,
}

impl Course {
    fn begin() -> Option<Self> {
        if !mounts::possible() {
            return None;
        }
        let scratch = Scratch::in_memory();
        let course = Course {
            data: scratch.path("data"),
            other: scratch.path("other"),
            source: scratch.source(),
            scratch,
        };
        fs::create_dir(&course.data).unwrap();
        fs::create_dir(&course.other).unwrap();
        build(&course.data);
        fs::write(course.other.join("stranger"), "another folder").unwrap();
        // Both may have been made in one tick of the clock.
        let day = std::time::Duration::from_secs(86_400);
        let earlier = std::time::SystemTime::now() - day;
        for (folder, time) in [(&course.other, earlier), (&course.source, earlier - day)] {
            fs::File::open(folder).unwrap().set_modified(time).unwrap();
        }
        Some(course)
    }
}

/// Unmounted, and replaced by another folder, at many places of a load: also at the first, where nothing
/// but the root is recorded, and at the last.
#[test]
fn a_source_that_is_not_mounted_or_another_one_is_refused() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        other,
        source,
    } = &course;
    let mounted = Mounted::folder(data, source);
    // Reading a symlink sets its access time, once: there is no O_NOATIME for readlink(2).
    walk_source(source);
    new(scratch, "undisturbed", None).expect(0);
    let undisturbed = blobs(&scratch.container("undisturbed"));
    mounted.unmount();
    for place in [
        "StatePublished",
        "ScanListed",
        "ScanCommitted",
        "AfterPut:60",
        "SettleCommitted",
        "LinkedInode:9",
        "DirectoryBegun:9",
        "BeforeRoot",
    ] {
        let name = place.replace(':', "-");
        let mounted = Mounted::folder(data, source);
        new(scratch, &name, Some(place));
        mounted.unmount();
        assert_refused(scratch, &name, REFUSED);
        let mounted = Mounted::folder(other, source);
        assert_refused(scratch, &name, REFUSED);
        mounted.unmount();
        let mounted = Mounted::folder(data, source);
        scratch.resume(&name, &[]).expect(0);
        mounted.unmount();
        assert_same(&undisturbed, &blobs(&scratch.container(&name)));
    }
}

/// A copy of the device, as a snapshot is, on another loop device is the same source; another ext4, whose
/// root has the same inode number, is not.
#[test]
fn a_remount_of_another_device_is_the_same_source_if_it_holds_the_same_file_system() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        other,
        source,
    } = &course;
    let [image_of_data, snapshot, image_of_other] =
        ["data.img", "snapshot.img", "other.img"].map(|name| scratch.path(name));
    image(&image_of_data, data);
    image(&image_of_other, other);
    let (first, second) = (Loop::of(&image_of_data), Loop::of(&image_of_other));
    let mounted = Mounted::device(&first, source);
    walk_source(source);
    new(scratch, "undisturbed", None).expect(0);
    let places = ["StatePublished", "ScanCommitted", "AfterPut:60"];
    for place in places {
        new(scratch, &place.replace(':', "-"), Some(place));
    }
    mounted.unmount();
    let undisturbed = blobs(&scratch.container("undisturbed"));
    fs::copy(&image_of_data, &snapshot).unwrap();
    // The first device has the other file system from here on.
    Loop::swap(&first, &snapshot, &second, &image_of_other);
    for place in places {
        let name = place.replace(':', "-");
        let mounted = Mounted::device(&first, source);
        assert_refused(scratch, &name, REFUSED);
        mounted.unmount();
        let mounted = Mounted::device(&second, source);
        scratch.resume(&name, &[]).expect(0);
        mounted.unmount();
        assert_same(&undisturbed, &blobs(&scratch.container(&name)));
    }
}

/// A file that another one is mounted on, as containers have them, is not read from below it.
#[test]
fn a_file_that_is_mounted_by_itself_is_not_replaced_by_the_one_below() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        source,
        other,
        ..
    } = &course;
    let (file, content) = (source.join("file"), "mounted on it");
    fs::write(&file, "below").unwrap();
    fs::write(other.join("over"), content).unwrap();
    fs::write(source.join("beside"), "beside").unwrap();
    for place in ["StatePublished", "SettleUncommitted"] {
        let mounted = Mounted::folder(&other.join("over"), &file);
        new(scratch, place, Some(place));
        mounted.unmount();
        for _ in 0..2 {
            scratch.resume(place, &[]).expect(3);
            let expected = [("file".to_owned(), "not-mounted".to_owned())];
            assert_eq!(
                problems(scratch, place),
                BTreeMap::from(expected),
                "{place}"
            );
        }
        let mounted = Mounted::folder(&other.join("over"), &file);
        scratch.resume(place, &[]).expect(0);
        assert_complete(scratch, place);
        mounted.unmount();
    }
}

/// Another file that is mounted there is not a new version of the recorded one, whether something was
/// mounted there before or not.
#[test]
fn a_file_that_is_mounted_in_the_place_of_another_is_a_problem() {
    for (place, is_linked, was_mount) in [
        ("StatePublished", false, true),
        ("ScanCommitted:1", false, true),
        ("ScanCommitted:1", true, true),
        ("SettleUncommitted", false, true),
        ("ScanCommitted:1", false, false),
        ("ScanCommitted:1", true, false),
    ] {
        let Some(course) = Course::begin() else {
            return;
        };
        let Course {
            scratch,
            source,
            other,
            ..
        } = &course;
        let [file, first, second] = [
            source.join("file"),
            other.join("first"),
            other.join("second"),
        ];
        fs::write(&file, "below").unwrap();
        fs::write(source.join("beside"), "beside").unwrap();
        fs::write(&first, "mounted at first").unwrap();
        fs::write(&second, "mounted later").unwrap();
        if is_linked {
            fs::hard_link(&first, other.join("link")).unwrap();
            fs::hard_link(&file, source.join("name")).unwrap();
        }
        let mount_first = || was_mount.then(|| Mounted::folder(&first, &file));
        let mounted = mount_first();
        new(scratch, "t", Some(place));
        mounted.into_iter().for_each(Mounted::unmount);
        let mounted = Mounted::folder(&second, &file);
        for _ in 0..2 {
            scratch.resume("t", &[]).expect(3);
            let failed = problems(scratch, "t");
            let expected = ("file".to_owned(), "replaced".to_owned());
            let case = format!("{place} {is_linked} {was_mount}: {failed:?}");
            assert_eq!(
                failed.iter().next(),
                Some((&expected.0, &expected.1)),
                "{case}"
            );
        }
        mounted.unmount();
        let mounted = mount_first();
        scratch.resume("t", &[]).expect(0);
        assert_complete(scratch, "t");
        mounted.into_iter().for_each(Mounted::unmount);
    }
}

/// Two file systems below the source whose files have the same inode numbers, sizes and names.
struct Nested {
    course: Course,
    images: [PathBuf; 2],
    loops: [Loop; 2],
    at: [PathBuf; 2],
}

impl Nested {
    fn begin() -> Option<Self> {
        let course = Course::begin()?;
        let scratch = &course.scratch;
        let at = ["a", "b/c"].map(|name| course.source.join(name));
        let images = ["one", "two"].map(|name| {
            let content = scratch.path(name);
            fs::create_dir_all(content.join("sub")).unwrap();
            for file in 0..20 {
                let first = content.join(format!("sub/file-{file:02}"));
                fs::write(&first, format!("{file:02} of {name}")).unwrap();
                fs::hard_link(&first, content.join(format!("name-{file:02}"))).unwrap();
            }
            let path = scratch.path(&format!("{name}.img"));
            image(&path, &content);
            path
        });
        for at in &at {
            fs::create_dir_all(at).unwrap();
        }
        fs::write(course.source.join("file"), "of the source").unwrap();
        let loops = [Loop::of(&images[0]), Loop::of(&images[1])];
        Some(Nested {
            course,
            images,
            loops,
            at,
        })
    }

    fn mount(&self) -> [Mounted; 2] {
        [0, 1].map(|number| Mounted::device(&self.loops[number], &self.at[number]))
    }

    /// The images on each other's devices: what is mounted where stays.
    fn renumber(&mut self) {
        let Nested { loops, images, .. } = self;
        Loop::swap(&loops[0], &images[0], &loops[1], &images[1]);
        loops.swap(0, 1);
    }
}

fn unmount(mounted: [Mounted; 2]) {
    mounted.into_iter().for_each(Mounted::unmount);
}

/// Every name of the two file systems has the content of its own.
fn assert_not_mixed(scratch: &Scratch, name: &str) {
    let checked = check(&FolderBlobs(scratch.container(name)));
    checked.assert_clean();
    for (at, of) in [("a", "one"), ("b/c", "two")] {
        for file in 0..20 {
            let content = format!("{file:02} of {of}");
            let paths = [
                format!("{at}/sub/file-{file:02}"),
                format!("{at}/name-{file:02}"),
            ];
            let nodes = paths.each_ref().map(|path| &checked.tree[path.as_bytes()]);
            assert_eq!(nodes[0].object, nodes[1].object, "{name}: {paths:?}");
            let words = [paths[0].as_str(), paths[1].as_str()];
            for path in words {
                let container = scratch.container(name).display().to_string();
                let read = crate::support::command::run(["cat", &container, path]).expect(0);
                assert_eq!(read.stdout, content, "{name}: {path}");
            }
        }
    }
}

#[test]
fn device_numbers_that_change_do_not_join_files_of_two_file_systems() {
    let Some(mut nested) = Nested::begin() else {
        return;
    };
    let mounted = nested.mount();
    new(&nested.course.scratch, "undisturbed", None).expect(0);
    let undisturbed = blobs(&nested.course.scratch.container("undisturbed"));
    assert_not_mixed(&nested.course.scratch, "undisturbed");
    unmount(mounted);
    for place in [
        "ScanCommitted:1",
        "ScanCommitted:2",
        "ScanCommitted:3",
        "SettleCommitted",
    ] {
        let name = place.replace(':', "-");
        let mounted = nested.mount();
        new(&nested.course.scratch, &name, Some(place));
        unmount(mounted);
        nested.renumber();
        let mounted = nested.mount();
        nested.course.scratch.resume(&name, &[]).expect(0);
        unmount(mounted);
        assert_same(
            &undisturbed,
            &blobs(&nested.course.scratch.container(&name)),
        );
    }
}

fn problems(scratch: &Scratch, name: &str) -> BTreeMap<String, String> {
    let list = fs::read_to_string(scratch.path(name).join("problems.json")).unwrap();
    let rows = list.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        (text("path"), text("reason"))
    });
    rows.collect()
}

/// File systems below the source that are missing, or mounted on each other's directories, are problems
/// for as long as that is so; when all is as before, the rest comes.
#[test]
fn file_systems_below_the_source_that_are_missing_or_others_are_problems() {
    let Some(nested) = Nested::begin() else {
        return;
    };
    let Nested {
        course, loops, at, ..
    } = &nested;
    let scratch = &course.scratch;
    for place in ["ScanCommitted:1", "ScanCommitted:2", "LinkedInode:3"] {
        let name = place.replace(':', "-");
        let mounted = nested.mount();
        new(scratch, &name, Some(place));
        unmount(mounted);
        for (wrong, reason) in [
            (false, "not-mounted"),
            (true, "replaced"),
            (false, "not-mounted"),
        ] {
            let mounted = wrong
                .then(|| [0, 1].map(|number| Mounted::device(&loops[1 - number], &at[number])));
            let ran = scratch.resume(&name, &["--max-errors", "0"]).expect(3);
            assert!(ran.stdout.contains("paused"), "{ran:#?}");
            let problems = problems(scratch, &name);
            for (path, found) in &problems {
                assert!(
                    path.starts_with("a") || path.starts_with("b/c"),
                    "{problems:?}"
                );
                assert_eq!(found, reason, "{place}: {path}");
            }
            assert!(problems.len() >= 2, "{place}: {problems:?}");
            if let Some(mounted) = mounted {
                unmount(mounted);
            }
        }
        let mounted = nested.mount();
        scratch.resume(&name, &[]).expect(0);
        assert_complete(scratch, &name);
        assert_not_mixed(scratch, &name);
        unmount(mounted);
    }
}

/// However many entries below a mount are left to load, only its directory fails, so that the run does not stop at
/// `--max-errors`, and loads everything else.
#[test]
fn a_mount_that_was_replaced_is_one_failed_entry() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        other,
        source,
    } = &course;
    let at = source.join("mnt");
    fs::create_dir(&at).unwrap();
    fs::create_dir(source.join("zz")).unwrap();
    fs::write(source.join("zz/file"), "beside the mount").unwrap();
    // With directories left to list, files left to load, and hard links left to load.
    for place in ["ScanCommitted:3", "SettleUncommitted", "LinkedInode:3"] {
        for is_restored in [false, true] {
            let name = format!("{}-{is_restored}", place.replace(':', "-"));
            let mounted = Mounted::folder(data, &at);
            new(scratch, &name, Some(place));
            mounted.unmount();
            let mounted = Mounted::folder(other, &at);
            for _ in 0..2 {
                let ran = scratch.resume(&name, &["--max-errors", "3"]).expect(3);
                let failed = [("mnt".to_owned(), "replaced".to_owned())];
                assert_eq!(problems(scratch, &name), failed.into(), "{name}: {ran:#?}");
                let shown = ran.stderr.matches("error: mnt: ").count();
                assert_eq!(shown, 1, "{name}: {ran:#?}");
            }
            if !is_restored {
                let ran = scratch.resume(&name, &["--skip-failed"]).expect(3);
                assert!(ran.stdout.contains("incomplete"), "{name}: {ran:#?}");
                let checked = check(&FolderBlobs(scratch.container(&name)));
                checked.assert_clean();
                assert!(checked.tree.contains_key(&b"zz/file"[..]), "{name}");
            }
            mounted.unmount();
            if is_restored {
                let mounted = Mounted::folder(data, &at);
                scratch.resume(&name, &[]).expect(0);
                assert_complete(scratch, &name);
                mounted.unmount();
            }
        }
    }
}

/// Runs to a crash, from the state that there is.
fn crash_again(scratch: &Scratch, name: &str, place: &str) -> Ran {
    let mut command = clfsload();
    command.args(scratch.words(name, name)).arg("--no-progress");
    let ran = Ran::from(command.env("CLFSLOAD_CRASH_AT", place).output().unwrap());
    assert_eq!(ran.status, -1, "{ran:#?}");
    ran
}

/// The reason of each failed entry after a resume that ends with status 3.
fn failed_on_resume(scratch: &Scratch, name: &str) -> Vec<(String, String)> {
    scratch.resume(name, &["--max-errors", "0"]).expect(3);
    problems(scratch, name).into_iter().collect()
}

fn not_mounted(paths: &[&str]) -> Vec<(String, String)> {
    let failed = |path: &&str| ((*path).to_owned(), "not-mounted".to_owned());
    paths.iter().map(failed).collect()
}

/// `zfs unmount` and udisks remove the mount point as well, so that no listing shows its name.
#[test]
fn a_mount_point_that_was_removed_is_a_problem() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        source,
        ..
    } = &course;
    fs::write(source.join("between"), "a file of the source").unwrap();
    let points = [("d00", "aa"), ("d01", "no/mount/here"), ("d02", "zz")];
    let mount_all = || {
        points.map(|(from, point)| {
            fs::create_dir_all(source.join(point)).unwrap();
            Mounted::folder(&data.join(from), &source.join(point))
        })
    };
    for place in ["StatePublished", "ScanListed"] {
        let mounted = mount_all();
        new(scratch, place, Some(place));
        mounted.into_iter().for_each(Mounted::unmount);
        for removed in ["aa", "no", "zz"] {
            fs::remove_dir_all(source.join(removed)).unwrap();
        }
        for _ in 0..2 {
            let failed = failed_on_resume(scratch, place);
            assert_eq!(failed, not_mounted(&["aa", "no", "zz"]), "{place}");
        }
        // Something else under the name of a mount point, or above one.
        fs::write(source.join("no"), "a file").unwrap();
        fs::write(source.join("zz"), "a file").unwrap();
        let failed = failed_on_resume(scratch, place);
        assert_eq!(failed, not_mounted(&["aa", "no", "zz"]), "{place}");
        fs::remove_file(source.join("no")).unwrap();
        fs::remove_file(source.join("zz")).unwrap();
        let mounted = mount_all();
        scratch.resume(place, &[]).expect(0);
        assert_complete_but(scratch, place, &["\"\": mtime", "\"\": ctime"]);
        mounted.into_iter().for_each(Mounted::unmount);
    }
}

/// A mount whose server is gone is expected too.
#[test]
fn a_mount_that_is_dead_at_the_start_is_a_problem_when_it_is_gone() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        source,
        ..
    } = &course;
    let at = source.join("mnt");
    fs::create_dir(&at).unwrap();
    let dead = Mounted::dead(&at);
    let mut command = clfsload();
    command
        .args(scratch.words("t", "t"))
        .arg("--new")
        .args(OPTIONS);
    Ran::from(command.output().unwrap()).expect(3);
    assert_eq!(problems(scratch, "t")["mnt"], "input-output");
    dead.unmount();
    assert_eq!(failed_on_resume(scratch, "t"), not_mounted(&["mnt"]));
    let mounted = Mounted::folder(data, &at);
    scratch.resume("t", &[]).expect(0);
    assert_complete(scratch, "t");
    mounted.unmount();
}

/// Turns a state into one of schema 1, which recorded no mounts. It must hold no links.
const TO_SCHEMA_1: &str = include_str!("../../fixtures/state/to_schema_1.sql");

/// The resume that upgrades the state records the mounts, and lists them for the user to check.
#[test]
fn a_transfer_of_an_earlier_version_expects_the_mounts_of_its_next_run() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        source,
        ..
    } = &course;
    let at = source.join("mnt");
    fs::create_dir(&at).unwrap();
    let mounted = Mounted::folder(data, &at);
    new(scratch, "t", Some("StatePublished"));
    let database = scratch.path("t").join("state.db");
    rusqlite::Connection::open(database)
        .unwrap()
        .execute_batch(TO_SCHEMA_1)
        .unwrap();
    let ran = crash_again(scratch, "t", "ScanListed");
    let warning = "warning: an earlier version of clfsload started this transfer";
    assert!(ran.stderr.contains(warning), "{ran:#?}");
    assert!(ran.stderr.contains("Recorded since: mnt\n"), "{ran:#?}");
    mounted.unmount();
    // A run that ended before anybody read the warning must not be the only one that prints it.
    let ran = scratch.resume("t", &[]).expect(3);
    assert!(ran.stderr.contains(warning), "{ran:#?}");
    let failed: Vec<_> = problems(scratch, "t").into_iter().collect();
    assert_eq!(failed, not_mounted(&["mnt"]));
    let mounted = Mounted::folder(data, &at);
    scratch.resume("t", &[]).expect(0);
    assert_complete(scratch, "t");
    mounted.unmount();
}

/// A recorded mount point that is removed with its mount, and a file system that is mounted only after the
/// directory was recorded: loaded once the first run has reported it.
#[test]
fn mounts_that_change_after_they_were_recorded_are_problems_first() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        source,
        ..
    } = &course;
    let (early, late) = (source.join("early"), source.join("late"));
    fs::write(source.join("file"), "of the source").unwrap();
    fs::create_dir(&early).unwrap();
    fs::create_dir(&late).unwrap();
    let mounted = Mounted::folder(&data.join("d00"), &early);
    new(scratch, "t", Some("ScanCommitted:1"));
    mounted.unmount();
    fs::remove_dir(&early).unwrap();
    let _late = Mounted::folder(&data.join("d01"), &late);
    scratch.resume("t", &[]).expect(3);
    let failed = problems(scratch, "t");
    let reason = |path: &str| failed.get(path).map(String::as_str);
    assert_eq!(reason("early"), Some("not-mounted"), "{failed:?}");
    assert_eq!(reason("late"), Some("replaced"), "{failed:?}");
    fs::create_dir(&early).unwrap();
    let _early = Mounted::folder(&data.join("d00"), &early);
    scratch.resume("t", &[]).expect(0);
    assert_complete_but(scratch, "t", &["\"\": mtime", "\"\": ctime"]);
}

/// `--source-identity accept` vouches for the source, not for what is mounted below it.
#[test]
fn accepting_the_source_does_not_accept_another_file_system_below_it() {
    let Some(course) = Course::begin() else {
        return;
    };
    let Course {
        scratch,
        data,
        other,
        source,
    } = &course;
    let at = source.join("mnt");
    fs::create_dir(&at).unwrap();
    let mounted = Mounted::folder(data, &at);
    new(scratch, "t", Some("ScanListed"));
    mounted.unmount();
    let mounted = Mounted::folder(other, &at);
    let accept = ["--source-identity", "accept"];
    scratch.resume("t", &accept).expect(3);
    assert_eq!(problems(scratch, "t")["mnt"], "replaced");
    mounted.unmount();
    let _mounted = Mounted::folder(data, &at);
    scratch.resume("t", &accept).expect(0);
    assert_complete(scratch, "t");
}

/// Without /proc the mounts below the source are unknown, and one that is missing later is not missed.
#[test]
fn a_source_whose_mounts_cannot_be_known_is_refused() {
    let Some(course) = Course::begin() else {
        return;
    };
    let scratch = &course.scratch;
    let mut command = std::process::Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-c",
        "mount -t tmpfs none /proc && exec \"$@\"",
        "sh",
    ]);
    command
        .arg(clfsload().get_program())
        .args(scratch.words("t", "t"))
        .arg("--new");
    let ran = Ran::from(command.output().unwrap());
    ran.refused(1, "cannot read /proc/self/mountinfo");
    assert!(!scratch.path("t").join("state.db").exists());
}
