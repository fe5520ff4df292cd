//! cat: complete files and ranges.

use std::io::Read;
use std::process::Stdio;

use sha2::{Digest, Sha256};

use super::golden::{ALL, Golden, LARGE, PLAIN, tree, unhex};
use crate::support::command::clfsload;

#[test]
fn every_file_has_its_content() {
    for (archive, name, _) in ALL {
        let golden = Golden::unpack(archive);
        // The wide directory has many similar files.
        let tree = tree(name);
        let files = tree.iter().filter(|(path, node)| {
            node["type"] == "file" && (!path.starts_with(b"/wide/") || path.ends_with(b"7"))
        });
        let mut files: Vec<_> = files.collect();
        files.truncate(60);
        for (path, node) in files {
            use std::os::unix::ffi::OsStrExt;
            let mut command = clfsload();
            command.arg("cat").arg(golden.path());
            let output = command
                .arg(std::ffi::OsStr::from_bytes(path))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let hash = Sha256::digest(&output.stdout);
            let expected = unhex(node["sha256"].as_str().unwrap());
            assert_eq!(hash.to_vec(), expected, "{}", String::from_utf8_lossy(path));
        }
    }
}

#[test]
fn ranges_at_segment_boundaries_are_exact() {
    let golden = Golden::unpack(LARGE);
    let path = "/compressible-16MiB+16KiB";
    let complete = golden.output("cat", &[path]);
    assert_eq!(complete.len(), (16 << 20) + (16 << 10));
    let borders = [0, 16 << 10, (16 << 10) + (8 << 20), complete.len()];
    for border in borders {
        for offset in [border.saturating_sub(1), border, border + 1] {
            for length in [0, 1, 2, 9 << 20] {
                let (from, arguments) = (
                    offset.min(complete.len()),
                    [offset, length].map(|n| n.to_string()),
                );
                let got = golden.output(
                    "cat",
                    &["--offset", &arguments[0], "--length", &arguments[1], path],
                );
                let to = (from + length).min(complete.len());
                assert!(got == complete[from..to], "{offset} {length}");
            }
        }
    }
    let suffixes = golden.output("cat", &["--offset", "16K", "--length", "8M", path]);
    assert!(suffixes == complete[16 << 10..(16 << 10) + (8 << 20)]);
    assert!(golden.output("cat", &["--offset", "15E", path]).is_empty());
}

#[test]
fn cat_accepts_only_regular_files() {
    let golden = Golden::unpack(PLAIN);
    for (path, what) in [
        ("/links", "it is a directory"),
        (
            "/symlink",
            "it is a symlink to \"hello.txt\", which is not followed",
        ),
        ("/fifo", "it is not a regular file"),
        ("/chr-1-3", "it is not a regular file"),
        ("/nope", "there is no such entry"),
        ("/hello.txt/x", "/hello.txt: not a directory"),
    ] {
        // The other files are written.
        let output = golden.run("cat", &["/hello.txt", path, "/hello.txt"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(output.stdout, b"hello clfs\nhello clfs\n", "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains(what) && stderr.starts_with("error: /"),
            "{stderr}"
        );
    }
    let output = golden.run("cat", &["--offset", "1", "/hello.txt", "/empty"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_missing_segment_ends_the_output_there() {
    let golden = Golden::unpack(LARGE);
    let path = "/compressible-16MiB+16KiB";
    let complete = golden.output("cat", &[path]);
    let segments = golden.segments(path);
    assert_eq!(segments.len(), 2);
    for segment in segments {
        let content = std::fs::read(&segment).unwrap();
        std::fs::remove_file(&segment).unwrap();
        let output = golden.run("cat", &[path]);
        assert_eq!(output.status.code(), Some(1));
        let written = output.stdout.len();
        assert!(
            [16 << 10, (16 << 10) + (8 << 20)].contains(&written),
            "{written}"
        );
        assert!(output.stdout == complete[..written]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let name = segment.file_name().unwrap().to_str().unwrap();
        let id = name.split(['_', '.']).nth(1).unwrap();
        assert!(
            stderr.contains(path) && stderr.contains(id),
            "{stderr} {id}"
        );
        std::fs::write(&segment, content).unwrap();
    }
    assert!(golden.output("cat", &[path]) == complete);
}

#[test]
fn a_reader_that_closes_the_pipe_is_not_a_failure() {
    let golden = Golden::unpack(LARGE);
    for arguments in [
        &["cat", "/compressible-16MiB+16KiB"][..],
        &["ls", "-lR"],
        &["find"],
    ] {
        let mut command = clfsload();
        command
            .arg(arguments[0])
            .arg(golden.path())
            .args(&arguments[1..]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut few = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut few).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let golden = Golden::unpack(PLAIN);
    for arguments in [
        &["cat", "/hello.txt"][..],
        &["ls"],
        &["stat", "/"],
        &["du"],
        &["find"],
    ] {
        let mut command = clfsload();
        command
            .arg(arguments[0])
            .arg(golden.path())
            .args(&arguments[1..]);
        command.stdout(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        );
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("No space left on device"), "{stderr}");
    }
}
