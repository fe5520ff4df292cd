//! A measured process: its CPU, its memory over time, and no one else's.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::wal_index::WalIndex;

const LOOK_EVERY: Duration = Duration::from_millis(5);
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// How a process ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// Its exit status; `None` if a signal ended it.
    pub(crate) status: Option<i32>,
    /// User and system time.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Peak of the resident set, in bytes.
    pub(crate) peak: u64,
    /// Its resident set over time, in bytes.
    pub(crate) memory: Vec<(Duration, u64)>,
    /// Transactions of the database in the state folder.
    pub(crate) transactions: u64,
}

/// Runs a process to its end, or until `enough` says so, when it is killed. `state` is where its
/// database will be.
pub(crate) fn run(
    command: &mut Command,
    state: Option<&Path>,
    mut enough: impl FnMut(Duration) -> io::Result<bool>,
) -> io::Result<Ended> {
    let mut index = state.map(WalIndex::of);
    let start = Instant::now();
    let mut child = command.spawn()?;
    let mut memory = Vec::new();
    let mut next_sample = Duration::ZERO;
    let mut killed = false;
    loop {
        if let Some((status, usage)) = reap(&child)? {
            return Ok(Ended {
                status,
                cpu: cpu(&usage),
                wall: start.elapsed(),
                // Linux counts it in KiB: getrusage(2).
                peak: usage.ru_maxrss as u64 * 1024,
                memory,
                transactions: index.map_or(0, |index| index.transactions()),
            });
        }
        let elapsed = start.elapsed();
        if let Some(index) = &mut index {
            index.look();
        }
        if elapsed >= next_sample {
            memory.extend(resident(child.id()).map(|bytes| (elapsed, bytes)));
            next_sample = elapsed + SAMPLE_EVERY;
        }
        if !killed && enough(elapsed)? {
            child.kill()?;
            killed = true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// [`run`] without an early end.
pub(crate) fn run_whole(command: &mut Command, state: Option<&Path>) -> io::Result<Ended> {
    run(command, state, |_| Ok(false))
}

fn resident(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    // In kB, which are 1,024 bytes: proc_pid_status(5).
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn reap(child: &Child) -> io::Result<Option<(Option<i32>, libc::rusage)>> {
    let mut status = 0;
    let mut usage = no_usage();
    // SAFETY: both pointers are to values of ours that outlive the call; the child was not reaped
    // before, since only this function waits for it and its caller stops after the first answer.
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
    // SAFETY: a structure of integers, for which all zeros are a value.
    unsafe { std::mem::zeroed() }
}

fn cpu(usage: &libc::rusage) -> Duration {
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000))
        .sum()
}

/// Lets this process open as many files as the system allows it: each connection is one.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// User and system time of this process so far.
pub(crate) fn own_cpu() -> io::Result<Duration> {
    let mut usage = no_usage();
    // SAFETY: the pointer is to a value of ours that outlives the call.
    match unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } {
        0 => Ok(cpu(&usage)),
        _ => Err(io::Error::last_os_error()),
    }
}
