//! Lines for a pipe, the display of a terminal, the summary.

use std::process::{Command, Stdio};

use super::{FILES, SLOWLY, scratch};
use crate::support::command::Scratch;

#[test]
fn a_pipe_gets_lines_and_no_display() {
    let scratch = scratch();
    let ran = scratch
        .load("t", &[&SLOWLY[..], &["--progress-interval", "1"]].concat())
        .expect(0);
    assert_eq!(ran.stderr, "");
    let figures: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.contains("files/s"))
        .collect();
    assert!(figures.len() >= 2, "{}", ran.stdout);
    for part in [
        "scan and files after ",
        " of 301 entries done, 0 failed; ",
        " requests",
        "now ",
        "overall ",
    ] {
        assert!(figures[1].contains(part), "no {part:?} in {}", figures[1]);
    }
    assert!(!ran.stdout.contains('\x1b'));
    let quiet = scratch.load(
        "u",
        &[&SLOWLY[..], &["--progress-interval", "1", "--no-progress"]].concat(),
    );
    assert!(!quiet.expect(0).stdout.contains("files/s"));
}

/// Returns the output of a load on a terminal with 80 columns.
fn on_terminal(scratch: &Scratch, options: &[&str]) -> String {
    let arguments = scratch.arguments("t", "t").join(" ");
    let line = format!(
        "stty cols 80; '{}' --new {arguments} {}",
        env!("CARGO_BIN_EXE_clfsload"),
        options.join(" ")
    );
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_terminal_gets_a_display_that_is_cleared_at_the_end() {
    let scratch = scratch();
    let seen = on_terminal(&scratch, &SLOWLY);
    for part in [
        "\x1b[",
        "] ",
        " %",
        "of 301 entries done, 0 failed",
        "slowest: the bandwidth limit",
    ] {
        assert!(seen.contains(part), "no {part:?} in {seen}");
    }
    // The display is cleared, and only the summary remains.
    let (_, end) = seen.rsplit_once("301 entries: ").unwrap();
    assert!(!end.contains("entries done"), "{end}");
    assert!(end.contains("done: the container is complete"), "{end}");
    std::fs::remove_dir_all(scratch.path("t")).unwrap();
    std::fs::remove_dir_all(scratch.container("t")).unwrap();
    let plain = on_terminal(&scratch, &["--no-progress"]);
    assert!(!plain.contains('\x1b'), "{plain}");
}

#[test]
fn a_summary_shows_the_first_problems_and_the_list_of_all() {
    let scratch = scratch();
    for number in 10..22 {
        let long = scratch.source().join(format!("link{number}"));
        std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    }
    let ran = scratch.load("t", &["--max-errors", "0"]).expect(3);
    assert!(
        ran.stdout
            .contains("failed entries, the first 10 of 12:\n  link10: "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("  link19: ") && !ran.stdout.contains("link20"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("12 entries failed (listed in "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains(&format!(
            "requests of this run: {} uploads, 2 listings",
            FILES + 1
        )),
        "{}",
        ran.stdout
    );
}
