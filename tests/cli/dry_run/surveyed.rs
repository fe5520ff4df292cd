//! A dry run of a scratch source, as JSON.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::command::{CommandOutput, Scratch, clfsload};

/// Returns the folder for its temporary files.
pub(crate) fn temporary(scratch: &Scratch) -> PathBuf {
    let temporary = scratch.path("temporary");
    std::fs::create_dir_all(&temporary).unwrap();
    temporary
}

/// Returns the command, without the arguments of the test.
pub(crate) fn command(scratch: &Scratch) -> Command {
    let mut command = clfsload();
    command
        .env("TMPDIR", temporary(scratch))
        .arg("--dry-run")
        .arg("--json");
    command
}

/// Surveys the source.
#[track_caller]
pub(crate) fn survey(scratch: &Scratch, options: &[&str], status: i32) -> Value {
    let mut command = command(scratch);
    let ran = CommandOutput::from(
        command
            .arg(scratch.source())
            .args(options)
            .output()
            .unwrap(),
    )
    .expect(status);
    assert_left_nothing(scratch);
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Asserts that the temporary files were removed.
#[track_caller]
pub(crate) fn assert_left_nothing(scratch: &Scratch) {
    let left: Vec<_> = std::fs::read_dir(temporary(scratch)).unwrap().collect();
    assert!(left.is_empty(), "{left:#?}");
}

/// Returns the number at a JSON pointer.
#[track_caller]
pub(crate) fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer);
    let number = value.and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("{pointer} is {value:?} in {report:#}"))
}

/// Returns the finding of a kind: the number of entries, and the first paths.
pub(crate) fn finding(report: &Value, kind: &str) -> Option<(u64, Vec<String>)> {
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["kind"] == kind)?;
    let first = finding["first"].as_array().unwrap();
    let paths = first.iter().map(|path| path["path"].as_str().unwrap());
    Some((
        finding["count"].as_u64().unwrap(),
        paths.map(str::to_owned).collect(),
    ))
}
