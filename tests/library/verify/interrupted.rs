//! Containers whose load came to no end.

use clfsload::verify::Depth;

use super::run::verify_blobs;
use crate::support::command::{Ran, SEED, Scratch, blobs, clfsload, run};

/// Loads a small tree and ends at a place.
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
    assert_ne!(Ran::from(output).status, 0);
}

#[test]
fn an_unfinished_load_is_told_in_a_few_lines() {
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
        // What nothing names is counted, not listed.
        let orphans = ran.stdout.matches("[orphan, section 6]");
        assert!(orphans.count() <= 2, "{place}: {}", ran.stdout);
        // Going on makes it whole.
        scratch.resume("t", &[]).expect(0);
        run(["verify", &container]).expect(0);
    }
}

/// Before the root only the log and the bucket's word of it are missing.
#[test]
fn what_is_there_before_the_root_is_sound() {
    let scratch = Scratch::new();
    interrupted(&scratch, "BeforeRoot");
    let blobs = blobs(&scratch.container("t")).into_iter().collect();
    let rules = verify_blobs(&blobs, Depth::Full).rules();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["orphan", "unfinished"]);
}

#[test]
fn an_empty_container_is_no_container() {
    let verified = verify_blobs(&std::collections::HashMap::new(), Depth::Full);
    let rules = verified.rules();
    let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["bucket-missing", "unfinished"]);
}
