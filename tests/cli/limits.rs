//! Memory is bounded for any tree and any network speed, and nothing is done twice. Rows, requests and the peak of
//! resident memory are checked, not times.
//!
//! CLFSLOAD_FULL_LIMITS=1 makes the trees ten times as large.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use clfsload::state::{Counter, State};
use rustix::fs::{Mode, OFlags, mkdirat, openat};

use crate::support::command::{Scratch, clfsload};
use crate::support::sink::{Pace, Sink};

/// With default options, objects in flight may use 64 MiB. The same amount remains for names in directories that are
/// being listed, the database's caches and the program itself.
const PEAK: u64 = 128 << 20;

/// Serializes these tests, since each would slow down the others.
static TURN: Mutex<()> = Mutex::new(());

fn scale() -> usize {
    match std::env::var_os("CLFSLOAD_FULL_LIMITS") {
        Some(_) => 10,
        None => 1,
    }
}

/// The resources that a load used.
struct Usage {
    entries: u64,
    done: u64,
    objects: u64,
    /// The maximum at any time.
    threads: u64,
}

/// Maxima observed for a process.
struct Peaks {
    /// The peak memory in bytes.
    peak: u64,
    /// The maximum number of threads.
    threads: u64,
    succeeded: bool,
}

/// Loads the source into the container in the arguments, and reads the figures of its state.
fn load(what: &str, scratch: &Scratch, arguments: Vec<String>, options: &[&str]) -> Usage {
    let state = scratch.path("state");
    let errors = File::create(scratch.path("errors")).unwrap();
    let child = clfsload()
        .arg("--new")
        .arg(&state)
        .arg(scratch.source())
        .args(arguments)
        .args(options)
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let Peaks {
        peak,
        threads,
        succeeded,
    } = watch(child);
    let errors = fs::read_to_string(scratch.path("errors")).unwrap();
    assert!(succeeded, "{what}: {errors}");
    let state = State::open(&state).unwrap();
    let totals = state.reader().unwrap().totals().unwrap();
    let usage = Usage {
        entries: totals.entries(),
        done: totals.get(Counter::Done),
        objects: totals.get(Counter::Objects),
        threads,
    };
    println!(
        "{what}: {} entries, {} objects, peak {:.1} MiB, {threads} threads",
        usage.entries,
        usage.objects,
        peak as f64 / f64::from(1 << 20)
    );
    assert!(peak > 1 << 20, "{what}: the peak was not measured");
    assert!(peak < PEAK, "{what}: a peak of {peak} bytes");
    usage
}

/// Waits for the process and samples it. `VmHWM` (proc_pid_status(5)), the peak of its resident memory, only grows, so
/// that the last sample is close to the final value. `Threads` is the current number.
fn watch(mut child: Child) -> Peaks {
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, mut threads) = (0, 0);
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let number = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.map(|line| line.trim().trim_end_matches(" kB"));
            number.map_or(0, |number| number.parse().unwrap())
        };
        peak = peak.max(number("VmHWM:") << 10);
        threads = threads.max(number("Threads:"));
        if let Some(status) = child.try_wait().unwrap() {
            return Peaks {
                peak,
                threads,
                succeeded: status.success(),
            };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn folder(scratch: &Scratch) -> Vec<String> {
    fs::create_dir_all(scratch.path("containers")).unwrap();
    vec![
        format!("file://{}", scratch.path("containers").display()),
        "container".to_owned(),
    ]
}

fn blob_count(scratch: &Scratch) -> u64 {
    fs::read_dir(scratch.path("containers/container"))
        .unwrap()
        .count() as u64
}

/// Asserts that each entry is one object, in addition to the root, the bucket object and the log.
fn assert_each_once(usage: &Usage, below_the_root: u64) {
    assert_eq!(usage.entries, below_the_root + 1);
    assert_eq!(usage.done, below_the_root);
}

#[test]
fn memory_is_bounded_for_a_directory_with_many_entries() {
    let _turn = TURN.lock();
    let scratch = Scratch::in_memory();
    let count = 100_000 * scale();
    let source = OwnedFd::from(File::open(scratch.source()).unwrap());
    for number in 0..count {
        empty_file(&source, &format!("a-name-of-some-length-{number:08}"));
    }
    let usage = load("one directory", &scratch, folder(&scratch), &[]);
    assert_each_once(&usage, count as u64);
    // The root's segments do not count as objects of its entries.
    assert_eq!(usage.objects, count as u64);
    let segments = blob_count(&scratch) - count as u64 - 3;
    assert!(segments > 10, "{segments}");
}

#[test]
fn memory_is_bounded_for_many_directories() {
    let _turn = TURN.lock();
    let scratch = Scratch::in_memory();
    let count = 20_000 * scale();
    let source = OwnedFd::from(File::open(scratch.source()).unwrap());
    for number in 0..count {
        mkdirat(&source, format!("d{number}"), Mode::from_raw_mode(0o755)).unwrap();
    }
    let usage = load("directories", &scratch, folder(&scratch), &[]);
    assert_each_once(&usage, count as u64);
    assert_eq!(usage.objects, count as u64);
}

#[test]
fn memory_is_bounded_for_a_tree_of_a_thousand_levels() {
    let _turn = TURN.lock();
    let scratch = Scratch::in_memory();
    let levels = 1000;
    let mut at = OwnedFd::from(File::open(scratch.source()).unwrap());
    for _ in 0..levels {
        empty_file(&at, "file");
        mkdirat(&at, "level", Mode::from_raw_mode(0o755)).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        at = openat(&at, "level", flags, Mode::empty()).unwrap();
    }
    let usage = load("levels", &scratch, folder(&scratch), &[]);
    assert_each_once(&usage, 2 * levels);
    assert_eq!(blob_count(&scratch), 2 * levels + 3);
}

/// Sparse files are read faster than they are uploaded, so the objects waiting for upload must be bounded.
#[test]
fn memory_is_bounded_if_the_network_is_slower_than_the_source() {
    let _turn = TURN.lock();
    let scratch = Scratch::in_memory();
    let (files, size) = (4, (256 << 20) * scale() as u64);
    for number in 0..files {
        let file = File::create(scratch.source().join(format!("sparse-{number}"))).unwrap();
        file.set_len(size).unwrap();
    }
    let sink = Sink::start(Pace::Slow {
        wait: Duration::from_micros(500),
    });
    let options = ["--compression", "DISABLED"];
    let usage = load(
        "slow network",
        &scratch,
        sink.arguments().to_vec(),
        &options,
    );
    assert_each_once(&usage, files);
    assert!(sink.bytes() > files * size, "{} bytes", sink.bytes());
    // Bucket object, log and root.
    assert_eq!(sink.puts(), usage.objects + 3);
}

/// As many small files as possible, and a service that responds slowly.
#[test]
fn memory_is_bounded_if_the_service_is_slower_than_the_scan() {
    let _turn = TURN.lock();
    let scratch = Scratch::in_memory();
    let count = 20_000 * scale();
    for directory in 0..count / 1000 {
        let at = scratch.source().join(format!("d{directory}"));
        fs::create_dir(&at).unwrap();
        for number in 0..1000 {
            fs::write(at.join(format!("f{number}")), [7; 16_000]).unwrap();
        }
    }
    let sink = Sink::start(Pace::Slow {
        wait: Duration::from_millis(5),
    });
    let options = ["--compression", "DISABLED"];
    let usage = load(
        "slow service",
        &scratch,
        sink.arguments().to_vec(),
        &options,
    );
    let entries = (count + count / 1000) as u64;
    assert_each_once(&usage, entries);
    // Each directory has one segment besides its inode.
    let objects = entries + (count / 1000) as u64;
    assert_eq!(usage.objects, objects);
    assert_eq!(sink.puts(), objects + 3);
}

/// A source in memory responds immediately, so more threads than cores would not help.
#[test]
fn a_fast_source_keeps_few_threads_busy() {
    let _turn = TURN.lock();
    let scratch = Scratch::in_memory();
    let count = 20_000 * scale();
    for directory in 0..count / 100 {
        let at = scratch.source().join(format!("d{directory}"));
        fs::create_dir(&at).unwrap();
        for number in 0..100 {
            fs::write(at.join(format!("f{number}")), [7; 1000]).unwrap();
        }
    }
    let sink = Sink::start(Pace::Fast);
    let usage = load("fast source", &scratch, sink.arguments().to_vec(), &[]);
    assert_each_once(&usage, (count + count / 100) as u64);
    assert!(usage.threads > 4, "the threads were not seen");
    assert!(usage.threads < few_threads(), "{} threads", usage.threads);
}

/// Returns the expected maximum: each pool has two to eight threads, depending on the number of cores, and may have
/// 64; the others belong to the runtime or are single threads.
fn few_threads() -> u64 {
    let cores = std::thread::available_parallelism().unwrap().get();
    let pool = cores.clamp(2, 8);
    let runtime = cores.div_ceil(2).max(2);
    (2 * pool + runtime + 16) as u64
}

fn empty_file(at: &OwnedFd, name: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    drop(openat(at, name, flags, Mode::from_raw_mode(0o644)).unwrap());
}
