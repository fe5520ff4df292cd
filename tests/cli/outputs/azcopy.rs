//! `--azcopy`: the lines that AzCopy's integration reads.

use serde_json::Value;

use super::{FILES, SLOWLY, scratch};
use crate::support::command::CommandOutput;

/// Returns the objects after `word`.
fn azcopy(ran: &CommandOutput, word: &str) -> Vec<Value> {
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
fn azcopy_lines_have_the_keys_that_azcopy_reads() {
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
