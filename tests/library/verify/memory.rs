//! Memory is bounded for any container.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::command::{Scratch, clfsload};

const ENTRIES: usize = 100_000;

/// Three databases may each keep 64 MiB of pages in memory, and each thread of the blocking pool has its own heap.
/// Measured: 90 MiB with 27 of these threads, 109 MiB with 148 on a busy machine. It does not grow with the number of
/// entries.
const PEAK: u64 = 160 << 20;

#[test]
fn memory_is_bounded_with_very_many_entries() {
    let scratch = Scratch::in_memory();
    for directory in 0..100 {
        let at = scratch.source().join(format!("d{directory}"));
        fs::create_dir(&at).unwrap();
        for number in 0..ENTRIES / 100 {
            fs::write(at.join(format!("a-name-of-some-length-{number:08}")), "").unwrap();
        }
    }
    scratch.load("t", &[]).expect(0);
    let child = clfsload()
        .arg("verify")
        .arg(scratch.container("t"))
        .arg("--source")
        .arg(scratch.source())
        .env("TMPDIR", scratch.path(""))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (peak, output) = watch(child);
    println!(
        "{ENTRIES} entries: peak {:.1} MiB",
        peak as f64 / f64::from(1 << 20)
    );
    assert!(output.contains("clean: "), "{output}");
    assert!(output.contains("100000 files"), "{output}");
    assert!(peak > 1 << 20, "the peak was not measured");
    assert!(peak < PEAK, "a peak of {peak} bytes");
    // No temporary files remain.
    let left: Vec<_> = fs::read_dir(scratch.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".clfsload"))
        .collect();
    assert_eq!(left, [""; 0]);
}

/// Waits for the process and returns its peak resident memory (proc_pid_status(5), `VmHWM`). The value only grows,
/// so the last sample is close to the final value.
fn watch(mut child: Child) -> (u64, String) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(line) = line {
            let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
            peak = peak.max(kibibytes << 10);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    (peak, String::from_utf8(output.stdout).unwrap())
}
