//! Looks at a run four times a second, and tells its figures.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::estimate::estimate;
use super::history::History;
use super::votes::{Look, Votes};
use super::window::{Mark, Window};
use super::{Progress, Snapshot, Standing};
use crate::container::limit::Limiter;
use crate::events::{Monitor, Phase};
use crate::source::SourceTree;
use crate::state::{Reader, State, Subtrees};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks for a snapshot.
const LOOKS_A_SNAPSHOT: u32 = 2;
/// Snapshots for a question to the database.
const SNAPSHOTS_A_QUERY: u32 = 4;
/// Of more problems, those of directories are counted only at the end.
const MANY_PROBLEMS: u64 = 100_000;
/// What "now" is.
const NOW: Duration = Duration::from_secs(10);
/// What the estimate goes by: long enough to hold large files and small ones.
const ESTIMATED_BY: Duration = Duration::from_secs(300);
/// A call of the source that is open for longer went to a disk or to a server.
const WAITING: Duration = Duration::from_millis(1);

/// The container answers when it did something within this: few large objects over a thin line are
/// done further apart than two looks.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// From this share of the bandwidth limit on, it is what limits.
const NEARLY: f64 = 0.9;

/// What a run consists of, to look at.
pub struct Observer<'a> {
    pub(crate) progress: &'a Progress,
    pub(crate) state: &'a State,
    pub(crate) reader: Reader,
    pub(crate) source: &'a SourceTree,
    pub(crate) limiter: &'a Limiter,
    pub(crate) started: Instant,
}

impl Observer<'_> {
    /// Looks until `over` is gone; the last snapshot is taken then.
    pub(crate) fn run(self, over: &Receiver<()>, monitor: &dyn Monitor) {
        let mut taking = Taking::new(self.state.folder(), self.started);
        let mut looks = 0;
        while over.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            taking.look(&self);
            looks += 1;
            if looks % LOOKS_A_SNAPSHOT == 0 {
                monitor.snapshot(taking.take(&self, false));
            }
        }
        monitor.snapshot(taking.take(&self, true));
    }
}

/// What is remembered from one look to the next.
struct Taking {
    votes: Votes,
    now: Window,
    estimate: Window,
    /// Time, this process's processor time, and time in transactions, at the last look.
    last: (Instant, Duration, Duration),
    /// Requests that had been carried out at the last look, and when one was seen to be.
    answers: (u64, Option<Instant>),
    cpu_before: Duration,
    problems: u64,
    subtrees: Subtrees,
    changed: u64,
    /// Further names that are in the container, once the pass over them is over.
    links: Option<u64>,
    taken: u32,
    history: History,
    snapshot: Option<Snapshot>,
}

impl Taking {
    fn new(folder: &Path, started: Instant) -> Self {
        let cpu = processor_time();
        Taking {
            votes: Votes::default(),
            now: Window::new(NOW),
            estimate: Window::new(ESTIMATED_BY),
            last: (started, cpu, Duration::ZERO),
            answers: (0, None),
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

    fn look(&mut self, run: &Observer<'_>) {
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
        let answers = requests.all().saturating_sub(requests.failed);
        if answers > self.answers.0 {
            self.answers = (answers, Some(time));
        }
        let mark = self.mark(run);
        let rate = mark.rates_since(&self.now.slide(mark)).bytes_put;
        let limit = run.limiter.bandwidth_limit();
        self.votes.add(&Look {
            retrying: progress.retrying.load(Ordering::Relaxed),
            answered: (self.answers.1).is_some_and(|last| time - last <= ANSWERED_WITHIN),
            paced: Progress::get(&progress.limiter.pace) > 0,
            at_bandwidth_limit: limit.is_some_and(|limit| rate >= NEARLY * limit.get() as f64),
            requests_are_full: run.limiter.in_flight()
                >= Progress::get(&progress.limiter.concurrency).max(1),
            waiting_for_room: progress.waiting_for_room.load(Ordering::Relaxed),
            waiting_for_source: run.source.held(WAITING),
            busy: part(cpu, last_cpu) / processors as f64,
            in_transaction: part(busy, last_busy),
        });
    }

    fn mark(&self, run: &Observer<'_>) -> Mark {
        let progress = run.progress;
        Mark {
            elapsed: run.started.elapsed(),
            entries: Progress::get(&progress.done),
            bytes_read: Progress::get(&progress.bytes_read) + Progress::get(&progress.under_way),
            bytes_put: Progress::get(&progress.bytes_put),
            cpu: processor_time().saturating_sub(self.cpu_before),
        }
    }

    fn take(&mut self, run: &Observer<'_>, last: bool) -> &Snapshot {
        if last || self.taken.is_multiple_of(SNAPSHOTS_A_QUERY) {
            // What cannot be read now is told by those who need it.
            self.problems = run.reader.problem_count().unwrap_or(self.problems);
            self.changed = run.reader.changed_count().unwrap_or(self.changed);
            // It reads all problems, with a search for each: a second for a million of them.
            if last || self.problems <= MANY_PROBLEMS {
                self.subtrees = run.reader.subtrees().unwrap_or(self.subtrees);
            }
        }
        // Further names go with their inodes, in a pass of its own: counted when it is over.
        let is_after = matches!(run.progress.phase(), Phase::Directories | Phase::Finish);
        if last || (is_after && self.links.is_none()) {
            self.links = run.reader.links_done().ok().or(self.links);
        }
        self.taken = self.taken.wrapping_add(1);
        let snapshot = self.figures(run);
        let path = |id| Some(run.reader.path(id).ok()?.join(&b'/'));
        let extremes = |before: &_| run.progress.rankings.placed(before, path);
        self.history.keep(&snapshot, extremes, last);
        self.snapshot.insert(snapshot)
    }

    fn figures(&mut self, run: &Observer<'_>) -> Snapshot {
        let (progress, before) = (run.progress, run.progress.before());
        let get = Progress::get;
        let phase = progress.phase();
        let mark = self.mark(run);
        let recent = self.now.slide(mark);
        let minutes_ago = self.estimate.slide(mark);
        let found = before.found + get(&progress.found);
        let bytes_found = before.bytes_found + get(&progress.bytes_found);
        let standing = Standing {
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
            done: standing.done(),
            failed: self.problems,
            unlisted_directories: self.subtrees.unlisted,
            unknown_entries: self.subtrees.unknown,
            changed: self.changed,
            bytes_found,
            // The last segment of a file under way may be short.
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
            limiting: self.votes.limiting(),
            eta_seconds: None,
        };
        snapshot.eta_seconds = estimate(&snapshot);
        snapshot
    }
}

/// The time that processors spent on this process (clock_gettime(2), `CLOCK_PROCESS_CPUTIME_ID`).
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
