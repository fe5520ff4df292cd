//! The arguments, and that a dry run changes nothing.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::surveyed::{assert_left_nothing, command, temporary};
use crate::support::command::{CommandOutput, Scratch, clfsload};
use crate::support::faulty_source::FaultySource;
use crate::support::tree::walk_source;

fn run(scratch: &Scratch, arguments: &[&str]) -> CommandOutput {
    let mut command = clfsload();
    command.env("TMPDIR", temporary(scratch)).arg("--dry-run");
    CommandOutput::from(command.args(arguments).output().unwrap())
}

#[test]
fn the_arguments_of_a_load_are_accepted_and_nothing_is_written() {
    let scratch = Scratch::new();
    std::fs::write(scratch.source().join("file"), b"content").unwrap();
    let before = walk_source(&scratch.source());
    let arguments = scratch.arguments("t", "t");
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--new", "--memory", "64M", "--max_errors", "3"]);
    arguments.extend(["--bandwidth-limit", "1M"]);
    let ran = run(&scratch, &arguments).expect(0);
    for line in [
        "2 entries: 1 directory, 1 file",
        "  4 Put Blob requests: 1 inode, 1 directory, 1 bucket object, 1 log",
        "at the 1.0 MiB/s of --bandwidth-limit",
    ] {
        assert!(ran.stdout.contains(line), "no {line:?} in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("Gbit/s"), "{}", ran.stdout);
    assert!(ran.stderr.is_empty(), "{}", ran.stderr);
    assert!(!scratch.path("t").exists());
    assert!(!scratch.container("t").exists());
    assert_left_nothing(&scratch);
    assert_eq!(before, walk_source(&scratch.source()));
}

#[test]
fn an_account_gets_no_request_and_needs_no_token() {
    let scratch = Scratch::new();
    let (state, source) = (scratch.path("t"), scratch.source());
    let (state, source) = (state.to_str().unwrap(), source.to_str().unwrap());
    run(&scratch, &[state, source, "account", "container"]).expect(0);
    run(&scratch, &[state, source, "Account!", "container"]).refused(2, "is not a storage account");
    run(&scratch, &[state, source, "account", "C"]).refused(2, "is not a valid container name");
    assert!(!scratch.path("t").exists());
}

#[test]
fn invalid_arguments_are_refused() {
    let scratch = Scratch::new();
    let source = scratch.source();
    let source = source.to_str().unwrap();
    let inside = format!("{source}/state");
    run(&scratch, &[]).refused(2, "a dry run needs SOURCE");
    run(&scratch, &[source, source]).refused(2, "a dry run needs SOURCE");
    run(&scratch, &[&inside, source, "file:///tmp/x", "c"])
        .refused(2, "overlap: one contains the other");
    run(&scratch, &["/does/not/exist"]).refused(1, "cannot be used");
    run(&scratch, &["--dry_run_gb", "5"]).refused(2, "--dry-run-count");
    run(&scratch, &["--dry_run_gb", "5", "--dry_run_count", "0"]).refused(2, "0 is not in 1..");
    run(&scratch, &[source, "--no-such-option"]).refused(2, "--no-such-option");
    let help = run(&scratch, &["--help"]).expect(0);
    assert!(help.stdout.contains("--dry_run_gb"), "{}", help.stdout);
    // The temporary files of the command must not be surveyed.
    let mut command = clfsload();
    let command = command.env("TMPDIR", source).args(["--dry-run", source]);
    CommandOutput::from(command.output().unwrap()).refused(2, "set TMPDIR");
    assert_eq!(std::fs::read_dir(source).unwrap().count(), 0);

    let arguments = scratch.arguments("t", "t");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    scratch.load("t", &[]).expect(0);
    run(&scratch, &arguments).expect(0);
    let new = [&arguments[..], &["--new"]].concat();
    run(&scratch, &new).refused(2, "already holds a transfer");
}

#[test]
fn a_signal_stops_a_dry_run() {
    if !FaultySource::is_possible() {
        return;
    }
    let scratch = Scratch::new();
    let source = FaultySource::mount(&scratch.source());
    // With 64 threads and 100 ms per call, this takes half a minute.
    for file in 0..20_000 {
        source.file(format!("file-{file}"), 10);
    }
    source.slow_down(Duration::from_millis(100));
    let child = command(&scratch)
        .arg(scratch.source())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while source.max_concurrent_lookups() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let signalled = Instant::now();
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let ran = CommandOutput::from(child.wait_with_output().unwrap()).refused(1, "stopped");
    let took = signalled.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?} to stop");
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert_left_nothing(&scratch);
}
