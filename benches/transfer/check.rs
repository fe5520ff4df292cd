//! A test of the benchmark itself, for `cargo test --all-targets`. It takes less than two seconds.

use std::io;
use std::time::Duration;

use crate::floor;
use crate::rates::Seconds;
use crate::sink::{Report, ResponsePolicy, Sink};
use crate::table::{Figure, Table};
use crate::trees::TreeKind;

fn expect(what: &str, holds: bool) -> io::Result<()> {
    match holds {
        true => Ok(()),
        false => Err(io::Error::other(format!("the check failed: {what}"))),
    }
}

pub(crate) fn check() -> io::Result<()> {
    let shape = TreeKind::Few.shape();
    let delay = Duration::from_millis(20);
    let sink = Sink::start(ResponsePolicy::delayed(delay))?;
    let floor = floor::run(&sink, TreeKind::Few)?;
    let report = sink.report()?;
    expect(
        "the floor uploads each file once",
        floor.puts == shape.files(),
    )?;
    expect("the sink counts each upload", report.puts == shape.files())?;
    expect("the sink counts the bytes", report.bytes == shape.bytes())?;
    expect(
        "the sink counts no repeated upload",
        report.repeated_puts == 0,
    )?;
    // 20 uploads on 16 connections take two rounds.
    expect("each response is delayed", floor.wall >= delay * 2)?;
    expect("16 requests are in flight", report.max_in_flight == 16)?;
    expect(
        "the bins count all uploads",
        report.put_bins.iter().sum::<u64>() == report.puts,
    )?;
    sink.reset()?;
    expect(
        "a reset clears the counters",
        sink.report()?.requests() == 0,
    )?;

    let busy = Sink::start(ResponsePolicy {
        delay: Duration::ZERO,
        rate: Some(1),
    })?;
    expect(
        "a throttling sink fails the floor",
        floor::run(&busy, TreeKind::Few).is_err(),
    )?;
    expect(
        "the sink counts throttled requests",
        busy.report()?.throttled > 0,
    )?;

    // The last throttled request came before the last upload; both lists must cover the same seconds.
    let seconds = Seconds::of(&Report {
        put_bins: vec![1; 25],
        throttled_bins: vec![1; 12],
        ..Report::default()
    });
    expect(
        "uploads and throttled requests cover the same seconds",
        (seconds.puts, seconds.throttled) == (vec![10, 10], vec![10, 2]),
    )?;

    let mut table = Table::new(&["what", "figure"]);
    table.row(["a".to_owned(), Figure::of([3.0, 1.0, 2.0]).shown(1)]);
    let printed = "| what |        figure |\n|------|--------------:|\n| a    | 2.0 (1.0–3.0) |\n";
    expect("a table is Markdown", table.to_string() == printed)
}
