//! The phases of a running load.

use std::sync::Arc;
use std::time::Duration;

use super::found::{Found, OnDrop};
use super::{End, Load, LoadError, finish};
use crate::entry::EntryId;
use crate::events::{Event, Monitor, Phase};
use crate::load::encode::{EncodeContext, Encoder};
use crate::load::pipeline::{MoreEntries, NoMore, PassRun};
use crate::load::scan::{Scan, ScanEnd};
use crate::load::upload::Uploader;
use crate::problem::ProblemLimit;
use crate::state::{Counter, Pass, Reader, StateError};

/// A running load.
pub(super) struct Running<'a> {
    pub(super) load: &'a Load,
    pub(super) context: &'a Arc<EncodeContext>,
    pub(super) uploader: &'a Arc<Uploader>,
    pub(super) limit: ProblemLimit,
    pub(super) monitor: &'a dyn Monitor,
}

impl Running<'_> {
    /// Runs all phases, one after the other.
    pub(super) fn phases(&self) -> Result<End, LoadError> {
        let (load, options) = (self.load, &self.load.options);
        let reader = load.state.reader()?;
        if !load.state.is_finishing()?
            && let Some(early) = self.load_tree(&reader)?
        {
            return Ok(early);
        }
        self.enter(Phase::Finish);
        match load.finish(self.context) {
            // The user stopped the wait for a container that does not respond.
            Err(LoadError::Container(error))
                if error.is_transient() && options.stop.is_requested() =>
            {
                return Ok(End::Stopped);
            }
            finished => finished?,
        }
        load.progress.finish();
        Ok(match reader.problem_count()? {
            0 => End::Finished,
            _ => End::FinishedWithout,
        })
    }

    fn enter(&self, phase: Phase) {
        self.load.progress.enter(phase);
        self.monitor.event(&Event::Phase(phase));
    }

    /// Loads everything except log and root. Returns how the run ended if it ends early.
    fn load_tree(&self, reader: &Reader) -> Result<Option<End>, LoadError> {
        let (load, options) = (self.load, &self.load.options);
        self.enter(Phase::Scan);
        self.scan_and_files()?;
        if options.stop.is_requested() {
            return self.stopped().map(Some);
        }
        self.warn()?;
        // All names of an inode must be known before it is uploaded. Those in a directory that could not be
        // listed are unknown.
        if options.skip_failed || reader.unexplored_count()? == 0 {
            self.enter(Phase::Links);
            self.pass(Pass::Links, &NoMore)?;
        }
        if options.stop.is_requested() {
            return self.stopped().map(Some);
        }
        let unloaded = reader.problem_count()?;
        // A tree without its root cannot be finished.
        if unloaded > 0 && !options.skip_failed || reader.has_problem(EntryId::ROOT)? {
            return Ok(Some(End::Problems));
        }
        self.enter(Phase::Directories);
        self.delete_leftovers()?;
        load.state.begin_directories()?;
        self.pass(Pass::Directories, &NoMore)?;
        if options.stop.is_requested() {
            return self.stopped().map(Some);
        }
        // A directory that failed in this pass is missing in its parent, which may be in the container.
        Ok((reader.problem_count()? != unloaded).then_some(End::Problems))
    }

    /// Scans the source, and loads files while it is scanned.
    fn scan_and_files(&self) -> Result<(), StateError> {
        let found = Found::default();
        let (load, options) = (self.load, &self.load.options);
        let scan = Scan {
            state: &load.state,
            source: &self.context.source,
            preserve_hardlinks: load.settings.preserve_hardlinks,
            retry_problems: options.retry_problems,
            threads: load.holders.scan_threads,
            limit: &self.limit,
            stop: &load.options.stop,
            progress: &load.progress,
            monitor: self.monitor,
            committed: &|| found.notify(false),
            visitor: None,
        };
        if options.retry_problems {
            scan.reexamine()?;
        }
        std::thread::scope(|threads| {
            let scanning = threads.spawn(|| {
                // However the scan ends, the pass must not wait for more entries.
                let _over = OnDrop(|| found.notify(true));
                let end = scan.run();
                match &end {
                    Ok(ScanEnd::Complete) => load.progress.scan_is_complete(),
                    _ => load.options.stop.request(),
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
            threads: load.holders.encode_threads,
            retry_problems: options.retry_problems,
            when_changed: options.when_changed,
            limit: &self.limit,
            more,
            stop: &load.options.stop,
            progress: &load.progress,
            monitor: self.monitor,
        }
        .run()
    }

    /// Deletes blobs that failed attempts at skipped entries may have uploaded.
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
                if self.load.options.stop.is_requested() {
                    return Ok(());
                }
                let Some(entry) = reader.entry(problem.id)? else {
                    continue;
                };
                let blobs = encoder.leftovers(&entry).map_err(finish::internal)?;
                if !self.uploader.delete_all(blobs) {
                    return self
                        .uploader
                        .take_failure()
                        .map_or(Ok(()), |error| Err(error.into()));
                }
            }
        }
    }

    /// Reports entries for which the source does not respond, until `finished` is closed.
    pub(super) fn watch_source(&self, finished: &std::sync::mpsc::Receiver<()>) {
        use std::sync::mpsc::RecvTimeoutError;
        let patience = self.load.options.source_patience;
        let Ok(reader) = self.load.state.reader() else {
            return;
        };
        let every = (patience / 4).max(Duration::from_millis(50));
        while finished.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            for stalled in self.context.source.stalled(patience) {
                let path = reader.path(stalled.entry).unwrap_or_default();
                self.monitor.event(&Event::SourceStalled {
                    path: &path,
                    since: stalled.since,
                });
            }
        }
    }

    /// Warns of everything in the tree that the format cannot store.
    fn warn(&self) -> Result<(), StateError> {
        let reader = self.load.state.reader()?;
        let clamped = reader.totals()?.get(Counter::ClampedTimes);
        if clamped > 0 {
            self.monitor
                .event(&Event::ClampedTimes { entries: clamped });
        }
        for lost in reader.lost()? {
            self.monitor.event(&Event::Lost(&lost));
        }
        let settings = &self.load.settings;
        if !settings.examines {
            self.monitor.event(&Event::AclsNotExamined {
                source: &settings.source,
                container: &settings.container,
            });
        }
        let split = reader.split_inode_count()?;
        if split > 0 {
            self.monitor.event(&Event::SplitInodes { inodes: split });
        }
        let names = reader.totals()?.get(Counter::UnlikeNames);
        if let Some(first) = reader.first_unlike_name()? {
            let path = reader.path(first)?;
            self.monitor
                .event(&Event::UnlikeNames { names, path: &path });
        }
        Ok(())
    }

    /// Returns why the run stopped.
    fn stopped(&self) -> Result<End, LoadError> {
        if let Some(error) = self.uploader.take_failure() {
            return Err(error.into());
        }
        Ok(match self.limit.was_reached() {
            true => End::TooManyProblems,
            false => End::Stopped,
        })
    }
}
