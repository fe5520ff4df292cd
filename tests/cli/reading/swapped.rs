//! One object's bytes under another's name, for each kind of object: the messages of every command.

use std::fs;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::command::clfsload;
use crate::support::kinds::{Kind, Kinds};

fn run(container: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let (command, rest) = arguments.split_first().unwrap();
    let output: Output = clfsload()
        .arg(command)
        .arg(container)
        .args(rest)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Creates the container in a folder, with the bytes of `from` under the name of `to`.
fn swapped(kinds: &Kinds, to: &str, from: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &kinds.blobs {
        let bytes = match name == to {
            true => &kinds.blobs[from],
            false => bytes,
        };
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

#[test]
fn every_command_reports_damage_and_processes_the_other_entries() {
    let kinds = Kinds::new();
    let small = &kinds.kinds[0];
    std::thread::scope(|scope| {
        for kind in &kinds.kinds {
            let donor = kind.other.as_ref().unwrap_or(&small.blob);
            let folder = swapped(&kinds, &kind.blob, donor);
            scope.spawn(move || commands(kind, folder.path()));
        }
    });
}

fn commands(kind: &Kind, container: &Path) {
    let what = kind.what;
    let Some(path) = kind.damaged else {
        // The bucket object is not needed for reading.
        let (status, _, stderr) = run(container, &["ls", "-lR"]);
        assert_eq!((status, &*stderr), (Some(0), ""), "{what}");
        let (status, stdout, _) = run(container, &["verify", "--quick"]);
        assert_eq!(status, Some(3), "{what}: {stdout}");
        assert!(
            stdout.contains("[other-object, section 6]"),
            "{what}: {stdout}"
        );
        return;
    };
    let message = format!(
        "{path}: the blob {} does not hold the object in its name: ",
        kind.blob
    );
    let content_only = what == "segment of a file";
    let listing: &[&[&str]] = match content_only {
        true => &[],
        false => &[&["ls", "-lR"], &["find", "--uid", "1000"], &["du"]],
    };
    for arguments in listing {
        if what.ends_with("device") || matches!(what, "fifo" | "socket") {
            // du does not read inodes of entries without a size.
            if arguments[0] == "du" {
                continue;
            }
        }
        let (status, stdout, stderr) = run(container, arguments);
        assert_eq!(status, Some(3), "{what}: {arguments:?} {stderr}");
        // A directory is reported both as an entry and when it would be listed.
        let is_expected = |line: &str| {
            line.contains(&message)
                || line.ends_with("could not be read: everything below is missing")
                || line.ends_with("entries are missing, with everything below them")
        };
        assert!(stderr.lines().all(is_expected), "{what}: {stderr}");
        assert!(stderr.contains(&message), "{what}: {stderr}");
        if path != "/" && arguments[0] != "du" {
            assert!(stdout.contains("bob"), "{what}: {stdout}");
        }
    }
    // For a directory with a damaged segment, use the path of the lost entry.
    let requested = kind.unreachable.first().copied().unwrap_or(path);
    if !content_only {
        let (status, stdout, stderr) = run(container, &["stat", requested]);
        assert_eq!((status, &*stdout), (Some(1), ""), "{what}: {stderr}");
        assert!(stderr.contains(&kind.blob), "{what}: {stderr}");
    }
    if !matches!(what, "root") {
        let (status, stdout, stderr) = run(container, &["cat", requested, "/bob"]);
        assert_eq!(status, Some(1), "{what}: {stderr}");
        assert!(stdout.ends_with("text"), "{what}: {stdout}");
        assert!(stderr.contains(&kind.blob), "{what}: {stderr}");
    }
    let out = tempfile::tempdir().unwrap();
    let destination = out.path().join("out");
    let (status, _, stderr) = run(container, &["extract", destination.to_str().unwrap()]);
    match what {
        "root" => assert_eq!(status, Some(1), "{what}: {stderr}"),
        _ => {
            assert_eq!(status, Some(3), "{what}: {stderr}");
            assert_eq!(
                fs::read(destination.join("bob")).unwrap(),
                b"text",
                "{what}"
            );
            let unreachable = kind.unreachable.iter().chain([&path]);
            for path in unreachable.filter(|path| **path != "/many") {
                let there = destination.join(&path[1..]).symlink_metadata();
                assert!(there.is_err(), "{what}: {path} was extracted");
            }
        }
    }
    assert!(stderr.contains(&kind.blob), "{what}: {stderr}");
    let (status, stdout, stderr) = run(container, &["verify"]);
    assert_eq!(status, Some(3), "{what}: {stderr}");
    let error = format!("error: {path} (blob {}): it", kind.blob);
    assert!(stdout.contains(&error), "{what}: {stdout}");
    let errors = stdout.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{what}: {stdout}");
}
