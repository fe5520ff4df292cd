//! Runs a child process and measures its CPU time and memory.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::wal_index::WalIndex;

const POLL_INTERVAL: Duration = Duration::from_millis(5);
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// The measurements of a finished process.
#[derive(Debug, Clone)]
pub(crate) struct ProcessStats {
    /// The exit status; `None` if a signal killed the process.
    pub(crate) status: Option<i32>,
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Peak resident set size, in bytes.
    pub(crate) peak: u64,
    /// Resident set size over time, in bytes.
    pub(crate) memory: Vec<(Duration, u64)>,
    /// Write transactions of the database in the state folder.
    pub(crate) transactions: u64,
}

/// Runs a process until it exits, or kills it when `should_stop` returns true for the elapsed time.
/// `state` is the folder of its database.
pub(crate) fn run(
    command: &mut Command,
    state: Option<&Path>,
    mut should_stop: impl FnMut(Duration) -> io::Result<bool>,
) -> io::Result<ProcessStats> {
    let mut index = state.map(WalIndex::of);
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut memory = Vec::new();
    let mut next_sample = Duration::ZERO;
    let mut is_killed = false;
    loop {
        if let Some((status, usage)) = reap(&child)? {
            return Ok(ProcessStats {
                status,
                cpu: cpu(&usage),
                wall: start.elapsed(),
                // Linux reports KiB: getrusage(2).
                peak: usage.ru_maxrss as u64 * 1024,
                memory,
                transactions: index.map_or(0, |index| index.transactions()),
            });
        }
        let elapsed = start.elapsed();
        if let Some(index) = &mut index {
            index.open();
        }
        if elapsed >= next_sample {
            memory.extend(resident(child.id()).map(|bytes| (elapsed, bytes)));
            next_sample = elapsed + SAMPLE_INTERVAL;
        }
        if !is_killed && should_stop(elapsed)? {
            child.kill()?;
            is_killed = true;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Runs a process until it exits.
pub(crate) fn run_to_end(command: &mut Command, state: Option<&Path>) -> io::Result<ProcessStats> {
    run(command, state, |_| Ok(false))
}

fn resident(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    // In kB of 1,024 bytes: proc_pid_status(5).
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn reap(child: &Child) -> io::Result<Option<(Option<i32>, libc::rusage)>> {
    let mut status = 0;
    let mut usage = no_usage();
    // SAFETY: both pointers refer to local values that outlive the call. The child was not reaped
    // before: only this function waits for it, and its caller returns after the first result.
    let reaped = unsafe { libc::wait4(child.id() as i32, &mut status, libc::WNOHANG, &mut usage) };
    match reaped {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        _ => {
            let exited = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            Ok(Some((exited, usage)))
        }
    }
}

fn no_usage() -> libc::rusage {
    // SAFETY: `rusage` consists of integers, for which all zeros are a valid value.
    unsafe { std::mem::zeroed() }
}

fn cpu(usage: &libc::rusage) -> Duration {
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000))
        .sum()
}

/// Raises the limit of open files to the maximum, because each connection is one.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Returns the user and system time of this process so far.
pub(crate) fn own_cpu() -> io::Result<Duration> {
    let mut usage = no_usage();
    // SAFETY: the pointer refers to a local value that outlives the call.
    match unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } {
        0 => Ok(cpu(&usage)),
        _ => Err(io::Error::last_os_error()),
    }
}
