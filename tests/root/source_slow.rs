//! Many threads call a source that responds slowly, even for the names of one directory. The container equals that
//! of a fast source.

use std::time::Duration;

use crate::support::command::{SEED, Scratch, assert_same, blobs};
use crate::support::faulty_source::FaultySource;

/// A number of concurrent calls that few threads cannot make: two threads read files, and the scan starts with at
/// most eight.
const MANY: usize = 40;

fn is_called_concurrently(fill: impl FnOnce(&FaultySource)) {
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
fn one_directory_of_many_files_is_read_concurrently() {
    is_called_concurrently(|source| {
        for number in 0..6000 {
            source.file(format!("directory/file-{number}"), 0);
        }
    });
}

#[test]
fn many_directories_of_few_files_are_read_concurrently() {
    is_called_concurrently(|source| {
        for number in 0..4000 {
            source.file(format!("directory-{}/file-{number}", number / 8), 0);
        }
    });
}
