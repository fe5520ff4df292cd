//! Extraction by a user other than root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::{CommandOutput, Scratch};
use crate::support::skip::needs_root;
use crate::support::tree::{full, walk_source};

/// The user nobody.
const USER: u32 = 65_534;

/// Returns a copy of the command that this user may run.
fn command_for_all(scratch: &Scratch) -> PathBuf {
    let command = scratch.path("clfsload");
    // Copied by a separate process: a child that another test forks meanwhile would inherit the open copy, and
    // execve(2) would fail with ETXTBSY.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_clfsload"))
        .arg(&command)
        .status()
        .unwrap();
    assert!(copied.success());
    open_to_all(&command);
    command
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn owners_are_not_set_and_devices_are_skipped() {
    if !needs_root("running as another user") {
        return;
    }
    let scratch = Scratch::new();
    full(&scratch.source());
    scratch.load("t", &["--preserve_hardlinks", "1"]).expect(0);
    open_to_all(&scratch.path(""));
    let command = command_for_all(&scratch);
    let home = scratch.path("home");
    fs::create_dir(&home).unwrap();
    open_to_all(&home);
    let extract = |options: &[&str]| {
        let mut command = Command::new(&command);
        command
            .uid(USER)
            .gid(USER)
            .env("HOME", &home)
            .env_remove("XDG_CACHE_HOME")
            .current_dir(&home)
            .args(["extract", "--problems", "problems"])
            .args(options)
            .arg(scratch.container("t"))
            .arg("out");
        CommandOutput::from(command.output().unwrap())
    };
    let ran = extract(&[]).expect(3);
    let problems = fs::read_to_string(home.join("problems")).unwrap();
    let mut lines: Vec<&str> = problems.lines().collect();
    lines.sort_unstable();
    let expected = ["block-7-300", "char-1-3", "char-4095-1048575"]
        .map(|name| format!("/types/{name}: only the superuser can create devices"));
    assert_eq!(lines, expected, "{ran:#?}");
    for line in lines {
        assert!(ran.stderr.contains(line), "{ran:#?}");
    }

    let (source, found) = (
        walk_source(&scratch.source()),
        walk_source(&home.join("out")),
    );
    assert_eq!(found.len(), source.len() - expected.len());
    for (path, node) in &found {
        let from = &source[path];
        let name = path.escape_ascii();
        assert_eq!((node.uid, node.gid), (USER, USER), "{name}");
        assert_eq!(
            (node.sha256, &node.target),
            (from.sha256, &from.target),
            "{name}"
        );
        // Without its owner, the set-user-ID bit would give another user's rights.
        if node.mode & 0o170_000 != 0o120_000 {
            assert_eq!(node.mode, from.mode & !0o6000, "{name}");
        }
    }
    // The record is kept in the user's cache folder.
    let records = fs::read_dir(home.join(".cache/clfsload")).unwrap();
    let records = records.map(|item| item.unwrap().file_name().into_string().unwrap());
    let databases = records.filter(|name| name.ends_with(".sqlite")).count();
    assert_eq!(databases, 1);

    // Directories without permissions for their owner are entered nevertheless.
    let closed = home.join("out/modes/directory-0000");
    assert_eq!(fs::metadata(&closed).unwrap().mode() & 0o7777, 0);
    fs::remove_file(home.join("out/modes/file-0777")).unwrap();
    let again = extract(&[]).expect(3);
    assert!(
        again.stdout.contains("extracted: 1 file, 0 symlinks"),
        "{again:#?}"
    );
    assert_eq!(fs::metadata(&closed).unwrap().mode() & 0o7777, 0);

    // Owners are set on request, which this user may not do. The content is kept, without permissions for others.
    fs::remove_dir_all(home.join("out")).unwrap();
    let ran = extract(&["--same-owner"]).expect(3);
    assert!(ran.stderr.contains("setting its owner"), "{ran:#?}");
    let found = walk_source(&home.join("out"));
    assert_eq!(found.len(), source.len() - expected.len());
    for (path, node) in &found {
        let from = &source[path];
        let name = path.escape_ascii();
        assert_eq!((node.uid, node.sha256), (USER, from.sha256), "{name}");
        if node.mode & 0o170_000 != 0o120_000 {
            // Entries that the user already owns get all of their attributes.
            let owned = (from.uid, from.gid) == (USER, USER);
            assert!(owned || node.mode == from.mode & !0o6000, "{name}");
        }
    }
}

/// The container's root denies write, or even read, permission. The destination then does too.
#[test]
fn a_destination_without_write_permission_is_resumed() {
    if !needs_root("running as another user") {
        return;
    }
    let scratch = Scratch::new();
    for name in ["one", "two"] {
        fs::write(scratch.source().join(name), name).unwrap();
    }
    open_to_all(&scratch.path(""));
    let command = command_for_all(&scratch);
    for mode in [0o555, 0o100, 0] {
        let name = format!("t{mode}");
        fs::set_permissions(scratch.source(), fs::Permissions::from_mode(mode)).unwrap();
        scratch.load(&name, &[]).expect(0);
        let home = scratch.path(&format!("home{mode}"));
        fs::create_dir(&home).unwrap();
        open_to_all(&home);
        let out = home.join("out");
        let extract = |arguments: &[&str]| {
            let mut command = Command::new(&command);
            command.uid(USER).gid(USER).current_dir(&home);
            command.args(["extract", "--record", "record"]);
            command
                .arg(scratch.container(&name))
                .args(arguments)
                .arg("out");
            CommandOutput::from(command.output().unwrap())
        };
        let is = || fs::metadata(&out).unwrap().mode() & 0o7777;
        extract(&[]).expect(0);
        assert_eq!(is(), mode);
        for arguments in [&[][..], &["two"]] {
            fs::remove_file(out.join("two")).unwrap();
            let ran = extract(arguments).expect(0);
            assert!(ran.stdout.contains("extracted: 1 file"), "{ran:#?}");
            assert_eq!(is(), mode, "{arguments:?}");
        }
        // A folder that does not become the root keeps its permissions, even if nothing is extracted.
        fs::set_permissions(&out, fs::Permissions::from_mode(0o300)).unwrap();
        fs::remove_file(out.join("two")).unwrap();
        extract(&["two"]).expect(0);
        assert!(out.join("two").exists());
        assert_eq!(is(), 0o300);
        extract(&["missing"]).expect(3);
        assert_eq!(is(), 0o300);
    }
}

/// A file that its owner may not read cannot be compared. It is replaced.
#[test]
fn files_without_read_permission_are_replaced() {
    if !needs_root("running as another user") {
        return;
    }
    let scratch = Scratch::new();
    for (name, mode) in [("closed", 0o200), ("open", 0o600)] {
        let path = scratch.source().join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    scratch.load("t", &[]).expect(0);
    open_to_all(&scratch.path(""));
    let command = command_for_all(&scratch);
    let extract = |arguments: &[&str]| {
        let mut command = Command::new(&command);
        command.uid(USER).gid(USER).current_dir(scratch.path(""));
        command
            .args(["extract", "--record", "record"])
            .args(arguments);
        command.arg(scratch.container("t")).arg("out");
        CommandOutput::from(command.output().unwrap())
    };
    extract(&[]).expect(0);
    let closed = scratch.path("out/closed");
    fs::write(&closed, "CLOSED").unwrap();
    let ran = extract(&["--checksum"]).expect(0);
    assert!(ran.stdout.contains("extracted: 1 file"), "{ran:#?}");
    assert_eq!(fs::read(&closed).unwrap(), b"closed");
    assert_eq!(fs::metadata(&closed).unwrap().mode() & 0o7777, 0o200);
}
