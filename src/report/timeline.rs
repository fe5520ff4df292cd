//! The history of a transfer as charts need it: runs, and of each some stretches of time with what
//! was done in them.
//!
//! Snapshots come while the history is read, and are joined to longer stretches whenever there are
//! too many: the page, and what is held for it, stay small however long the history is.

use std::collections::VecDeque;
use std::path::Path;

use crate::monitor::Phase;
use crate::progress::history::{self, Record};
use crate::progress::{Bottleneck, Requests, Snapshot};

/// Stretches of all runs together.
pub(super) const STRETCHES: usize = 600;
/// Of more runs than these, the first are left out.
pub(super) const RUNS: usize = 100;
/// Stretches are at least this long, in milliseconds.
const SHORTEST: u64 = 1000;

/// What is known of the runs.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Oldest first; at most [`RUNS`].
    pub(super) runs: VecDeque<Run>,
    /// Runs before these.
    pub(super) earlier: u64,
    /// Why the history cannot be read.
    pub(super) trouble: Option<String>,
    width: u64,
}

/// One run.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// When it began, milliseconds since 1970.
    pub(super) at: u64,
    /// The program's version, and the options; none where the record of its beginning is lost.
    pub(super) asked: Option<(String, Vec<(String, String)>)>,
    /// How it ended, in words.
    pub(super) end: Option<String>,
    /// When it ended, or the last that is known of it.
    pub(super) until: u64,
    /// In the order of time.
    pub(super) stretches: Vec<Stretch>,
    pub(super) requests: Requests,
    /// Entries settled in it.
    pub(super) done: u64,
    /// Bytes uploaded in it.
    pub(super) bytes_put: u64,
}

impl Run {
    /// How long it worked, in milliseconds.
    pub(super) fn length(&self) -> u64 {
        self.stretches.last().map_or(0, |stretch| stretch.to)
    }
}

/// A stretch of a run's time, and what was done in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Stretch {
    /// Milliseconds since the run began.
    pub(super) from: u64,
    pub(super) to: u64,
    /// When it ended, milliseconds since 1970.
    pub(super) at: u64,
    pub(super) entries: u64,
    pub(super) bytes_put: u64,
    /// Requests that failed, and those of them that were throttled.
    pub(super) failed: u64,
    pub(super) throttled: u64,
    /// The most calls that waited for their next try.
    pub(super) retrying: u64,
    snapshots: u64,
    concurrency: u64,
    in_flight: u64,
    /// Milliseconds in which each thing was the slowest, in the order of `Bottleneck::ALL`; none last.
    limited: [u64; Bottleneck::ALL.len() + 1],
    /// Milliseconds of each phase.
    phases: [u64; Phase::ALL.len()],
}

impl Stretch {
    fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// In a second.
    pub(super) fn rate(&self, amount: u64) -> f64 {
        match self.length() {
            0 => 0.0,
            length => amount as f64 * 1000.0 / length as f64,
        }
    }

    /// Requests that might be on their way at the same time, on average.
    pub(super) fn concurrency(&self) -> f64 {
        self.concurrency as f64 / self.snapshots.max(1) as f64
    }

    /// Requests that were on their way, on average.
    pub(super) fn in_flight(&self) -> f64 {
        self.in_flight as f64 / self.snapshots.max(1) as f64
    }

    /// Milliseconds in which something was the slowest, or nothing stood out.
    pub(super) fn limited_by(&self, limiting: Option<Bottleneck>) -> u64 {
        let mut times = Bottleneck::ALL
            .into_iter()
            .map(Some)
            .chain([None])
            .zip(self.limited);
        times
            .find(|(known, _)| *known == limiting)
            .map_or(0, |(_, time)| time)
    }

    /// What was the slowest for most of it.
    pub(super) fn limiting(&self) -> Option<Bottleneck> {
        let all = Bottleneck::ALL.into_iter().map(Some).chain([None]);
        all.max_by_key(|limiting| self.limited_by(*limiting))
            .flatten()
    }

    /// Milliseconds in a phase.
    pub(super) fn in_phase(&self, phase: Phase) -> u64 {
        let mut times = Phase::ALL.into_iter().zip(self.phases);
        times
            .find(|(known, _)| *known == phase)
            .map_or(0, |(_, time)| time)
    }

    /// The phase of most of it.
    pub(super) fn phase(&self) -> Phase {
        let longest = Phase::ALL
            .into_iter()
            .max_by_key(|phase| self.in_phase(*phase));
        longest.unwrap_or(Phase::Scan)
    }

    /// What was done from one snapshot of a run, or its beginning, to the next.
    fn between(before: Option<&Snapshot>, now: &Snapshot) -> Stretch {
        let since = |figure: &dyn Fn(&Snapshot) -> u64| {
            figure(now).saturating_sub(before.map_or(0, figure))
        };
        let from = before.map_or(0, |before| before.elapsed_ms);
        let mut stretch = Stretch {
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
            ..Stretch::default()
        };
        let length = stretch.length();
        let all = Bottleneck::ALL.into_iter().map(Some).chain([None]);
        for (time, limiting) in stretch.limited.iter_mut().zip(all) {
            *time = if limiting == now.limiting { length } else { 0 };
        }
        for (time, phase) in stretch.phases.iter_mut().zip(Phase::ALL) {
            *time = if phase == now.phase { length } else { 0 };
        }
        stretch
    }

    /// Adds the stretch that follows.
    fn join(&mut self, next: &Stretch) {
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

/// Adds a stretch to a run: to its last one, as long as that does not get much longer than `width`. In
/// the tenth of a second before a run's last snapshot rates would mean little.
fn push(stretches: &mut Vec<Stretch>, next: Stretch, width: u64) {
    match stretches.last_mut() {
        Some(last) if next.to.saturating_sub(last.from) <= width.saturating_add(width / 2) => {
            last.join(&next);
        }
        _ => stretches.push(next),
    }
}

/// Reads records in their order.
struct Reading {
    timeline: Timeline,
    /// The last snapshot of the run that is read, if it has one.
    last: Option<Box<Snapshot>>,
    is_open: bool,
}

impl Timeline {
    /// The history in a state folder.
    pub(super) fn read(folder: &Path) -> Timeline {
        let mut reading = Reading::begin();
        let read = history::visit(folder, |record| reading.add(record));
        reading.timeline.trouble = read.err().map(|error| error.to_string());
        reading.timeline
    }

    /// Milliseconds of all runs that are shown.
    pub(super) fn length(&self) -> u64 {
        let lengths = self.runs.iter().map(Run::length);
        lengths.fold(0, u64::saturating_add)
    }

    /// The runs, each with the milliseconds that those before it worked.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.runs.iter().scan(0_u64, |before, run| {
            let at = *before;
            *before = before.saturating_add(run.length());
            Some((at, run))
        })
    }

    /// All stretches.
    pub(super) fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.runs.iter().flat_map(|run| &run.stretches)
    }

    fn shorten(&mut self) {
        let most = STRETCHES.max(self.runs.len());
        while self
            .runs
            .iter()
            .map(|run| run.stretches.len())
            .sum::<usize>()
            > most
        {
            self.width = self.width.saturating_mul(2);
            for run in &mut self.runs {
                for stretch in std::mem::take(&mut run.stretches) {
                    push(&mut run.stretches, stretch, self.width);
                }
            }
        }
    }
}

impl Reading {
    fn begin() -> Self {
        Reading {
            timeline: Timeline {
                runs: VecDeque::new(),
                earlier: 0,
                trouble: None,
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
                asked: Some((version, options)),
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
        let goes_back = |last: &Snapshot| elapsed < last.elapsed_ms;
        if !self.is_open || self.last.as_deref().is_some_and(goes_back) {
            // A crash cut off the line that told of the run, or it was too long ago.
            self.open(Run {
                at: snapshot.at.saturating_sub(elapsed),
                ..Run::default()
            });
        }
        let stretch = Stretch::between(self.last.as_deref(), &snapshot);
        if let Some(run) = self.timeline.runs.back_mut() {
            run.until = run.until.max(snapshot.at);
            run.requests = snapshot.requests;
            run.done = snapshot.run_done;
            run.bytes_put = snapshot.run_bytes_put;
            push(&mut run.stretches, stretch, self.timeline.width);
        }
        self.timeline.shorten();
        self.last = Some(snapshot);
    }
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
