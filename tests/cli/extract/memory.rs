//! Memory is bounded for any tree. The peak of resident memory is checked, not the time.

use std::fs;
use std::process::{Child, Stdio};

use clfs_format::FileType;

use super::fixture::file;
use crate::support::command::{Scratch, clfsload};
use crate::support::synthetic::Builder;

/// The sum of the limits: 64 inodes, two databases with caches of 2 and 16 MiB, stacks of 64 threads, and the
/// allocator's reserve for them.
const PEAK_SMALL: u64 = 128 << 20;
/// Additionally, 160 MiB of segments in flight, and the allocator's reserve.
const PEAK_LARGE: u64 = 384 << 20;

/// Waits for the process and returns its peak resident memory (proc_pid_status(5), `VmHWM`). The value only grows,
/// so the last sample is close to the final value.
fn watch(mut child: Child) -> (u64, bool) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(line) = line {
            let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            peak = peak.max(kibibytes << 10);
        }
        if let Some(status) = child.try_wait().unwrap() {
            return (peak, status.success());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn extract(what: &str, scratch: &Scratch, bound: u64) -> String {
    let (output, errors) = (scratch.path("output"), scratch.path("errors"));
    let child = clfsload()
        .arg("extract")
        .arg(scratch.container("t"))
        .arg(scratch.path("out"))
        .arg("--record")
        .arg(scratch.path("record"))
        .env("TMPDIR", scratch.path(""))
        .stdout(Stdio::from(fs::File::create(&output).unwrap()))
        .stderr(Stdio::from(fs::File::create(&errors).unwrap()))
        .spawn()
        .unwrap();
    let (peak, succeeded) = watch(child);
    let errors = fs::read_to_string(errors).unwrap();
    assert!(succeeded, "{what}: {errors}");
    println!("{what}: peak {:.1} MiB", peak as f64 / f64::from(1 << 20));
    assert!(peak > 1 << 20, "{what}: the peak was not measured");
    assert!(peak < bound, "{what}: a peak of {peak} bytes");
    fs::read_to_string(output).unwrap()
}

fn write(scratch: &Scratch, build: Builder) {
    fs::create_dir_all(scratch.container("t")).unwrap();
    for (name, blob) in build.blobs {
        fs::write(scratch.container("t").join(name), blob).unwrap();
    }
}

/// One directory of 60,000 entries, 200 directories of 200 entries, and 1,000 names of one file.
#[test]
fn memory_is_bounded_with_many_small_entries() {
    let scratch = Scratch::in_memory();
    let mut build = Builder::new();
    let mut root = build.root();
    let mut wide = build.directory(&mut root, "wide");
    for number in 0..60_000 {
        file(
            &mut build,
            &mut wide,
            &format!("a-name-of-some-length-{number:08}"),
            b"",
        );
    }
    let linked = build.handle(wide.handle, FileType::Regular);
    for number in 0..1000 {
        wide.add(format!("link-{number}"), linked);
    }
    build.entity(linked, &[wide.handle; 1000], "link-0", b"linked");
    build.finish_directory(&wide);
    for number in 0..200 {
        let mut directory = build.directory(&mut root, &number.to_string());
        for file_number in 0..200 {
            file(&mut build, &mut directory, &file_number.to_string(), b"x");
        }
        build.finish_directory(&directory);
    }
    build.finish_directory(&root);
    write(&scratch, build);
    let output = extract("small entries", &scratch, PEAK_SMALL);
    assert!(
        output.contains("100,001 files, 0 symlinks") && output.contains(" 999 hard links"),
        "{output}"
    );
    let again = extract("small entries, again", &scratch, PEAK_SMALL);
    assert!(again.contains("101,000 already up to date"), "{again}");
}

/// The depth of a tree; more than the number of descriptors that the command may open.
const LEVELS: usize = 1000;

#[test]
fn a_deep_tree_is_extracted_with_few_descriptors() {
    let scratch = Scratch::in_memory();
    let mut build = Builder::new();
    let mut above = vec![build.root()];
    for _ in 0..LEVELS {
        let mut parent = above.pop().unwrap();
        file(&mut build, &mut parent, "file", &[7; 20_000]);
        let directory = build.directory(&mut parent, "d");
        build.finish_directory(&parent);
        above.push(directory);
    }
    build.finish_directory(&above.pop().unwrap());
    write(&scratch, build);
    // Both limits are set, so that the command cannot raise the soft limit.
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg("ulimit -S -n 256 && ulimit -H -n 256 && exec \"$@\"")
        .args(["sh", env!("CARGO_BIN_EXE_clfsload"), "extract", "--record"])
        .args([
            scratch.path("record"),
            scratch.container("t"),
            scratch.path("out"),
        ])
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        message.contains("1,000 files") && message.contains("1,001 directories"),
        "{message}"
    );
    // A directory whose attributes were set long after it was closed.
    let middle = scratch.path("out").join("d/".repeat(LEVELS / 2));
    let metadata = fs::metadata(middle).unwrap();
    assert_eq!(
        std::os::unix::fs::MetadataExt::mtime(&metadata),
        1_500_000_001
    );
}

/// Files that together do not fit into memory, with segments that compress to almost nothing.
#[test]
fn memory_is_bounded_with_concurrent_large_files() {
    let scratch = Scratch::in_memory();
    let mut build = Builder::new();
    let mut root = build.root();
    let content = vec![7; 80 << 20];
    for number in 0..8 {
        file(&mut build, &mut root, &number.to_string(), &content);
    }
    build.finish_directory(&root);
    write(&scratch, build);
    let output = extract("large files", &scratch, PEAK_LARGE);
    assert!(output.contains("extracted: 8 files"), "{output}");
    for number in 0..8 {
        let written = fs::read(scratch.path("out").join(number.to_string())).unwrap();
        assert!(written == content, "{number} differs");
    }
}
