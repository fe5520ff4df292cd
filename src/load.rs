//! A load: wires scan, passes, encoder, uploader and state; the only file that knows all of them.

mod error;
mod finish;
mod prepare;
mod problem_files;
mod summary;

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use clfs_format::Compression;

use crate::container::Container;
use crate::container::azure::Patience;
use crate::container::location::ContainerLocation;
use crate::container::retry::RetryPolicy;
use crate::encode::{EncodeContext, Encoder};
use crate::entry::EntryId;
use crate::identity::Identity;
use crate::identity::Seed;
use crate::monitor::{Event, Monitor, Phase, Progress};
use crate::pass::{MoreEntries, NoMore, PassRun};
use crate::scan::{Scan, ScanEnd};
use crate::source::SourceTree;
use crate::state::{Counter, Pass, Settings, State, StateError};
use crate::stop::StopFlag;
use crate::upload::{UploadLimits, Uploader};

pub use error::{LoadError, Refusal};
pub use prepare::{Mode, prepare, prepare_with};
pub use summary::{End, Summary};

/// What a load is asked to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The state folder.
    pub state: PathBuf,
    /// The source folder.
    pub source: PathBuf,
    /// The container.
    pub container: ContainerLocation,
    /// Compression; what the transfer was begun with, or LZ4.
    pub compression: Option<Compression>,
    /// Whether several names of one inode become one object; as the transfer was begun, or not.
    pub preserve_hardlinks: Option<bool>,
    /// The seed of a new transfer; random without.
    pub seed: Option<Seed>,
    /// Threads that list directories.
    pub scan_threads: usize,
    /// Threads that read and encode.
    pub encode_threads: usize,
    /// Bounds of what is on its way.
    pub limits: UploadLimits,
    /// How failed requests are repeated.
    pub retry: RetryPolicy,
    /// How long one request may take.
    pub request_patience: Patience,
    /// Asks the run to stop.
    pub stop: Arc<StopFlag>,
    /// Stop when this many entries have a problem; never without.
    pub max_problems: Option<u64>,
    /// Whether a resume tries failed entries again.
    pub retry_problems: bool,
    /// Whether to finish without the entries that failed.
    pub skip_failed: bool,
    /// How long the source may take for one call before that is told.
    pub source_patience: Duration,
}

impl LoadOptions {
    /// The defaults.
    ///
    /// Threads wait for the source more than they compute: 8 list, so that an NFS server that
    /// answers in a millisecond gives 8,000 entries a second and more; 8 read.
    pub fn new(state: PathBuf, source: PathBuf, container: ContainerLocation) -> Self {
        LoadOptions {
            state,
            source,
            container,
            compression: None,
            preserve_hardlinks: None,
            seed: None,
            scan_threads: 8,
            encode_threads: 8,
            limits: UploadLimits::default(),
            retry: RetryPolicy::default(),
            request_patience: Patience::default(),
            stop: Arc::default(),
            max_problems: Some(50),
            retry_problems: true,
            skip_failed: false,
            source_patience: Duration::from_secs(30),
        }
    }
}

/// A transfer that is ready to run: the state is open and locked, the container is the right one.
#[derive(Debug)]
pub struct Load {
    options: LoadOptions,
    state: State,
    settings: Settings,
    container: Arc<dyn Container>,
    runtime: tokio::runtime::Runtime,
    progress: Arc<Progress>,
}

impl Load {
    /// The state of the transfer.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Figures, for a display.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// The threads that requests run on.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// The event that tells of the beginning.
    pub fn started_event(&self, mode: Mode) -> Event<'_> {
        Event::Started {
            source: &self.settings.source,
            container: self.container.location(),
            resumed: mode == Mode::Resume,
        }
    }

    /// Asks the run to stop, from a signal handler's thread.
    pub fn stop(&self) -> &Arc<StopFlag> {
        &self.options.stop
    }

    /// Runs the transfer to its end, or as far as it goes.
    ///
    /// # Errors
    /// When the state or the container fails. Entries that fail are not an error but
    /// [`End::Problems`].
    pub fn run(&self, monitor: &dyn Monitor) -> Result<Summary, LoadError> {
        let started = std::time::Instant::now();
        let ran = self.run_phases(monitor);
        // However it ended, the lists say what the database says.
        let listed = problem_files::write(&self.state);
        let end = ran?;
        listed?;
        Summary::read(&self.state, end, started.elapsed(), &self.progress)
    }

    fn run_phases(&self, monitor: &dyn Monitor) -> Result<End, LoadError> {
        if self.state.is_finished()? {
            return Ok(End::WasFinished);
        }
        let reader = self.state.reader()?;
        let source = SourceTree::open(&self.settings.source, Box::new(self.state.reader()?))
            .map_err(|errno| Refusal::Source {
                path: self.settings.source.clone(),
                source: errno.into(),
            })?;
        let context = Arc::new(EncodeContext {
            identity: Identity::new(self.settings.seed),
            compression: self.settings.compression,
            source,
        });
        let uploader = Arc::new(Uploader::new(
            Arc::clone(&self.container),
            self.runtime.handle().clone(),
            self.options.limits,
            Arc::clone(&self.options.stop),
            Arc::clone(&self.progress),
        ));
        let run = Running {
            load: self,
            context: &context,
            uploader: &uploader,
            monitor,
        };
        monitor.event(&Event::Phase(Phase::Scan));
        run.scan_and_files()?;
        if self.options.stop.is_requested() {
            return run.stopped();
        }
        run.warn()?;
        // All names of an inode must be known before it goes: those in a directory that could
        // not be listed are not.
        let whole_tree = self.options.skip_failed || reader.unexplored_count()? == 0;
        if whole_tree {
            monitor.event(&Event::Phase(Phase::Links));
            run.pass(Pass::Links, &NoMore)?;
        }
        if self.options.stop.is_requested() {
            return run.stopped();
        }
        if !self.options.skip_failed && reader.problem_count()? > 0 {
            return Ok(End::Problems);
        }
        monitor.event(&Event::Phase(Phase::Directories));
        run.delete_leftovers()?;
        self.state.begin_directories()?;
        run.pass(Pass::Directories, &NoMore)?;
        if self.options.stop.is_requested() {
            return run.stopped();
        }
        monitor.event(&Event::Phase(Phase::Finish));
        match self.finish(&context) {
            // The wait for a container that is away was ended, not the run by a failure.
            Err(LoadError::Container(error))
                if error.is_transient() && self.options.stop.is_requested() =>
            {
                return Ok(End::Stopped);
            }
            finished => finished?,
        }
        Ok(match reader.problem_count()? {
            0 => End::Finished,
            _ => End::FinishedWithout,
        })
    }
}

/// A running load.
struct Running<'a> {
    load: &'a Load,
    context: &'a Arc<EncodeContext>,
    uploader: &'a Arc<Uploader>,
    monitor: &'a dyn Monitor,
}

impl Running<'_> {
    /// Walks the source, and loads files as they are found.
    fn scan_and_files(&self) -> Result<(), StateError> {
        let found = Found::default();
        let (load, options) = (self.load, &self.load.options);
        let scan = Scan {
            state: &load.state,
            source: &self.context.source,
            preserve_hardlinks: load.settings.preserve_hardlinks,
            retry_problems: options.retry_problems,
            threads: options.scan_threads,
            max_problems: options.max_problems,
            stop: &load.options.stop,
            progress: &load.progress,
            monitor: self.monitor,
            committed: &|| found.notify(false),
        };
        std::thread::scope(|threads| {
            let (_watching, over) = std::sync::mpsc::channel();
            threads.spawn(move || self.watch_source(&over));
            let scanning = threads.spawn(|| {
                // However the scan ends, the pass must not wait for more.
                let _over = OnDrop(|| found.notify(true));
                let end = scan.run();
                if !matches!(end, Ok(ScanEnd::Complete)) {
                    load.options.stop.request();
                }
                end
            });
            let loaded = self.pass(Pass::Files, &found);
            let scanned = match scanning.join() {
                Ok(scanned) => scanned,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            scanned.map(drop).and(loaded)
        })
    }

    fn pass(&self, pass: Pass, more: &dyn MoreEntries) -> Result<(), StateError> {
        let (load, options) = (self.load, &self.load.options);
        PassRun {
            pass,
            state: &load.state,
            context: self.context,
            uploader: self.uploader,
            threads: options.encode_threads,
            retry_problems: options.retry_problems,
            max_problems: options.max_problems,
            more,
            stop: &load.options.stop,
            progress: &load.progress,
            monitor: self.monitor,
        }
        .run()
    }

    /// Deletes what attempts at entries that are left out may have put.
    fn delete_leftovers(&self) -> Result<(), LoadError> {
        let mut encoder = Encoder::new(Arc::clone(self.context), self.load.state.reader()?);
        let reader = self.load.state.reader()?;
        let mut after = EntryId::new(0);
        loop {
            let problems = reader.problems(after, 1024)?;
            let Some(last) = problems.last() else {
                return Ok(());
            };
            after = last.id;
            for problem in &problems {
                let Some(entry) = reader.entry(problem.id)? else {
                    continue;
                };
                let blobs = encoder.leftovers(&entry).map_err(finish::internal)?;
                if !self.uploader.delete_all(blobs.into_iter()) {
                    return self
                        .uploader
                        .take_failure()
                        .map_or(Ok(()), |error| Err(error.into()));
                }
            }
        }
    }

    /// Tells of entries that the source does not answer for, until `over`.
    fn watch_source(&self, over: &std::sync::mpsc::Receiver<()>) {
        use std::sync::mpsc::RecvTimeoutError;
        let patience = self.load.options.source_patience;
        let Ok(reader) = self.load.state.reader() else {
            return;
        };
        let every = (patience / 4).max(Duration::from_millis(50));
        while over.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            for stalled in self.context.source.stalled(patience) {
                let path = reader.path(stalled.entry).unwrap_or_default().join(&b'/');
                self.monitor.event(&Event::SourceStalled {
                    path: &path,
                    since: stalled.since,
                });
            }
        }
    }

    /// Tells what the whole tree has that the format cannot hold.
    fn warn(&self) -> Result<(), StateError> {
        let reader = self.load.state.reader()?;
        let clamped = reader.totals()?.get(Counter::ClampedTimes);
        if clamped > 0 {
            self.monitor
                .event(&Event::ClampedTimes { entries: clamped });
        }
        let split = reader.split_inode_count()?;
        if split > 0 {
            self.monitor.event(&Event::SplitInodes { inodes: split });
        }
        Ok(())
    }

    /// Why the run stopped.
    fn stopped(&self) -> Result<End, LoadError> {
        let load = self.load;
        if let Some(error) = self.uploader.take_failure() {
            return Err(error.into());
        }
        let problems = load.state.reader()?.problem_count()?;
        match load.options.max_problems {
            Some(limit) if problems >= limit => Ok(End::TooManyProblems),
            _ => Ok(End::Stopped),
        }
    }
}

/// Tells the files' pass that the scan found more.
#[derive(Default)]
struct Found {
    state: Mutex<FoundState>,
    changed: Condvar,
}

#[derive(Default)]
struct FoundState {
    news: bool,
    over: bool,
}

impl Found {
    fn notify(&self, over: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.news = true;
        state.over |= over;
        self.changed.notify_all();
    }
}

impl MoreEntries for Found {
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.news && !state.over {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.news = false;
        !state.over
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
