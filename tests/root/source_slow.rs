//! A source that takes its time for each call is asked by many threads, also for the names of one
//! directory, and the container is that of a quick one.

use std::time::Duration;

use crate::support::command::{SEED, Scratch, assert_same, blobs};
use crate::support::faulty_source::FaultySource;

/// Calls at the same time that cannot come from few threads: two read files meanwhile, and the scan
/// begins with eight at most.
const MANY: usize = 40;

fn is_asked_by_many(fill: impl FnOnce(&FaultySource)) {
    if !FaultySource::is_possible() {
        return;
    }
    let scratch = Scratch::in_memory();
    let source = FaultySource::mount(&scratch.source());
    fill(&source);
    let options = ["--seed", SEED, "--worker-threads", "2"];
    scratch.load("quick", &options).expect(0);
    source.slow_down(Duration::from_millis(2));
    scratch.load("slow", &options).expect(0);
    let most = source.max_concurrent_lookups();
    assert!(most >= MANY, "{most} calls at the same time");
    let [quick, slow] = ["quick", "slow"].map(|name| blobs(&scratch.container(name)));
    assert_same(&quick, &slow);
}

#[test]
fn one_directory_of_many_files() {
    is_asked_by_many(|source| {
        for number in 0..6000 {
            source.file(format!("directory/file-{number}"), 0);
        }
    });
}

#[test]
fn many_directories_of_few_files() {
    is_asked_by_many(|source| {
        for number in 0..4000 {
            source.file(format!("directory-{}/file-{number}", number / 8), 0);
        }
    });
}
