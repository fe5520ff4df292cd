//! Samples a run four times a second, and passes snapshots to the monitor.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::bottleneck::{BottleneckDetector, BottleneckSample};
use super::estimate::estimate;
use super::history::History;
use super::window::{Mark, Window};
use super::{EntryCounts, Progress, Snapshot};
use crate::container::limit::Limiter;
use crate::events::{Monitor, Phase};
use crate::source::SourceTree;
use crate::state::{Reader, State, Subtrees};

/// Time between two samples.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// Samples per snapshot.
const SAMPLES_PER_SNAPSHOT: u32 = 2;
/// Snapshots per query of the database.
const SNAPSHOTS_PER_QUERY: u32 = 4;
/// With more failed entries, directories among them are only counted at the end.
const MANY_PROBLEMS: u64 = 100_000;
/// The window of the current rates.
const NOW: Duration = Duration::from_secs(10);
/// The window of the estimate: long enough to include large files and small ones.
const ESTIMATE_WINDOW: Duration = Duration::from_secs(300);
/// A call to the source that takes longer waits for a disk or a server.
const SLOW_CALL: Duration = Duration::from_millis(1);

/// The container is responding if it carried out a request within this time. Large objects over a slow
/// connection may complete further apart than two samples.
const RESPONDED_WITHIN: Duration = Duration::from_secs(2);
/// The fraction of the bandwidth limit from which on it is the bottleneck.
const NEAR_LIMIT: f64 = 0.9;

/// The parts of a run that are sampled.
pub struct ProgressSampler<'a> {
    pub(crate) progress: &'a Progress,
    pub(crate) state: &'a State,
    pub(crate) reader: Reader,
    pub(crate) source: &'a SourceTree,
    pub(crate) limiter: &'a Limiter,
    pub(crate) started: Instant,
}

impl ProgressSampler<'_> {
    /// Samples the run until the sender of `end` is dropped, then takes the last snapshot.
    pub(crate) fn run(self, end: &Receiver<()>, monitor: &dyn Monitor) {
        let mut series = SampleSeries::new(self.state.folder(), self.started);
        let mut samples = 0;
        while end.recv_timeout(SAMPLE_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            series.sample(&self);
            samples += 1;
            if samples % SAMPLES_PER_SNAPSHOT == 0 {
                monitor.snapshot(series.take(&self, false));
            }
        }
        monitor.snapshot(series.take(&self, true));
    }
}

/// The state that is kept from one sample to the next.
struct SampleSeries {
    bottleneck: BottleneckDetector,
    now: Window,
    estimate: Window,
    /// Time, processor time of this process, and time in transactions, at the last sample.
    last: (Instant, Duration, Duration),
    /// Requests that had succeeded at the last sample, and when the number was last seen to grow.
    responses: (u64, Option<Instant>),
    cpu_before: Duration,
    problems: u64,
    subtrees: Subtrees,
    changed: u64,
    /// Further names of inodes in the container, once the pass over them is finished.
    links: Option<u64>,
    taken: u32,
    history: History,
    snapshot: Option<Snapshot>,
}

impl SampleSeries {
    fn new(folder: &Path, started: Instant) -> Self {
        let cpu = processor_time();
        SampleSeries {
            bottleneck: BottleneckDetector::default(),
            now: Window::new(NOW),
            estimate: Window::new(ESTIMATE_WINDOW),
            last: (started, cpu, Duration::ZERO),
            responses: (0, None),
            cpu_before: cpu,
            problems: 0,
            subtrees: Subtrees::default(),
            changed: 0,
            links: None,
            taken: 0,
            history: History::append_to(folder),
            snapshot: None,
        }
    }

    fn sample(&mut self, run: &ProgressSampler<'_>) {
        let (time, cpu, busy) = (Instant::now(), processor_time(), run.state.busy());
        let (last_time, last_cpu, last_busy) = self.last;
        self.last = (time, cpu, busy);
        let elapsed = (time - last_time).as_secs_f64().max(1e-9);
        let part = |spent: Duration, before: Duration| {
            spent.saturating_sub(before).as_secs_f64() / elapsed
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let progress = run.progress;
        let requests = progress.limiter.requests();
        let responses = requests.all().saturating_sub(requests.failed);
        if responses > self.responses.0 {
            self.responses = (responses, Some(time));
        }
        let mark = self.mark(run);
        let rate = mark.rates_since(&self.now.slide(mark)).bytes_put;
        let limit = run.limiter.bandwidth_limit();
        self.bottleneck.add(&BottleneckSample {
            retrying: progress.retrying.load(Ordering::Relaxed),
            responding: (self.responses.1).is_some_and(|last| time - last <= RESPONDED_WITHIN),
            paced: Progress::get(&progress.limiter.pace) > 0,
            at_bandwidth_limit: limit.is_some_and(|limit| rate >= NEAR_LIMIT * limit.get() as f64),
            requests_are_full: run.limiter.in_flight()
                >= Progress::get(&progress.limiter.concurrency).max(1),
            waiting_for_room: progress.waiting_for_room.load(Ordering::Relaxed),
            waiting_for_source: run.source.slow_calls(SLOW_CALL),
            busy: part(cpu, last_cpu) / processors as f64,
            in_transaction: part(busy, last_busy),
        });
    }

    fn mark(&self, run: &ProgressSampler<'_>) -> Mark {
        let progress = run.progress;
        Mark {
            elapsed: run.started.elapsed(),
            entries: Progress::get(&progress.done),
            bytes_read: Progress::get(&progress.bytes_read) + Progress::get(&progress.read_ahead),
            bytes_put: Progress::get(&progress.bytes_put),
            cpu: processor_time().saturating_sub(self.cpu_before),
        }
    }

    fn take(&mut self, run: &ProgressSampler<'_>, last: bool) -> &Snapshot {
        if last || self.taken.is_multiple_of(SNAPSHOTS_PER_QUERY) {
            // Errors are ignored here: the stages that depend on the database report them.
            self.problems = run.reader.problem_count().unwrap_or(self.problems);
            self.changed = run.reader.changed_count().unwrap_or(self.changed);
            // Searches the tree for each failed entry: a second for a million of them.
            if last || self.problems <= MANY_PROBLEMS {
                self.subtrees = run.reader.subtrees().unwrap_or(self.subtrees);
            }
        }
        // Further names are uploaded with their inodes in the second pass, and counted after it.
        let is_after = matches!(run.progress.phase(), Phase::Directories | Phase::Finish);
        if last || (is_after && self.links.is_none()) {
            self.links = run.reader.links_done().ok().or(self.links);
        }
        self.taken = self.taken.wrapping_add(1);
        let snapshot = self.figures(run);
        let path = |id| run.reader.path(id).ok();
        let extremes = |before: &_| run.progress.rankings.ranked(before, path);
        self.history.keep(&snapshot, extremes, last);
        self.snapshot.insert(snapshot)
    }

    fn figures(&mut self, run: &ProgressSampler<'_>) -> Snapshot {
        let (progress, before) = (run.progress, run.progress.before());
        let get = Progress::get;
        let phase = progress.phase();
        let mark = self.mark(run);
        let recent = self.now.slide(mark);
        let minutes_ago = self.estimate.slide(mark);
        let found = before.found + get(&progress.found);
        let bytes_found = before.bytes_found + get(&progress.bytes_found);
        let counts = EntryCounts {
            found,
            failed: self.problems,
            settled: before.done + get(&progress.done),
            links: self.links.unwrap_or(before.links_done),
            is_finished: progress.is_finished(),
        };
        let mut snapshot = Snapshot {
            at: super::history::now(),
            elapsed_ms: u64::try_from(mark.elapsed.as_millis()).unwrap_or(u64::MAX),
            phase,
            scan_complete: progress.is_scan_complete(),
            found,
            done: counts.done(),
            failed: self.problems,
            unlisted_directories: self.subtrees.unlisted,
            unknown_entries: self.subtrees.unknown,
            changed: self.changed,
            bytes_found,
            // The last segment of a file in flight may be short.
            bytes_read: (before.bytes_read + mark.bytes_read).min(bytes_found),
            bytes_failed: get(&progress.bytes_failed).min(bytes_found),
            bytes_put: before.bytes_put + mark.bytes_put,
            objects: before.objects + get(&progress.objects),
            run_done: mark.entries,
            run_bytes_put: mark.bytes_put,
            now: mark.rates_since(&recent),
            recent: mark.rates_since(&minutes_ago),
            overall: mark.rates_since(&Mark::default()),
            concurrency: get(&progress.limiter.concurrency),
            in_flight: run.limiter.in_flight(),
            pace: get(&progress.limiter.pace),
            retrying: progress.retrying.load(Ordering::Relaxed) as u64,
            requests: progress.limiter.requests(),
            cpu: mark.processors_since(&recent),
            limiting: self.bottleneck.bottleneck(),
            eta_seconds: None,
        };
        snapshot.eta_seconds = estimate(&snapshot);
        snapshot
    }
}

/// Returns the processor time of this process (clock_gettime(2), `CLOCK_PROCESS_CPUTIME_ID`).
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
