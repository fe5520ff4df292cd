//! The default set: loads against the floor of the same minutes.

use std::io;

use crate::child::Ended;
use crate::floor::{self, Floor};
use crate::load::{Build, Database, Load};
use crate::lz4_alone;
use crate::sink::{Pace, Report, Sink};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Kind, Tree};
use crate::words::Words;

/// What CPU time is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds for each file.
    File,
    /// Microseconds for each entry.
    Entry,
    /// Seconds for each 10^9 bytes of the source.
    Gigabyte,
}

impl Unit {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Unit::File => "CPU µs per file",
            Unit::Entry => "CPU µs per entry",
            Unit::Gigabyte => "CPU s per GB",
        }
    }

    pub(crate) fn of(self, cpu: std::time::Duration, kind: Kind) -> f64 {
        let seconds = cpu.as_secs_f64();
        match self {
            Unit::File => seconds * 1e6 / kind.shape().files() as f64,
            Unit::Entry => seconds * 1e6 / kind.shape().entries() as f64,
            Unit::Gigabyte => seconds * 1e9 / kind.shape().bytes() as f64,
        }
    }

    pub(crate) fn digits(self) -> usize {
        match self {
            Unit::File | Unit::Entry => 1,
            Unit::Gigabyte => 3,
        }
    }
}

/// One measured load.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) ended: Ended,
    pub(crate) report: Report,
    pub(crate) database: Database,
}

/// Loads a tree into a new sink, which must have got all of it.
pub(crate) fn load_once(
    words: &Words,
    build: &Build,
    tree: &Tree,
    compression: &str,
    pace: Pace,
) -> io::Result<Run> {
    let sink = Sink::start(pace)?;
    let load = Load {
        build,
        source: &tree.path,
        sink: &sink,
        state: words.folder.join("state"),
        options: vec!["--compression".into(), compression.into()],
    };
    let ended = load.new_whole()?;
    let report = sink.report()?;
    let database = load.expect_all(tree.kind, &report)?;
    if words.verbose {
        eprintln!(
            "{} {compression}{}: cpu {:.3} s, wall {:.3} s, peak {:.1} MB, at most {} requests at once",
            tree.kind.name(),
            build.label,
            ended.cpu.as_secs_f64(),
            ended.wall.as_secs_f64(),
            megabytes(ended.peak),
            report.most_inside
        );
    }
    Ok(Run {
        ended,
        report,
        database,
    })
}

/// What one row of the table is about.
struct Variant<'a> {
    tree: &'a Tree,
    compression: &'static str,
    build: &'a Build,
    runs: Vec<Run>,
}

/// Loads between two runs of the floor.
const FLOOR_EVERY: usize = 2;

/// Loads each tree with each compression by each build, in turn, and prints a table.
pub(crate) fn compare(
    words: &Words,
    kinds: &[Kind],
    unit: Unit,
    compressions: &[&'static str],
) -> io::Result<()> {
    let trees: Vec<Tree> = kinds
        .iter()
        .map(|kind| Tree::at(&words.trees, *kind))
        .collect::<io::Result<_>>()?;
    let mut variants = Vec::new();
    for tree in &trees {
        tree.warm()?;
        for compression in compressions {
            let builds = std::iter::once(&words.build).chain(&words.against);
            variants.extend(builds.map(|build| Variant {
                tree,
                compression,
                build,
                runs: Vec::new(),
            }));
        }
    }
    // The floor does not look at bytes: trees with files of the same sizes share it.
    let Some(of_floor) = kinds.first().copied() else {
        return Ok(());
    };
    let mut floors = Vec::new();
    let mut alone: Vec<_> = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..words.runs_or(3) {
        for (kind, runs) in &mut alone {
            runs.push(unit.of(lz4_alone::run(*kind)?, *kind));
        }
        for (number, variant) in variants.iter_mut().enumerate() {
            if number % FLOOR_EVERY == 0 {
                floors.push(floor::run(&Sink::start(Pace::AT_ONCE)?, of_floor)?);
            }
            variant.runs.push(load_once(
                words,
                variant.build,
                variant.tree,
                variant.compression,
                Pace::AT_ONCE,
            )?);
        }
    }
    let mut table = Table::new(&[
        "what",
        unit.heading(),
        "× floor",
        "wall s",
        "peak RSS MB",
        "requests per entry",
        "db bytes per entry",
        "rows",
        "transactions",
    ]);
    table.row(floor_row(of_floor, &floors, unit));
    let floor = floor_figure(of_floor, &floors, unit).median();
    for (kind, runs) in alone {
        let cpu = Figure::of(runs);
        table.row([
            format!("lz4_flex alone, {}", kind.name()),
            cpu.shown(unit.digits()),
            format!("{:.1}", cpu.median() / floor),
        ]);
    }
    for variant in &variants {
        table.row(load_row(variant, unit, floor));
    }
    println!("{table}");
    Ok(())
}

fn floor_figure(kind: Kind, runs: &[Floor], unit: Unit) -> Figure {
    Figure::of(runs.iter().map(|run| unit.of(run.cpu, kind)))
}

fn floor_row(kind: Kind, runs: &[Floor], unit: Unit) -> Vec<String> {
    let puts = runs.first().map_or(0, |run| run.puts);
    vec![
        "floor".to_owned(),
        floor_figure(kind, runs, unit).shown(unit.digits()),
        "1".to_owned(),
        Figure::of(runs.iter().map(|run| run.wall.as_secs_f64())).shown(2),
        Figure::of(runs.iter().map(|run| megabytes(run.peak))).shown(1),
        format!("{:.3}", puts as f64 / kind.shape().entries() as f64),
    ]
}

fn load_row(variant: &Variant<'_>, unit: Unit, floor: f64) -> Vec<String> {
    let Variant {
        tree,
        compression,
        build,
        runs,
    } = variant;
    let entries = tree.kind.shape().entries() as f64;
    let figure = |read: &dyn Fn(&Run) -> f64| Figure::of(runs.iter().map(read));
    let cpu = figure(&|run| unit.of(run.ended.cpu, tree.kind));
    vec![
        format!("{} {compression}{}", tree.kind.name(), build.label),
        cpu.shown(unit.digits()),
        format!("{:.1}", cpu.median() / floor),
        figure(&|run| run.ended.wall.as_secs_f64()).shown(2),
        figure(&|run| megabytes(run.ended.peak)).shown(1),
        format!(
            "{:.3}",
            figure(&|run| run.report.requests() as f64 / entries).median()
        ),
        format!(
            "{:.1}",
            figure(&|run| run.database.bytes as f64 / entries).median()
        ),
        format!("{:.0}", figure(&|run| run.database.rows as f64).median()),
        format!(
            "{:.0}",
            figure(&|run| run.ended.transactions as f64).median()
        ),
    ]
}
