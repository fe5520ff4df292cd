//! A worker of the scan: reads the names of a directory, or examines some of them.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, Scope};
use std::time::Duration;

use super::Scan;
use super::ahead::{Ahead, OpenListing, Ticket, Work};
use super::piece::Piece;
use crate::load::adaptive_pool::{AdaptivePool, Resize, STALL_THRESHOLD, Worker};
use crate::problem::{Problem, Reason};
use crate::source::{
    CallKind, Directory, DirentBuffer, Listable, NameList, NameStore, Names, OpenError, SpoolError,
    listed_among,
};
use crate::state::{FoundEntry, StateError, Unlisted};

/// Names in one piece. At a millisecond per name, a piece takes an eighth of a second; its overhead is
/// negligible.
pub(super) const PIECE_NAMES: usize = 128;

/// The state that the workers share.
pub(super) struct Listers<'a> {
    pub(super) scan: &'a Scan<'a>,
    pub(super) ahead: Ahead,
    pub(super) pool: AdaptivePool,
    pub(super) names: NameStore,
}

impl<'a> Listers<'a> {
    pub(super) fn new(scan: &'a Scan<'a>) -> Self {
        Listers {
            scan,
            ahead: Ahead::new(scan.threads),
            pool: AdaptivePool::new(scan.threads),
            names: NameStore::new(scan.state.folder()),
        }
    }

    fn name_list_failed(&self, error: SpoolError) -> Piece {
        match error {
            SpoolError::Source(errno) => OpenError::from(errno).into(),
            SpoolError::Stopped => Piece::Stopped,
            SpoolError::Spool(error) => Piece::Error(StateError::spool(self.names.folder(), error)),
        }
    }
}

/// Starts another worker, if the pool is below its maximum.
///
/// # Errors
/// If the system has no more threads.
pub(super) fn start_worker<'scope>(
    threads: &'scope Scope<'scope, '_>,
    listers: &'scope Listers<'scope>,
) -> io::Result<()> {
    let Some(worker) = listers.pool.add_worker() else {
        return Ok(());
    };
    let lister = move || {
        let calls = CallMonitor {
            threads,
            listers,
            worker,
            should_leave: false,
        };
        let buffer = DirentBuffer::default();
        Lister { calls, buffer }.work();
    };
    let spawned = Builder::new().spawn_scoped(threads, lister);
    if spawned.is_err() {
        listers.pool.set_exhausted();
    }
    spawned.map(drop)
}

struct Lister<'scope, 'env> {
    calls: CallMonitor<'scope, 'env>,
    buffer: DirentBuffer,
}

/// Measures the calls of a worker, and adapts the size of the pool.
struct CallMonitor<'scope, 'env> {
    threads: &'scope Scope<'scope, 'env>,
    listers: &'scope Listers<'scope>,
    worker: Worker<'scope>,
    should_leave: bool,
}

impl CallMonitor<'_, '_> {
    fn count(&mut self, took: Duration) {
        self.worker.count(took);
        match self.worker.resize() {
            Resize::Stay => {}
            Resize::Grow => {
                self.should_leave = false;
                if self.listers.ahead.is_short_of_workers() {
                    // If no thread can be started, the scan continues with the existing ones.
                    drop(start_worker(self.threads, self.listers));
                }
            }
            Resize::Leave => self.should_leave = true,
        }
    }
}

impl Lister<'_, '_> {
    /// Works until the queue is closed, or until the pool needs fewer workers.
    fn work(mut self) {
        while let Some((ticket, work)) = self.calls.listers.ahead.work() {
            let opened = match work {
                Work::Examine(open) => Ok(open),
                Work::List(unlisted) => self.list(&unlisted),
            };
            match opened {
                Ok(open) => self.examine(ticket, open),
                Err(piece) => ticket.deliver(piece),
            }
            if std::mem::take(&mut self.calls.should_leave) {
                let source = self.calls.listers.scan.source;
                match self
                    .calls
                    .worker
                    .leave(source.slow_calls_of(CallKind::Scan, STALL_THRESHOLD))
                {
                    Ok(()) => return,
                    Err(worker) => self.calls.worker = worker,
                }
            }
        }
    }

    /// Reads the names of a directory, after those that an earlier run recorded.
    fn list(&mut self, unlisted: &Unlisted) -> Result<Box<OpenListing>, Piece> {
        let Lister { calls, buffer } = self;
        let listers = calls.listers;
        let source = listers.scan.source;
        let call = source.begin_call(CallKind::Scan, unlisted.id);
        let listable = source.listable(unlisted.id, &unlisted.place)?;
        let mut should_continue = || {
            calls.count(call.renew());
            !listers.scan.stop.is_requested()
        };
        // The entries of a large directory that an earlier run recorded are kept.
        let after = unlisted.after.as_deref();
        let names = NameList::read(
            &listable,
            after,
            &listers.names,
            buffer,
            &mut should_continue,
        );
        Ok(Box::new(OpenListing {
            directory: Arc::clone(listable.directory()),
            names: names.map_err(|error| listers.name_list_failed(error))?,
        }))
    }

    /// Examines the next names, and puts the remaining ones back for other workers.
    fn examine(&mut self, mut ticket: Ticket<'_>, mut open: Box<OpenListing>) {
        let names = match open.names.cut(PIECE_NAMES) {
            Ok(names) => names,
            Err(error) => {
                return ticket.deliver(
                    self.calls
                        .listers
                        .name_list_failed(SpoolError::Spool(error)),
                );
            }
        };
        let directory = Arc::clone(&open.directory);
        let last = open.names.is_finished();
        if last {
            drop(open);
        } else {
            ticket.share(open);
        }
        ticket.deliver(match self.entries(&directory, &names) {
            Ok(entries) => Piece::Chunk { entries, last },
            Err(piece) => piece,
        });
    }

    /// Examines names. Fails with the piece to deliver instead.
    fn entries(
        &mut self,
        directory: &Arc<Directory>,
        names: &Names,
    ) -> Result<Vec<FoundEntry>, Piece> {
        let scan = self.calls.listers.scan;
        let mut entries = Vec::with_capacity(names.len());
        if names.is_empty() {
            return Ok(entries);
        }
        let mut missing = BTreeSet::new();
        let call = scan.source.begin_call(CallKind::Scan, directory.id);
        for name in names.iter() {
            if scan.stop.is_requested() {
                return Err(Piece::Stopped);
            }
            match examine(scan, directory, name)? {
                Some(found) => entries.push(found),
                None => drop(missing.insert(name.to_owned())),
            }
            self.calls.count(call.renew());
        }
        if !missing.is_empty() && directory.may_be_listed_again() {
            entries.extend(self.still_listed(directory, &missing)?);
            entries.sort_by(|one, other| one.name().cmp(other.name()));
        }
        Ok(entries)
    }

    /// Lists the directory again to distinguish names that were removed since the listing from those that the
    /// source lists but does not find, such as names that an SMB server cannot map.
    fn still_listed(
        &mut self,
        directory: &Arc<Directory>,
        missing: &BTreeSet<CString>,
    ) -> Result<Vec<FoundEntry>, Piece> {
        let scan = self.calls.listers.scan;
        let _call = scan.source.begin_call(CallKind::Scan, directory.id);
        let listed = Listable::of(Arc::clone(directory))
            .and_then(|listable| listed_among(&listable, missing, &mut self.buffer));
        let (names, problem) = match listed {
            Ok(names) => (names, Problem::listed_but_missing()),
            Err(errno) => (missing.clone(), Problem::from_errno(errno)),
        };
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(match examine(scan, directory, &name)? {
                Some(entry) => entry,
                None => FoundEntry::Failed {
                    name: name.into_bytes(),
                    problem,
                },
            });
        }
        Ok(found)
    }
}

/// Examines a name. None if it does not exist, as if it had been removed before the listing.
fn examine(
    scan: &Scan<'_>,
    directory: &Directory,
    name: &CStr,
) -> Result<Option<FoundEntry>, StateError> {
    let failed = |problem| {
        let name = name.to_bytes().to_vec();
        Ok(Some(FoundEntry::Failed { name, problem }))
    };
    if name.count_bytes() > clfs_format::limits::NAME_BYTES {
        return failed(Problem::new(Reason::NameTooLong));
    }
    match directory.examine_cstr(name) {
        Ok(seen) => {
            if let Some(visitor) = scan.visitor {
                visitor.visit(directory, name, &seen);
            }
            let name = name.to_bytes().to_vec();
            let entry = directory.entry(seen, name, scan.preserve_hardlinks);
            Ok(Some(FoundEntry::Known(entry)))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(OpenError::Problem(problem)) => failed(problem),
        Err(OpenError::State(error)) => Err(error),
    }
}
