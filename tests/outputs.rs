//! What a load tells: lines, the display of a terminal, JSON, AzCopy's lines, metrics, log and history.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use support::command::{Ran, Scratch, clfsload};

/// 2 MiB that cannot be compressed in 300 files: with [`SLOWLY`] a load takes some seconds.
const FILES: usize = 300;
const SLOWLY: [&str; 2] = ["--bandwidth-limit", "512K"];

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..FILES {
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(7000)
            .collect();
        std::fs::write(scratch.source().join(format!("f{number}")), content).unwrap();
    }
    scratch
}

fn objects(lines: &str) -> Vec<Value> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .map(|object| object["type"].as_str().unwrap())
        .collect()
}

#[test]
fn json_lines_have_version_type_and_time_and_end_with_the_final_one() {
    let scratch = scratch();
    let options = [
        &SLOWLY[..],
        &["--output", "json", "--progress-interval", "1", "--verify"],
    ]
    .concat();
    let ran = scratch.load("t", &options).expect(0);
    assert_eq!(ran.stderr, "");
    let (own, verified): (Vec<Value>, _) = objects(&ran.stdout)
        .into_iter()
        .partition(|object| object.get("type").is_some());
    for object in &own {
        assert_eq!(object["v"], 1, "{object}");
        let time = object["time"].as_str().unwrap();
        assert!(humantime::parse_rfc3339(time).is_ok(), "{time}");
    }
    let mut seen = kinds(&own);
    assert!(
        seen.iter().filter(|kind| **kind == "progress").count() >= 3,
        "{seen:?}"
    );
    seen.retain(|kind| *kind != "progress");
    let phases = ["phase"; 4];
    assert_eq!(
        seen,
        [&["start"][..], &phases, &["loaded", "info", "final"]].concat()
    );
    let loaded = own
        .iter()
        .find(|object| object["type"] == "loaded")
        .unwrap();
    assert_eq!(loaded["entries"], FILES + 1);
    assert_eq!(loaded["types"]["file"], FILES);
    // The inodes, the bucket object and the log.
    assert_eq!(loaded["requests"]["puts"], FILES + 3);
    assert_eq!(
        (&loaded["failed"], &loaded["problems_file"]),
        (&0.into(), &Value::Null)
    );
    assert_eq!(own.last().unwrap()["end"], "verified");
    assert_eq!(verified.last().unwrap()["summary"]["clean"], true);
    let progress = own
        .iter()
        .rfind(|object| object["type"] == "progress")
        .unwrap();
    assert_eq!(progress["found"], FILES + 1);
    assert!(progress["now"]["bytes_put"].as_f64().unwrap() > 0.0);
}

#[test]
fn json_tells_of_problems_and_of_failures() {
    let scratch = scratch();
    let long = scratch.source().join("link");
    std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    let ran = scratch.load("t", &["--output", "json"]).expect(3);
    let lines = objects(&ran.stdout);
    let problem = lines
        .iter()
        .find(|object| object["type"] == "problem")
        .unwrap();
    assert_eq!(
        (&problem["path"], &problem["reason"]),
        (&"link".into(), &"link-target-too-long".into())
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["type"], &last["end"]),
        (&"final".into(), &"failed-entries".into())
    );
    assert_eq!(
        (&last["failed"], &last["exit_status"]),
        (&1.into(), &3.into())
    );
    let file = last["problems_file"].as_str().unwrap();
    assert_eq!(objects(&std::fs::read_to_string(file).unwrap()).len(), 1);

    let again = scratch.load("t", &["--output", "json"]).expect(2);
    let lines = objects(&again.stdout);
    assert_eq!(kinds(&lines), ["final"]);
    assert_eq!(
        (&lines[0]["end"], &lines[0]["exit_status"]),
        (&"failed".into(), &2.into())
    );
    // For whoever looks at the terminal, the same words.
    assert_eq!(
        again.stderr,
        format!("clfsload: {}\n", lines[0]["message"].as_str().unwrap())
    );
}

/// The objects behind `word`.
fn azcopy(ran: &Ran, word: &str) -> Vec<Value> {
    let lines = ran.stdout.lines();
    lines
        .filter_map(|line| line.strip_prefix(word)?.strip_prefix(": "))
        .map(|object| serde_json::from_str(object).unwrap())
        .collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn azcopys_lines_have_the_keys_that_it_reads() {
    let scratch = scratch();
    let ran = scratch
        .load("t", &[&SLOWLY[..], &["--azcopy"]].concat())
        .expect(0);
    assert!(
        ran.stdout.lines().all(|line| line.starts_with("AZCOPY")),
        "{}",
        ran.stdout
    );
    assert_eq!(azcopy(&ran, "AZCOPY-CONFIG").len(), 1);
    assert!(!azcopy(&ran, "AZCOPY-INFO").is_empty());
    let reports = azcopy(&ran, "AZCOPY");
    // serde_json sorts keys.
    let expected = [
        "bytes_completed",
        "elapsed",
        "files_completed_failed",
        "files_completed_success",
        "files_pending",
        "files_skipped",
        "files_total",
        "pct_complete",
        "phase",
        "throughput_Mbps",
        "throughput_delta_secs",
        "time_eta",
        "time_report",
    ];
    assert_eq!(keys(&reports[0]), expected);
    for report in &reports {
        let number = |key: &str| report[key].as_f64().unwrap();
        let sum = number("files_pending")
            + number("files_completed_success")
            + number("files_completed_failed");
        assert_eq!(sum, number("files_total"), "{report}");
        assert!(number("throughput_delta_secs") >= 2.0);
    }
    let [end] = &azcopy(&ran, "AZCOPY-FINAL")[..] else {
        panic!("{}", ran.stdout);
    };
    let expected = [
        "elapsed",
        "files_completed_failed",
        "files_completed_success",
        "files_skipped",
        "files_total",
        "final_job_status",
        "total_bytes_transferred",
    ];
    assert_eq!(keys(end), expected);
    assert_eq!(end["final_job_status"], "Completed");
    assert_eq!(end["files_completed_success"], FILES + 1);

    let refused = scratch.load("t", &["--azcopy"]).expect(2);
    assert_eq!(
        azcopy(&refused, "AZCOPY-FINAL")[0]["final_job_status"],
        "Failed"
    );
}

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

#[test]
fn metrics_are_served_while_it_runs() {
    let scratch = scratch();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut load = clfsload()
        .args(scratch.words("t", "t"))
        .args(["--new", "--metrics-listen", &port.to_string()])
        .args(SLOWLY)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    let figures = loop {
        assert!(since.elapsed() < Duration::from_secs(30), "no figures");
        if let Some(answer) = get(port, "/metrics")
            && answer.contains("clfsload_run_entries_done_total")
        {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(figures.starts_with("HTTP/1.1 200 OK\r\n"), "{figures}");
    assert!(
        figures.contains("# TYPE clfsload_requests_total counter\n"),
        "{figures}"
    );
    assert!(
        figures.contains("clfsload_phase{phase=\"scan\"} 1\n"),
        "{figures}"
    );
    let body = figures.split_once("\r\n\r\n").unwrap().1;
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(get(port, "/").unwrap().starts_with("HTTP/1.1 404"));
    // The address is taken: told before anything begins.
    let taken = ["--metrics-listen".to_owned(), port.to_string()];
    let options: Vec<&str> = taken.iter().map(String::as_str).collect();
    scratch
        .load("u", &options)
        .refused(1, "--metrics-listen 127.0.0.1");
    assert!(!scratch.path("u").exists());
    assert!(load.wait().unwrap().success());
}

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

/// All of it is read long before it is uploaded.
#[test]
fn what_was_read_of_a_large_file_stays_read() {
    const BYTES: usize = 12 << 20;
    let scratch = Scratch::new();
    let mut random = fastrand::Rng::with_seed(7);
    let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(BYTES)
        .collect();
    std::fs::write(scratch.source().join("large"), content).unwrap();
    let options = [
        "--output",
        "json",
        "--progress-interval",
        "1",
        "--bandwidth-limit",
        "3M",
    ];
    let ran = scratch.load("t", &options).expect(0);
    let seen = objects(&ran.stdout);
    let read: Vec<u64> = seen
        .iter()
        .filter(|object| object["type"] == "progress")
        .map(|object| object["bytes_read"].as_u64().unwrap())
        .collect();
    assert!(read.len() >= 2, "{read:?}");
    assert!(read.is_sorted() && read[0] > BYTES as u64 / 2, "{read:?}");
}

/// What a terminal of 80 columns sees of a load.
fn on_terminal(scratch: &Scratch, options: &[&str]) -> String {
    let words = scratch.words("t", "t").join(" ");
    let line = format!(
        "stty cols 80; '{}' --new {words} {}",
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
fn a_terminal_gets_a_display_that_goes_when_the_load_ends() {
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
    // The display is cleared, and the end stands alone.
    let (_, end) = seen.rsplit_once("301 entries: ").unwrap();
    assert!(!end.contains("entries done"), "{end}");
    assert!(end.contains("done: the container is whole"), "{end}");
    std::fs::remove_dir_all(scratch.path("t")).unwrap();
    std::fs::remove_dir_all(scratch.container("t")).unwrap();
    let plain = on_terminal(&scratch, &["--no-progress"]);
    assert!(!plain.contains('\x1b'), "{plain}");
}

#[test]
fn a_summary_shows_the_first_problems_and_where_the_rest_is() {
    let scratch = scratch();
    for number in 10..22 {
        let long = scratch.source().join(format!("link{number}"));
        std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    }
    let ran = scratch.load("t", &["--max-errors", "0"]).expect(3);
    assert!(
        ran.stdout
            .contains("failed, the first 10 of 12:\n  link10: "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("  link19: ") && !ran.stdout.contains("link20"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains("12 entries failed (see "),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stdout.contains(&format!(
            "requests of this run: {} puts, 2 lists",
            FILES + 1
        )),
        "{}",
        ran.stdout
    );
}

#[test]
fn the_log_holds_what_its_level_says() {
    let scratch = scratch();
    let long = scratch.source().join("link");
    std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    let log = |name: &str, options: &[&str]| {
        scratch.load(name, options).expect(3);
        std::fs::read_to_string(scratch.path(name).join("output.txt")).unwrap()
    };
    let info = log("t", &[]);
    assert!(
        info.contains(" info phase phase=scan \"phase: scan and files\"\n"),
        "{info}"
    );
    let error = log("u", &["--log_level", "error"]);
    let [line] = error.lines().collect::<Vec<_>>()[..] else {
        panic!("{error}");
    };
    assert!(
        line.contains(" error problem path=link reason=link-target-too-long \""),
        "{line}"
    );
}

#[test]
fn a_history_is_kept_of_all_runs() {
    let scratch = scratch();
    let mut load = clfsload()
        .args(scratch.words("t", "t"))
        .arg("--new")
        .args(SLOWLY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(load.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    load.kill().unwrap();
    load.wait().unwrap();
    scratch.resume("t", &[]).expect(0);
    let history = std::fs::read_to_string(scratch.path("t").join("history.jsonl")).unwrap();
    let records = objects(&history);
    let kinds: Vec<&str> = records
        .iter()
        .map(|record| record["record"].as_str().unwrap())
        .collect();
    let of = |wanted: &str| kinds.iter().filter(|kind| **kind == wanted).count();
    // The run that was killed has no end.
    assert_eq!((of("run"), of("end")), (2, 1), "{kinds:?}");
    assert_eq!(records.last().unwrap()["end"], "finished");
    let last = &records[records.len() - 2];
    assert_eq!(
        (&last["found"], &last["done"]),
        (&(FILES + 1).into(), &(FILES + 1).into())
    );
    let latest = std::fs::read_to_string(scratch.path("t").join("progress.json")).unwrap();
    let latest: Value = serde_json::from_str(&latest).unwrap();
    assert_eq!(latest["snapshot"]["done"], FILES + 1);
}
