//! Large trees: cost per entry, memory over time, and the time until a resume uploads.

use std::fs;
use std::io;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::load::Load;
use crate::sink::{ResponsePolicy, Sink};
use crate::standard::{Run, Unit, load_once};
use crate::table::{Figure, Table, megabytes, seconds};
use crate::trees::{Tree, TreeKind};

/// The number of samples in a printed series of memory.
const POINTS: usize = 10;

/// Compares a million entries with ten thousand of the same sizes, and measures resumes.
pub(crate) fn million(arguments: &Arguments) -> io::Result<()> {
    scale(arguments, TreeKind::Million)?;
    resumes(arguments)
}

/// Compares one folder with a million files with the small tree.
pub(crate) fn wide(arguments: &Arguments) -> io::Result<()> {
    scale(arguments, TreeKind::Wide)
}

fn scale(arguments: &Arguments, large: TreeKind) -> io::Result<()> {
    let trees = [
        Tree::at(&arguments.trees, TreeKind::TenThousand)?,
        Tree::at(&arguments.trees, large)?,
    ];
    let mut runs: [Vec<Run>; 2] = Default::default();
    let build = &arguments.build;
    for tree in &trees {
        tree.warm()?;
    }
    for _ in 0..arguments.runs_or(1) {
        for (tree, runs) in trees.iter().zip(&mut runs) {
            // The small tree takes about a second, so three runs reduce its variance.
            let times = if tree.kind == large { 1 } else { 3 };
            for _ in 0..times {
                runs.push(load_once(
                    arguments,
                    build,
                    tree,
                    "LZ4",
                    ResponsePolicy::IMMEDIATE,
                )?);
            }
        }
    }
    let mut table = Table::new(&[
        "what",
        "CPU µs per entry",
        "× ten-thousand",
        "entries per s",
        "wall s",
        "peak RSS MB",
        "db bytes per entry",
        "rows",
        "transactions",
    ]);
    let mut small_cpu = f64::NAN;
    for (tree, runs) in trees.iter().zip(&runs) {
        let entries = tree.kind.shape().entries() as f64;
        let figure = |read: &dyn Fn(&Run) -> f64| Figure::of(runs.iter().map(read));
        let cpu = figure(&|run| Unit::Entry.of(run.stats.cpu, tree.kind));
        if small_cpu.is_nan() {
            small_cpu = cpu.median();
        }
        table.row([
            tree.kind.name().to_owned(),
            cpu.shown(1),
            format!("{:.2}", cpu.median() / small_cpu),
            figure(&|run| entries / run.stats.wall.as_secs_f64()).shown(0),
            figure(&|run| run.stats.wall.as_secs_f64()).shown(2),
            figure(&|run| megabytes(run.stats.peak)).shown(1),
            format!(
                "{:.1}",
                figure(&|run| run.database.bytes as f64 / entries).median()
            ),
            format!("{:.0}", figure(&|run| run.database.rows as f64).median()),
            format!(
                "{:.0}",
                figure(&|run| run.stats.transactions as f64).median()
            ),
        ]);
    }
    println!("{table}");
    for run in runs.iter().flatten().rev().take(1) {
        println!("{}: {}\n", large.name(), memory(&run.stats.memory));
    }
    Ok(())
}

/// Formats memory over time: `resident MB at 10 points of 12.3 s: 1 2 3 ...`.
pub(crate) fn memory(samples: &[(Duration, u64)]) -> String {
    let last = samples.len().saturating_sub(1);
    let points: Vec<String> = (1..=POINTS)
        .filter_map(|point| samples.get(last * point / POINTS))
        .map(|(_, bytes)| format!("{:.0}", megabytes(*bytes)))
        .collect();
    let end = samples.last().map_or(Duration::ZERO, |(at, _)| *at);
    format!(
        "resident MB at {POINTS} points of {}: {}",
        seconds(end),
        points.join(" ")
    )
}

/// Measures the resume of a load that was killed halfway, and of a finished one.
fn resumes(arguments: &Arguments) -> io::Result<()> {
    let tree = Tree::at(&arguments.trees, TreeKind::Million)?;
    let build = &arguments.build;
    let entries = tree.kind.shape().entries();
    let sink = Sink::start(ResponsePolicy::IMMEDIATE)?;
    let load = Load {
        build,
        source: &tree.path,
        sink: &sink,
        state: arguments.folder.join("state-resumed"),
        options: Vec::new(),
    };
    let mut table = Table::new(&[
        "resume",
        "first upload after",
        "finished after",
        "uploads",
        "CPU s",
    ]);
    let mut next_report = Duration::ZERO;
    let killed = load.run_new_until(|elapsed| {
        if elapsed < next_report {
            return Ok(false);
        }
        next_report = elapsed + Duration::from_millis(200);
        Ok(sink.report()?.puts >= entries / 2)
    })?;
    if killed.status.is_some() {
        return Err(io::Error::other("the load finished before it was killed"));
    }
    let before = sink.report()?.puts;
    for what in [
        format!("of a million, killed after {before} uploads"),
        "of a finished million".to_owned(),
    ] {
        sink.reset()?;
        let stats = load.resume()?;
        let report = sink.report()?;
        let first = report.first_put_micros.map(Duration::from_micros);
        table.row([
            what,
            first.map_or("no upload".to_owned(), seconds),
            seconds(stats.wall),
            report.puts.to_string(),
            format!("{:.2}", stats.cpu.as_secs_f64()),
        ]);
    }
    println!("{table}");
    fs::remove_dir_all(&load.state)
}
