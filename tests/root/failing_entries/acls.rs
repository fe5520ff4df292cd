//! ACLs and extended attributes, which the format cannot store. A mask never grants additional access, and all
//! outputs count the same losses.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};
use rustix::io::Errno;
use serde_json::{Value, json};

use super::fixture::Fixture;
use crate::support::command::{Scratch, run};
use crate::support::faulty_source::{Act, Call, Fault};
use crate::support::skip::skip;
use crate::support::tree::is_superuser;
use clfsload_checker::{FolderBlobs, check};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const NFS4: &str = "system.nfs4_acl";
/// Tags of entries, and the id of entries without one.
const OWNER: u16 = 1;
const USER: u16 = 2;
const GROUP: u16 = 4;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NONE: u32 = u32::MAX;

/// Returns an ACL of the owner, the user 33, the group, the mask and others.
fn acl(permissions: [u16; 5]) -> Vec<u8> {
    let tags = [OWNER, USER, GROUP, MASK, OTHER];
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions) in tags.into_iter().zip(permissions) {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(if tag == USER { 33 } else { NONE }.to_le_bytes());
    }
    value
}

/// Returns an ACL of an NFSv4 mount: type, flags, access mask, principal.
fn nfs4(entries: &[(u32, u32, u32, &str)]) -> Vec<u8> {
    let mut value = (entries.len() as u32).to_be_bytes().to_vec();
    for (kind, flags, access, who) in entries {
        for number in [*kind, *flags, *access, who.len() as u32] {
            value.extend(number.to_be_bytes());
        }
        value.extend(who.as_bytes());
        value.resize(value.len().next_multiple_of(4), 0);
    }
    value
}

fn set(path: &Path, name: &str, value: &[u8]) -> Result<(), Errno> {
    setxattr(path, name, value, XattrFlags::empty())
}

fn file(path: &Path, mode: u32) {
    fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Creates a tree with one entry of each kind. Returns `None` if the file system has no ACLs.
fn tree() -> Option<Scratch> {
    let scratch = Scratch::new();
    let source = scratch.source();
    match set(&source, ACCESS, &acl([7, 7, 5, 7, 0])) {
        Err(Errno::OPNOTSUPP) => {
            skip("the file system of the temporary folder has no ACLs");
            return None;
        }
        done => done.unwrap(),
    }
    let at = |name: &str| source.join(name);
    file(&at("plain"), 0o664);
    // Besides the owner, only user 33 may read and write.
    file(&at("named"), 0o600);
    set(&at("named"), ACCESS, &acl([6, 6, 0, 6, 0])).unwrap();
    // The mask restricts the group.
    file(&at("masked"), 0o600);
    set(&at("masked"), ACCESS, &acl([6, 7, 7, 4, 0])).unwrap();
    // User 33 is denied read access that all others have.
    file(&at("denied"), 0o600);
    set(&at("denied"), ACCESS, &acl([6, 0, 4, 4, 4])).unwrap();
    fs::create_dir(at("folder")).unwrap();
    fs::set_permissions(at("folder"), PermissionsExt::from_mode(0o2770)).unwrap();
    set(&at("folder"), DEFAULT, &acl([7, 7, 5, 7, 0])).unwrap();
    // Inherits the default ACL of the folder.
    file(&at("folder/inherited"), 0o660);
    // A file of several segments is read by other code.
    fs::write(at("large"), [7; 20_000]).unwrap();
    fs::set_permissions(at("large"), PermissionsExt::from_mode(0o600)).unwrap();
    set(&at("large"), ACCESS, &acl([6, 6, 0, 6, 0])).unwrap();
    file(&at("user"), 0o640);
    set(&at("user"), "user.comment", b"x").unwrap();
    if is_superuser() {
        file(&at("capable"), 0o755);
        // VFS_CAP_REVISION_2 without capabilities (linux/capability.h).
        let mut value = 0x0200_0000_u32.to_le_bytes().to_vec();
        value.resize(20, 0);
        set(&at("capable"), "security.capability", &value).unwrap();
        file(&at("trusted"), 0o640);
        set(&at("trusted"), "trusted.comment", b"x").unwrap();
        // An attribute of the file system itself.
        file(&at("own"), 0o640);
        set(&at("own"), "trusted.overlay.opaque", b"y").unwrap();
    }
    Some(scratch)
}

/// The stored mode and `st_mode` of each path.
const MODES: [(&str, u32, u32); 8] = [
    ("", 0o750, 0o770),
    ("plain", 0o664, 0o664),
    ("named", 0o600, 0o660),
    ("masked", 0o640, 0o640),
    ("denied", 0o644, 0o644),
    ("folder", 0o2770, 0o2770),
    ("folder/inherited", 0o640, 0o660),
    ("large", 0o600, 0o660),
];

/// Returns the losses: kind, number of entries, first entry.
fn lost() -> Vec<Value> {
    let lost = |kind: &str, entries: u64, path: &str| json!({"kind": kind, "entries": entries, "path": path});
    let mut all = vec![
        lost("acl-denies", 1, "denied"),
        lost("access-acl", 6, "."),
        lost("default-acl", 1, "folder"),
        lost("user-xattr", 1, "user"),
    ];
    if is_superuser() {
        all.insert(3, lost("capability", 1, "capable"));
        all.push(lost("other-xattr", 1, "trusted"));
    }
    all
}

fn stored_modes(container: &Path) -> BTreeMap<Vec<u8>, u32> {
    let checked = check(&FolderBlobs(container.to_path_buf()));
    checked.assert_clean();
    let tree = checked.tree.into_iter();
    tree.map(|(path, node)| (path, node.mode & 0o7777))
        .collect()
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn the_group_gets_its_own_permissions_and_losses_are_counted() {
    let Some(scratch) = tree() else { return };
    for (path, _, st_mode) in MODES {
        assert_eq!(mode(&scratch.source().join(path)), st_mode, "{path}");
    }
    let ran = scratch.load("t", &[]).expect(0);
    let stored = stored_modes(&scratch.container("t"));
    for (path, mode, _) in MODES {
        let found = stored[path.as_bytes()];
        assert_eq!(found, mode, "{path}: {found:o}");
    }
    for output in [&ran.stdout, &ran.stderr] {
        for line in [
            "1 entry: ACL denies a user or group what the stored mode allows: in the container they may have \
             access (first: denied)",
            "6 entries: POSIX access ACL not stored: users and groups that it names lose their permissions \
             (first: .)",
            "1 entry: default ACL not stored: new entries in the directory inherit none (first: folder)",
            "1 entry: user extended attributes (user.*) not stored (first: user)",
        ] {
            assert!(output.contains(line), "no {line:?} in {output}");
        }
    }
    // Every command reports the same counts.
    let json = scratch.load("j", &["--output", "json"]).expect(0);
    assert_eq!(last_line(&json.stdout)["not_stored"], json!(lost()));
    let warning = json
        .stdout
        .lines()
        .find(|line| line.contains("\"access-acl\""));
    let warning: Value = serde_json::from_str(warning.unwrap()).unwrap();
    assert_eq!(
        (&warning["type"], &warning["event"], &warning["entries"]),
        (&json!("warning"), &json!("not-stored"), &json!(6))
    );
    let state = scratch.path("t");
    let arguments = |arguments: &[&str]| {
        let state = state.display().to_string();
        let arguments: Vec<String> = arguments
            .iter()
            .map(|word| word.replace("STATE", &state))
            .collect();
        run(arguments).expect(0)
    };
    let status = arguments(&["status", "--json", "STATE"]);
    assert_eq!(last_line(&status.stdout)["not_stored"], json!(lost()));
    let status = arguments(&["status", "STATE"]).stdout;
    assert!(
        status.contains("  6 entries: POSIX access ACL not stored"),
        "{status}"
    );
    let report = arguments(&["report", "STATE"]).stdout;
    assert!(
        report.contains("6 entries: POSIX access ACL not stored"),
        "{report}"
    );
    // The transfer is already complete. The losses are reported once more.
    let again = scratch.resume("t", &[]).expect(0);
    assert!(
        again.stdout.contains("6 entries: POSIX access ACL"),
        "{again:#?}"
    );

    let source = scratch.source().display().to_string();
    let dry = run(["--dry-run", "--json", &source]);
    let report: Value = serde_json::from_str(&dry.expect(0).stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let found: Vec<Value> = findings
        .map(|finding| {
            let first = &finding["first"][0]["path"];
            let first = if first == "" {
                json!(".")
            } else {
                first.clone()
            };
            assert_eq!(finding["fails"], false);
            json!({"kind": finding["kind"], "entries": finding["count"], "path": first})
        })
        .collect();
    assert_eq!(found, lost());

    // Extraction restores the stored modes, and the comparison with the source accepts them.
    let container = scratch.container("t").display().to_string();
    let out = scratch.path("out");
    run(["extract", &container, &out.display().to_string()]).expect(0);
    for (path, stored, _) in MODES {
        assert_eq!(mode(&out.join(path)), stored, "{path}");
    }
    run(["verify", "--source", &source, &container]).expect(0);
}

/// Earlier versions and the original loader stored such modes.
#[test]
fn a_comparison_with_the_source_finds_a_mode_that_includes_the_mask() {
    let scratch = Scratch::new();
    let named = scratch.source().join("named");
    file(&named, 0o660);
    scratch.load("t", &[]).expect(0);
    match set(&named, ACCESS, &acl([6, 6, 0, 6, 0])) {
        Err(Errno::OPNOTSUPP) => {
            return skip("the file system of the temporary folder has no ACLs");
        }
        done => done.unwrap(),
    }
    assert_eq!(mode(&named), 0o660);
    let (source, container) = (scratch.source(), scratch.container("t"));
    let ran = run([
        "verify".as_ref(),
        "--quick".as_ref(),
        "--source".as_ref(),
        source.as_os_str(),
        container.as_os_str(),
    ])
    .expect(3);
    let text = "mode 0600 in the source (without the mask of its ACL), 0660 in the container";
    assert!(ran.stdout.contains(text), "{ran:#?}");
}

/// Losses are counted once per entry. A later read of an entry replaces its earlier losses.
#[test]
fn losses_count_once_after_any_number_of_resumes() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    let source = &fixture.source;
    for path in ["fails", "kept"] {
        source.file(path, 100);
        source.set_xattr(path, "user.comment", b"x");
    }
    source.fault(Fault::new(
        "fails",
        Call::Open,
        Act::Fail(fuser::Errno::EIO),
    ));
    let lost = |kind: &str, entries: u64, path: &str| json!({"kind": kind, "entries": entries, "path": path});
    let kept = lost("user-xattr", 1, "kept");
    let json = ["--output", "json"];
    let end =
        |ran: crate::support::command::CommandOutput| last_line(&ran.stdout)["not_stored"].clone();
    assert_eq!(end(fixture.load("t", &json).expect(3)), json!([kept]));
    // An ACL that cannot be read, and later can: the mode is the same, the losses differ.
    for value in [&b""[..], &acl([6, 4, 0, 4, 4])] {
        source.set_xattr("fails", ACCESS, value);
        for _ in 0..2 {
            assert_eq!(end(fixture.resume("t", &json).expect(3)), json!([kept]));
        }
    }
    source.heal();
    let all = [
        lost("access-acl", 1, "fails"),
        lost("user-xattr", 2, "fails"),
    ];
    assert_eq!(end(fixture.resume("t", &json).expect(0)), json!(all));
    // The transfer is complete.
    assert_eq!(end(fixture.resume("t", &json).expect(0)), json!(all));
}

/// Attributes are read again if a file changed after the scan.
#[test]
fn a_file_that_changed_keeps_its_groups_permissions() {
    for (path, act) in [
        ("small", Act::Resize(200)),
        ("large", Act::Resize(20 << 20)),
        ("small", Act::Resize(30_000)),
        ("large", Act::Resize(10)),
    ] {
        let Some(fixture) = Fixture::empty() else {
            return;
        };
        fixture.source.file("small", 100);
        fixture.source.file("large", 100_000);
        // st_mode is 0644 for all entries. For this one, the group bits are a mask.
        for path in ["small", "large"] {
            fixture
                .source
                .set_xattr(path, ACCESS, &acl([6, 4, 0, 4, 4]));
        }
        fixture
            .source
            .fault(Fault::new(path, Call::Open, act).once());
        let ran = fixture.load("t", &["--output", "json"]).expect(0);
        assert!(ran.stdout.contains("taken-again"), "{path}: {ran:#?}");
        let lost = json!([{"kind": "access-acl", "entries": 2, "path": "large"}]);
        assert_eq!(last_line(&ran.stdout)["not_stored"], lost);
        let stored = stored_modes(&fixture.scratch.container("t"));
        assert_eq!(stored[path.as_bytes()], 0o604, "{path} {act:?}");
    }
}

/// The next run examines a failed file again.
#[test]
fn a_file_that_failed_keeps_its_groups_permissions() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    fixture.source.file("file", 100);
    fixture
        .source
        .set_xattr("file", ACCESS, &acl([6, 4, 0, 4, 4]));
    let fault = Fault::new("file", Call::Open, Act::Fail(fuser::Errno::EIO));
    fixture.source.fault(fault);
    fixture.load("t", &[]).expect(3);
    fixture.source.heal();
    fixture.source.resize("file", 101);
    let ran = fixture.resume("t", &["--output", "json"]).expect(0);
    let lost = json!([{"kind": "access-acl", "entries": 1, "path": "file"}]);
    assert_eq!(last_line(&ran.stdout)["not_stored"], lost);
    assert_eq!(
        stored_modes(&fixture.scratch.container("t"))[&b"file"[..]],
        0o604
    );
}

/// All other attributes are unchanged, so only the losses differ.
#[test]
fn losses_are_replaced_when_a_later_run_reads_the_attributes() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    for path in ["file", "linked"] {
        fixture.source.file(path, 100);
        // If an ACL cannot be read, the group gets no permissions.
        fixture.source.set_xattr(path, ACCESS, b"");
        let fault = Fault::new(path, Call::Open, Act::Fail(fuser::Errno::EIO));
        fixture.source.fault(fault);
    }
    fixture.source.link("name", "linked");
    let end =
        |ran: crate::support::command::CommandOutput| last_line(&ran.stdout)["not_stored"].clone();
    fixture.load("t", &[]).expect(3);
    fixture.source.heal();
    for path in ["file", "linked"] {
        let value = acl([6, 4, 0, 4, 4]);
        fixture.source.set_xattr(path, ACCESS, &value);
    }
    let ran = fixture.resume("t", &["--output", "json"]).expect(0);
    let lost = json!([{"kind": "access-acl", "entries": 3, "path": "file"}]);
    assert_eq!(end(ran), lost);
}

/// Losses are counted only for entries that are in the container.
#[test]
fn losses_are_counted_only_for_stored_entries() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    let source = &fixture.source;
    for path in ["b", "d/below", "linked", "stored"] {
        source.file(path, 100);
        source.set_xattr(path, ACCESS, &acl([6, 4, 0, 4, 4]));
    }
    source.link("name", "linked");
    source.set_xattr("d", DEFAULT, &acl([7, 7, 5, 7, 0]));
    for (path, call) in [("b", Call::Open), ("linked", Call::Read), ("d", Call::List)] {
        source.fault(Fault::new(path, call, Act::Fail(fuser::Errno::EIO)));
    }
    let state = fixture.scratch.path("t").display().to_string();
    let end =
        |ran: crate::support::command::CommandOutput| last_line(&ran.stdout)["not_stored"].clone();
    let json = ["--output", "json"];
    // Hard links are loaded when all directories are listed, or with --skip-failed.
    let ran = fixture.load("t", &json).expect(3);
    let so_far = json!([{"kind": "access-acl", "entries": 3, "path": "linked"}]);
    assert_eq!(end(ran), so_far);
    let only = json!([{"kind": "access-acl", "entries": 1, "path": "stored"}]);
    let skip = ["--output", "json", "--skip-failed"];
    assert_eq!(end(fixture.resume("t", &skip).expect(3)), only);
    assert_eq!(end(run(["status", "--json", &state]).expect(0)), only);
    let report = run(["report", &state]).expect(0).stdout;
    assert!(
        report.contains("1 entry: POSIX access ACL not stored"),
        "{report}"
    );
    // A dry run reads no files. Its figures lack only the directories that it cannot list.
    let source = fixture.scratch.source().display().to_string();
    let dry = run(["--dry-run", "--json", &source]).expect(3);
    let report: Value = serde_json::from_str(&dry.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut findings = findings.filter(|finding| finding["kind"] == "default-acl");
    assert_eq!(findings.next(), None);
    fixture.source.heal();
    let ran = fixture.load("all", &json).expect(0);
    let all = json!([
        {"kind": "access-acl", "entries": 5, "path": "b"},
        {"kind": "default-acl", "entries": 1, "path": "d"},
    ]);
    assert_eq!(end(ran), all);
}

#[test]
fn acls_of_an_nfs4_mount_are_losses_if_they_differ_from_the_mode() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    let classes = [
        (0, 0, 3, "OWNER@"),
        (0, 0x40, 1, "GROUP@"),
        (0, 0, 1, "EVERYONE@"),
    ];
    // The ACL that Linux serves for `u:33:r--,g::---,m::r--,o::r--`.
    let named = [
        (0, 0, 3, "OWNER@"),
        (0, 0, 1, "www-data@example.org"),
        (1, 0x40, 1, "GROUP@"),
        (0, 0, 1, "EVERYONE@"),
    ];
    let denied = [
        (1, 0, 1, "eve@example.org"),
        classes[0],
        classes[1],
        classes[2],
    ];
    for (path, value) in [
        ("classes", nfs4(&classes)),
        ("denied", nfs4(&denied)),
        ("malformed", vec![0, 0, 0, 9]),
        ("named", nfs4(&named)),
        ("unreadable", Vec::new()),
    ] {
        fixture.source.file(path, 10);
        fixture.source.set_xattr(path, NFS4, &value);
    }
    let ran = fixture.load("t", &["--output", "json"]).expect(0);
    let lost = json!([
        {"kind": "acl-denies", "entries": 1, "path": "denied"},
        {"kind": "nfs4-acl", "entries": 2, "path": "denied"},
        {"kind": "xattr-unexamined", "entries": 2, "path": "malformed"},
    ]);
    assert_eq!(last_line(&ran.stdout)["not_stored"], lost);
    let stored = stored_modes(&fixture.scratch.container("t"));
    for (path, mode) in [
        ("classes", 0o644),
        ("denied", 0o644),
        // If an ACL cannot be parsed, the group's permissions are unknown.
        ("malformed", 0o604),
        ("named", 0o604),
        // Such a mount lists an ACL for each file. The ACL of this one is unknown.
        ("unreadable", 0o644),
    ] {
        assert_eq!(stored[path.as_bytes()], mode, "{path}");
    }
}

/// The xattr list shows that there is a POSIX ACL, so the group bits are a mask.
#[test]
fn an_unreadable_acl_leaves_the_group_without_permissions() {
    let Some(fixture) = Fixture::empty() else {
        return;
    };
    fixture.source.file("file", 10);
    fixture.source.set_xattr("file", ACCESS, b"");
    let ran = fixture.load("t", &["--output", "json"]).expect(0);
    let lost = json!([{"kind": "xattr-unexamined", "entries": 1, "path": "file"}]);
    assert_eq!(last_line(&ran.stdout)["not_stored"], lost);
    assert_eq!(
        stored_modes(&fixture.scratch.container("t"))[&b"file"[..]],
        0o604
    );
}

/// States of version 1 resume. A warning says that their recorded entries were not examined for ACLs.
#[test]
fn a_state_of_an_earlier_version_resumes_with_a_warning() {
    let Some(scratch) = tree() else { return };
    std::os::unix::fs::symlink("x".repeat(2000), scratch.source().join("long")).unwrap();
    scratch.load("t", &[]).expect(3);
    let database = scratch.path("t").join("state.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection
        .execute_batch(
            "DROP TABLE loss; DROP TABLE changed; DROP TABLE mount; DROP TABLE mount_below;
             DELETE FROM setting WHERE name = 'examines';
             DELETE FROM counter WHERE name LIKE 'lost %';
             DROP INDEX inode_key;
             ALTER TABLE inode DROP COLUMN file_system;
             ALTER TABLE inode DROP COLUMN ctime;
             CREATE INDEX inode_key ON inode (device, inode, owner);
             PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    let state = scratch.path("t").display().to_string();
    run(["status", &state]).expect(0);
    run(["report", &state]).expect(0);
    fs::remove_file(scratch.source().join("long")).unwrap();
    file(&scratch.source().join("long"), 0o600);
    let ran = scratch.resume("t", &[]);
    let text = "ACLs of entries found by an earlier version of clfsload were not examined";
    assert!(ran.stderr.contains(text), "{ran:#?}");
    let connection = rusqlite::Connection::open(&database).unwrap();
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 2);
}

/// chmod(2) sets the mask of an inherited ACL, so the mode does not show who has access.
#[test]
fn an_extraction_warns_of_an_inherited_acl() {
    let scratch = Scratch::new();
    file(&scratch.source().join("file"), 0o640);
    scratch.load("t", &[]).expect(0);
    let folder = scratch.path("folder");
    fs::create_dir(&folder).unwrap();
    let extract = |to: &str| {
        let (container, to) = (scratch.container("t"), folder.join(to));
        run(["extract".as_ref(), container.as_os_str(), to.as_os_str()]).expect(0)
    };
    assert!(!extract("before").stderr.contains("default ACL"));
    match set(&folder, DEFAULT, &acl([7, 7, 5, 7, 0])) {
        Err(Errno::OPNOTSUPP) => {
            return skip("the file system of the temporary folder has no ACLs");
        }
        done => done.unwrap(),
    }
    let output = extract("new").stderr;
    assert!(output.contains("/new has a default ACL"), "{output}");
    assert_eq!(mode(&folder.join("new/file")), 0o640);
    assert!(extract("").stderr.contains("has a default ACL"));
    // Extracted before the folder had a default ACL.
    assert!(!extract("before").stderr.contains("default ACL"));
}
