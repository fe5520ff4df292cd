//! Arguments, messages and exit status of the command.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::fixture::contents;
use crate::support::command::{CommandOutput, Scratch, clfsload, run};

fn sample() -> Scratch {
    let scratch = Scratch::new();
    for directory in ["a/b", "a/.cache", "c/b"] {
        let directory = scratch.source().join(directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), "content").unwrap();
        fs::write(directory.join("file.tmp"), "temporary").unwrap();
    }
    let a = scratch.source().join("a");
    fs::set_permissions(a, fs::Permissions::from_mode(0o750)).unwrap();
    scratch.load("t", &[]).expect(0);
    scratch
}

/// Runs the command with these arguments after the container. The last one is a folder in the scratch folder.
fn extract(scratch: &Scratch, arguments: &[&str]) -> CommandOutput {
    let (destination, arguments) = arguments.split_last().unwrap();
    let mut command = clfsload();
    command
        .arg("extract")
        .arg("--record")
        .arg(scratch.path("record"))
        .arg(scratch.container("t"))
        .args(arguments)
        .arg(scratch.path(destination));
    CommandOutput::from(command.output().unwrap())
}

fn names(scratch: &Scratch, destination: &str) -> Vec<String> {
    let found = contents(&scratch.path(destination));
    let files = found.into_iter().filter(|(_, content)| content.is_some());
    files.map(|(name, _)| name).collect()
}

#[test]
fn extracted_paths_keep_their_parent_directories() {
    let scratch = sample();
    extract(
        &scratch,
        &["/a/b", "c/b/file", "a/b/file", "./a/.cache/file", "out"],
    )
    .expect(0);
    let expected = ["a/.cache/file", "a/b/file", "a/b/file.tmp", "c/b/file"];
    assert_eq!(names(&scratch, "out"), expected);
    // Parent directories get their attributes too, but the destination does not.
    let source = fs::metadata(scratch.source().join("a")).unwrap();
    let a = fs::metadata(scratch.path("out/a")).unwrap();
    assert_eq!(
        (a.mode(), a.mtime_nsec()),
        (source.mode(), source.mtime_nsec())
    );
    assert_eq!(a.mode() & 0o7777, 0o750);
    // The destination has the permissions of any folder that a user creates here.
    let made = scratch.path("made");
    fs::create_dir(&made).unwrap();
    let mode = |path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(scratch.path("out")), mode(made));
}

#[test]
fn a_missing_path_is_a_problem() {
    let scratch = sample();
    let ran = extract(
        &scratch,
        &["no/such", "a/b/file/below", "../a", "c/b", "out"],
    )
    .expect(3);
    for message in [
        "no: there is no such entry",
        "a/b/file: not a directory",
        "..: there is no such entry",
        "extracted: 2 files",
        "3 problems",
    ] {
        assert!(
            ran.stderr.contains(message) || ran.stdout.contains(message),
            "{message}: {ran:#?}"
        );
    }
    assert_eq!(names(&scratch, "out"), ["c/b/file", "c/b/file.tmp"]);
}

#[test]
fn excluded_entries_are_not_extracted() {
    let scratch = sample();
    let arguments = [
        "--exclude",
        "*.tmp",
        "--exclude",
        "/c/b",
        "--exclude",
        ".cache",
        "out",
    ];
    let ran = extract(&scratch, &arguments).expect(0);
    assert_eq!(names(&scratch, "out"), ["a/b/file"]);
    assert!(!scratch.path("out/c/b").exists() && scratch.path("out/c").is_dir());
    assert!(ran.stdout.contains("3 entries were excluded"), "{ran:#?}");
}

#[test]
fn the_command_line_is_checked() {
    let scratch = sample();
    let container = scratch.container("t");
    let container = container.to_str().unwrap();
    run(["extract", container]).refused(2, "DEST");
    let arguments = ["--same-owner", "--no-same-owner", "out"];
    extract(&scratch, &arguments).refused(2, "cannot be used with");
    extract(&scratch, &["--exclude", "[a", "out"]).refused(2, "[a");
    let inside = format!("{container}/inside");
    run(["extract", container, &inside]).refused(2, "container's own folder");
    assert!(!scratch.container("t").join("inside").exists());
    extract(&scratch, &["no/parent"]).refused(1, "No such file or directory");
    fs::write(scratch.path("file"), "").unwrap();
    extract(&scratch, &["file"]).refused(1, "Not a directory");
    // The source folder is not a container.
    let ran = run([
        "extract".as_ref(),
        scratch.source().as_os_str(),
        scratch.path("other").as_os_str(),
        "--record".as_ref(),
        scratch.path("other-record").as_os_str(),
    ]);
    ran.refused(1, "not a CLFS container");
    assert!(!scratch.path("other").exists() && !scratch.path("other-record").exists());
}

#[test]
fn a_foreign_record_is_refused() {
    let scratch = sample();
    fs::write(
        scratch.path("record"),
        "somebody's notes, which must not be lost",
    )
    .unwrap();
    extract(&scratch, &["out"]).refused(1, "record");
    let kept = fs::read_to_string(scratch.path("record")).unwrap();
    assert_eq!(kept, "somebody's notes, which must not be lost");
}

/// The information in a record applies only to one destination.
#[test]
fn a_record_of_another_destination_is_refused() {
    let scratch = sample();
    extract(&scratch, &["out"]).expect(0);
    extract(&scratch, &["other"]).refused(2, "it is the record of extracting into /");
    assert_eq!(names(&scratch, "other"), <[String; 0]>::default());
    // The same destination by another path.
    std::os::unix::fs::symlink("out", scratch.path("link")).unwrap();
    extract(&scratch, &["link"]).expect(0);
}

/// The list of names of an earlier run does not include later repairs.
#[test]
fn an_old_index_causes_a_warning() {
    let scratch = sample();
    let index = scratch.path("index");
    let index = index.to_str().unwrap();
    let warns = |index: &[&str]| {
        let ran = extract(&scratch, &[index, &["out"]].concat()).expect(0);
        ran.stderr.contains("is from an earlier run")
    };
    assert!(!warns(&["--index", index]));
    assert!(warns(&["--index", index]));
    assert!(!warns(&[]));
}

/// The list contains all problems; standard error shows the first ones.
#[test]
fn problems_are_listed() {
    let scratch = sample();
    let container = scratch.container("t");
    let arguments: Vec<String> = (0..60).map(|number| format!("missing-{number}")).collect();
    let mut all = vec!["--problems".to_owned()];
    all.push(scratch.path("problems").to_str().unwrap().to_owned());
    all.extend(arguments);
    all.push("out".to_owned());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let ran = extract(&scratch, &all).expect(3);
    assert_eq!(ran.stderr.matches("skipped:").count(), 50);
    assert!(ran.stderr.contains("10 more problems are in"), "{ran:#?}");
    let listed = fs::read_to_string(scratch.path("problems")).unwrap();
    assert_eq!(listed.lines().count(), 60);
    assert!(container.exists());
}

/// If the list cannot be written, the summary is still printed.
#[test]
fn a_list_of_problems_that_cannot_be_written_is_reported() {
    let scratch = sample();
    let ran = extract(
        &scratch,
        &["--problems", "/dev/full", "missing", "a/b", "out"],
    );
    let ran = ran.refused(1, "/dev/full: the list of problems is incomplete");
    assert!(ran.stdout.contains("extracted: 2 files"), "{ran:#?}");
}

/// On SIGINT, incomplete files are removed, and the same command resumes.
#[test]
fn an_interrupted_run_resumes() {
    let scratch = Scratch::in_memory();
    for number in 0..3000 {
        let path = scratch.source().join(number.to_string());
        fs::write(path, vec![number as u8 | 1; 20_000]).unwrap();
    }
    scratch.load("t", &[]).expect(0);
    let out = scratch.path("out");
    let child = clfsload()
        .arg("extract")
        .arg("--record")
        .arg(scratch.path("record"))
        .arg(scratch.container("t"))
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let count = || fs::read_dir(&out).map_or(0, Iterator::count);
    while count() < 100 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ran = CommandOutput::from(child.wait_with_output().unwrap());
    let ran = ran
        .refused(1, "stopping")
        .refused(1, "run the same command again");
    let there = names(&scratch, "out");
    assert!(there.len() >= 50 && there.len() < 3000, "{}", there.len());
    assert!(
        !there.iter().any(|name| name.contains("clfsload")),
        "{there:?}"
    );
    // The summary counts the existing files.
    let message = format!("extracted: {} files", there.len());
    assert!(ran.stdout.contains(&message), "{message}: {ran:#?}");
    let again = extract(&scratch, &["out"]).expect(0);
    assert!(
        again
            .stdout
            .contains(&format!("{} already up to date", there.len())),
        "{again:#?}"
    );
    assert_eq!(names(&scratch, "out").len(), 3000);
}
