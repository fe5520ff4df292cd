//! `--output json`: objects with all of their fields, in every situation.

use serde_json::Value;

use super::{FILES, SLOWLY, kinds, objects, scratch};
use crate::support::command::Scratch;

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
fn json_reports_problems_and_failures() {
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
    // The same message on standard error, for people.
    assert_eq!(
        again.stderr,
        format!("error: {}\n", lines[0]["message"].as_str().unwrap())
    );
}

/// The file is read completely long before it is uploaded.
#[test]
fn bytes_read_of_a_large_file_never_decrease() {
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
