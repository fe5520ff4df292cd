//! Names of all kinds, from a source through the loader to every output.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};

use super::golden::{bytes, records};
use crate::support::command::{Scratch, clfsload};

fn odd_names() -> BTreeSet<Vec<u8>> {
    let mut names: BTreeSet<Vec<u8>> = [
        &b"plain"[..],
        b".hidden",
        b"-l",
        b"--json",
        b"two words",
        b"new\nline",
        b"tab\there",
        b"it's",
        b"\"quoted\"",
        b"back\\slash",
        b"*",
        b"?",
        b"$HOME",
        b"#hash",
        b"~",
        b"\xff",
        b"\xfe\xff middle \x80",
        b"\xc3\xbcml\xc3\xa4ut",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\x1b[31mred\x1b[0m",
        b"\x07",
        b"{}",
    ]
    .into_iter()
    .map(<[u8]>::to_vec)
    .collect();
    names.insert(vec![b'n'; 255]);
    names.insert(vec![0xa5; 255]);
    names.extend(
        (1..=255u8)
            .filter(|byte| !b"/.".contains(byte))
            .map(|byte| vec![byte]),
    );
    names
}

/// Loads a container with the odd names in a directory with an odd name.
fn odd() -> Scratch {
    let scratch = Scratch::new();
    let directory = scratch.source().join(OsStr::from_bytes(b"d\xff\n"));
    std::fs::create_dir(&directory).unwrap();
    for name in odd_names() {
        std::fs::write(directory.join(OsStr::from_bytes(&name)), &name).unwrap();
    }
    let target = OsStr::from_bytes(b"to \xff\n");
    std::os::unix::fs::symlink(target, scratch.source().join("link")).unwrap();
    scratch.load("c", &[]).expect(0);
    scratch
}

const DIRECTORY: &[u8] = b"/d\xff\n";

fn run(scratch: &Scratch, arguments: &[&[u8]]) -> Output {
    let mut command = clfsload();
    command
        .arg(OsStr::from_bytes(arguments[0]))
        .arg(scratch.container("c"));
    let output = command
        .args(arguments[1..].iter().map(|word| OsStr::from_bytes(word)))
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    output
}

#[test]
fn every_output_preserves_the_exact_bytes() {
    let scratch = odd();
    let names: Vec<Vec<u8>> = odd_names().into_iter().collect();
    let listed = run(&scratch, &[b"ls", b"-0", DIRECTORY]).stdout;
    assert_eq!(listed, [names.join(&0), vec![0]].concat());
    // Standard output is not a terminal, so names are raw here too.
    let listed = run(&scratch, &[b"ls", DIRECTORY]).stdout;
    assert_eq!(listed, [names.join(&b'\n'), vec![b'\n']].concat());

    let paths: Vec<Vec<u8>> = names
        .iter()
        .map(|name| [DIRECTORY, b"/", name].concat())
        .collect();
    for arguments in [
        &[b"ls", &b"--json"[..], DIRECTORY][..],
        &[b"ls", b"-l", b"--json", DIRECTORY],
    ] {
        let output = run(&scratch, arguments);
        let found: Vec<Vec<u8>> = records(&output.stdout)
            .iter()
            .map(|record| bytes(record, "path"))
            .collect();
        assert_eq!(found, paths);
    }
    let found = run(&scratch, &[b"find", b"-0", b"--type", b"f"]).stdout;
    assert_eq!(found, [paths.join(&0), vec![0]].concat());

    // The printed name is accepted as an argument.
    for (name, path) in names.iter().zip(&paths) {
        assert_eq!(run(&scratch, &[b"cat", path]).stdout, *name);
    }
    let arguments: Vec<&[u8]> = [&b"stat"[..], b"--json"]
        .into_iter()
        .chain(paths.iter().map(|path| &path[..]))
        .collect();
    for (record, name) in records(&run(&scratch, &arguments).stdout)
        .iter()
        .zip(&names)
    {
        assert_eq!(bytes(record, "name"), *name);
    }
    let link = &records(&run(&scratch, &[b"stat", b"--json", b"/link"]).stdout)[0];
    assert_eq!(bytes(link, "target"), b"to \xff\n");
    let du = records(&run(&scratch, &[b"du", b"--json"]).stdout);
    assert_eq!(bytes(&du[0], "path"), DIRECTORY);
}

/// Runs a command on a pseudo-terminal and returns its output.
fn on_terminal(scratch: &Scratch, arguments: &str) -> Vec<u8> {
    let line = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_clfsload"),)
        .replace("CONTAINER", scratch.container("c").to_str().unwrap());
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        // script(1) passes the line to $SHELL, or to sh, which may not support $'…'.
        .env("SHELL", "/bin/bash")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // A terminal prints CR LF for each newline.
    String::from_utf8(output.stdout)
        .unwrap()
        .replace("\r\n", "\n")
        .into_bytes()
}

#[test]
fn names_are_safe_on_a_terminal_and_usable_in_a_shell() {
    let scratch = odd();
    let directory = "$'/d\\377\\n'";
    for arguments in [
        "ls CONTAINER",
        "find CONTAINER --name '*' --type f",
        "ls -N CONTAINER",
    ] {
        let shown = on_terminal(&scratch, &format!("{arguments} {directory}"));
        let controls = shown
            .iter()
            .filter(|byte| byte.is_ascii_control() && **byte != b'\n');
        assert_eq!(controls.count(), 0, "{}", String::from_utf8_lossy(&shown));
    }
    let shown = on_terminal(&scratch, &format!("ls CONTAINER {directory}"));
    let text = String::from_utf8(shown).unwrap();
    for name in [
        "plain",
        "'two words'",
        "'new'$'\\n''line'",
        "\"it's\"",
        "''$'\\377'",
    ] {
        assert!(text.lines().any(|line| line == name), "{name}: {text}");
    }
    // Each line, as a word of a shell, is the name.
    let script = format!(
        "printf '%s\\0' {}",
        text.lines().collect::<Vec<_>>().join(" ")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let arguments: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
    let names: Vec<Vec<u8>> = odd_names().into_iter().collect();
    assert_eq!(arguments[..arguments.len() - 1], names);
}
