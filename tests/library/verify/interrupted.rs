//! Containers of unfinished loads.

use clfsload::verify::Depth;

use super::run::verify_blobs;
use crate::support::command::{CommandOutput, SEED, Scratch, blobs, clfsload, run};

/// Loads a small tree and exits at a crash point.
fn interrupted(scratch: &Scratch, place: &str) {
    let source = scratch.source();
    for directory in 0..5 {
        let directory = source.join(format!("d{directory}"));
        std::fs::create_dir(&directory).unwrap();
        for file in 0..10 {
            std::fs::write(directory.join(format!("f{file}")), "text").unwrap();
        }
    }
    let output = clfsload()
        .arg("--new")
        .args(scratch.arguments("t", "t"))
        .args(["--seed", SEED])
        .env("CLFSLOAD_CRASH_AT", place)
        .output()
        .unwrap();
    assert_ne!(CommandOutput::from(output).status, 0);
}

#[test]
fn an_unfinished_load_is_reported_in_a_few_lines() {
    for place in ["AfterPut:3", "AfterPut:40", "BeforeRoot"] {
        let scratch = Scratch::new();
        interrupted(&scratch, place);
        let container = scratch.container("t").display().to_string();
        let ran = run(["verify", &container]).expect(3);
        let first = ran.stdout.lines().next().unwrap();
        assert!(
            first.starts_with("error: there is no root directory"),
            "{ran:#?}"
        );
        assert!(first.ends_with("[unfinished, section 6]"), "{ran:#?}");
        // Unreferenced objects are counted, not listed.
        let orphans = ran.stdout.matches("[orphan, section 6]");
        assert!(orphans.count() <= 2, "{place}: {}", ran.stdout);
        // Resuming the load completes the container.
        scratch.resume("t", &[]).expect(0);
        run(["verify", &container]).expect(0);
    }
}

/// Before the root is written, only the log and its entry in the bucket object are missing.
#[test]
fn objects_written_before_the_root_are_valid() {
    let scratch = Scratch::new();
    interrupted(&scratch, "BeforeRoot");
    let blobs = blobs(&scratch.container("t")).into_iter().collect();
    let rules = verify_blobs(&blobs, Depth::Full).rules();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["orphan", "unfinished"]);
}

#[test]
fn an_empty_container_is_not_valid() {
    let verified = verify_blobs(&std::collections::HashMap::new(), Depth::Full);
    let rules = verified.rules();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["bucket-missing", "unfinished"]);
}
