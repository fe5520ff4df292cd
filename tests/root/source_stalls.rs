//! A source that does not answer for one file or directory: the others go on, the stall is told,
//! and a signal still brings the transfer to rest.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::command::{SEED, Scratch, assert_same, blobs, clfsload};
use crate::support::faulty_source::{Act, Call, Fault, FaultySource};
use clfsload_checker::{FolderBlobs, check};
use rustix::process::{Pid, Signal, kill_process};

/// How long a transfer may take to come to rest after a signal.
const REST: Duration = Duration::from_secs(12);
/// Small files beside the one that hangs.
const OTHERS: u64 = 40;

struct Stalled {
    // Dropped first: a command that a failed test left is not held by the source any more.
    source: FaultySource,
    scratch: Scratch,
}

/// A command that runs; killed when a test fails.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, mostly.
        drop(self.child.kill());
    }
}

impl Running {
    fn wait_for(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        let mut before = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(what) => return,
                Ok(line) => before += &format!("{line}\n"),
                Err(_) => panic!("no {what:?} after\n{before}"),
            }
        }
    }

    fn signal(&self) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    fn status(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Stalled {
    fn new() -> Option<Self> {
        if !FaultySource::is_possible() {
            return None;
        }
        let scratch = Scratch::new();
        let source = FaultySource::mount(&scratch.source());
        for number in 0..OTHERS {
            source.file(format!("others/file-{number:02}"), 500);
        }
        source.file("slow/large", 20 << 20);
        source.file("slow/small", 2000);
        source.symlink("slow/link", b"small");
        source.file("slow/directory/inside", 100);
        Some(Stalled { source, scratch })
    }

    fn start(&self, name: &str, options: &[&str]) -> Running {
        let mut command = clfsload();
        command
            .args(self.scratch.arguments(name, name))
            .args(["--source-patience", "1", "--seed", SEED])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Running { child, lines }
    }

    fn wait_for_blobs(&self, name: &str, count: usize) {
        let since = Instant::now();
        while blobs(&self.scratch.container(name)).len() < count {
            assert!(since.elapsed() < Duration::from_secs(30), "others wait");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The transfer goes on with everything else, tells of the stall, and ends well when the source
/// answers.
fn goes_on(path: &str, call: Call, told: &str, others: bool) {
    let Some(stalled) = Stalled::new() else {
        return;
    };
    let Stalled { source, scratch } = &stalled;
    let mut running = stalled.start("undisturbed", &["--new"]);
    assert_eq!(running.status(), Some(0));
    source.fault(Fault::new(path, call, Act::Hang));
    let mut running = stalled.start("t", &["--new"]);
    source.wait_for_hang();
    running.wait_for(&format!("waiting for the source: {told} has not responded"));
    if others {
        stalled.wait_for_blobs("t", OTHERS as usize + 1);
    }
    assert_eq!(running.child.try_wait().unwrap(), None);
    source.heal();
    assert_eq!(running.status(), Some(0));
    check(&FolderBlobs(scratch.container("t"))).assert_clean();
    let ours = blobs(&scratch.container("t"));
    assert_same(&blobs(&scratch.container("undisturbed")), &ours);
}

#[test]
fn a_large_file_that_hangs_in_a_read() {
    goes_on("slow/large", Call::Read, "slow/large", true);
}

#[test]
fn a_small_file_that_hangs_in_a_read() {
    goes_on("slow/small", Call::Read, "slow/small", true);
}

#[test]
fn a_file_that_hangs_when_it_is_opened() {
    goes_on("slow/small", Call::Open, "slow/small", true);
}

#[test]
fn a_link_that_hangs() {
    goes_on("slow/link", Call::ReadLink, "slow/link", true);
}

#[test]
fn a_directory_that_hangs_when_it_is_listed() {
    goes_on("slow/directory", Call::List, "slow/directory", true);
}

#[test]
fn a_name_that_hangs_when_it_is_looked_at() {
    goes_on("slow/small", Call::Stat, "slow", true);
}

/// A signal brings it to rest, and a resume ends as if nothing had been.
fn comes_to_rest(path: &str, call: Call, signals: usize) {
    let Some(stalled) = Stalled::new() else {
        return;
    };
    let Stalled { source, scratch } = &stalled;
    let mut running = stalled.start("undisturbed", &["--new"]);
    assert_eq!(running.status(), Some(0));
    source.fault(Fault::new(path, call, Act::Hang));
    let mut running = stalled.start("t", &["--new"]);
    source.wait_for_hang();
    running.wait_for("has not responded");
    let asked = Instant::now();
    running.signal();
    if signals == 1 {
        running.wait_for("Completed work is recorded");
    } else {
        std::thread::sleep(Duration::from_millis(300));
        running.signal();
        std::thread::sleep(Duration::from_millis(300));
    }
    let rested = asked.elapsed();
    assert!(rested < REST, "paused only after {rested:?}");
    // exit_group(2) has been called by now. FUSE holds the thread until its request is answered,
    // where nfs(5) lets a process that ends go; only then is there a status.
    std::thread::sleep(Duration::from_millis(500));
    source.release();
    assert_eq!(running.status(), Some(1));
    source.heal();
    let mut running = stalled.start("t", &[]);
    assert_eq!(running.status(), Some(0));
    check(&FolderBlobs(scratch.container("t"))).assert_clean();
    let ours = blobs(&scratch.container("t"));
    assert_same(&blobs(&scratch.container("undisturbed")), &ours);
}

#[test]
fn a_signal_does_not_wait_for_a_read_that_hangs() {
    comes_to_rest("slow/large", Call::Read, 1);
}

#[test]
fn a_signal_does_not_wait_for_a_listing_that_hangs() {
    comes_to_rest("slow/directory", Call::List, 1);
}

#[test]
fn a_second_signal_ends_at_once() {
    comes_to_rest("slow/small", Call::Open, 2);
}
