//! Large trees: what an entry costs in them, memory over time, and how fast a resume begins.

use std::fs;
use std::io;
use std::time::Duration;

use crate::load::Load;
use crate::sink::{Pace, Sink};
use crate::standard::{Run, Unit, load_once};
use crate::table::{Figure, Table, megabytes, seconds};
use crate::trees::{Kind, Tree};
use crate::words::Words;

/// The points of a series of memory.
const POINTS: usize = 10;

/// A million entries against ten thousand of the same sizes, and resumes.
pub(crate) fn million(words: &Words) -> io::Result<()> {
    scale(words, Kind::Million)?;
    resumes(words)
}

/// One folder with a million files.
pub(crate) fn wide(words: &Words) -> io::Result<()> {
    scale(words, Kind::Wide)
}

fn scale(words: &Words, large: Kind) -> io::Result<()> {
    let trees = [
        Tree::at(&words.trees, Kind::TenThousand)?,
        Tree::at(&words.trees, large)?,
    ];
    let mut runs: [Vec<Run>; 2] = Default::default();
    let build = &words.build;
    for tree in &trees {
        tree.warm()?;
    }
    for _ in 0..words.runs_or(1) {
        for (tree, runs) in trees.iter().zip(&mut runs) {
            // The small tree is over in a second: three of them are as steady as one large.
            let times = if tree.kind == large { 1 } else { 3 };
            for _ in 0..times {
                runs.push(load_once(words, build, tree, "LZ4", Pace::AT_ONCE)?);
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
    let mut of_small = f64::NAN;
    for (tree, runs) in trees.iter().zip(&runs) {
        let entries = tree.kind.shape().entries() as f64;
        let figure = |read: &dyn Fn(&Run) -> f64| Figure::of(runs.iter().map(read));
        let cpu = figure(&|run| Unit::Entry.of(run.ended.cpu, tree.kind));
        if of_small.is_nan() {
            of_small = cpu.median();
        }
        table.row([
            tree.kind.name().to_owned(),
            cpu.shown(1),
            format!("{:.2}", cpu.median() / of_small),
            figure(&|run| entries / run.ended.wall.as_secs_f64()).shown(0),
            figure(&|run| run.ended.wall.as_secs_f64()).shown(2),
            figure(&|run| megabytes(run.ended.peak)).shown(1),
            format!(
                "{:.1}",
                figure(&|run| run.database.bytes as f64 / entries).median()
            ),
            format!("{:.0}", figure(&|run| run.database.rows as f64).median()),
            format!(
                "{:.0}",
                figure(&|run| run.ended.transactions as f64).median()
            ),
        ]);
    }
    println!("{table}");
    for run in runs.iter().flatten().rev().take(1) {
        println!("{}: {}\n", large.name(), memory(&run.ended.memory));
    }
    Ok(())
}

/// `resident MB at 10 points of 12.3 s: 1 2 3 ...`
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

/// The resume of a finished million, and of one that was killed in the middle.
fn resumes(words: &Words) -> io::Result<()> {
    let tree = Tree::at(&words.trees, Kind::Million)?;
    let build = &words.build;
    let entries = tree.kind.shape().entries();
    let sink = Sink::start(Pace::AT_ONCE)?;
    let load = Load {
        build,
        source: &tree.path,
        sink: &sink,
        state: words.folder.join("state-resumed"),
        options: Vec::new(),
    };
    let mut table = Table::new(&["resume", "first put after", "ended after", "puts", "CPU s"]);
    let mut asked = Duration::ZERO;
    let killed = load.new_until(|elapsed| {
        if elapsed < asked {
            return Ok(false);
        }
        asked = elapsed + Duration::from_millis(200);
        Ok(sink.report()?.puts >= entries / 2)
    })?;
    if killed.status.is_some() {
        return Err(io::Error::other("the load ended before it was killed"));
    }
    let before = sink.report()?.puts;
    for what in [
        format!("of a million, killed after {before} puts"),
        "of a finished million".to_owned(),
    ] {
        sink.reset()?;
        let ended = load.resume()?;
        let report = sink.report()?;
        let first = report.first_put_micros.map(Duration::from_micros);
        table.row([
            what,
            first.map_or("no put".to_owned(), seconds),
            seconds(ended.wall),
            report.puts.to_string(),
            format!("{:.2}", ended.cpu.as_secs_f64()),
        ]);
    }
    println!("{table}");
    fs::remove_dir_all(&load.state)
}
