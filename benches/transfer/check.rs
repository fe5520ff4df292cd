//! A look at the benchmark itself in less than two seconds, for `cargo test --all-targets`.

use std::io;
use std::time::Duration;

use crate::floor;
use crate::rates::Seconds;
use crate::sink::{Pace, Report, Sink};
use crate::table::{Figure, Table};
use crate::trees::Kind;

fn expect(what: &str, holds: bool) -> io::Result<()> {
    match holds {
        true => Ok(()),
        false => Err(io::Error::other(format!("it does not hold that {what}"))),
    }
}

pub(crate) fn check() -> io::Result<()> {
    let shape = Kind::Few.shape();
    let delay = Duration::from_millis(20);
    let sink = Sink::start(Pace::after(delay))?;
    let floor = floor::run(&sink, Kind::Few)?;
    let report = sink.report()?;
    expect("the floor puts each file", floor.puts == shape.files())?;
    expect("the sink counts each put", report.puts == shape.files())?;
    expect("it counts their bytes", report.bytes == shape.bytes())?;
    expect("no name came twice", report.repeated_puts == 0)?;
    // 20 puts on 16 connections are two rounds.
    expect(
        "an answer takes as long as it should",
        floor.wall >= delay * 2,
    )?;
    expect("16 requests waited at once", report.most_inside == 16)?;
    expect(
        "the bins hold all puts",
        report.put_bins.iter().sum::<u64>() == report.puts,
    )?;
    sink.reset()?;
    expect("a reset forgets", sink.report()?.requests() == 0)?;

    let busy = Sink::start(Pace {
        delay: Duration::ZERO,
        rate: Some(1),
    })?;
    expect(
        "a sink that is busy says so",
        floor::run(&busy, Kind::Few).is_err(),
    )?;
    expect("it counts that", busy.report()?.refused > 0)?;

    // The last refusal came before the last put: its second counts all the same.
    let seconds = Seconds::of(&Report {
        put_bins: vec![1; 25],
        refused_bins: vec![1; 12],
        ..Report::default()
    });
    expect(
        "the seconds of puts and refusals are the same",
        (seconds.puts, seconds.refused) == (vec![10, 10], vec![10, 2]),
    )?;

    let mut table = Table::new(&["what", "figure"]);
    table.row(["a".to_owned(), Figure::of([3.0, 1.0, 2.0]).shown(1)]);
    let printed = "| what |        figure |\n|------|--------------:|\n| a    | 2.0 (1.0–3.0) |\n";
    expect("a table is Markdown", table.to_string() == printed)
}
