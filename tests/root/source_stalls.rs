//! A source that does not respond for one file or directory: the other entries are loaded, the stall is reported,
//! and a signal still pauses the transfer.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::support::command::{SEED, Scratch, assert_same, blobs, clfsload};
use crate::support::faulty_source::{Act, Call, Fault, FaultySource};
use clfsload_checker::{FolderBlobs, check};
use rustix::process::{Pid, Signal, kill_process};

/// The maximum time until a transfer pauses after a signal.
const PAUSE_LIMIT: Duration = Duration::from_secs(12);
/// Small files besides the one that hangs.
const OTHERS: u64 = 40;

struct Stalled {
    // Must be dropped first, so that the source does not block a command that a failed test left running.
    source: FaultySource,
    scratch: Scratch,
}

/// A running command. It is killed if a test fails.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Usually it has already exited.
        drop(self.child.kill());
    }
}

impl Running {
    fn wait_for(&self, text: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        let mut before = String::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => before += &format!("{line}\n"),
                Err(_) => panic!("no {text:?} after\n{before}"),
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

/// Checks that the transfer loads all other entries, reports the stall, and completes when the source responds.
fn continues_during_stall(path: &str, call: Call, stalled_path: &str, others: bool) {
    let Some(stalled) = Stalled::new() else {
        return;
    };
    let Stalled { source, scratch } = &stalled;
    let mut running = stalled.start("undisturbed", &["--new"]);
    assert_eq!(running.status(), Some(0));
    source.fault(Fault::new(path, call, Act::Hang));
    let mut running = stalled.start("t", &["--new"]);
    source.wait_for_hang();
    running.wait_for(&format!(
        "waiting for the source: {stalled_path} has not responded"
    ));
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
fn a_large_file_that_hangs_during_a_read_blocks_no_others() {
    continues_during_stall("slow/large", Call::Read, "slow/large", true);
}

#[test]
fn a_small_file_that_hangs_during_a_read_blocks_no_others() {
    continues_during_stall("slow/small", Call::Read, "slow/small", true);
}

#[test]
fn a_file_that_hangs_on_open_blocks_no_others() {
    continues_during_stall("slow/small", Call::Open, "slow/small", true);
}

#[test]
fn a_symlink_that_hangs_blocks_no_others() {
    continues_during_stall("slow/link", Call::ReadLink, "slow/link", true);
}

#[test]
fn a_directory_that_hangs_while_it_is_listed_is_reported() {
    continues_during_stall("slow/directory", Call::List, "slow/directory", true);
}

#[test]
fn a_name_that_hangs_on_stat_blocks_no_others() {
    continues_during_stall("slow/small", Call::Stat, "slow", true);
}

/// Checks that a signal pauses the transfer, and that a resume creates the container of an undisturbed load.
fn pauses_on_signal(path: &str, call: Call, signals: usize) {
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
    let signalled = Instant::now();
    running.signal();
    if signals == 1 {
        running.wait_for("Completed work is recorded");
    } else {
        std::thread::sleep(Duration::from_millis(300));
        running.signal();
        std::thread::sleep(Duration::from_millis(300));
    }
    let elapsed_until_pause = signalled.elapsed();
    assert!(
        elapsed_until_pause < PAUSE_LIMIT,
        "paused only after {elapsed_until_pause:?}"
    );
    // The process has called exit_group(2), but FUSE holds the thread until its request is answered (nfs(5) releases
    // an exiting process). Only then does the process have a status.
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
    pauses_on_signal("slow/large", Call::Read, 1);
}

#[test]
fn a_signal_does_not_wait_for_a_listing_that_hangs() {
    pauses_on_signal("slow/directory", Call::List, 1);
}

#[test]
fn a_second_signal_ends_the_process_immediately() {
    pauses_on_signal("slow/small", Call::Open, 2);
}
