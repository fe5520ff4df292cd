//! A load by a user without permission to read everything, on a real file system.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Output;

use super::fixture::{Paths, listed_problems, missing, paths};
use crate::support::command::{Scratch, clfsload};
use crate::support::skip::needs_root;
use crate::support::tree::walk_source;
use clfsload_checker::{CompareOptions, FolderBlobs, check, compare};

/// A user without permissions: nobody.
const UID: u32 = 65_534;

fn load(scratch: &Scratch, options: &[&str]) -> Output {
    let mut arguments = scratch.arguments("t", "t");
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    let mut command = clfsload();
    command.args(arguments).uid(UID).gid(UID);
    command.output().unwrap()
}

#[track_caller]
fn expect(output: &Output, status: i32) {
    assert_eq!(output.status.code(), Some(status), "{output:#?}");
}

#[test]
fn entries_without_read_permission_are_failed_entries() {
    if !needs_root("running as another user") {
        return;
    }
    let scratch = Scratch::new();
    let source = scratch.source();
    let top = scratch.path("");
    let write = |path: &str| {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"content").unwrap();
    };
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(source.join(path), Permissions::from_mode(mode)).unwrap();
    };
    for path in [
        "open/file",
        "open/secret",
        "listed/one",
        "listed/two",
        "closed/inside",
    ] {
        write(path);
    }
    mode("open/secret", 0o600);
    // Its names can be listed but not examined.
    mode("listed", 0o744);
    mode("closed", 0o711);
    fs::set_permissions(&top, Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(scratch.path("containers")).unwrap();
    fs::create_dir(scratch.path("t")).unwrap();
    for folder in ["containers", "t"] {
        chown(scratch.path(folder), Some(UID), Some(UID)).unwrap();
    }

    let ran = load(&scratch, &["--new"]);
    expect(&ran, 3);
    let failed = || -> Paths {
        let problems = listed_problems(&scratch, "t");
        for (path, problem) in &problems {
            assert_eq!(problem.reason, "permission-denied", "{path}");
            assert_eq!(problem.errno, Some(13), "{path}");
        }
        problems.into_keys().collect()
    };
    let expected = paths(["open/secret", "listed", "closed"]);
    assert_eq!(failed(), expected);
    let copy = |from: &str, to: &str| {
        let ran = std::process::Command::new("cp")
            .arg("-a")
            .arg(scratch.path(from))
            .arg(scratch.path(to))
            .status();
        assert!(ran.unwrap().success());
    };
    copy("t", "t-before");
    copy("containers", "containers-before");

    // Without these entries.
    expect(&load(&scratch, &["--skip-failed"]), 3);
    let lost = paths([
        "open/secret",
        "listed",
        "listed/one",
        "listed/two",
        "closed",
        "closed/inside",
    ]);
    assert_eq!(missing(&scratch, "t", false), lost);

    // From the same state, by a user with more permissions.
    fs::remove_dir_all(scratch.path("t")).unwrap();
    fs::remove_dir_all(scratch.path("containers")).unwrap();
    fs::rename(scratch.path("t-before"), scratch.path("t")).unwrap();
    fs::rename(
        scratch.path("containers-before"),
        scratch.path("containers"),
    )
    .unwrap();
    scratch.resume("t", &[]).expect(0);
    assert_eq!(missing(&scratch, "t", false), Paths::new());
    assert_eq!(listed_problems(&scratch, "t").len(), 0);
}

#[test]
fn an_entry_fixed_with_chmod_is_stored_with_its_new_mode() {
    if !needs_root("running as another user") {
        return;
    }
    fixed_with_chmod(&["file", "closed"]);
    // Files with several names are read after all directories are listed.
    fixed_with_chmod(&["file", "large"]);
}

fn fixed_with_chmod(failing: &[&str]) {
    let scratch = Scratch::new();
    let source = scratch.source();
    fs::create_dir(source.join("closed")).unwrap();
    for path in ["file", "closed/inside", "large"] {
        fs::write(source.join(path), vec![7; 20_000]).unwrap();
    }
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(source.join(path), Permissions::from_mode(mode)).unwrap();
    };
    fs::hard_link(source.join("large"), source.join("name")).unwrap();
    for path in failing {
        mode(path, 0o700);
    }
    fs::set_permissions(scratch.path(""), Permissions::from_mode(0o755)).unwrap();
    for folder in ["containers", "t"] {
        fs::create_dir(scratch.path(folder)).unwrap();
        chown(scratch.path(folder), Some(UID), Some(UID)).unwrap();
    }
    expect(&load(&scratch, &["--new", "--preserve_hardlinks", "1"]), 3);
    for path in failing {
        mode(path, 0o755);
    }
    expect(&load(&scratch, &[]), 0);
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    let options = CompareOptions {
        hardlinks: true,
        ..CompareOptions::default()
    };
    let differences = compare(&walk_source(&source), &checked.tree, options);
    assert!(differences.is_empty(), "{differences:#?}");
}
