//! Lists one directory: names in order, each with its attributes.

use std::path::Path;
use std::sync::mpsc::SyncSender;

use rustix::io::Errno;

use crate::entry::EntryId;
use crate::problem::{Problem, Reason};
use crate::source::{Directory, NameList, OpenError, SourceTree, SpoolError};
use crate::state::{FoundEntry, Reader, StateError};
use crate::stop::StopFlag;

/// Entries in one piece of a listing.
const CHUNK_ENTRIES: usize = 1024;

/// What a lister sends on.
#[derive(Debug)]
pub(super) enum Piece {
    /// Entries, in the order of their names.
    Chunk {
        entries: Vec<FoundEntry>,
        last: bool,
    },
    /// The directory cannot be listed; the last piece.
    Problem(Problem),
    /// The run is stopping; the last piece.
    Stopped,
    /// The run cannot go on; the last piece.
    Error(StateError),
}

impl From<OpenError> for Piece {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Problem(problem) => Piece::Problem(problem),
            OpenError::State(error) => Piece::Error(error),
        }
    }
}

impl From<StateError> for Piece {
    fn from(error: StateError) -> Self {
        Piece::Error(error)
    }
}

/// The receiver is gone: the scan stops.
struct Gone;

pub(super) struct Lister<'a> {
    pub(super) source: &'a SourceTree,
    pub(super) reader: Reader,
    pub(super) spool_folder: &'a Path,
    pub(super) preserve_hardlinks: bool,
    pub(super) stop: &'a StopFlag,
}

impl Lister<'_> {
    /// Lists a directory from where an earlier run left off.
    pub(super) fn list(&self, directory: EntryId, pieces: &SyncSender<Piece>) {
        match self.begin(directory) {
            // A send fails only when the scan stops; nothing is lost by it.
            Err(piece) => drop(pieces.send(piece)),
            Ok((open, names, after)) => {
                let _: Result<(), Gone> = self.send_entries(&open, names, after, pieces);
            }
        }
    }

    #[allow(clippy::type_complexity)]
    fn begin(
        &self,
        directory: EntryId,
    ) -> Result<(std::sync::Arc<Directory>, NameList, Option<Vec<u8>>), Piece> {
        let asking = self.source.ask(directory);
        let open = self.source.directory(directory)?;
        // A large directory is recorded in chunks: what an earlier run recorded stays.
        let after = self.reader.last_recorded_name(directory)?;
        let go_on = || {
            asking.renew();
            !self.stop.is_requested()
        };
        let names = NameList::read(&open, self.spool_folder, &go_on)
            .map_err(|error| self.name_list_failed(error))?;
        Ok((open, names, after))
    }

    fn name_list_failed(&self, error: SpoolError) -> Piece {
        match error {
            SpoolError::Source(errno) => OpenError::from(errno).into(),
            SpoolError::Stopped => Piece::Stopped,
            SpoolError::Spool(error) => Piece::Error(StateError::spool(self.spool_folder, error)),
        }
    }

    fn send_entries(
        &self,
        open: &Directory,
        mut names: NameList,
        after: Option<Vec<u8>>,
        pieces: &SyncSender<Piece>,
    ) -> Result<(), Gone> {
        let send = |piece| pieces.send(piece).map_err(|_| Gone);
        let mut entries = Vec::new();
        loop {
            let name = match names.next_name() {
                Ok(Some(name)) => name,
                Ok(None) => {
                    return send(Piece::Chunk {
                        entries,
                        last: true,
                    });
                }
                Err(error) => {
                    return send(self.name_list_failed(SpoolError::Spool(error)));
                }
            };
            if after.as_ref().is_some_and(|after| name <= *after) {
                continue;
            }
            entries.extend(self.look_at(open, name));
            if entries.len() >= CHUNK_ENTRIES {
                let entries = std::mem::take(&mut entries);
                send(Piece::Chunk {
                    entries,
                    last: false,
                })?;
            }
        }
    }

    /// None for a name that vanished between the listing and the look at it: it might as well
    /// have vanished before.
    fn look_at(&self, open: &Directory, name: Vec<u8>) -> Option<FoundEntry> {
        let failed = |name, problem| Some(FoundEntry::Failed { name, problem });
        if name.len() > clfs_format::limits::NAME_BYTES {
            return failed(name, Problem::new(Reason::NameTooLong));
        }
        let asking = self.source.ask(open.id);
        let seen = open.look_at(&name);
        drop(asking);
        match seen {
            Ok(seen) => {
                let entry = self.source.entry(seen, name, self.preserve_hardlinks);
                Some(FoundEntry::Known(entry))
            }
            Err(Errno::NOENT) => None,
            Err(errno) => failed(name, Problem::from_errno(errno)),
        }
    }
}
