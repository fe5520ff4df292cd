//! Findings: entries that would fail, and notes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use fuser::Errno;
use serde_json::Value;

use super::surveyed::{assert_left_nothing, command, finding, number, survey, temporary};
use crate::support::command::{CommandOutput, Scratch};
use crate::support::faulty_source::{Act, Call, Fault, FaultySource};
use crate::support::skip::needs_root;

/// The user nobody.
const UID: u32 = 65_534;

fn one(path: &str) -> Option<(u64, Vec<String>)> {
    Some((1, vec![path.to_owned()]))
}

#[test]
fn unreadable_files_and_directories_are_found() {
    if !needs_root("running as another user") {
        return;
    }
    let scratch = Scratch::new();
    let source = scratch.source();
    for path in ["open/file", "open/secret", "listed/one", "closed/inside"] {
        let path = source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"content").unwrap();
    }
    let mode = |path: &str, mode| {
        let path = scratch.path(path);
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    mode("source/open/secret", 0o600);
    mode("source/listed", 0o744);
    mode("source/closed", 0o711);
    mode("", 0o755);
    temporary(&scratch);
    mode("temporary", 0o777);
    // Root can read everything, so another user runs the command.
    assert_eq!(survey(&scratch, &[], 0)["findings"], Value::Array(vec![]));
    let mut command = command(&scratch);
    let ran = command.arg(&source).uid(UID).gid(UID).output().unwrap();
    let ran = CommandOutput::from(ran).expect(3);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["fails"], true);
    assert_eq!(finding(&report, "file-unreadable"), one("open/secret"));
    let unlisted = vec!["closed".to_owned(), "listed".to_owned()];
    assert_eq!(finding(&report, "permission-denied"), Some((2, unlisted)));

    mode("source", 0o711);
    let mut command = self::command(&scratch);
    let ran = command.arg(&source).uid(UID).gid(UID).output().unwrap();
    CommandOutput::from(ran).refused(1, "cannot be listed: no permission to read it");
    assert_left_nothing(&scratch);
}

#[test]
fn entries_that_cannot_be_loaded_are_found() {
    if !FaultySource::is_possible() {
        return;
    }
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("plain"), b"plain").unwrap();
    let mounted = scratch.source().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let source = FaultySource::mount(&mounted);
    source.directory("d");
    let name = "n".repeat(256);
    source.file(format!("d/{name}"), 10);
    source.symlink("d/too-long", &[b't'; 1024]);
    source.symlink("d/fits", &[b't'; 1023]);
    source.directory("broken");
    source.file("broken/inside", 10);
    source.fault(Fault::new("broken", Call::List, Act::Fail(Errno::EIO)));
    let report = survey(&scratch, &[], 3);
    // The mount is one finding, not one for each entry on it.
    assert_eq!(finding(&report, "mount"), one("mounted"));
    assert_eq!(
        finding(&report, "name-too-long"),
        one(&format!("mounted/d/{name}"))
    );
    assert_eq!(
        finding(&report, "link-target-too-long"),
        one("mounted/d/too-long")
    );
    assert_eq!(finding(&report, "input-output"), one("mounted/broken"));
    assert_eq!(number(&report, "/unseen"), 1);
    assert_eq!(number(&report, "/types/symlink"), 2);
    // Failed entries cause no requests. Counted: "plain", the symlink that fits, four directories.
    assert_eq!(number(&report, "/estimate/puts"), 2 + 4 + 2);
}
