//! Comparison with other programs that upload a tree to Azure, if they are on the PATH.
//!
//! They upload each file unchanged and keep no state, which is less work than a load.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::arguments::Arguments;
use crate::child::run_to_end;
use crate::floor;
use crate::load::SAS;
use crate::sink::{ResponsePolicy, Sink};
use crate::standard::{Unit, load_once};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Tree, TreeKind};

/// A program that uploads the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Floor,
    Clfsload(&'static str),
    Azcopy,
    Rclone,
}

impl Peer {
    fn name(self) -> String {
        match self {
            Peer::Floor => "floor".to_owned(),
            Peer::Clfsload(compression) => format!("clfsload {compression}"),
            Peer::Azcopy => "azcopy".to_owned(),
            Peer::Rclone => "rclone".to_owned(),
        }
    }

    fn command(self, tree: &Path, sink: &Sink, scratch: &Path) -> Option<Command> {
        let container = format!("{}/container?{SAS}", sink.endpoint());
        let mut command = Command::new(self.name());
        match self {
            Peer::Floor | Peer::Clfsload(_) => return None,
            Peer::Azcopy => command
                .arg("copy")
                .arg(tree)
                .arg(container)
                .args(["--recursive", "--from-to=LocalBlob", "--output-level=quiet"])
                .args(["--overwrite=true", "--check-length=false"])
                .env("AZCOPY_LOG_LOCATION", scratch)
                .env("AZCOPY_JOB_PLAN_LOCATION", scratch)
                .env("AZCOPY_DISABLE_SYSLOG", "true"),
            Peer::Rclone => command
                .arg("copy")
                .arg(tree)
                .arg(":azureblob:container")
                .arg("--azureblob-sas-url")
                .arg(container)
                // As many concurrent uploads as a load starts with, and no listing of existing blobs.
                .args(["--transfers=64", "--checkers=8", "--no-traverse"])
                .args(["--ignore-times", "--no-check-dest", "--config="]),
        };
        Some(command)
    }
}

/// Returns whether the PATH has a file with this name.
fn is_on_path(name: &str) -> bool {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Runs a program once. Returns CPU time in `unit`, wall time in seconds, peak memory in MB, and requests
/// per file.
fn run(arguments: &Arguments, peer: Peer, tree: &Tree, unit: Unit) -> io::Result<[f64; 4]> {
    let files = tree.kind.shape().files() as f64;
    let figures = |cpu, wall: std::time::Duration, peak, requests: u64| {
        [
            unit.of(cpu, tree.kind),
            wall.as_secs_f64(),
            megabytes(peak),
            requests as f64 / files,
        ]
    };
    if let Peer::Clfsload(compression) = peer {
        let run = load_once(
            arguments,
            &arguments.build,
            tree,
            compression,
            ResponsePolicy::IMMEDIATE,
        )?;
        let stats = run.stats;
        return Ok(figures(
            stats.cpu,
            stats.wall,
            stats.peak,
            run.report.requests(),
        ));
    }
    let sink = Sink::start(ResponsePolicy::IMMEDIATE)?;
    let scratch = arguments.folder.join("peer");
    let Some(mut command) = peer.command(&tree.path, &sink, &scratch) else {
        let floor = floor::run(&sink, tree.kind)?;
        return Ok(figures(floor.cpu, floor.wall, floor.peak, floor.puts));
    };
    std::fs::create_dir_all(&scratch)?;
    let stderr = scratch.join("stderr");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr)?);
    let stats = run_to_end(&mut command, None)?;
    let report = sink.report()?;
    // A program that fails early must not count as cheap.
    if stats.status != Some(0) || report.puts < tree.kind.shape().files() {
        // The output may have one line per file.
        let stderr = std::fs::read_to_string(&stderr)?;
        let first: Vec<&str> = stderr.lines().take(5).collect();
        return Err(io::Error::other(format!(
            "{} exited with {:?} after {} uploads: {}",
            peer.name(),
            stats.status,
            report.puts,
            first.join("\n")
        )));
    }
    Ok(figures(
        stats.cpu,
        stats.wall,
        stats.peak,
        report.requests(),
    ))
}

pub(crate) fn compare(arguments: &Arguments) -> io::Result<()> {
    let mut peers = vec![
        Peer::Floor,
        Peer::Clfsload("LZ4"),
        Peer::Clfsload("DISABLED"),
    ];
    for peer in [Peer::Azcopy, Peer::Rclone] {
        match is_on_path(&peer.name()) {
            true => peers.push(peer),
            false => println!("{} is not on the PATH.\n", peer.name()),
        }
    }
    for (kind, unit) in [
        (TreeKind::Small, Unit::File),
        (TreeKind::LargeRandom, Unit::Gigabyte),
    ] {
        let tree = Tree::at(&arguments.trees, kind)?;
        tree.warm()?;
        let mut runs: Vec<Vec<[f64; 4]>> = vec![Vec::new(); peers.len()];
        for _ in 0..arguments.runs_or(3) {
            for (peer, runs) in peers.iter().zip(&mut runs) {
                runs.push(run(arguments, *peer, &tree, unit)?);
            }
        }
        let mut table = Table::new(&[
            kind.name(),
            unit.heading(),
            "× floor",
            "wall s",
            "peak RSS MB",
            "requests per file",
        ]);
        let mut floor_cpu = f64::NAN;
        for (peer, runs) in peers.iter().zip(&runs) {
            let figure = |read: fn(&[f64; 4]) -> f64| Figure::of(runs.iter().map(read));
            let cpu = figure(|[cpu, ..]| *cpu);
            if *peer == Peer::Floor {
                floor_cpu = cpu.median();
            }
            table.row([
                peer.name(),
                cpu.shown(unit.digits()),
                format!("{:.1}", cpu.median() / floor_cpu),
                figure(|[_, wall, ..]| *wall).shown(2),
                figure(|[_, _, peak, _]| *peak).shown(1),
                format!("{:.3}", figure(|[.., requests]| *requests).median()),
            ]);
        }
        println!("{table}");
    }
    Ok(())
}
