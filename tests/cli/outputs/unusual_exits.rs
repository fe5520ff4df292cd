//! Unusual ends: a terminal that is closed, a reader that does not read, a second signal, a token in the place of
//! another argument.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use super::{SLOWLY, objects, scratch};
use crate::support::command::{Scratch, clfsload};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Returns the exit status, if the process exits in time.
fn ended(child: &mut Child, patience: Duration) -> Option<i32> {
    let since = Instant::now();
    while since.elapsed() < patience {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code().unwrap_or(-1));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn a_closed_terminal_does_not_end_a_load() {
    let scratch = scratch();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let mut load = clfsload()
        .args(scratch.arguments("t", "t"))
        .arg("--new")
        .args(SLOWLY)
        .env("TERM", "xterm")
        .stdout(Stdio::null())
        .stderr(terminal)
        .spawn()
        .unwrap();
    let mut master = File::from(master);
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("files/s") {
        let mut bytes = [0; 4096];
        let read = master.read(&mut bytes).unwrap();
        seen.extend_from_slice(&bytes[..read]);
    }
    drop(master);
    assert_eq!(ended(&mut load, Duration::from_secs(60)), Some(0));
    assert!(scratch.container("t").join("output.txt").exists());
}

/// Starts a load with more problems than fit into a pipe that nobody reads.
fn unread(scratch: &Scratch, options: &[&str]) -> Child {
    for number in 0..1500 {
        let long = scratch.source().join(format!("link{number}"));
        std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    }
    clfsload()
        .args(scratch.arguments("t", "t"))
        .args(["--new", "--max-errors", "0"])
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn signals_are_handled_while_output_is_not_read() {
    let scratch = scratch();
    let mut load = unread(&scratch, &["--output", "json"]);
    let since = Instant::now();
    // Wait until the pipe is full: it holds 64 KiB, and no line is longer than half of that.
    let mut in_pipe = 0;
    loop {
        let now = rustix::io::ioctl_fionread(load.stdout.as_ref().unwrap()).unwrap();
        if now > 32 << 10 && now == in_pipe {
            break;
        }
        in_pipe = now;
        assert!(since.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(500));
    }
    signal(&load, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(load.try_wait().unwrap(), None);
    signal(&load, Signal::INT);
    assert_eq!(ended(&mut load, Duration::from_secs(5)), Some(1));
    let history = std::fs::read_to_string(scratch.path("t/history.jsonl")).unwrap();
    // A sample may follow while the last line waits for the reader.
    let records = objects(&history);
    let end = records.iter().rfind(|record| record["record"] == "end");
    assert_eq!(end.unwrap()["end"], "stopped at once");
}

#[test]
fn a_second_signal_still_prints_the_final_line() {
    for (option, word) in [
        (&["--output", "json"][..], ""),
        (&["--azcopy"], "AZCOPY-FINAL: "),
    ] {
        let scratch = scratch();
        // One slow file delays the stop.
        let content = vec![7_u8; 9 << 20];
        std::fs::write(scratch.source().join("big"), content).unwrap();
        let mut load = clfsload()
            .args(scratch.arguments("t", "t"))
            .args([
                "--new",
                "--bandwidth-limit",
                "64K",
                "--compression",
                "DISABLED",
            ])
            .args(option)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while !scratch.path("t/history.jsonl").exists() {
            assert!(since.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(50));
        }
        std::thread::sleep(Duration::from_millis(500));
        signal(&load, Signal::INT);
        std::thread::sleep(Duration::from_millis(300));
        signal(&load, Signal::INT);
        assert_eq!(ended(&mut load, Duration::from_secs(5)), Some(1));
        let mut text = String::new();
        load.stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        let last = text.lines().last().unwrap();
        let last = last.strip_prefix(word).unwrap_or_else(|| panic!("{text}"));
        let last: Value = serde_json::from_str(last).unwrap();
        let end = [&last["end"], &last["final_job_status"]];
        let expected = ["stopped-at-once", "Aborted"];
        assert!(
            end.iter()
                .any(|end| expected.iter().any(|word| *end == word)),
            "{text}"
        );
    }
}

#[test]
fn a_token_in_the_place_of_a_path_is_not_shown() {
    let scratch = Scratch::new();
    let arguments = [
        scratch.path("t").display().to_string(),
        "/nowhere?sv=2020-12-06&sig=c2VjcmV0c2VjcmV0".to_owned(),
        "file:///nowhere".to_owned(),
        "c".to_owned(),
    ];
    for option in [&["--output", "json"][..], &["--azcopy"], &[]] {
        let output = clfsload()
            .args(&arguments)
            .arg("--new")
            .args(option)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let output_text = [output.stdout, output.stderr].concat();
        let output_text = String::from_utf8(output_text).unwrap();
        assert!(output_text.contains("/nowhere"), "{output_text}");
        assert!(!output_text.contains("c2VjcmV0"), "{output_text}");
    }
}

#[test]
fn the_final_line_reports_the_result_of_the_verification() {
    let scratch = scratch();
    let long = scratch.source().join("link");
    std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    let ran = scratch.load("t", &["--skip-failed", "--verify", "--output", "json"]);
    let lines = objects(&ran.expect(3).stdout);
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["end"], &last["exit_status"]),
        (&"verified".into(), &3.into())
    );
    let ran = scratch
        .load("u", &["--skip-failed", "--verify", "--azcopy"])
        .expect(3);
    let finals: Vec<&str> = ran
        .stdout
        .lines()
        .filter(|line| line.starts_with("AZCOPY-FINAL"))
        .collect();
    assert_eq!(
        (finals.len(), ran.stdout.lines().last()),
        (1, finals.first().copied())
    );
    assert!(finals[0].contains("\"Completed\""), "{}", finals[0]);
    // Nothing runs any more, and the counts are those of the transfer.
    let again = scratch.resume("u", &["--azcopy"]).expect(3);
    assert!(
        again.stdout.contains("\"files_completed_success\":301"),
        "{}",
        again.stdout
    );
}
