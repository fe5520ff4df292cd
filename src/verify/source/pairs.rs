//! Entries of both sides side by side: which both have, and which only one has.

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use rustix::io::Errno;

use super::places::PlaceTable;
use super::{ROOT_PATH, is_root};
use crate::entry::EntryId;
use crate::source::{
    Directory, DirentBuffer, Listable, NameList, NameStore, OpenError, Seen, SourceTree, SpoolError,
};
use crate::verify::finding::Found;
use crate::verify::rule::Rule;
use crate::verify::scratch::{NamingReader, ScratchError};

/// Steps of a batch.
const BATCH: usize = 512;
/// Entries of the container's directory that are read together.
const PAGE: usize = 1024;

/// An entry that both sides have.
#[derive(Debug)]
pub(super) struct Pair {
    /// The source's directory; of the root's own pair the root.
    pub(super) directory: Arc<Directory>,
    /// Its name there; empty for the root.
    pub(super) name: Vec<u8>,
    pub(super) path: Vec<u8>,
    /// The container's object.
    pub(super) handle: Filehandle,
}

impl Pair {
    /// The source's attributes.
    pub(super) fn look(&self) -> Result<Seen, Errno> {
        match is_root(self.handle, &self.path) {
            true => self.directory.look_at(b"."),
            false => self.directory.look_at(&self.name),
        }
    }

    pub(super) fn found(&self, rule: Rule, text: impl Into<String>) -> Found {
        Found::path(rule, self.path.clone(), text)
    }

    pub(super) fn unread(&self, why: &dyn fmt::Display) -> Found {
        self.found(Rule::SourceUnread, format!("not compared: {why}"))
    }
}

/// What a few steps gave.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pairs: Vec<Pair>,
    pub(super) found: Vec<Found>,
}

/// Gives the pairs of all directories that both sides have.
pub(in crate::verify) struct Pairs {
    source: SourceTree,
    places: PlaceTable,
    namings: NamingReader,
    spool: NameStore,
    dirents: DirentBuffer,
    last: Option<EntryId>,
    open: Option<OpenDirectory>,
}

/// The directory whose entries are being compared.
struct OpenDirectory {
    id: EntryId,
    directory: Arc<Directory>,
    path: Vec<u8>,
    handle: Filehandle,
    names: NameList,
    /// The next name in the source.
    source: Option<Vec<u8>>,
    /// The next entries in the container.
    page: VecDeque<(Vec<u8>, Filehandle)>,
    /// The last name of the page.
    after: Option<Vec<u8>>,
    page_is_last: bool,
}

/// What stands next in a directory.
enum Next {
    Over,
    Both(Vec<u8>, Filehandle),
    OnlySource(Vec<u8>),
    OnlyContainer(Vec<u8>, Filehandle),
}

impl Pairs {
    /// Begins at the root of both. `folder` is for what must lie on disk.
    pub(in crate::verify) fn new(
        source: &Path,
        folder: &Path,
        namings: NamingReader,
    ) -> Result<Self, ScratchError> {
        let (places, reader) = PlaceTable::create(folder)?;
        let source = SourceTree::open(source, Box::new(reader))
            .map_err(|errno| ScratchError::Io(errno.into()))?;
        Ok(Self {
            source,
            places,
            namings,
            spool: NameStore::new(folder),
            dirents: DirentBuffer::default(),
            last: None,
            open: None,
        })
    }

    /// The next few entries; none at the end.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>, ScratchError> {
        let mut batch = Batch::default();
        for _ in 0..BATCH {
            let Some(mut open) = self.open.take() else {
                if !self.open_next(&mut batch)? {
                    let empty = batch.pairs.is_empty() && batch.found.is_empty();
                    return Ok((!empty).then_some(batch));
                }
                continue;
            };
            match open.next(&self.namings)? {
                Next::Over => continue,
                Next::Both(name, handle) => {
                    self.both(&open, name, handle, &mut batch)?;
                }
                Next::OnlySource(name) => {
                    let text = "it is in the source, but not in the container";
                    batch
                        .found
                        .push(open.found(Rule::SourceMissing, &name, text));
                }
                Next::OnlyContainer(name, handle) => {
                    let text = match handle.file_type() {
                        Some(FileType::Directory) => {
                            "it is in the container with all that it holds, but not in the source"
                        }
                        _ => "it is in the container, but not in the source",
                    };
                    batch.found.push(open.found(Rule::SourceExtra, &name, text));
                }
            }
            self.open = Some(open);
        }
        Ok(Some(batch))
    }

    fn both(
        &mut self,
        open: &OpenDirectory,
        name: Vec<u8>,
        handle: Filehandle,
        batch: &mut Batch,
    ) -> Result<(), ScratchError> {
        let pair = Pair {
            directory: Arc::clone(&open.directory),
            path: open.join(&name),
            name,
            handle,
        };
        // What is none in the source, or cannot be looked at, is told when the pair is compared.
        if handle.file_type() == Some(FileType::Directory)
            && let Ok(seen) = pair.look()
            && seen.attributes.file_type == FileType::Directory
        {
            self.places.add(open.id, &pair.name, handle)?;
        }
        batch.pairs.push(pair);
        Ok(())
    }

    /// Opens the next directory; false when there is none.
    fn open_next(&mut self, batch: &mut Batch) -> Result<bool, ScratchError> {
        let (id, handle) = match self.last {
            None => (EntryId::ROOT, Filehandle::ROOT),
            Some(last) => match self.places.after(last)? {
                Some(place) => (place.id, place.handle),
                None => return Ok(false),
            },
        };
        let first = self.last.replace(id).is_none();
        let path = self.places.path(id)?;
        let directory = match self.source.directory(id) {
            Ok(directory) => directory,
            Err(OpenError::State(error)) => {
                return Err(ScratchError::Io(std::io::Error::other(error)));
            }
            Err(OpenError::Problem(problem)) => {
                let text = format!("not compared: {problem}");
                batch
                    .found
                    .push(Found::path(Rule::SourceUnread, path, text));
                return Ok(true);
            }
        };
        if first {
            batch.pairs.push(Pair {
                directory: Arc::clone(&directory),
                name: Vec::new(),
                path: ROOT_PATH.to_vec(),
                handle,
            });
        }
        if !self.namings.is_read(handle)? {
            let text = "its entries are not compared: the directory in the container is missing or could not be read";
            batch
                .found
                .push(Found::path(Rule::SourceUnread, path, text));
            return Ok(true);
        }
        let read = Listable::of(Arc::clone(&directory))
            .map_err(SpoolError::from)
            .and_then(|listable| {
                let buffer = &mut self.dirents;
                NameList::read(&listable, None, &self.spool, buffer, &mut || true)
            });
        let mut names = match read {
            Ok(names) => names,
            Err(SpoolError::Spool(error)) => return Err(error.into()),
            Err(SpoolError::Source(errno)) => {
                let problem = crate::problem::Problem::from_errno(errno);
                let text = format!("its entries are not compared: {problem}");
                batch
                    .found
                    .push(Found::path(Rule::SourceUnread, path, text));
                return Ok(true);
            }
            Err(SpoolError::Stopped) => return Ok(false),
        };
        self.open = Some(OpenDirectory {
            id,
            directory,
            path,
            handle,
            source: names.next_name()?,
            names,
            page: VecDeque::new(),
            after: None,
            page_is_last: false,
        });
        Ok(true)
    }
}

impl OpenDirectory {
    fn join(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn found(&self, rule: Rule, name: &[u8], text: &str) -> Found {
        Found::path(rule, self.join(name), text)
    }

    fn next(&mut self, namings: &NamingReader) -> Result<Next, ScratchError> {
        if self.page.is_empty() && !self.page_is_last {
            let page = namings.entries_after(self.handle, self.after.as_deref(), PAGE)?;
            self.page_is_last = page.len() < PAGE;
            self.after = page.last().map(|(name, _)| name.clone());
            self.page = page.into();
        }
        let order = match (&self.source, self.page.front()) {
            (None, None) => return Ok(Next::Over),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(source), Some((name, _))) => source.cmp(name),
        };
        if order.is_lt() {
            let name = self.next_source()?;
            return Ok(Next::OnlySource(name));
        }
        let Some((name, handle)) = self.page.pop_front() else {
            return Ok(Next::Over);
        };
        if order.is_eq() {
            self.next_source()?;
            return Ok(Next::Both(name, handle));
        }
        Ok(Next::OnlyContainer(name, handle))
    }

    /// The name that stands next in the source; the one after it is next then.
    fn next_source(&mut self) -> Result<Vec<u8>, ScratchError> {
        let next = self.names.next_name()?;
        Ok(std::mem::replace(&mut self.source, next).unwrap_or_default())
    }
}
