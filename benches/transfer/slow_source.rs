//! A source whose calls take time, as those of a file system behind a network do: a tree passed
//! through FUSE, each call held for a while.

mod mounted;
mod timer;

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Config, MountOption, SessionACL};

use crate::load::Load;
use crate::rates::steady;
use crate::sink::{Pace, Sink};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Kind, Tree};
use crate::words::Words;

/// The first word of the process that is the file system.
pub(crate) const ROLE: &str = "as-slow-source";

/// How long each call takes, in microseconds.
const WAITS: [u64; 3] = [300, 1000, 2000];

/// A mounted source; unmounted when dropped.
struct SlowSource {
    process: Child,
    /// Its end tells the process to unmount.
    stdin: Option<ChildStdin>,
    at: PathBuf,
}

impl SlowSource {
    fn mount(tree: &Path, at: &Path, wait: Duration) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .arg(tree)
            .arg(at)
            .arg(wait.as_micros().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let source = SlowSource {
            stdin: process.stdin.take(),
            process,
            at: at.to_path_buf(),
        };
        match line.trim() {
            "mounted" => Ok(source),
            _ => Err(io::Error::other(
                "the source cannot be mounted: it needs /dev/fuse and the superuser",
            )),
        }
    }
}

impl Drop for SlowSource {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
        // What was mounted is gone; a folder that is left over harms nothing.
        let _ = fs::remove_dir(&self.at);
    }
}

/// The process: `words` are the tree, where to mount it, and microseconds.
pub(crate) fn serve(words: &[OsString]) -> io::Result<()> {
    let misused = || io::Error::other("a tree, a mount point and microseconds are needed");
    let [tree, at, wait] = words else {
        return Err(misused());
    };
    let wait = wait.to_str().and_then(|wait| wait.parse().ok());
    let wait = Duration::from_micros(wait.ok_or_else(misused)?);
    let mounted = mounted::Mounted::new(PathBuf::from(tree), Arc::new(timer::Timer::start(wait)));
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("slow-source".to_owned()),
        MountOption::RO,
    ];
    config.acl = SessionACL::All;
    let session = fuser::spawn_mount(mounted, at, &config)?;
    println!("mounted");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    session.umount_and_join()
}

/// Throughput for each wait.
pub(crate) fn speeds(words: &Words) -> io::Result<()> {
    let tree = Tree::at(&words.trees, Kind::SomeSmall)?;
    tree.warm()?;
    let build = &words.build;
    let files = tree.kind.shape().files() as f64;
    let mut table = Table::new(&[
        "each call takes",
        "files per s, whole run",
        "puts per s, in the middle",
        "wall s",
        "peak RSS MB",
    ]);
    for wait in WAITS {
        let mut runs = Vec::new();
        for _ in 0..words.runs_or(1) {
            // A new mount for each run: the kernel remembers nothing.
            let wait = Duration::from_micros(wait);
            let source = SlowSource::mount(&tree.path, &words.folder.join("slow-source"), wait)?;
            let sink = Sink::start(Pace::AT_ONCE)?;
            let load = Load {
                build,
                source: &source.at,
                sink: &sink,
                state: words.folder.join("state"),
                options: Vec::new(),
            };
            let ended = load.new_whole()?;
            let report = sink.report()?;
            load.expect_all(tree.kind, &report)?;
            runs.push((ended, steady(&report)));
        }
        let walls = || runs.iter().map(|(ended, _)| ended.wall.as_secs_f64());
        table.row([
            format!("{:.1} ms", wait as f64 / 1e3),
            Figure::of(walls().map(|wall| files / wall)).shown(0),
            Figure::of(runs.iter().map(|(_, rate)| *rate)).shown(0),
            Figure::of(walls()).shown(2),
            Figure::of(runs.iter().map(|(ended, _)| megabytes(ended.peak))).shown(1),
        ]);
    }
    println!("{table}");
    Ok(())
}
