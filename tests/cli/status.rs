//! `clfsload status`: during a load, after a kill, when paused, when complete.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::command::{CommandOutput, Scratch, clfsload, run};

const FILES: usize = 300;

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..FILES {
        let length = 7000 + number;
        let content: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect();
        std::fs::write(scratch.source().join(format!("f{number}")), content).unwrap();
    }
    scratch
}

fn status(scratch: &Scratch, options: &[&str]) -> CommandOutput {
    let state = scratch.path("t").display().to_string();
    let mut arguments = vec!["status", &state];
    arguments.extend(options);
    run(arguments)
}

fn json(scratch: &Scratch) -> Value {
    serde_json::from_str(&status(scratch, &["--json"]).expect(0).stdout).unwrap()
}

#[test]
fn status_shows_a_running_and_a_killed_load() {
    let scratch = scratch();
    let mut load = clfsload()
        .args(scratch.arguments("t", "t"))
        .args(["--new", "--bandwidth-limit", "256K"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    let seen = loop {
        assert!(since.elapsed() < Duration::from_secs(30), "nothing is seen");
        std::thread::sleep(Duration::from_millis(100));
        if scratch.path("t/progress.json").exists() {
            let seen = json(&scratch);
            if seen["done"].as_u64().unwrap() > 0
                && seen["progress"]["run_done"].as_u64().unwrap() > 0
                && seen["progress"]["limiting"] == "bandwidth"
            {
                break seen;
            }
        }
    };
    assert_eq!(
        (&seen["running"], &seen["finished"]),
        (&true.into(), &false.into())
    );
    assert_eq!(seen["entries"], FILES + 1);
    let text = status(&scratch, &[]).expect(0).stdout;
    assert!(
        text.contains("running for ") && text.contains("scan and files, "),
        "{text}"
    );
    assert!(text.contains("last 5 minutes: "), "{text}");
    load.kill().unwrap();
    load.wait().unwrap();
    let text = status(&scratch, &[]).expect(0).stdout;
    assert!(
        text.contains(
            "not running: resume with the same command without --new (the last run did not record its end"
        ),
        "{text}"
    );
    scratch.resume("t", &[]).expect(0);
    let seen = json(&scratch);
    assert_eq!(
        (&seen["running"], &seen["finished"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        (&seen["done"], &seen["last_end"]),
        (&(FILES + 1).into(), &"finished".into())
    );
    let names: Vec<&str> = seen["largest"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (FILES - 10..FILES)
        .rev()
        .map(|number| format!("f{number}"))
        .collect();
    // Entries that were loaded between the last sample and the kill are not counted.
    let known = names
        .iter()
        .filter(|name| expected.iter().any(|expected| expected == *name));
    assert!(known.count() >= 5 && names.len() == 10, "{names:?}");
}

#[test]
fn failures_are_counted_by_reason() {
    let scratch = scratch();
    for number in 0..3 {
        let long = scratch.source().join(format!("link{number}"));
        std::os::unix::fs::symlink("x".repeat(1024), long).unwrap();
    }
    let linked = scratch.source().join("linked");
    std::fs::hard_link(scratch.source().join("f0"), linked).unwrap();
    scratch.load("t", &["--preserve-hardlinks", "1"]).expect(3);
    let seen = json(&scratch);
    // The further name is included, as in the load's own output.
    assert_eq!(
        (&seen["links"], &seen["progress"]["done"]),
        (&1.into(), &seen["done"])
    );
    assert_eq!(
        seen["failures"],
        serde_json::json!([{"reason": "link-target-too-long", "count": 3}])
    );
    assert_eq!(
        (&seen["entries"], &seen["done"], &seen["failed"]),
        (&305.into(), &301.into(), &3.into())
    );
    let text = status(&scratch, &["--watch"]).expect(0).stdout;
    assert!(
        text.contains("             3  link-target-too-long\n"),
        "{text}"
    );
    assert!(
        text.contains("(the last run: paused with failed entries)"),
        "{text}"
    );
}

#[test]
fn a_folder_that_is_not_a_state_is_refused_and_not_changed() {
    let scratch = Scratch::new();
    run(["status", "/nowhere"]).refused(2, "/nowhere holds no transfer: specify the state folder");
    let folder = scratch.path("odd");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("state.db"), "not a database").unwrap();
    let arguments = ["status".to_owned(), folder.display().to_string()];
    run(arguments).refused(1, "it is not a clfsload database");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn foreign_files_in_the_state_folder_are_ignored() {
    let scratch = scratch();
    scratch.load("t", &[]).expect(0);
    for (name, content) in [
        ("progress.json", &b"{\"snapshot\": 7}"[..]),
        ("progress.json", b""),
        ("history.jsonl", b"\xff\xff\n{}\n[[[[[\n"),
    ] {
        std::fs::write(scratch.path("t").join(name), content).unwrap();
        let seen = json(&scratch);
        assert_eq!(
            (&seen["finished"], &seen["progress"]),
            (&true.into(), &Value::Null)
        );
    }
}
