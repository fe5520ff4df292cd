//! Loads of trees that are larger than the limits of the process.

use crate::support::command::Scratch;
use clfsload_checker::{FolderBlobs, check};

/// Runs a load whose process may open this many files.
fn load_with_files(scratch: &Scratch, open_files: u32) -> std::process::Output {
    // Both limits are set, so that the command cannot raise the soft limit.
    std::process::Command::new("sh")
        .arg("-c")
        .arg(format!(
            "ulimit -S -n {open_files} && ulimit -H -n {open_files} && exec \"$0\" --new \"$@\""
        ))
        .arg(env!("CARGO_BIN_EXE_clfsload"))
        .args(scratch.arguments("t", "t"))
        .output()
        .unwrap()
}

#[test]
fn large_files_are_loaded_with_few_descriptors() {
    let scratch = Scratch::new();
    let content = vec![7; 20_000];
    for n in 0..1500 {
        std::fs::write(scratch.source().join(format!("{n}")), &content).unwrap();
    }
    let output = load_with_files(&scratch, 200);
    assert!(output.status.success(), "{output:#?}");
    let checked = check(&FolderBlobs(scratch.container("t")));
    checked.assert_clean();
    assert_eq!(checked.tree.len(), 1501);
}

/// Fewer directories are kept open if the limit on open files is low.
#[test]
fn more_directories_than_descriptors_are_loaded() {
    for open_files in [200, MIN_OPEN_FILES] {
        let scratch = Scratch::new();
        for n in 0..400 {
            let directory = scratch.source().join(format!("{n}/inside"));
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("small"), "content").unwrap();
            std::fs::write(directory.join("large"), [7; 20_000]).unwrap();
        }
        let output = load_with_files(&scratch, open_files);
        assert!(output.status.success(), "{open_files}: {output:#?}");
        let checked = check(&FolderBlobs(scratch.container("t")));
        checked.assert_clean();
        assert_eq!(checked.tree.len(), 1601);
    }
}

/// The minimum number of open files for a load.
const MIN_OPEN_FILES: u32 = 92;

#[test]
fn too_few_descriptors_are_refused() {
    let scratch = Scratch::new();
    let output = load_with_files(&scratch, MIN_OPEN_FILES - 1);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("may open 91 files, but needs at least 92"),
        "{message}"
    );
}
