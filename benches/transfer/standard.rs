//! The default modes: loads compared with the floor measured in the same run.

use std::io;

use crate::arguments::Arguments;
use crate::child::ProcessStats;
use crate::floor::{self, Floor};
use crate::load::{Build, Database, Load};
use crate::lz4_alone;
use crate::sink::{Report, ResponsePolicy, Sink};
use crate::table::{Figure, Table, megabytes};
use crate::trees::{Tree, TreeKind};

/// The unit of CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Microseconds per file.
    File,
    /// Microseconds per entry.
    Entry,
    /// Seconds per 10^9 source bytes.
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

    pub(crate) fn of(self, cpu: std::time::Duration, kind: TreeKind) -> f64 {
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
    pub(crate) stats: ProcessStats,
    pub(crate) report: Report,
    pub(crate) database: Database,
}

/// Loads a tree into a new sink, and checks that all objects were uploaded.
pub(crate) fn load_once(
    arguments: &Arguments,
    build: &Build,
    tree: &Tree,
    compression: &str,
    policy: ResponsePolicy,
) -> io::Result<Run> {
    let sink = Sink::start(policy)?;
    let load = Load {
        build,
        source: &tree.path,
        sink: &sink,
        state: arguments.folder.join("state"),
        options: vec!["--compression".into(), compression.into()],
    };
    let stats = load.run_new()?;
    let report = sink.report()?;
    let database = load.expect_complete(tree.kind, &report)?;
    if arguments.verbose {
        eprintln!(
            "{} {compression}{}: cpu {:.3} s, wall {:.3} s, peak {:.1} MB, max {} requests in flight",
            tree.kind.name(),
            build.label,
            stats.cpu.as_secs_f64(),
            stats.wall.as_secs_f64(),
            megabytes(stats.peak),
            report.max_in_flight
        );
    }
    Ok(Run {
        stats,
        report,
        database,
    })
}

/// One row of the table.
struct Variant<'a> {
    tree: &'a Tree,
    compression: &'static str,
    build: &'a Build,
    runs: Vec<Run>,
}

/// The number of loads between two runs of the floor.
const FLOOR_INTERVAL: usize = 2;

/// Loads each tree with each compression and each build, in turn, and prints a table.
pub(crate) fn compare(
    arguments: &Arguments,
    kinds: &[TreeKind],
    unit: Unit,
    compressions: &[&'static str],
) -> io::Result<()> {
    let trees: Vec<Tree> = kinds
        .iter()
        .map(|kind| Tree::at(&arguments.trees, *kind))
        .collect::<io::Result<_>>()?;
    let mut variants = Vec::new();
    for tree in &trees {
        tree.warm()?;
        for compression in compressions {
            let builds = std::iter::once(&arguments.build).chain(&arguments.against);
            variants.extend(builds.map(|build| Variant {
                tree,
                compression,
                build,
                runs: Vec::new(),
            }));
        }
    }
    // The floor depends only on file sizes, so trees with equal sizes share it.
    let Some(floor_kind) = kinds.first().copied() else {
        return Ok(());
    };
    let mut floors = Vec::new();
    let mut alone: Vec<_> = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
    for _ in 0..arguments.runs_or(3) {
        for (kind, runs) in &mut alone {
            runs.push(unit.of(lz4_alone::run(*kind)?, *kind));
        }
        for (number, variant) in variants.iter_mut().enumerate() {
            if number % FLOOR_INTERVAL == 0 {
                floors.push(floor::run(
                    &Sink::start(ResponsePolicy::IMMEDIATE)?,
                    floor_kind,
                )?);
            }
            variant.runs.push(load_once(
                arguments,
                variant.build,
                variant.tree,
                variant.compression,
                ResponsePolicy::IMMEDIATE,
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
    table.row(floor_row(floor_kind, &floors, unit));
    let floor = floor_figure(floor_kind, &floors, unit).median();
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

fn floor_figure(kind: TreeKind, runs: &[Floor], unit: Unit) -> Figure {
    Figure::of(runs.iter().map(|run| unit.of(run.cpu, kind)))
}

fn floor_row(kind: TreeKind, runs: &[Floor], unit: Unit) -> Vec<String> {
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
    let cpu = figure(&|run| unit.of(run.stats.cpu, tree.kind));
    vec![
        format!("{} {compression}{}", tree.kind.name(), build.label),
        cpu.shown(unit.digits()),
        format!("{:.1}", cpu.median() / floor),
        figure(&|run| run.stats.wall.as_secs_f64()).shown(2),
        figure(&|run| megabytes(run.stats.peak)).shown(1),
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
            figure(&|run| run.stats.transactions as f64).median()
        ),
    ]
}
