//! A source that is unmounted, mounted again, replaced or renumbered between two runs. The transfer is refused,
//! pauses with failed entries, or creates the container of an uninterrupted run. It never reports an incomplete
//! container as complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::command::{CommandOutput, SEED, Scratch, assert_same, blobs, clfsload};
use crate::support::mounts::{self, Loop, Mounted, image};
use crate::support::tree::walk_source;
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

const OPTIONS: [&str; 5] = ["--seed", SEED, "--preserve_hardlinks", "1", "--no-progress"];
const REFUSED: &str = "another folder or file system is at";

/// Part of every message that refuses a source. The start depends on the evidence: another inode number shows another
/// folder; if the file system has no birth times and no entry is recorded, the source cannot be identified.
const NOTHING_WRITTEN: &str = ". Nothing was written";

fn new(scratch: &Scratch, name: &str, crash: Option<&str>) -> CommandOutput {
    let mut command = clfsload();
    command
        .args(scratch.arguments(name, name))
        .arg("--new")
        .args(OPTIONS);
    if let Some(place) = crash {
        command.env("CLFSLOAD_CRASH_AT", place);
    }
    let ran = CommandOutput::from(command.output().unwrap());
    assert_eq!(ran.status == -1, crash.is_some(), "{crash:?}: {ran:#?}");
    ran
}

/// Creates directories with files, links and a symlink: somewhat more than 200 entries.
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

/// Returns all rows of the state, independent of its pages and logs.
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

/// Asserts that a resume is refused and changes nothing: rows, files of the state folder, container.
fn assert_refused(scratch: &Scratch, name: &str, text: &str) {
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
        scratch.resume(name, options).refused(2, text);
    }
    assert!(
        before == (rows(&state), files(), container()),
        "{name}: something was written"
    );
}

fn assert_complete(scratch: &Scratch, name: &str) {
    assert_complete_but(scratch, name, &[]);
}

/// Asserts the same, except for differences that begin with one of `ignored`.
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

/// A source folder, its data, and another folder.
struct Setup {
    scratch: Scratch,
    data: PathBuf,
    other: PathBuf,
    source: PathBuf,
}

impl Setup {
    fn new() -> Option<Self> {
        if !mounts::possible() {
            return None;
        }
        let scratch = Scratch::in_memory();
        let setup = Setup {
            data: scratch.path("data"),
            other: scratch.path("other"),
            source: scratch.source(),
            scratch,
        };
        fs::create_dir(&setup.data).unwrap();
        fs::create_dir(&setup.other).unwrap();
        build(&setup.data);
        fs::write(setup.other.join("stranger"), "another folder").unwrap();
        // Both may have been created in one tick of the clock.
        let day = std::time::Duration::from_secs(86_400);
        let earlier = std::time::SystemTime::now() - day;
        for (folder, time) in [(&setup.other, earlier), (&setup.source, earlier - day)] {
            fs::File::open(folder).unwrap().set_modified(time).unwrap();
        }
        Some(setup)
    }
}

/// The source is unmounted, and replaced by another folder, at many points of a load: also at the first, where only
/// the root is recorded, and at the last.
#[test]
fn an_unmounted_or_replaced_source_is_refused() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        other,
        source,
    } = &setup;
    let mounted = Mounted::folder(data, source);
    // The first read of a symlink sets its access time: readlink(2) has no O_NOATIME.
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
        assert_refused(scratch, &name, NOTHING_WRITTEN);
        let mounted = Mounted::folder(other, source);
        assert_refused(scratch, &name, NOTHING_WRITTEN);
        mounted.unmount();
        let mounted = Mounted::folder(data, source);
        scratch.resume(&name, &[]).expect(0);
        mounted.unmount();
        assert_same(&undisturbed, &blobs(&scratch.container(&name)));
    }
}

/// A copy of the device (such as a snapshot) on another loop device is the same source. Another ext4 whose root has
/// the same inode number is not.
#[test]
fn a_remount_from_another_device_is_the_same_source_if_the_file_system_is_the_same() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        other,
        source,
    } = &setup;
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
    // From here on, the first device has the other file system.
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

/// A file with another file mounted on it, as in containers, is not read from the file system below.
#[test]
fn a_bind_mounted_file_is_not_replaced_by_the_file_below_it() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        source,
        other,
        ..
    } = &setup;
    let (file, content) = (source.join("file"), "mounted on it");
    fs::write(&file, "below").unwrap();
    fs::write(other.join("over"), content).unwrap();
    fs::write(source.join("neighbour"), "neighbour").unwrap();
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

/// A file that is mounted at a recorded path is not a new version of the recorded file, whether or not the recorded
/// file was itself mounted.
#[test]
fn a_file_mounted_over_a_recorded_one_is_a_problem() {
    for (place, is_linked, was_mount) in [
        ("StatePublished", false, true),
        ("ScanCommitted:1", false, true),
        ("ScanCommitted:1", true, true),
        ("SettleUncommitted", false, true),
        ("ScanCommitted:1", false, false),
        ("ScanCommitted:1", true, false),
    ] {
        let Some(setup) = Setup::new() else {
            return;
        };
        let Setup {
            scratch,
            source,
            other,
            ..
        } = &setup;
        let [file, first, second] = [
            source.join("file"),
            other.join("first"),
            other.join("second"),
        ];
        fs::write(&file, "below").unwrap();
        fs::write(source.join("neighbour"), "neighbour").unwrap();
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
    setup: Setup,
    images: [PathBuf; 2],
    loops: [Loop; 2],
    at: [PathBuf; 2],
}

impl Nested {
    fn new() -> Option<Self> {
        let setup = Setup::new()?;
        let scratch = &setup.scratch;
        let at = ["a", "b/c"].map(|name| setup.source.join(name));
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
        fs::write(setup.source.join("file"), "of the source").unwrap();
        let loops = [Loop::of(&images[0]), Loop::of(&images[1])];
        Some(Nested {
            setup,
            images,
            loops,
            at,
        })
    }

    fn mount(&self) -> [Mounted; 2] {
        [0, 1].map(|number| Mounted::device(&self.loops[number], &self.at[number]))
    }

    /// Swaps the devices of the images. The mount points of the file systems do not change.
    fn renumber(&mut self) {
        let Nested { loops, images, .. } = self;
        Loop::swap(&loops[0], &images[0], &loops[1], &images[1]);
        loops.swap(0, 1);
    }
}

fn unmount(mounted: [Mounted; 2]) {
    mounted.into_iter().for_each(Mounted::unmount);
}

/// Checks that every name in the two file systems has the content of its own file.
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
            let arguments = [paths[0].as_str(), paths[1].as_str()];
            for path in arguments {
                let container = scratch.container(name).display().to_string();
                let read = crate::support::command::run(["cat", &container, path]).expect(0);
                assert_eq!(read.stdout, content, "{name}: {path}");
            }
        }
    }
}

#[test]
fn changed_device_numbers_do_not_join_files_of_two_file_systems() {
    let Some(mut nested) = Nested::new() else {
        return;
    };
    let mounted = nested.mount();
    new(&nested.setup.scratch, "undisturbed", None).expect(0);
    let undisturbed = blobs(&nested.setup.scratch.container("undisturbed"));
    assert_not_mixed(&nested.setup.scratch, "undisturbed");
    unmount(mounted);
    for place in [
        "ScanCommitted:1",
        "ScanCommitted:2",
        "ScanCommitted:3",
        "SettleCommitted",
    ] {
        let name = place.replace(':', "-");
        let mounted = nested.mount();
        new(&nested.setup.scratch, &name, Some(place));
        unmount(mounted);
        nested.renumber();
        let mounted = nested.mount();
        nested.setup.scratch.resume(&name, &[]).expect(0);
        unmount(mounted);
        assert_same(&undisturbed, &blobs(&nested.setup.scratch.container(&name)));
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

/// File systems below the source that are missing, or mounted on each other's directories, are problems until the
/// original mounts are restored. Then the load completes.
#[test]
fn missing_or_exchanged_file_systems_below_the_source_are_problems() {
    let Some(nested) = Nested::new() else {
        return;
    };
    let Nested {
        setup, loops, at, ..
    } = &nested;
    let scratch = &setup.scratch;
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

/// Resumes the existing state and crashes at `place`.
fn crash_again(scratch: &Scratch, name: &str, place: &str) -> CommandOutput {
    let mut command = clfsload();
    command
        .args(scratch.arguments(name, name))
        .arg("--no-progress");
    let ran = CommandOutput::from(command.env("CLFSLOAD_CRASH_AT", place).output().unwrap());
    assert_eq!(ran.status, -1, "{ran:#?}");
    ran
}

/// Returns the reason of each failed entry after a resume with exit status 3.
fn failed_on_resume(scratch: &Scratch, name: &str) -> Vec<(String, String)> {
    scratch.resume(name, &["--max-errors", "0"]).expect(3);
    problems(scratch, name).into_iter().collect()
}

fn not_mounted(paths: &[&str]) -> Vec<(String, String)> {
    let failed = |path: &&str| ((*path).to_owned(), "not-mounted".to_owned());
    paths.iter().map(failed).collect()
}

/// `zfs unmount` and udisks also remove the mount point, so that no listing shows its name.
#[test]
fn a_removed_mount_point_is_a_problem() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        source,
        ..
    } = &setup;
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
        // Another entry with the name of a mount point or of one of its parents.
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

/// A mount whose server does not respond is recorded too.
#[test]
fn a_mount_that_is_unresponsive_at_the_start_is_a_problem_after_it_is_unmounted() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        source,
        ..
    } = &setup;
    let at = source.join("mnt");
    fs::create_dir(&at).unwrap();
    let dead = Mounted::dead(&at);
    let mut command = clfsload();
    command
        .args(scratch.arguments("t", "t"))
        .arg("--new")
        .args(OPTIONS);
    CommandOutput::from(command.output().unwrap()).expect(3);
    assert_eq!(problems(scratch, "t")["mnt"], "input-output");
    dead.unmount();
    assert_eq!(failed_on_resume(scratch, "t"), not_mounted(&["mnt"]));
    let mounted = Mounted::folder(data, &at);
    scratch.resume("t", &[]).expect(0);
    assert_complete(scratch, "t");
    mounted.unmount();
}

/// Converts a state to schema 1, which recorded no mounts. It must not contain links.
const TO_SCHEMA_1: &str = include_str!("../../fixtures/state/to_schema_1.sql");

/// The resume that migrates the state records the mounts, and lists them for the user to check.
#[test]
fn a_transfer_of_an_earlier_version_records_the_mounts_of_its_next_run() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        source,
        ..
    } = &setup;
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
    // A run that stops early must not be the only one that prints the warning.
    let ran = scratch.resume("t", &[]).expect(3);
    assert!(ran.stderr.contains(warning), "{ran:#?}");
    let failed: Vec<_> = problems(scratch, "t").into_iter().collect();
    assert_eq!(failed, not_mounted(&["mnt"]));
    let mounted = Mounted::folder(data, &at);
    scratch.resume("t", &[]).expect(0);
    assert_complete(scratch, "t");
    mounted.unmount();
}

/// A recorded mount point is removed with its mount, and a file system is mounted after its directory was recorded.
/// The latter is loaded once a run has reported it.
#[test]
fn mounts_that_changed_since_they_were_recorded_are_problems_first() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        source,
        ..
    } = &setup;
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

/// `--source-identity accept` applies to the source, not to the file systems mounted below it.
#[test]
fn accepting_the_source_does_not_accept_another_file_system_below_it() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let Setup {
        scratch,
        data,
        other,
        source,
    } = &setup;
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

/// Without /proc, the mounts below the source are unknown, so a missing mount would not be detected later.
#[test]
fn a_source_whose_mounts_cannot_be_read_is_refused() {
    let Some(setup) = Setup::new() else {
        return;
    };
    let scratch = &setup.scratch;
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
        .args(scratch.arguments("t", "t"))
        .arg("--new");
    let ran = CommandOutput::from(command.output().unwrap());
    ran.refused(1, "cannot read /proc/self/mountinfo");
    assert!(!scratch.path("t").join("state.db").exists());
}
