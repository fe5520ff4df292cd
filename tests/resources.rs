//! What a process may hold is less than what a tree has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checker;
mod support;

use checker::{FolderBlobs, check};
use support::command::Scratch;

#[test]
fn many_files_of_several_segments_with_few_descriptors() {
    let scratch = Scratch::new();
    let content = vec![7; 20_000];
    for n in 0..1500 {
        std::fs::write(scratch.source().join(format!("{n}")), &content).unwrap();
    }
    let words = scratch.words("t", "t");
    // Both limits, so that the command cannot raise the soft one.
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg("ulimit -S -n 200 && ulimit -H -n 200 && exec \"$0\" --new \"$@\"")
        .arg(env!("CARGO_BIN_EXE_clfsload"))
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:#?}");
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    assert_eq!(checked.tree.len(), 1501);
}
