//! A source with slow calls, similar to a network file system: a tree behind a FUSE file system that
//! delays each call.

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

use crate::arguments::Arguments;
use crate::load::Load;
use crate::rates::steady;
use crate::sink::{ResponsePolicy, Sink};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Tree, TreeKind};

/// The first argument of the process that runs the file system.
pub(crate) const ROLE: &str = "as-slow-source";

/// Delays of each call, in microseconds.
const DELAYS: [u64; 3] = [300, 1000, 2000];

/// A mounted source, unmounted when dropped.
struct SlowSource {
    process: Child,
    /// The process unmounts when this pipe closes.
    stdin: Option<ChildStdin>,
    at: PathBuf,
}

impl SlowSource {
    fn mount(tree: &Path, at: &Path, delay: Duration) -> io::Result<Self> {
        fs::create_dir_all(at)?;
        let mut process = Command::new(std::env::current_exe()?)
            .arg(ROLE)
            .arg(tree)
            .arg(at)
            .arg(delay.as_micros().to_string())
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
                "the source cannot be mounted: /dev/fuse and root are needed",
            )),
        }
    }
}

impl Drop for SlowSource {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
        // A left-over empty folder is harmless.
        let _ = fs::remove_dir(&self.at);
    }
}

/// Runs the file system; `arguments` are the tree, the mount point, and the delay in microseconds.
pub(crate) fn serve(arguments: &[OsString]) -> io::Result<()> {
    let invalid = || io::Error::other("expected a tree, a mount point and microseconds");
    let [tree, at, delay] = arguments else {
        return Err(invalid());
    };
    let delay = delay.to_str().and_then(|delay| delay.parse().ok());
    let delay = Duration::from_micros(delay.ok_or_else(invalid)?);
    let mounted = mounted::Mounted::new(PathBuf::from(tree), Arc::new(timer::Timer::start(delay)));
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

/// Measures throughput for each delay.
pub(crate) fn measure(arguments: &Arguments) -> io::Result<()> {
    let tree = Tree::at(&arguments.trees, TreeKind::SomeSmall)?;
    tree.warm()?;
    let build = &arguments.build;
    let files = tree.kind.shape().files() as f64;
    let mut table = Table::new(&[
        "delay of each call",
        "files per s, overall",
        "uploads per s, 20 to 90 %",
        "wall s",
        "peak RSS MB",
    ]);
    for delay in DELAYS {
        let mut runs = Vec::new();
        for _ in 0..arguments.runs_or(1) {
            // Each run mounts again, so that the kernel has nothing cached.
            let delay = Duration::from_micros(delay);
            let source =
                SlowSource::mount(&tree.path, &arguments.folder.join("slow-source"), delay)?;
            let sink = Sink::start(ResponsePolicy::IMMEDIATE)?;
            let load = Load {
                build,
                source: &source.at,
                sink: &sink,
                state: arguments.folder.join("state"),
                options: Vec::new(),
            };
            let stats = load.run_new()?;
            let report = sink.report()?;
            load.expect_complete(tree.kind, &report)?;
            runs.push((stats, steady(&report)));
        }
        let walls = || runs.iter().map(|(stats, _)| stats.wall.as_secs_f64());
        table.row([
            format!("{:.1} ms", delay as f64 / 1e3),
            Figure::of(walls().map(|wall| files / wall)).shown(0),
            Figure::of(runs.iter().map(|(_, rate)| *rate)).shown(0),
            Figure::of(walls()).shown(2),
            Figure::of(runs.iter().map(|(stats, _)| megabytes(stats.peak))).shown(1),
        ]);
    }
    println!("{table}");
    Ok(())
}
