//! Damaged entries are reported and skipped; the others are listed.

use std::process::Output;

use super::golden::{ALL, Golden, PLAIN, records};

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_damaged_directory_is_reported() {
    for (archive, _, _) in ALL {
        let golden = Golden::unpack(archive);
        let all = golden.records("find", &[]).len();
        let below = golden.records("find", &["/links/a"]).len() - 1;
        let blob = golden.blob("/links/a");
        let content = std::fs::read(&blob).unwrap();
        std::fs::write(&blob, &content[..content.len() / 2]).unwrap();
        let name = blob.file_name().unwrap().to_str().unwrap();
        for arguments in [
            &["ls", "-R"][..],
            &["ls", "-lR"],
            &["find"],
            &["du"],
            &["find", "--size", "+0"],
        ] {
            let output = golden.run(arguments[0], &arguments[1..]);
            assert_eq!(output.status.code(), Some(3), "{arguments:?} {output:?}");
            let stderr = stderr(&output);
            assert!(
                stderr.contains("error: /links/a: ") && stderr.contains(name),
                "{stderr}"
            );
            // One message, even if the inode was already read for another entry.
            assert_eq!(
                stderr.matches("/links/a: ").count(),
                1,
                "{arguments:?} {stderr}"
            );
            let missing = "1 directory could not be read: everything below is missing";
            assert!(stderr.contains(missing), "{arguments:?} {stderr}");
        }
        for arguments in [["-lR", "--json"], ["-R", "--json"]] {
            let records = records(&golden.run("ls", &arguments).stdout);
            let errors = records
                .iter()
                .filter(|record| record.get("error").is_some());
            assert_eq!(errors.count(), 1, "{arguments:?}");
        }
        let output = golden.run("find", &["--json"]);
        let records = records(&output.stdout);
        let (errors, found): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|record| record.get("error").is_some());
        assert_eq!(found.len(), all - below);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0]["path"], "/links/a");
        assert!(errors[0]["error"].as_str().unwrap().contains(name));
        // Specified directly, it cannot be listed at all.
        for (command, status) in [("ls", 3), ("stat", 1), ("du", 3), ("find", 3)] {
            let output = golden.run(command, &["/links/a"]);
            assert_eq!(output.status.code(), Some(status), "{output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
        }
    }
}

#[test]
fn a_damaged_inode_keeps_its_name() {
    let golden = Golden::unpack(PLAIN);
    let blob = golden.blob("/hello.txt");
    std::fs::write(&blob, b"").unwrap();
    assert!(stdout(&golden.run("ls", &[])).contains("\nhello.txt\n"));
    let output = golden.run("ls", &["-l"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let line = "-?????????   ?     ?     ?            ?                    ? hello.txt\n";
    assert!(stdout(&output).contains(line), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("error: /hello.txt: "),
        "{output:?}"
    );
    assert_eq!(
        stdout(&output).lines().count(),
        stdout(&golden.run("ls", &[])).lines().count()
    );
    // Whether it would match is unknown.
    let output = golden.run("find", &["--name", "hello.txt", "--size", "11"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(3), &b""[..])
    );
    let output = golden.run("find", &["--name", "empty", "--size", "0"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(0), &b"/empty\n"[..])
    );
    let output = golden.run("cat", &["/hello.txt"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(1), &b""[..])
    );
}

/// Replaces a name in a directory with another of the same length.
fn rename_raw(golden: &Golden, directory: &str, from: &[u8], to: &[u8]) -> String {
    let blob = golden.blob(directory);
    let mut content = std::fs::read(&blob).unwrap();
    let at = content
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    content[at..at + from.len()].copy_from_slice(to);
    std::fs::write(&blob, content).unwrap();
    blob.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_bad_entry_is_skipped() {
    let golden = Golden::unpack(PLAIN);
    let all = stdout(&golden.run("ls", &[]));
    for (bad, shown) in [
        (&b"hell/.txt"[..], "hell/.txt"),
        (b"hell\0.txt", "hell\\\\x00.txt"),
    ] {
        let blob = rename_raw(&golden, "/", b"hello.txt", bad);
        let output = golden.run("ls", &[]);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert_eq!(stdout(&output), all.replace("hello.txt\n", ""));
        let stderr = stderr(&output);
        assert!(stderr.contains(&blob) && stderr.contains(shown), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        rename_raw(&golden, "/", bad, b"hello.txt");
    }
    assert_eq!(stdout(&golden.run("ls", &[])), all);
}

#[test]
fn a_parent_entry_under_another_name_is_listed_but_not_entered() {
    let golden = Golden::unpack(PLAIN);
    rename_raw(
        &golden,
        "/links",
        &[2, 0, 0, 0, b'.', b'.'],
        &[2, 0, 0, 0, b'x', b'y'],
    );
    // An entry of the parent under another name: it is listed, but not entered again.
    let output = golden.run("ls", &["-R", "/"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(stdout(&output).contains("sym2\nxy\n"), "{output:?}");
    assert!(
        stderr(&output).contains("/links/xy: the directory"),
        "{output:?}"
    );
    let again = golden.run("find", &["/links", "--max-depth", "1", "--name", "xy"]);
    assert_eq!(stdout(&again), "/links/xy\n");
}

#[test]
fn a_large_directory_with_a_missing_segment_is_listed_in_part() {
    let golden = Golden::unpack("container-lz4-large.tar.gz");
    let segments = golden.segments("/wide");
    assert_eq!(segments.len(), 1);
    std::fs::remove_file(&segments[0]).unwrap();
    let output = golden.run("ls", &["/wide"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let kept = stdout(&output).lines().count();
    assert!((100..2500).contains(&kept), "{kept}");
    assert!(stderr(&output).contains("error: /wide: "), "{output:?}");
    // A name that the missing segment may contain is not reported as missing.
    let output = golden.run("stat", &["/wide/no-such-name"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!stderr(&output).contains("no such entry"), "{output:?}");
}
