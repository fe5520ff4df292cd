//! The history of a transfer for charts: its runs, and the figures of each over some intervals of time.
//!
//! Stretches are joined to longer ones whenever there are too many, while the history is read: the page
//! and the memory for it are small for a history of any length.

use std::collections::VecDeque;
use std::path::Path;

use crate::events::Phase;
use crate::progress::history::{self, Record};
use crate::progress::{Bottleneck, Requests, Snapshot};

/// The maximum number of intervals of all runs.
pub(super) const INTERVALS: usize = 600;
/// The maximum number of runs: the last ones.
pub(super) const RUNS: usize = 100;
/// The minimum length of an interval, in milliseconds.
const SHORTEST: u64 = 1000;

/// The runs of a transfer.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Oldest first; at most [`RUNS`].
    pub(super) runs: VecDeque<Run>,
    /// The number of runs before these.
    pub(super) earlier: u64,
    /// Why the history cannot be read.
    pub(super) error: Option<String>,
    width: u64,
}

/// One run.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// The start, in milliseconds since 1970.
    pub(super) at: u64,
    /// The program's version, and the options; none if the record of the start is lost.
    pub(super) started_with: Option<(String, Vec<(String, String)>)>,
    /// How it ended, in words.
    pub(super) end: Option<String>,
    /// The end, or the time of the last record.
    pub(super) until: u64,
    /// In the order of time.
    pub(super) intervals: Vec<Interval>,
    pub(super) requests: Requests,
    /// Entries done in it.
    pub(super) done: u64,
    /// Bytes uploaded in it.
    pub(super) bytes_put: u64,
}

impl Run {
    /// Returns the duration in milliseconds.
    pub(super) fn length(&self) -> u64 {
        self.intervals.last().map_or(0, |interval| interval.to)
    }
}

/// The figures of a run over an interval of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Interval {
    /// Milliseconds since the run began.
    pub(super) from: u64,
    pub(super) to: u64,
    /// The end, in milliseconds since 1970.
    pub(super) at: u64,
    pub(super) entries: u64,
    pub(super) bytes_put: u64,
    /// Requests that failed, including those that were throttled.
    pub(super) failed: u64,
    pub(super) throttled: u64,
    /// The maximum number of calls in backoff.
    pub(super) retrying: u64,
    snapshots: u64,
    concurrency: u64,
    in_flight: u64,
    /// Milliseconds of each bottleneck, in the order of `Bottleneck::ALL`; of none last.
    limited: [u64; Bottleneck::ALL.len() + 1],
    /// Milliseconds of each phase.
    phases: [u64; Phase::ALL.len()],
}

impl Interval {
    fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Returns an amount of the interval per second.
    pub(super) fn rate(&self, amount: u64) -> f64 {
        match self.length() {
            0 => 0.0,
            length => amount as f64 * 1000.0 / length as f64,
        }
    }

    /// Returns the average limit on concurrent requests.
    pub(super) fn concurrency(&self) -> f64 {
        self.concurrency as f64 / self.snapshots.max(1) as f64
    }

    /// Returns the average number of requests in flight.
    pub(super) fn in_flight(&self) -> f64 {
        self.in_flight as f64 / self.snapshots.max(1) as f64
    }

    /// Milliseconds of a bottleneck, or of none.
    pub(super) fn limited_by(&self, limiting: Option<Bottleneck>) -> u64 {
        self.limited.get(place(limiting)).copied().unwrap_or(0)
    }

    /// Returns the bottleneck for most of the interval.
    pub(super) fn limiting(&self) -> Option<Bottleneck> {
        let all = Bottleneck::ALL.into_iter().map(Some).chain([None]);
        all.max_by_key(|limiting| self.limited_by(*limiting))
            .flatten()
    }

    /// Returns the milliseconds in a phase.
    pub(super) fn in_phase(&self, phase: Phase) -> u64 {
        let time = Phase::ALL.iter().zip(self.phases);
        time.filter(|(known, _)| **known == phase)
            .map(|(_, time)| time)
            .sum()
    }

    /// Returns the phase for most of the interval.
    pub(super) fn phase(&self) -> Phase {
        let longest = Phase::ALL
            .into_iter()
            .max_by_key(|phase| self.in_phase(*phase));
        longest.unwrap_or(Phase::Scan)
    }

    /// Returns the interval from one snapshot of a run, or its start, to the next.
    fn between(before: Option<&Snapshot>, now: &Snapshot) -> Interval {
        let since = |figure: &dyn Fn(&Snapshot) -> u64| {
            figure(now).saturating_sub(before.map_or(0, figure))
        };
        let from = before.map_or(0, |before| before.elapsed_ms);
        let mut interval = Interval {
            from,
            to: now.elapsed_ms,
            at: now.at,
            entries: since(&|snapshot| snapshot.run_done),
            bytes_put: since(&|snapshot| snapshot.run_bytes_put),
            failed: since(&|snapshot| snapshot.requests.failed),
            throttled: since(&|snapshot| snapshot.requests.throttled),
            retrying: now.retrying,
            snapshots: 1,
            concurrency: now.concurrency,
            in_flight: now.in_flight,
            ..Interval::default()
        };
        let length = interval.length();
        if let Some(time) = interval.limited.get_mut(place(now.limiting)) {
            *time = length;
        }
        let phases = Phase::ALL.iter().zip(&mut interval.phases);
        phases
            .filter(|(known, _)| **known == now.phase)
            .for_each(|(_, time)| *time = length);
        interval
    }

    /// Adds the next interval.
    fn join(&mut self, next: &Interval) {
        self.to = next.to;
        self.at = next.at;
        self.retrying = self.retrying.max(next.retrying);
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.entries, next.entries);
        add(&mut self.bytes_put, next.bytes_put);
        add(&mut self.failed, next.failed);
        add(&mut self.throttled, next.throttled);
        add(&mut self.snapshots, next.snapshots);
        add(&mut self.concurrency, next.concurrency);
        add(&mut self.in_flight, next.in_flight);
        for (sum, more) in self.limited.iter_mut().zip(next.limited) {
            add(sum, more);
        }
        for (sum, more) in self.phases.iter_mut().zip(next.phases) {
            add(sum, more);
        }
    }
}

/// Returns the index of a bottleneck in [`Interval::limited`].
fn place(limiting: Option<Bottleneck>) -> usize {
    let of = |limiting| Bottleneck::ALL.iter().position(|known| *known == limiting);
    limiting.and_then(of).unwrap_or(Bottleneck::ALL.len())
}

/// Adds an interval to a run: joins it to the last one if the sum is not much longer than `width`. Rates
/// over the tenth of a second before a run's last snapshot would be meaningless.
fn push(intervals: &mut Vec<Interval>, next: Interval, width: u64) {
    match intervals.last_mut() {
        Some(last) if next.to.saturating_sub(last.from) <= width.saturating_add(width / 2) => {
            last.join(&next);
        }
        _ => intervals.push(next),
    }
}

/// Reads records in order.
struct HistoryReader {
    timeline: Timeline,
    /// The last snapshot of the current run.
    last: Option<Box<Snapshot>>,
    is_open: bool,
}

impl Timeline {
    /// Returns the history in a state folder.
    pub(super) fn read(folder: &Path) -> Timeline {
        let mut history_reader = HistoryReader::begin();
        let read = history::visit(folder, |record| history_reader.add(record));
        history_reader.timeline.error = read.err().map(|error| error.to_string());
        history_reader.timeline
    }

    /// Milliseconds of all runs in it.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.runs.iter().map(Run::length);
        lengths.fold(0, u64::saturating_add)
    }

    /// Returns the runs, each with the duration of those before it in milliseconds.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.runs.iter().scan(0_u64, |before, run| {
            let at = *before;
            *before = before.saturating_add(run.length());
            Some((at, run))
        })
    }

    /// Returns all intervals.
    pub(super) fn intervals(&self) -> impl Iterator<Item = &Interval> {
        self.runs.iter().flat_map(|run| &run.intervals)
    }

    fn shorten(&mut self) {
        let most = INTERVALS.max(self.runs.len());
        while self
            .runs
            .iter()
            .map(|run| run.intervals.len())
            .sum::<usize>()
            > most
        {
            self.width = self.width.saturating_mul(2);
            for run in &mut self.runs {
                for interval in std::mem::take(&mut run.intervals) {
                    push(&mut run.intervals, interval, self.width);
                }
            }
        }
    }
}

impl HistoryReader {
    fn begin() -> Self {
        HistoryReader {
            timeline: Timeline {
                runs: VecDeque::new(),
                earlier: 0,
                error: None,
                width: SHORTEST,
            },
            last: None,
            is_open: false,
        }
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Run {
                at,
                version,
                options,
            } => self.open(Run {
                at,
                until: at,
                started_with: Some((version, options)),
                ..Run::default()
            }),
            Record::Snapshot(snapshot) => self.snapshot(snapshot),
            Record::End { at, end } => {
                if let Some(run) = self.timeline.runs.back_mut()
                    && self.is_open
                {
                    run.until = run.until.max(at);
                    run.end = Some(end);
                }
                self.is_open = false;
            }
        }
    }

    fn open(&mut self, run: Run) {
        self.last = None;
        self.is_open = true;
        self.timeline.runs.push_back(run);
        if self.timeline.runs.len() > RUNS {
            self.timeline.runs.pop_front();
            self.timeline.earlier += 1;
        }
    }

    fn snapshot(&mut self, snapshot: Box<Snapshot>) {
        let elapsed = snapshot.elapsed_ms;
        let is_earlier = |last: &Snapshot| elapsed < last.elapsed_ms;
        if !self.is_open || self.last.as_deref().is_some_and(is_earlier) {
            // The record of the start was lost in a crash, or is too old to be read.
            self.open(Run {
                at: snapshot.at.saturating_sub(elapsed),
                ..Run::default()
            });
        }
        let interval = Interval::between(self.last.as_deref(), &snapshot);
        if let Some(run) = self.timeline.runs.back_mut() {
            run.until = run.until.max(snapshot.at);
            run.requests = snapshot.requests;
            run.done = snapshot.run_done;
            run.bytes_put = snapshot.run_bytes_put;
            push(&mut run.intervals, interval, self.timeline.width);
        }
        self.timeline.shorten();
        self.last = Some(snapshot);
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
