//! Other programs that put a tree into Azure, if they are on the PATH: the same sink, the same tree.
//!
//! They put each file as a blob of its own bytes and remember nothing, which is less than a load
//! does.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::child::run_whole;
use crate::floor;
use crate::load::SAS;
use crate::sink::{Pace, Sink};
use crate::standard::{Unit, load_once};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Kind, Tree};
use crate::words::Words;

/// Who puts the tree.
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
                // As many at once as a load; no look at what is there.
                .args(["--transfers=64", "--checkers=8", "--no-traverse"])
                .args(["--ignore-times", "--no-check-dest", "--config="]),
        };
        Some(command)
    }
}

/// The first file of that name on the PATH.
fn is_on_path(name: &str) -> bool {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// One run: CPU in the tree's unit, wall time in seconds, peak in MB, requests per file.
fn run(words: &Words, peer: Peer, tree: &Tree, unit: Unit) -> io::Result<[f64; 4]> {
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
        let run = load_once(words, &words.build, tree, compression, Pace::AT_ONCE)?;
        let ended = run.ended;
        return Ok(figures(
            ended.cpu,
            ended.wall,
            ended.peak,
            run.report.requests(),
        ));
    }
    let sink = Sink::start(Pace::AT_ONCE)?;
    let scratch = words.folder.join("peer");
    let Some(mut command) = peer.command(&tree.path, &sink, &scratch) else {
        let floor = floor::run(&sink, tree.kind)?;
        return Ok(figures(floor.cpu, floor.wall, floor.peak, floor.puts));
    };
    std::fs::create_dir_all(&scratch)?;
    let said = scratch.join("said");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?);
    let ended = run_whole(&mut command, None)?;
    let report = sink.report()?;
    // A program that fails early would look cheap.
    if ended.status != Some(0) || report.puts < tree.kind.shape().files() {
        // One line for each file would be too much.
        let said = std::fs::read_to_string(&said)?;
        let first: Vec<&str> = said.lines().take(5).collect();
        return Err(io::Error::other(format!(
            "{} ended with {:?} after {} puts: {}",
            peer.name(),
            ended.status,
            report.puts,
            first.join("\n")
        )));
    }
    Ok(figures(
        ended.cpu,
        ended.wall,
        ended.peak,
        report.requests(),
    ))
}

pub(crate) fn compare(words: &Words) -> io::Result<()> {
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
        (Kind::Small, Unit::File),
        (Kind::LargeRandom, Unit::Gigabyte),
    ] {
        let tree = Tree::at(&words.trees, kind)?;
        tree.warm()?;
        let mut runs: Vec<Vec<[f64; 4]>> = vec![Vec::new(); peers.len()];
        for _ in 0..words.runs_or(3) {
            for (peer, runs) in peers.iter().zip(&mut runs) {
                runs.push(run(words, *peer, &tree, unit)?);
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
        let mut of_floor = f64::NAN;
        for (peer, runs) in peers.iter().zip(&runs) {
            let figure = |read: fn(&[f64; 4]) -> f64| Figure::of(runs.iter().map(read));
            let cpu = figure(|[cpu, ..]| *cpu);
            if *peer == Peer::Floor {
                of_floor = cpu.median();
            }
            table.row([
                peer.name(),
                cpu.shown(unit.digits()),
                format!("{:.1}", cpu.median() / of_floor),
                figure(|[_, wall, ..]| *wall).shown(2),
                figure(|[_, _, peak, _]| *peak).shown(1),
                format!("{:.3}", figure(|[.., requests]| *requests).median()),
            ]);
        }
        println!("{table}");
    }
    Ok(())
}
