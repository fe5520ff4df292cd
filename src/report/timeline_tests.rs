#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::progress::Rates;

fn snapshot(elapsed_ms: u64, done: u64) -> Record {
    let json = serde_json::json!({
        "record": "snapshot", "at": 1_000_000 + elapsed_ms, "elapsed_ms": elapsed_ms,
        "phase": "scan", "scan_complete": false, "found": 0, "done": 0, "failed": 0,
        "bytes_found": 0, "bytes_read": 0, "bytes_put": 0, "objects": 0,
        "run_done": done, "run_bytes_put": done * 10,
        "now": Rates::default(), "recent": Rates::default(), "overall": Rates::default(),
        "concurrency": 8, "in_flight": 4, "pace": 0, "retrying": done % 7,
        "requests": {"puts": done, "failed": done / 2}, "cpu": 0.0,
        "limiting": if done.is_multiple_of(2) { Some("network") } else { None }, "eta_seconds": null
    });
    serde_json::from_value(json).unwrap()
}

fn run(at: u64) -> Record {
    Record::Run {
        at,
        version: "1".to_owned(),
        options: Vec::new(),
    }
}

fn end(at: u64) -> Record {
    Record::End {
        at,
        end: "stopped".to_owned(),
    }
}

fn read(records: impl IntoIterator<Item = Record>) -> Timeline {
    let mut history_reader = HistoryReader::begin();
    records
        .into_iter()
        .for_each(|record| history_reader.add(record));
    history_reader.timeline
}

#[test]
fn rates_are_those_between_snapshots() {
    let timeline = read([run(5), snapshot(2000, 10), snapshot(6000, 50), end(9)]);
    let Some(run) = timeline.runs.front() else {
        panic!("{timeline:?}");
    };
    let rates: Vec<f64> = run
        .intervals
        .iter()
        .map(|interval| interval.rate(interval.entries))
        .collect();
    assert_eq!(rates, [5.0, 10.0]);
    assert_eq!((run.length(), run.done, run.bytes_put), (6000, 50, 500));
    assert_eq!(run.end.as_deref(), Some("stopped"));
}

#[test]
fn a_long_history_becomes_few_stretches_and_no_amount_is_lost() {
    let snapshots = (1..=100_000).map(|n| snapshot(n * 1000, n));
    let timeline = read([run(0)].into_iter().chain(snapshots).chain([end(1)]));
    let intervals: Vec<&Interval> = timeline.intervals().collect();
    let number = intervals.len();
    assert!((INTERVALS / 4..=INTERVALS).contains(&number), "{number}");
    let sum =
        |figure: &dyn Fn(&Interval) -> u64| intervals.iter().copied().map(figure).sum::<u64>();
    assert_eq!(sum(&|interval| interval.entries), 100_000);
    assert_eq!(sum(&|interval| interval.bytes_put), 1_000_000);
    assert_eq!(sum(&|interval| interval.failed), 50_000);
    assert_eq!(sum(&|interval| interval.length()), 100_000_000);
    assert_eq!(
        sum(&|interval| interval.limited_by(Some(Bottleneck::Network))),
        50_000_000
    );
    assert!(intervals.windows(2).all(|pair| pair[0].to == pair[1].from));
    assert!(
        intervals
            .iter()
            .all(|interval| interval.concurrency() == 8.0)
    );
}

#[test]
fn the_last_of_many_runs_are_kept() {
    let runs = (0..1000).flat_map(|n| [run(n), snapshot(1500, 3), snapshot(3000, 5), end(n)]);
    let timeline = read(runs);
    assert_eq!((timeline.runs.len(), timeline.earlier), (RUNS, 900));
    assert!(timeline.intervals().count() <= INTERVALS);
    assert_eq!(timeline.length(), 300_000);
    let last = timeline.placed().last().map(|(before, _)| before);
    assert_eq!(last, Some(297_000));
}

#[test]
fn a_run_without_a_start_record_is_a_run() {
    let timeline = read([
        snapshot(60_000, 100),
        snapshot(61_000, 110),
        // Killed; the start record of the next run was lost.
        snapshot(2000, 4),
        end(1),
        snapshot(9000, 7),
    ]);
    let runs: Vec<(u64, bool, u64)> = timeline
        .runs
        .iter()
        .map(|run| (run.length(), run.started_with.is_some(), run.done))
        .collect();
    assert_eq!(
        runs,
        [(61_000, false, 110), (2000, false, 4), (9000, false, 7)]
    );
}

#[test]
fn implausible_numbers_are_accepted() {
    let timeline = read([
        run(u64::MAX),
        snapshot(u64::MAX - 2_000_000, 9),
        run(0),
        snapshot(u64::MAX - 2_000_000, 3),
        snapshot(u64::MAX - 2_000_000, 1),
        end(0),
        end(u64::MAX),
    ]);
    assert_eq!(timeline.length(), u64::MAX);
    assert_eq!(timeline.placed().count(), 2);
}
