//! Outputs that remain after a run: log and history. Also metrics for Prometheus during the run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{FILES, SLOWLY, objects, scratch};
use crate::support::command::clfsload;

fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut body = String::new();
    stream.read_to_string(&mut body).unwrap();
    Some(body)
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
        .args(scratch.arguments("t", "t"))
        .args(["--new", "--metrics-listen", &port.to_string()])
        .args(SLOWLY)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    let figures = loop {
        assert!(since.elapsed() < Duration::from_secs(30), "no figures");
        if let Some(body) = get(port, "/metrics")
            && body.contains("clfsload_run_entries_done_total")
        {
            break body;
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
    // The address is in use: reported before the transfer starts.
    let taken = ["--metrics-listen".to_owned(), port.to_string()];
    let options: Vec<&str> = taken.iter().map(String::as_str).collect();
    scratch
        .load("u", &options)
        .refused(1, "--metrics-listen 127.0.0.1");
    assert!(!scratch.path("u").exists());
    assert!(load.wait().unwrap().success());
}

#[test]
fn the_log_contains_the_messages_of_its_level() {
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
fn the_history_contains_all_runs() {
    let scratch = scratch();
    let mut load = clfsload()
        .args(scratch.arguments("t", "t"))
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
    // The run that was killed has no end record.
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
