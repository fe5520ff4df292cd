//! A source that changes between the scan and the read, at crash points.

use std::path::Path;

use crate::support::command::{Scratch, clfsload};
use clfsload_checker::{Checked, FolderBlobs, check};

/// Starts a load that ends at a crash point, as by SIGKILL.
fn crash(scratch: &Scratch, at: &str, options: &[&str]) {
    let mut arguments = scratch.arguments("t", "t");
    arguments.push("--new".to_owned());
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    let output = clfsload()
        .args(arguments)
        .env("CLFSLOAD_CRASH_AT", at)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "{output:#?}");
}

fn checked(scratch: &Scratch) -> Checked {
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    checked
}

fn write_mebibytes(path: &Path, mebibytes: usize, byte: u8) {
    std::fs::write(path, vec![byte; mebibytes << 20]).unwrap();
}

#[test]
fn a_link_that_is_replaced_does_not_change_the_other_names() {
    let scratch = Scratch::new();
    let source = scratch.source();
    std::fs::write(source.join("a"), "old content").unwrap();
    std::fs::hard_link(source.join("a"), source.join("b")).unwrap();
    crash(&scratch, "LinkedInode", &["--preserve_hardlinks", "1"]);
    // As editors do: a new file replaces one of the links.
    std::fs::write(source.join("new"), "other content, longer").unwrap();
    std::fs::rename(source.join("new"), source.join("a")).unwrap();
    scratch.resume("t", &[]).expect(0);
    let tree = checked(&scratch).tree;
    assert_eq!(tree[b"b".as_slice()].size, "old content".len() as u64);
    assert_eq!(tree[b"a".as_slice()].object, tree[b"b".as_slice()].object);
}

#[test]
fn no_segment_remains_of_a_file_that_shrank_between_two_runs() {
    for (after, segments) in [(0, 0), (9, 2), (25, 4)] {
        let scratch = Scratch::new();
        let file = scratch.source().join("file");
        write_mebibytes(&file, 17, 1);
        crash(&scratch, "SettleUncommitted", &[]);
        write_mebibytes(&file, after, 2);
        scratch
            .resume("t", &[])
            .refused(0, "changed since the scan");
        let tree = checked(&scratch).tree;
        assert_eq!(tree[b"file".as_slice()].size, (after as u64) << 20);
        let found = std::fs::read_dir(scratch.container("t"))
            .unwrap()
            .filter(|item| {
                item.as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .contains(".0008.")
            })
            .count();
        assert_eq!(found, segments, "{after} MiB");
    }
}

#[test]
fn no_segment_remains_of_a_skipped_file() {
    let scratch = Scratch::new();
    let file = scratch.source().join("file");
    write_mebibytes(&file, 17, 1);
    std::fs::write(scratch.source().join("other"), "stays").unwrap();
    crash(&scratch, "SettleUncommitted", &[]);
    std::fs::remove_file(&file).unwrap();
    scratch
        .resume("t", &[])
        .refused(3, "file: it no longer exists");
    assert!(!scratch.path("containers/t").join("output.txt").exists());
    scratch.resume("t", &["--skip-failed"]).expect(3);
    let tree = checked(&scratch).tree;
    assert_eq!(tree.len(), 2);
    // A skipped entry is not forgotten.
    let ran = scratch.resume("t", &[]).expect(3);
    assert!(ran.stdout.contains("1 entry that failed"), "{ran:#?}");
    let list = std::fs::read_to_string(scratch.path("t/problems.txt")).unwrap();
    assert_eq!(list, "file\n");
}

/// Asserts that the container equals the source, except for times of directories that the test changed after the scan.
fn assert_loaded(scratch: &Scratch) {
    let source = crate::support::tree::walk_source(&scratch.source());
    let tree = checked(scratch).tree;
    let differences =
        clfsload_checker::compare(&source, &tree, clfsload_checker::CompareOptions::default());
    let of_directory = |line: &String| {
        let path = line.split('"').nth(1).unwrap();
        scratch.source().join(path).is_dir() && line.contains("time: ")
    };
    let differences: Vec<_> = differences
        .into_iter()
        .filter(|line| !of_directory(line))
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// As `rsync --times` and `cp -p` do: another file with the same name, size and time.
#[test]
fn a_replacement_file_with_the_same_size_and_time_is_detected() {
    let scratch = Scratch::new();
    let source = scratch.source();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let write = |name: &str, content: &[u8]| {
        let path = source.join(name);
        std::fs::write(&path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(time).unwrap();
    };
    let link = |name: &str, target: &str| {
        std::os::unix::fs::symlink(target, source.join(name)).unwrap();
        let times = rustix::fs::Timespec {
            tv_sec: 1_600_000_000,
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: times,
            last_modification: times,
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, source.join(name), &times, flags).unwrap();
    };
    let large: Vec<u8> = vec![1; 20_000];
    write("small", b"one");
    write("large", &large);
    link("link", "one");
    crash(&scratch, "ScanCommitted", &[]);
    let before = std::fs::metadata(source.join("small")).unwrap();
    write("new-small", b"two");
    write("new-large", &vec![2; 20_000]);
    link("new-link", "two");
    for name in ["small", "large", "link"] {
        std::fs::rename(source.join(format!("new-{name}")), source.join(name)).unwrap();
    }
    let after = std::fs::metadata(source.join("small")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    let ran = scratch.resume("t", &[]).expect(0);
    for name in ["small", "large", "link"] {
        let message = format!("{name}: changed since the scan; reading it again");
        assert!(ran.stderr.contains(&message), "{ran:#?}");
    }
    assert_loaded(&scratch);
}

/// A directory from which nothing was read yet is removed and created again. The new one is loaded by the next run.
#[test]
fn a_recreated_directory_is_a_problem_first() {
    let scratch = Scratch::new();
    let directory = scratch.source().join("directory");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("old"), "old").unwrap();
    crash(&scratch, "ScanCommitted", &[]);
    let kept = scratch.path("kept");
    std::fs::rename(&directory, &kept).unwrap();
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("new"), "new").unwrap();
    let message = "directory: another file, directory or file system is in its place now";
    scratch.resume("t", &[]).refused(3, message);
    scratch.resume("t", &["--retry-errors", "0"]).expect(3);
    scratch.resume("t", &[]).expect(0);
    assert_loaded(&scratch);
}

/// The remaining entries of a partly read directory are not read from another directory.
#[test]
fn a_partly_read_directory_is_not_continued_from_another() {
    let scratch = Scratch::new();
    let directory = scratch.source().join("directory");
    std::fs::create_dir(&directory).unwrap();
    for number in 0..300 {
        std::fs::write(directory.join(number.to_string()), "old").unwrap();
    }
    // The root, then the directory. None of its files is settled.
    crash(&scratch, "SettleUncommitted", &[]);
    let kept = scratch.path("kept");
    std::fs::rename(&directory, &kept).unwrap();
    std::fs::create_dir(&directory).unwrap();
    for number in 0..300 {
        std::fs::write(directory.join(number.to_string()), "new").unwrap();
    }
    for _ in 0..2 {
        let message = "another file, directory or file system is in its place now";
        scratch
            .resume("t", &["--max-errors", "0"])
            .refused(3, message);
    }
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::rename(&kept, &directory).unwrap();
    scratch.resume("t", &[]).expect(0);
    assert_loaded(&scratch);
}
