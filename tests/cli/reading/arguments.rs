//! Valid and invalid arguments.

use std::path::Path;

use super::golden::{Golden, PLAIN};
use crate::support::command::{Scratch, clfsload, run};

const COMMANDS: [&str; 5] = ["ls", "stat", "cat", "du", "find"];

/// Returns the arguments of a command on a container. stat and cat need a path.
fn arguments<'a>(command: &'a str, container: &'a str) -> Vec<&'a str> {
    match command {
        "stat" | "cat" => vec![command, container, "/"],
        _ => vec![command, container],
    }
}

#[test]
fn help_lists_the_commands() {
    let help = run(["--help"]).expect(0).stdout;
    for command in ["ls", "stat", "cat", "du", "find", "extract", "verify"] {
        assert!(
            help.contains(&format!("\n  {command} ")),
            "{command}: {help}"
        );
    }
    for command in COMMANDS {
        let help = run([command, "--help"]).expect(0).stdout;
        assert!(
            help.contains("Examples:") && help.contains("Exit status:"),
            "{help}"
        );
        assert!(help.contains(&format!("clfsload {command} ")), "{help}");
        let lines = help.lines().count();
        assert!(lines <= 40, "{command}: {lines} lines");
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 120, "{command}: {widest} columns");
    }
}

#[test]
fn a_folder_that_is_not_a_container_is_refused() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
    std::fs::write(path("file"), b"").unwrap();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::create_dir(path("foreign")).unwrap();
    std::fs::write(path("foreign/notes"), b"x").unwrap();
    let golden = Golden::unpack(PLAIN);
    std::fs::remove_file(golden.blob("/")).unwrap();
    let rootless = golden.path().to_str().unwrap();
    for (container, status, what) in [
        (&path("none")[..], 1, "the folder does not exist"),
        (&path("file"), 1, "it is a file, not a folder"),
        ("myaccount/data", 1, "the folder does not exist"),
        (&path("empty"), 1, "has no root directory"),
        (&path("foreign"), 1, "has no root directory"),
        (rootless, 1, "has no root directory"),
        ("", 2, "is empty"),
        (
            "https://account1.blob.core.windows.net",
            2,
            "has no container name",
        ),
        (
            "https://account1.blob.core.windows.net/data",
            2,
            "give it with --sas-token-file",
        ),
        ("ftp://account1/data", 2, "neither https nor http"),
        (
            "https://account1.blob.core.windows.net/data?sv=1&sig=c2VjcmV0",
            2,
            "SAS token",
        ),
    ] {
        for command in COMMANDS {
            let ran = run(arguments(command, container)).refused(status, what);
            assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
            assert!(ran.stdout.is_empty(), "{ran:?}");
            assert!(!ran.stderr.contains("c2VjcmV0"), "{ran:?}");
        }
    }
}

#[test]
fn a_missing_path_is_reported() {
    let golden = Golden::unpack(PLAIN);
    let container = golden.path().to_str().unwrap();
    for command in COMMANDS {
        let ran = run([
            command,
            container,
            "/nope",
            "/hello.txt",
            "/hello.txt/x",
            "/links/../fifo",
        ]);
        let ran = ran.expect(1);
        let lines: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(
            lines,
            [
                "error: /nope: there is no such entry in the container",
                "error: /hello.txt: not a directory",
                "error: /links/..: there is no such entry in the container",
            ]
        );
        // The other path is processed.
        assert!(!ran.stdout.is_empty(), "{command}");
    }
    let ran = run(["ls", "--json", container, "/nope"]).expect(1);
    assert_eq!(
        ran.stdout,
        "{\"path\":\"/nope\",\"error\":\"/nope: there is no such entry in the container\"}\n"
    );
}

#[test]
fn invalid_options_are_refused() {
    let golden = Golden::unpack(PLAIN);
    let container = golden.path().to_str().unwrap();
    for arguments in [
        &["ls"][..],
        &["ls", container, "-R", "-0"],
        &["ls", container, "--json", "-0"],
        &["stat", container],
        &["cat", container],
        &["cat", container, "/hello.txt", "--length", "1X"],
        &["du", container, "-s", "-d", "1"],
        &["find", container, "--name", "["],
        &["find", container, "--type", "x"],
        &["find", container, "--size", "many"],
        &["find", container, "--older-than", "yesterday"],
    ] {
        run(arguments).expect(2);
    }
}

#[test]
fn a_state_folder_may_have_the_name_of_a_command() {
    let scratch = Scratch::new();
    let source = scratch.source();
    std::fs::write(source.join("file"), b"content").unwrap();
    let url = format!("file://{}", scratch.path("containers").display());
    std::fs::create_dir(scratch.path("containers")).unwrap();
    let mut load = clfsload();
    load.current_dir(scratch.path(""))
        .args(["./ls", "source", &url, "c", "--new"]);
    let output = load.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(Path::new(&scratch.path("ls")).is_dir());
    let listed = run(["ls", scratch.container("c").to_str().unwrap()]).expect(0);
    assert_eq!(listed.stdout, "file\n");
}
