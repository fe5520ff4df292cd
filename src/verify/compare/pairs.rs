//! Lists both trees in parallel: which entries both have, and which only one has.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clfs_format::{FileType, Filehandle};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::entry::{EntryId, Place};
use crate::problem::Problem;
use crate::source::{
    Directory, DirectoryLookup, DirentBuffer, EntryStat, Listable, NameList, NameStore, OpenError,
    SourceTree, SpoolError,
};
use crate::state::StateError;
use crate::verify::finding::NewFinding;
use crate::verify::rule::Rule;
use crate::verify::scratch::{EntryReader, ScratchError, entity_key, entity_of};

/// Steps in a batch.
const BATCH: usize = 256;
/// Entries of the container's directory read at a time.
const PAGE: usize = 1024;
/// The id of the first queued directory; every directory has a greater id than its parent.
const FIRST_QUEUED: u64 = 1000;

/// An entry that both sides have.
#[derive(Debug)]
pub(super) struct Pair {
    /// The directory in the source; the root itself for the pair of the roots.
    pub(super) directory: Arc<Directory>,
    /// The name in this directory; empty for the roots.
    pub(super) name: Vec<u8>,
    pub(super) path: Vec<u8>,
    /// The object in the container.
    pub(super) handle: Filehandle,
}

impl Pair {
    /// Reads the attributes of the entry in the source.
    pub(super) fn stat(&self) -> Result<EntryStat, OpenError> {
        match self.name.is_empty() {
            true => self.directory.examine(b"."),
            false => self.directory.examine(&self.name),
        }
    }

    /// Opens the file in the source.
    pub(super) fn open_file(&self) -> Result<OwnedFd, NewFinding> {
        let opened = self.directory.open_file(&self.name);
        opened.map_err(|errno| self.unread(&Problem::from_errno(errno)))
    }

    pub(super) fn finding(&self, rule: Rule, text: impl Into<String>) -> NewFinding {
        NewFinding::path(rule, self.path.clone(), text)
    }

    pub(super) fn unread(&self, cause: &dyn fmt::Display) -> NewFinding {
        self.finding(Rule::SourceUnread, format!("not compared: {cause}"))
    }
}

/// The result of a few steps.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) pairs: Vec<Pair>,
    pub(super) findings: Vec<NewFinding>,
}

/// The pairs of all directories that both sides have.
pub(in crate::verify) struct Pairs {
    source: SourceTree,
    queue: DirectoryQueue,
    entries: EntryReader,
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
    next_name: Option<Vec<u8>>,
    /// The next entries in the container.
    page: VecDeque<(Vec<u8>, Filehandle)>,
    /// The last name of the page.
    after: Option<Vec<u8>>,
    page_is_last: bool,
}

/// The next step in a directory.
enum Next {
    End,
    Both(Vec<u8>, Filehandle),
    OnlySource(Vec<u8>),
    OnlyContainer(Vec<u8>, Filehandle),
}

impl Pairs {
    /// Starts at both roots. `folder` is for temporary files.
    pub(in crate::verify) fn new(
        source: &Path,
        folder: &Path,
        entries: EntryReader,
    ) -> Result<Self, ScratchError> {
        let (queue, reader) = DirectoryQueue::create(folder)?;
        let source = SourceTree::open(source, Box::new(reader))
            .map_err(|errno| ScratchError::Io(errno.into()))?;
        Ok(Self {
            source,
            queue,
            entries,
            spool: NameStore::new(folder),
            dirents: DirentBuffer::default(),
            last: None,
            open: None,
        })
    }

    /// Returns the next entries; none at the end.
    pub(super) fn next_batch(&mut self) -> Result<Option<Batch>, ScratchError> {
        let mut batch = Batch::default();
        for _ in 0..BATCH {
            let Some(mut open) = self.open.take() else {
                if !self.open_next(&mut batch)? {
                    let empty = batch.pairs.is_empty() && batch.findings.is_empty();
                    return Ok((!empty).then_some(batch));
                }
                continue;
            };
            match open.next(&self.entries)? {
                Next::End => continue,
                Next::Both(name, handle) => {
                    self.add_pair(&open, name, handle, &mut batch)?;
                }
                Next::OnlySource(name) => {
                    let text = "it is in the source, but not in the container";
                    let found = open.finding(Rule::SourceMissing, &name, text);
                    batch.findings.push(found);
                }
                Next::OnlyContainer(name, handle) => {
                    let text = match handle.file_type() {
                        Some(FileType::Directory) => {
                            "it is in the container with everything below it, but not in the source"
                        }
                        _ => "it is in the container, but not in the source",
                    };
                    let found = open.finding(Rule::SourceExtra, &name, text);
                    batch.findings.push(found);
                }
            }
            self.open = Some(open);
        }
        Ok(Some(batch))
    }

    fn add_pair(
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
        // The comparison of the pair reports an entry that is not a directory in the source, or cannot
        // be read there.
        if handle.file_type() == Some(FileType::Directory)
            && let Ok(seen) = pair.stat()
            && seen.attributes.file_type == FileType::Directory
        {
            self.queue.add(open.id, &pair.name, handle)?;
        }
        batch.pairs.push(pair);
        Ok(())
    }

    /// Opens the next directory; returns false if there is none.
    fn open_next(&mut self, batch: &mut Batch) -> Result<bool, ScratchError> {
        let (id, handle) = match self.last {
            None => (EntryId::ROOT, Filehandle::ROOT),
            Some(last) => match self.queue.after(last)? {
                Some(next) => next,
                None => return Ok(false),
            },
        };
        let is_root = self.last.replace(id).is_none();
        let path = self.queue.path(id)?;
        let unread = |text: String| NewFinding::path(Rule::SourceUnread, path.clone(), text);
        let directory = match self.source.directory(id) {
            Ok(directory) => directory,
            Err(OpenError::State(error)) => {
                return Err(ScratchError::Io(io::Error::other(error)));
            }
            Err(OpenError::Problem(problem)) => {
                batch
                    .findings
                    .push(unread(format!("not compared: {problem}")));
                return Ok(true);
            }
        };
        if is_root {
            batch.pairs.push(Pair {
                directory: Arc::clone(&directory),
                name: Vec::new(),
                path: Vec::new(),
                handle,
            });
        }
        if !self.entries.is_read(handle)? {
            let text = "its entries are not compared: the directory in the container is missing or could not be read";
            batch.findings.push(unread(text.to_owned()));
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
                let problem = Problem::from_errno(errno);
                let text = format!("its entries are not compared: {problem}");
                batch.findings.push(unread(text));
                return Ok(true);
            }
            Err(SpoolError::Stopped) => return Ok(false),
        };
        self.open = Some(OpenDirectory {
            id,
            directory,
            handle,
            next_name: names.next_name()?,
            names,
            page: VecDeque::new(),
            after: None,
            page_is_last: false,
            path,
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

    fn finding(&self, rule: Rule, name: &[u8], text: &str) -> NewFinding {
        NewFinding::path(rule, self.join(name), text)
    }

    fn next(&mut self, entries: &EntryReader) -> Result<Next, ScratchError> {
        if self.page.is_empty() && !self.page_is_last {
            let page = entries.entries_after(self.handle, self.after.as_deref(), PAGE)?;
            self.page_is_last = page.len() < PAGE;
            self.after = page.last().map(|(name, _)| name.clone());
            self.page = page.into();
        }
        let order = match (&self.next_name, self.page.front()) {
            (None, None) => return Ok(Next::End),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(source), Some((name, _))) => source.cmp(name),
        };
        if order.is_lt() {
            return Ok(Next::OnlySource(self.next_in_source()?));
        }
        let Some((name, handle)) = self.page.pop_front() else {
            return Ok(Next::End);
        };
        if order.is_eq() {
            self.next_in_source()?;
            return Ok(Next::Both(name, handle));
        }
        Ok(Next::OnlyContainer(name, handle))
    }

    /// Takes the next name in the source.
    fn next_in_source(&mut self) -> Result<Vec<u8>, ScratchError> {
        let next = self.names.next_name()?;
        Ok(std::mem::replace(&mut self.next_name, next).unwrap_or_default())
    }
}

/// A directory's parent and its name there.
const TABLE: &str = "
CREATE TABLE directory (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name BLOB NOT NULL, handle BLOB NOT NULL
) STRICT;
";

/// The directories that are still to be compared, in a database. [`SourceTree`] opens directories by
/// the ids of this queue.
#[derive(Debug)]
struct DirectoryQueue {
    connection: Connection,
    next: u64,
}

/// A second connection to the queue, for the source.
#[derive(Debug)]
struct QueueReader {
    connection: Connection,
    file: PathBuf,
}

impl DirectoryQueue {
    /// Creates a queue in `folder`, and a second connection to it.
    fn create(folder: &Path) -> Result<(Self, QueueReader), ScratchError> {
        let file = folder.join("directories");
        let connection = Connection::open(&file)?;
        // Readers of a write-ahead log do not wait for its writer.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(TABLE)?;
        let reader = QueueReader {
            connection: Connection::open(&file)?,
            file,
        };
        let queue = Self {
            connection,
            next: FIRST_QUEUED,
        };
        Ok((queue, reader))
    }

    /// Adds a directory.
    fn add(
        &mut self,
        parent: EntryId,
        name: &[u8],
        handle: Filehandle,
    ) -> Result<(), ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT INTO directory VALUES (?1, ?2, ?3, ?4)")?;
        let key = entity_key(handle);
        let (id, parent) = (self.next as i64, parent.get() as i64);
        statement.execute(params![id, parent, name, key.as_bytes()])?;
        self.next += 1;
        Ok(())
    }

    /// Returns the next directory after one.
    fn after(&self, id: EntryId) -> Result<Option<(EntryId, Filehandle)>, ScratchError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, handle FROM directory WHERE id > ?1 ORDER BY id LIMIT 1")?;
        let row = statement.query_row(params![id.get() as i64], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        });
        let Some((id, key)) = row.optional()? else {
            return Ok(None);
        };
        Ok(Some((EntryId::new(id as u64), entity_of(&key)?)))
    }

    /// Returns the path of a directory.
    fn path(&self, id: EntryId) -> Result<Vec<u8>, ScratchError> {
        let mut components = Vec::new();
        let mut at = id;
        while at != EntryId::ROOT {
            let found = parent_and_name(&self.connection, at)?;
            let (parent, name) = found.ok_or(ScratchError::Row)?;
            components.push(name);
            at = parent;
        }
        components.reverse();
        Ok(components.join(&b'/'))
    }
}

fn parent_and_name(
    connection: &Connection,
    id: EntryId,
) -> Result<Option<(EntryId, Vec<u8>)>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT parent, name FROM directory WHERE id = ?1")?;
    let columns = |row: &Row<'_>| {
        let parent = EntryId::new(row.get::<_, i64>(0)? as u64);
        Ok((parent, row.get(1)?))
    };
    statement
        .query_row(params![id.get() as i64], columns)
        .optional()
}

impl DirectoryLookup for QueueReader {
    fn place(&self, id: EntryId) -> Result<Option<Place>, StateError> {
        let found = parent_and_name(&self.connection, id).map_err(|error| StateError::Io {
            action: "read",
            path: self.file.clone(),
            source: io::Error::other(error),
        })?;
        Ok(found.map(|(parent, name)| Place {
            parent,
            name,
            known: None,
        }))
    }
}
