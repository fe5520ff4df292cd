//! A source that changes between the scan and the read, at instants that a crash point picks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checker;
mod support;

use std::path::Path;

use checker::{Checked, FolderBlobs, check};
use support::command::{Scratch, clfsload};

/// Begins a load that ends as by SIGKILL at a named point.
fn crash(scratch: &Scratch, at: &str, options: &[&str]) {
    let mut words = scratch.words("t", "t");
    words.push("--new".to_owned());
    words.extend(options.iter().map(|option| (*option).to_owned()));
    let output = clfsload()
        .args(words)
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
    // As an editor does: a new file under the name of one link.
    std::fs::write(source.join("new"), "other content, longer").unwrap();
    std::fs::rename(source.join("new"), source.join("a")).unwrap();
    scratch.resume("t", &[]).expect(0);
    let tree = checked(&scratch).tree;
    assert_eq!(tree[b"b".as_slice()].size, "old content".len() as u64);
    assert_eq!(tree[b"a".as_slice()].object, tree[b"b".as_slice()].object);
}

#[test]
fn a_file_that_shrank_between_two_runs_leaves_no_segment() {
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
fn a_file_that_is_given_up_leaves_nothing() {
    let scratch = Scratch::new();
    let file = scratch.source().join("file");
    write_mebibytes(&file, 17, 1);
    std::fs::write(scratch.source().join("other"), "stays").unwrap();
    crash(&scratch, "SettleUncommitted", &[]);
    std::fs::remove_file(&file).unwrap();
    scratch
        .resume("t", &[])
        .refused(3, "file: it is not there any more");
    assert!(!scratch.path("containers/t").join("output.txt").exists());
    scratch.resume("t", &["--skip-failed"]).expect(3);
    let tree = checked(&scratch).tree;
    assert_eq!(tree.len(), 2);
    // What was left out is not forgotten.
    let ran = scratch.resume("t", &[]).expect(3);
    assert!(ran.stdout.contains("1 entry that failed"), "{ran:#?}");
    let list = std::fs::read_to_string(scratch.path("t/problems.txt")).unwrap();
    assert_eq!(list, "file\n");
}
