//! A member of the crew: reads the names of a directory, or looks at some of them.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, Scope};
use std::time::Duration;

use super::Scan;
use super::ahead::{Ahead, OpenListing, Ticket, Work};
use super::piece::Piece;
use crate::crew::{Advice, Crew, HELD, Member};
use crate::problem::{Problem, Reason};
use crate::source::{
    Asker, Directory, DirentBuffer, Listable, NameList, NameStore, Names, OpenError, SpoolError,
    listed_among,
};
use crate::state::{FoundEntry, StateError, Unlisted};

/// Names that are looked at in one go. With a millisecond for each it is an eighth of a second;
/// what it costs to hand a piece on is nothing against so many.
pub(super) const PIECE_NAMES: usize = 128;

/// What the members of a crew have in common.
pub(super) struct Listers<'a> {
    pub(super) scan: &'a Scan<'a>,
    pub(super) ahead: Ahead,
    pub(super) crew: Crew,
    pub(super) names: NameStore,
}

impl<'a> Listers<'a> {
    pub(super) fn new(scan: &'a Scan<'a>) -> Self {
        Listers {
            scan,
            ahead: Ahead::new(scan.threads),
            crew: Crew::new(scan.threads),
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

/// Brings one member more, if there may be one.
///
/// # Errors
/// When the system has no more threads.
pub(super) fn recruit<'scope>(
    threads: &'scope Scope<'scope, '_>,
    listers: &'scope Listers<'scope>,
) -> io::Result<()> {
    let Some(member) = listers.crew.join() else {
        return Ok(());
    };
    let lister = move || {
        let pace = Pace {
            threads,
            listers,
            member,
            is_one_too_many: false,
        };
        let buffer = DirentBuffer::default();
        Lister { pace, buffer }.work();
    };
    let spawned = Builder::new().spawn_scoped(threads, lister);
    if spawned.is_err() {
        listers.crew.is_as_large_as_can_be();
    }
    spawned.map(drop)
}

struct Lister<'scope, 'env> {
    pace: Pace<'scope, 'env>,
    buffer: DirentBuffer,
}

/// How a member's calls go, and what follows for the crew.
struct Pace<'scope, 'env> {
    threads: &'scope Scope<'scope, 'env>,
    listers: &'scope Listers<'scope>,
    member: Member<'scope>,
    is_one_too_many: bool,
}

impl Pace<'_, '_> {
    fn count(&mut self, took: Duration) {
        self.member.count(took);
        match self.member.advice() {
            Advice::Stay => {}
            Advice::Grow => {
                self.is_one_too_many = false;
                if self.listers.ahead.is_short_of_members() {
                    // Without another thread it goes on with those that there are.
                    drop(recruit(self.threads, self.listers));
                }
            }
            Advice::Leave => self.is_one_too_many = true,
        }
    }
}

impl Lister<'_, '_> {
    /// Works until there is no more, or until it is one too many.
    fn work(mut self) {
        while let Some((ticket, work)) = self.pace.listers.ahead.work() {
            let opened = match work {
                Work::Look(open) => Ok(open),
                Work::List(unlisted) => self.list(&unlisted),
            };
            match opened {
                Ok(open) => self.look(ticket, open),
                Err(piece) => ticket.deliver(piece),
            }
            if std::mem::take(&mut self.pace.is_one_too_many) {
                let source = self.pace.listers.scan.source;
                match self.pace.member.leave(source.held_of(Asker::Scan, HELD)) {
                    Ok(()) => return,
                    Err(member) => self.pace.member = member,
                }
            }
        }
    }

    /// Reads the names of a directory, from where an earlier run left off.
    fn list(&mut self, unlisted: &Unlisted) -> Result<Box<OpenListing>, Piece> {
        let Lister { pace, buffer } = self;
        let listers = pace.listers;
        let source = listers.scan.source;
        let asking = source.ask(Asker::Scan, unlisted.id);
        let listable = source.listable(unlisted.id, &unlisted.place)?;
        let mut go_on = || {
            pace.count(asking.renew());
            !listers.scan.stop.is_requested()
        };
        // What an earlier run recorded of a large directory stays.
        let after = unlisted.after.as_deref();
        let names = NameList::read(&listable, after, &listers.names, buffer, &mut go_on);
        Ok(Box::new(OpenListing {
            directory: Arc::clone(listable.directory()),
            names: names.map_err(|error| listers.name_list_failed(error))?,
        }))
    }

    /// Looks at the next names, and leaves those behind to whoever has time.
    fn look(&mut self, mut ticket: Ticket<'_>, mut open: Box<OpenListing>) {
        let names = match open.names.cut(PIECE_NAMES) {
            Ok(names) => names,
            Err(error) => {
                return ticket
                    .deliver(self.pace.listers.name_list_failed(SpoolError::Spool(error)));
            }
        };
        let directory = Arc::clone(&open.directory);
        let last = open.names.is_over();
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
        let scan = self.pace.listers.scan;
        let mut entries = Vec::with_capacity(names.len());
        if names.is_empty() {
            return Ok(entries);
        }
        let mut missing = BTreeSet::new();
        let asking = scan.source.ask(Asker::Scan, directory.id);
        for name in names.iter() {
            if scan.stop.is_requested() {
                return Err(Piece::Stopped);
            }
            match look_at(scan, directory, name)? {
                Some(found) => entries.push(found),
                None => drop(missing.insert(name.to_owned())),
            }
            self.pace.count(asking.renew());
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
        let scan = self.pace.listers.scan;
        let _asking = scan.source.ask(Asker::Scan, directory.id);
        let listed = Listable::of(Arc::clone(directory))
            .and_then(|listable| listed_among(&listable, missing, &mut self.buffer));
        let (names, problem) = match listed {
            Ok(names) => (names, Problem::listed_but_missing()),
            Err(errno) => (missing.clone(), Problem::from_errno(errno)),
        };
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(match look_at(scan, directory, &name)? {
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
fn look_at(
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
    match directory.look(name) {
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
